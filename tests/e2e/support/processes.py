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


def status(pid):
    """/proc/PID/status as a dictionary."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def links(pid):
    """What its descriptors are, by number."""
    found = {}
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found[int(entry.name)] = os.readlink(entry.path)
    return found


def sockets(pid):
    """The inodes of its sockets, as the tables of /proc/net have them."""
    return {t[8:-1] for t in links(pid).values() if t.startswith("socket:[")}


def peers_of(pid, port):
    """The clients' ports of those connections to `port` that this process has."""
    inodes = sockets(pid)
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
