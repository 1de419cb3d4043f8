"""The embedded server's processes and files: data folder, start, stop, locks.

Roles are held by file locks (flock) in the folder, which the kernel frees however a process ends:

    users.lock    shared by every process that uses the server; the supervisor takes it
                  exclusively to stop an idle server, so that new users wait for the end of it
    keeper.lock   the supervisor's, inherited from the process that starts it
    server.lock   inherited by all Postgres processes; free means that none is left

Uses the standard library alone, since the supervisor does.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import locale
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from playhead.core.errors import DatabaseUnavailable, DatabaseUnsuitable, PlayheadError

START_SECONDS = 60.0  # includes crash recovery
STOP_SECONDS = 60.0
TICK_SECONDS = 0.02

_LOG_BYTES = 4 * 2**20
_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 103  # sun_path: 108 with its NUL on Linux, 104 on macOS
_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}  # no PG* variable of the caller's

# Initial values; a person may change them in postgresql.conf.
_INITDB = [
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-instructions",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--set=max_connections=200",
    "--set=shared_buffers=128MB",
]

# Fixed values: the command line overrides every file.
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # statements contain transcripts
    "log_error_verbosity": "terse",  # details do, too
    "wal_level": "minimal",  # no replication, so rewritten tables are not logged
    "max_wal_senders": "0",
    "wal_recycle": "off",  # recycled log files would keep deleted data
    "client_connection_check_interval": "10s",  # a killed client's long query ends
    # The supervisor restarts it. Postgres 18 itself waits without end, and cannot be stopped, when
    # the process that recovers after a crash is killed, too.
    "restart_after_crash": "off",
}

# In pg_control, after the system's identifier (8 bytes) and two versions (4 each).
_STATE_OFFSET, _SHUT_DOWN = 16, 1


class _Account(NamedTuple):
    uid: int
    gid: int


class Cluster:
    """The server of one folder. Only the holder of keeper.lock may call ``start``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.socket_folder = _socket_folder(folder, self.data)
        self._postmaster: subprocess.Popen[bytes] | None = None

    def lock(self, name: str, mode: int = fcntl.LOCK_EX) -> int | None:
        """Return a descriptor that holds ``<name>.lock`` until closed, or None if it is taken."""
        descriptor = os.open(self.folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def postmaster_pid(self) -> int | None:
        """Return the process that listens on the socket, as the kernel knows it, or None.

        A pid from postmaster.pid may belong to another program by now.
        """
        with closing(socket.socket(socket.AF_UNIX)) as client:
            client.settimeout(1.0)
            with suppress(OSError):
                client.connect(str(self.socket_folder / _SOCKET_NAME))
                return _peer_pid(client)
        return None

    def start(self, binaries: Path) -> None:
        """Start the server unless it runs, and wait until it is ready.

        Returns after START_SECONDS at the latest, while it may still be recovering. Raises
        ``DatabaseUnavailable`` or ``DatabaseUnsuitable``.
        """
        deadline = time.monotonic() + START_SECONDS
        while (lock := self.lock("server")) is None:
            if self.postmaster_pid():
                return
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"Processes of an earlier Postgres server still use {self.data}.",
                    remedy="Wait until their queries end, or stop these postgres processes.",
                )
            time.sleep(TICK_SECONDS)
        try:
            self._start_exclusive(binaries, lock)
        finally:
            os.close(lock)

    def stop(self) -> None:
        """Shut down in fast mode. Returns when no process of the server is left.

        Raises ``DatabaseUnavailable`` after STOP_SECONDS.
        """
        deadline = time.monotonic() + STOP_SECONDS
        stopping = None
        while (lock := self.lock("server")) is None:
            pid = self.postmaster_pid()
            if pid and not stopping:
                os.kill(pid, signal.SIGINT)
                stopping = pid
            elif pid and pid != stopping:  # it has stopped; this is the next server
                return
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"The Postgres server of {self.data} did not stop in {STOP_SECONDS:.0f} s.",
                    remedy=f"See {self.log}, then try again.",
                )
            time.sleep(TICK_SECONDS)
        os.close(lock)

    def kill_immediate(self) -> None:
        """Kill a server whose folder was deleted or moved; it cannot shut down in order."""
        if self._postmaster:
            self._postmaster.send_signal(signal.SIGQUIT)

    @property
    def runs(self) -> bool:
        if self._postmaster and self._postmaster.poll() is not None:
            return False
        if (lock := self.lock("server")) is not None:
            os.close(lock)
        return lock is None

    @property
    def crashed(self) -> bool:
        """Return True if the control file of a stopped server shows no clean shutdown."""
        try:
            control = (self.data / "global" / "pg_control").read_bytes()
        except FileNotFoundError:
            return False
        (state,) = struct.unpack_from("=I", control, _STATE_OFFSET)
        return bool(state != _SHUT_DOWN)

    def remove_socket_dir(self) -> None:
        """Remove an empty folder of the socket from /tmp."""
        if self.socket_folder != self.data:
            with suppress(OSError):
                self.socket_folder.rmdir()

    def trim_log(self) -> None:
        if self.log.stat().st_size > _LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)  # its writers append, so they continue at the new end

    def log_tail(self, since: int = 0) -> str:
        """Return the last lines of the log that were written after its first ``since`` bytes."""
        with self.log.open("rb") as log:
            log.seek(max(since, self.log.stat().st_size - 4096))
            lines = log.read().decode("utf-8", "replace").split("\n")
        return "\n".join(line for line in lines[-9:] if line)

    def _start_exclusive(self, binaries: Path, lock: int) -> None:
        account = _account(self.data)
        if not self.data.exists():
            self._init_data(binaries, account, lock)
        if self.socket_folder != self.data:
            _private_folder(self.socket_folder, account)
        # Nobody else holds server.lock, so these files belong to dead processes. Postgres would
        # not start if their process ids now belonged to other programs.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for stale in self.socket_folder.glob(f"{_SOCKET_NAME}*"):
            stale.unlink()
        self._launch(binaries, account, lock)

    def _init_data(self, binaries: Path, account: _Account, lock: int) -> None:
        """Run initdb in a temporary folder and rename it: a data folder is complete or absent."""
        unfinished = self.folder / "data.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        os.chown(unfinished, account.uid, -1)
        letters = f"--lc-ctype={_character_locale()}"  # pg_trgm uses it to recognise letters
        since = self.log.stat().st_size
        command = [f"{binaries}/initdb", f"--pgdata={unfinished}", letters, *_INITDB]
        if self._spawn(command, account, lock).wait() != 0:
            raise self._failure(
                "The folder for Postgres's data could not be created", account, since
            )
        unfinished.rename(self.data)
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)  # otherwise a power cut could undo the rename
        os.close(folder)

    def _launch(self, binaries: Path, account: _Account, lock: int) -> None:
        settings = _SETTINGS | {"unix_socket_directories": str(self.socket_folder)}
        flags = [f"--{name}={value}" for name, value in settings.items()]
        since = self.log.stat().st_size
        command = [f"{binaries}/postgres", "-D", str(self.data), *flags]
        self._postmaster = postmaster = self._spawn(command, account, lock)
        deadline = time.monotonic() + START_SECONDS
        while not self._ready() and time.monotonic() < deadline:
            if postmaster.poll() is not None:
                raise self._failure("The embedded Postgres server did not start", account, since)
            time.sleep(TICK_SECONDS)

    def _spawn(self, command: list[str], account: _Account, lock: int) -> subprocess.Popen[bytes]:
        prefix, identity = _identity(account, command[0], self.folder)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*prefix, *command],
                **identity,
                pass_fds=(lock,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_ENVIRONMENT,
                start_new_session=True,
            )

    def _ready(self) -> bool:
        with suppress(FileNotFoundError):
            return (self.data / "postmaster.pid").read_bytes().rstrip().endswith(b"\nready")
        return False

    def _failure(self, problem: str, account: _Account, since: int) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"{problem} (in {self.folder}, as user {account.uid}):\n{self.log_tail(since)}",
            remedy=f"Fix the problem in the log ({self.log}), or set PLAYHEAD_HOME to another"
            " folder, or DATABASE_URL to your own server.",
        )


