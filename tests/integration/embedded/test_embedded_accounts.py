"""The account of the embedded server: root runs it as another user, and folders stay private."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from playhead.core.errors import DatabaseUnsuitable
from playhead.postgres.embedded.server import EmbeddedServer
from tests.support.servers import (
    insert_word,
    server_pid,
    socket_folder,
    start_user_process,
)

requires_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends Postgres an account")


def find_ordinary_user() -> int:
    """Return the uid of a user that is no service account and can read this Python."""
    service_accounts = ("root", "postgres", "nobody")
    uid = next(entry.pw_uid for entry in pwd.getpwall() if entry.pw_name not in service_accounts)
    probe = ["/bin/sh", "-c", 'test -x "$0" && test -r "$1"', sys.executable, __file__]
    if subprocess.run(probe, user=uid, check=False).returncode:
        pytest.skip("no ordinary user can reach this Python or this repository")
    return uid


@requires_root
def test_server_started_by_root_opens_no_folder_to_others(
    folder: Path, server: EmbeddedServer
) -> None:
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    before = [parent.stat().st_mode for parent in folder.parents]
    insert_word(server, "kept")
    assert [parent.stat().st_mode for parent in folder.parents] == before
    assert (folder / "data").stat().st_mode & 0o777 == 0o700
    assert (folder / "data").stat().st_uid != 0


@requires_root
def test_server_has_no_capability_where_others_may_pass(
    folder: Path, server: EmbeddedServer
) -> None:
    folder.mkdir(parents=True)
    folder.parents[1].chmod(0o755)
    server.attach()
    status = Path("/proc", str(server.pid), "status").read_text()
    assert "CapEff:\t0000000000000000" in status


@requires_root
def test_socket_folder_of_another_user_is_rejected(folder: Path) -> None:
    server = EmbeddedServer(folder / "a name with spaces")
    foreign_folder = socket_folder(server)
    foreign_folder.mkdir(mode=0o700)
    try:
        with pytest.raises(DatabaseUnsuitable, match=str(foreign_folder)):
            server.attach()
    finally:
        foreign_folder.rmdir()


@requires_root
def test_ordinary_user_has_their_own_server(folder: Path) -> None:
    uid = find_ordinary_user()
    folder.mkdir(parents=True)
    folder.parents[1].chmod(0o755)
    os.chown(folder, uid, -1)
    user = start_user_process(folder, uid=uid)
    assert Path("/proc", str(server_pid(user))).stat().st_uid == uid
    user.communicate()
    EmbeddedServer(folder).stop()
    with pytest.raises(DatabaseUnsuitable, match=f"belongs to user {uid}"):
        EmbeddedServer(folder).attach()


@requires_root
def test_home_of_root_is_rejected_for_an_ordinary_user(
    server: EmbeddedServer, folder: Path
) -> None:
    uid = find_ordinary_user()
    server.attach()
    folder.parents[1].chmod(0o755)
    _, stderr = start_user_process(folder, uid=uid).communicate()
    assert "DatabaseUnsuitable" in stderr
    assert str(folder) in stderr
