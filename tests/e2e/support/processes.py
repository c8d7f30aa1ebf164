"""What /proc says of processes. All of it may have gone while we look."""

import contextlib
import os
import pathlib
import signal

_TICK = os.sysconf("SC_CLK_TCK")


def children(pid):
    """Pids of a process' children."""
    found = []
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            found += [int(p) for p in (task / "children").read_text().split()]
    except OSError:
        pass
    return found


def descendants(pid):
    """Pids of its children, and theirs."""
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def command(pid):
    """Its command line, as a list; empty where it has gone."""
    try:
        raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in raw.split(b"\0")[:-1]]


def alive(pid):
    """Whether it runs; one that nobody has buried yet does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def memory(pid):
    """Bytes of memory, shared pages counted by share (PSS)."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def descriptors(pid):
    """How many descriptors it has open."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def target(pid, fd):
    """What a descriptor of it is; empty where it has gone."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""


def peers_of(pid, port):
    """The clients' ports of those connections to `port` that this process has."""
    inodes = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(entry.path)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows
            if row[9] in inodes and row[1].endswith(f":{port:04X}") and row[3] == "01"}


def cpu_seconds(pid):
    """Time it has spent on a CPU, in user space and in the kernel."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def kill(pid, sig=signal.SIGKILL):
    """Sends a signal; one that has gone is fine."""
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass
