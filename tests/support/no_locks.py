"""A process whose files have no locks, as on a network file system without them.

``python -m tests.support.no_locks PROGRAM ERRNO`` runs a program where the kernel declines to set
locks. Needs no rights: a process may forbid itself what it likes (seccomp).
"""

from __future__ import annotations

import ctypes
import platform
import struct
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FCNTL = {"x86_64": 72, "aarch64": 25}
SUPPORTED = sys.platform == "linux" and platform.machine() in _FCNTL
_SETLK, _SETLKW, _OFD_SETLK = 6, 7, 37
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # of a classic BPF program
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NUMBER, _SECOND_ARGUMENT = 0, 24  # where the kernel puts them for the program
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2


def _program(code: int) -> bytes:
    """Return a program that fails the locking calls of fcntl with ``code`` and allows all else."""
    steps = [
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 5, _FCNTL[platform.machine()]),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_EQUAL, 2, 0, _SETLK),
        (_EQUAL, 1, 0, _SETLKW),
        (_EQUAL, 0, 1, _OFD_SETLK),
        (_RETURN, 0, 0, _FAIL | code),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def take_locks_away(code: int) -> None:
    """Let no file be locked in this process from now on; raises ``OSError``."""
    program = _program(code)
    code_buffer = ctypes.create_string_buffer(program, len(program))
    filter_ = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code_buffer))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, filter_, 0, 0)):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "seccomp is not to be had")


def said_without_locks(program: str, code: int) -> str:
    """Return what ``program`` prints where no file can be locked, for the reason ``code``."""
    command = [sys.executable, "-m", "tests.support.no_locks", program, str(code)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=_ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":
    take_locks_away(int(sys.argv[2]))
    exec(sys.argv[1])  # noqa: S102  # a test's own code
