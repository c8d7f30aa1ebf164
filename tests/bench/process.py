"""A program and all its children: where it runs, what it has used."""

import os
import pathlib
import signal
import subprocess
import time


def _children(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += [int(p) for p in (task / "children").read_text().split()]
    return found


def family(pid):
    """The process and all below it."""
    found = [pid]
    for child in _children(pid):
        found += family(child)
    return found


def cpu_ns(pids):
    """Time on a CPU of all threads, user and kernel, to the nanosecond."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def memory(pids):
    """Bytes of user-space memory (PSS), without pages of files. Those grow with no connection,
    and what they count changes when the load client maps the same library."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total


class Program:
    """Something started, in the foreground, on one CPU."""

    def __init__(self, command, cpu, log, **more):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as out:
            # The child inherits the CPU: no code between fork and exec.
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {cpu})
            try:
                self.popen = subprocess.Popen(command, stderr=out,
                                              **{"stdout": out, "stdin": subprocess.DEVNULL, **more})
            finally:
                os.sched_setaffinity(0, before)

    @property
    def family(self):
        return family(self.popen.pid)

    def running(self):
        return self.popen.poll() is None

    def stop(self):
        if self.running():
            self.popen.send_signal(signal.SIGINT if self.popen.stdin is None else signal.SIGTERM)
        try:
            self.popen.wait(5)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def settle(pids, longest_s=2.0):
    """Waits until the processes have done nothing for a moment, so that what follows work (logs,
    lingering sockets) is counted with it."""
    end, last = time.monotonic() + longest_s, cpu_ns(pids)
    while time.monotonic() < end:
        time.sleep(0.05)
        now = cpu_ns(pids)
        if now - last < 500_000:
            return
        last = now
