"""A filter of system calls around an instance: as a kernel that lacks one, or has one fail."""

import ctypes
import errno
import os
import platform
import struct

from support.wait import SANITIZED

_NUMBERS = {
    "x86_64": {"accept4": 288, "landlock_create_ruleset": 444, "seccomp": 317},
    "aarch64": {"accept4": 242, "landlock_create_ruleset": 444, "seccomp": 277},
}.get(platform.machine())

LACKING = 0x00050000 | errno.ENOSYS  # SECCOMP_RET_ERRNO
TRAPPED = 0x00030000  # SECCOMP_RET_TRAP
_ALLOWED = 0x7fff0000

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # of the words of BPF


def possible():
    """Whether this machine's numbers are known, and root may do it without more."""
    return _NUMBERS is not None and os.geteuid() == 0


def protection():
    """What confines a role on this kernel, in the words of the log and of status."""
    if SANITIZED:
        return ["privileges"]
    libc = ctypes.CDLL(None)
    number = (_NUMBERS or {"landlock_create_ruleset": 444})["landlock_create_ruleset"]
    landlock = libc.syscall(number, None, 0, 1) >= 1  # 1: ask for its version
    return ["privileges", *(["landlock"] if landlock else []), "seccomp"]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("words", ctypes.c_void_p)]


def around(outcome, *calls):
    """A function that gives these calls that outcome for the process and all that it starts."""
    numbers = [_NUMBERS[call] for call in calls]
    code = struct.pack("=HBBI", _LOAD, 0, 0, 0)
    for number in numbers:
        code += struct.pack("=HBBI", _EQUAL, 0, 1, number)
        code += struct.pack("=HBBI", _RETURN, 0, 0, outcome)
    code += struct.pack("=HBBI", _RETURN, 0, 0, _ALLOWED)
    words = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(words))
    libc = ctypes.CDLL(None, use_errno=True)

    def enter():
        if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")
        assert words  # which the program points to
    return enter


_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000


def with_file(path, ours):
    """A function that lets the process and all that it starts see `ours` at `path`."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter():
        if (libc.unshare(_CLONE_NEWNS) != 0
                or libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) != 0
                or libc.mount(str(ours).encode(), path.encode(), None, _MS_BIND, None) != 0):
            raise OSError(ctypes.get_errno(), path)
    return enter


def may_mount(folder):
    """Whether that is allowed here."""
    ours = folder / "may-mount"
    ours.write_text("")
    pid = os.fork()
    if pid == 0:
        try:
            with_file("/etc/hosts", ours)()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0
