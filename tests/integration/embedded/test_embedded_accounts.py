"""Whose the embedded server is: root lends it an account, and nobody's folder is opened."""

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
    remember,
    server_pid,
    socket_folder,
    user_process,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends Postgres an account")


def ordinary_user() -> int:
    """Somebody who is not root, nor an account that root lends, and can reach this Python."""
    lent = ("root", "postgres", "nobody")
    uid = next(entry.pw_uid for entry in pwd.getpwall() if entry.pw_name not in lent)
    probe = ["/bin/sh", "-c", 'test -x "$0" && test -r "$1"', sys.executable, __file__]
    if subprocess.run(probe, user=uid, check=False).returncode:
        pytest.skip("no ordinary user can reach this Python or this repository")
    return uid


@as_root
def test_root_opens_nobodys_folder(folder: Path, server: EmbeddedServer) -> None:
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    before = [parent.stat().st_mode for parent in folder.parents]
    remember(server, "kept")
    assert [parent.stat().st_mode for parent in folder.parents] == before
    assert (folder / "data").stat().st_mode & 0o777 == 0o700
    assert (folder / "data").stat().st_uid != 0


@as_root
def test_where_others_may_pass_the_server_has_no_capability(
    folder: Path, server: EmbeddedServer
) -> None:
    folder.mkdir(parents=True)
    folder.parents[1].chmod(0o755)
    server.attach()
    status = Path("/proc", str(server.pid), "status").read_text()
    assert "CapEff:\t0000000000000000" in status


@as_root
def test_a_socket_folder_that_another_user_made_is_refused(folder: Path) -> None:
    server = EmbeddedServer(folder / "a name with spaces")
    squat = socket_folder(server)
    squat.mkdir(mode=0o700)
    try:
        with pytest.raises(DatabaseUnsuitable, match=str(squat)):
            server.attach()
    finally:
        squat.rmdir()


@as_root
def test_an_ordinary_user_has_a_server_of_their_own(folder: Path) -> None:
    uid = ordinary_user()
    folder.mkdir(parents=True)
    folder.parents[1].chmod(0o755)
    os.chown(folder, uid, -1)
    user = user_process(folder, uid=uid)
    assert Path("/proc", str(server_pid(user))).stat().st_uid == uid
    user.communicate()
    EmbeddedServer(folder).stop()
    with pytest.raises(DatabaseUnsuitable, match=f"belongs to user {uid}"):
        EmbeddedServer(folder).attach()


@as_root
def test_roots_home_is_not_an_ordinary_users(server: EmbeddedServer, folder: Path) -> None:
    uid = ordinary_user()
    server.attach()
    folder.parents[1].chmod(0o755)
    _, complaint = user_process(folder, uid=uid).communicate()
    assert "DatabaseUnsuitable" in complaint
    assert str(folder) in complaint
