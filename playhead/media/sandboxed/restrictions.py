"""Restrictions of the sandboxed process.

Each is independent, so a kernel without one of them still applies the others. They are applied when
everything is imported; from then on no file needs to be opened. ``lock_down`` is for the fork
server, ``lock_down_child`` for the process that gets a file.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Final

from playhead.media.limits import MAX_CPU_SECONDS, MAX_MEMORY_BYTES, MAX_OPEN_FILES, cpu_seconds

_NOBODY: Final = 65534  # a user and a group that own nothing
_NEW_USER, _NEW_IPC, _NEW_NET = 0x1000_0000, 0x0800_0000, 0x4000_0000  # sched.h
_DEATH_SIGNAL, _DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38  # prctl.h
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446  # the same numbers on every architecture
_REFUSE, _ALLOW = 0x0005_0001, 0x7FFF_0000  # seccomp.h: with EPERM

#: All system calls that Python, FFmpeg and the C library make once they are loaded. They open no
#: file, create no socket and execute nothing.
_CALLS: Final = (
    "brk clock_gettime clock_nanosleep close dup exit exit_group fcntl fstat futex getpeername "
    "getpid getrandom getrlimit getrusage getsockname getsockopt gettid gettimeofday ioctl lseek "
    "madvise mmap mprotect mremap munmap nanosleep newfstatat poll ppoll pread64 preadv prlimit64 "
    "read readv restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity "
    "sched_yield sendto set_robust_list setrlimit sigaltstack sysinfo uname write writev"
)
#: Additional system calls of the fork server.
_CALLS_TO_BEGIN: Final = (
    "clone close_range dup2 dup3 epoll_ctl epoll_pwait epoll_wait fork kill prctl recvfrom "
    "recvmsg seccomp set_tid_address wait4"
)


@dataclass(frozen=True, slots=True)
class Restrictions:
    """The active restrictions, and why the others are missing: a line each."""

    active: tuple[str, ...]
    missing: tuple[str, ...]


class _Missing(Exception):
    """The kernel or machine does not support a restriction."""


def lock_down() -> Restrictions:
    """Apply all available restrictions to this process and its children."""
    current, missing = ["no environment", "limits of time, memory, files and output"], []
    with suppress(_Missing):
        _libseccomp()  # loaded while files may still be opened
    for name, restrict in _RESTRICTIONS.items():
        try:
            current.append(f"{name} ({restrict()})")
        except (_Missing, OSError) as reason:
            missing.append(f"{name} ({reason})")
    return Restrictions(tuple(current), tuple(missing))


def lock_down_child() -> None:
    """Restrict a process before it reads a file.

    Sets resource limits, forbids child processes, and has it killed when its parent dies.
    """
    for limit, maximum in _limits().items():
        _lower(limit, maximum)
    allow_cpu(0)
    if sys.platform == "linux":
        _control(_DEATH_SIGNAL, 9)
        with suppress(_Missing, OSError):  # already reported as missing
            _allow_calls(_CALLS)


def allow_cpu(sound_seconds: float) -> None:
    """Allow the processor time for that much sound; the kernel kills a process that exceeds it."""
    soft = cpu_seconds(sound_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, _within(resource.RLIMIT_CPU, MAX_CPU_SECONDS)))


def _limits() -> dict[int, int]:
    return {
        resource.RLIMIT_AS: MAX_MEMORY_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,  # it writes to its socket only
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_NPROC: 0,  # no processes and no threads
    }


def _lower(limit: int, maximum: int) -> None:
    maximum = _within(limit, maximum)
    try:
        resource.setrlimit(limit, (maximum, maximum))
    except ValueError:
        if sys.platform == "linux":  # elsewhere some limits cannot be set
            raise


def _within(limit: int, maximum: int) -> int:
    """Return the limit that may be set: no higher than the current hard limit."""
    _, hard = resource.getrlimit(limit)
    return maximum if hard == resource.RLIM_INFINITY else min(maximum, hard)


def _no_network() -> str:
    """Create an empty network namespace.

    Without root this needs a user namespace, in which the process has no user either.
    """
    _linux_only()
    flags = _NEW_NET | _NEW_IPC
    _call("unshare", flags if os.geteuid() == 0 else flags | _NEW_USER)
    return "namespace of its own"


def _no_rights() -> str:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)  # as root: real, effective and saved
        os.setuid(_NOBODY)
    if sys.platform == "linux":
        _control(_NO_NEW_PRIVILEGES, 1)
        _control(_DUMPABLE, 0)  # forked processes cannot inspect it
    return f"user {os.geteuid()}"


def _no_files() -> str:
    """Prevent access to paths, ports and outside processes with Landlock.

    No path may be opened, no port connected to, no process outside signalled.
    """
    _linux_only()
    version = _libc().syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        raise _Missing("no Landlock")
    handled = (ctypes.c_uint64 * 3)(*_landlock_rights(version))
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = _call("syscall", _LANDLOCK_CREATE, ctypes.byref(handled), size, 0)
    _call("syscall", _LANDLOCK_RESTRICT, rules, 0)
    os.close(rules)
    return f"Landlock {version}"


def _landlock_rights(version: int) -> tuple[int, int, int]:
    """Return all rights of a version, on files, ports and other processes.

    None of them is granted.
    """
    files = 13 + (version >= 2) + (version >= 3) + (version >= 5)
    return (1 << files) - 1, 0b11, 0b11


def _few_calls() -> str:
    _linux_only()
    _allow_calls(f"{_CALLS} {_CALLS_TO_BEGIN}")
    return f"seccomp, {len(f'{_CALLS} {_CALLS_TO_BEGIN}'.split())} allowed"


def _allow_calls(names: str) -> None:
    """Make all other system calls fail with EPERM, for this process and its children."""
    library = _libseccomp()
    rules = library.seccomp_init(_REFUSE)
    for name in names.split():
        number = library.seccomp_syscall_resolve_name(name.encode())
        library.seccomp_rule_add(ctypes.c_void_p(rules), _ALLOW, number, 0)  # fails if unknown here
    error = library.seccomp_load(ctypes.c_void_p(rules))
    library.seccomp_release(ctypes.c_void_p(rules))
    if error:
        raise OSError(-error, os.strerror(-error))


@cache
def _libseccomp() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise _Missing("no libseccomp.so.2") from error
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: object) -> int:
    """Call a function of the C library.

    Raises ``OSError`` if it fails.
    """
    result = int(getattr(_libc(), name)(*args))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _control(option: int, value: int) -> None:
    _call("prctl", option, value, 0, 0, 0)


def _linux_only() -> None:
    if sys.platform != "linux":
        raise _Missing("Linux only")


#: The order matters: leaving the network needs rights that the next steps remove, and after the
#: last no further restriction can be applied.
_RESTRICTIONS: Final[dict[str, Callable[[], str]]] = {
    "no network": _no_network,
    "no rights": _no_rights,
    "no files": _no_files,
    "few system calls": _few_calls,
}