def folder_error(folder: Path, error: OSError) -> PlayheadError:
    """Return the error that describes an ``OSError`` to the user of a server in ``folder``."""
    message = f"The embedded Postgres server cannot use {folder}: {error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DatabaseUnavailable(message, remedy="Free some disk space.")
    remedy = "Run as the user it belongs to, or set PLAYHEAD_HOME to a folder of your own."
    return DatabaseUnsuitable(message, remedy=remedy)


def _account(data: Path) -> _Account:
    """Return the account that Postgres runs as: this user, or an unprivileged one for root.

    Postgres refuses to run as root. Raises ``DatabaseUnsuitable``, also if ``data`` belongs to
    somebody else.
    """
    accounts = [_Account(os.geteuid(), os.getegid())]
    if os.geteuid() == 0:
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        entries = [known[name] for name in ("postgres", "nobody") if name in known]
        accounts = [_Account(entry.pw_uid, entry.pw_gid) for entry in entries]
    if not accounts:
        raise DatabaseUnsuitable(
            "Postgres cannot run as root, and there is no account postgres or nobody.",
            remedy="Run as an ordinary user, or set DATABASE_URL to your own server.",
        )
    owner = data.stat().st_uid if data.exists() else accounts[0].uid
    for account in accounts:
        if account.uid == owner:
            return account
    raise DatabaseUnsuitable(
        f"{data} belongs to user {owner}; Postgres would run as user {accounts[0].uid}.",
        remedy=f"Run as user {owner}, or set PLAYHEAD_HOME to a folder of your own.",
    )


def _identity(account: _Account, program: str, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Return how to run ``program`` as the account: a command prefix and ``Popen`` arguments."""
    if os.geteuid() != 0:
        return [], {}
    identity: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []}
    probe = ["/bin/sh", "-c", 'test -x "$0" && test -x "$1"', program, str(folder)]
    if subprocess.run(probe, **identity, check=False).returncode == 0:
        return [], identity
    if not (setpriv := shutil.which("setpriv")):
        raise DatabaseUnsuitable(
            f"As root, Postgres runs as user {account.uid}, who has no access to {folder} or the"
            " installed Postgres, and setpriv (util-linux), which would allow it, is missing.",
            remedy="Run as an ordinary user, or put Playhead and PLAYHEAD_HOME in folders that"
            " every user can read, or set DATABASE_URL to your own server.",
        )
    # The capability dac_override lets it pass through folders that it has no access to. The secure
    # bit makes access(2), with which Postgres checks its own program, respect that, too.
    account_flags = [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    capability_flags = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    secure_bit = "--securebits=+no_setuid_fixup"
    return [setpriv, *account_flags, *capability_flags, secure_bit, "--"], {}


def _socket_folder(folder: Path, data: Path) -> Path:
    """Return the folder of the socket.

    It is the data folder if the socket's path is short and needs no quoting in a URL, list or
    setting; otherwise one in /tmp, which unlike $TMPDIR is the same for every process.
    """
    path = str(data / _SOCKET_NAME)
    if len(path) <= _SOCKET_PATH_BYTES and re.fullmatch(r"[A-Za-z0-9._/-]+", path):
        return data
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp", f"playhead-{os.geteuid()}-{digest}")  # noqa: S108


def _private_folder(path: Path, account: _Account) -> None:
    """Create ``path`` with mode 0700 for the account. Refuses a folder of another user."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        os.chown(path, account.uid, -1)
    found = path.lstat()
    if found.st_uid != account.uid or found.st_mode != stat.S_IFDIR | 0o700:
        raise DatabaseUnsuitable(
            f"{path}, the folder for Postgres's socket, is not private to its account.",
            remedy=f"Remove {path}, or set PLAYHEAD_HOME to a short, plain path.",
        )


def _character_locale() -> str:
    for name in ("C.UTF-8", "en_US.UTF-8"):
        with suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, name)
            return name
    return "C"


def _peer_pid(client: socket.socket) -> int:
    if sys.platform == "darwin":
        sol_local, local_peerpid = 0, 2  # sys/un.h
        return client.getsockopt(sol_local, local_peerpid)
    ucred = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", ucred)[0]
    return pid
