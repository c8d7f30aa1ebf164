"""Logs that are moved, slow, full or without a reader: traffic does not care, and nothing is lost
in silence."""

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

from support.tools import h2load
from support.traffic import Knocking, fetch
from support.wait import PATIENCE, SANITIZED, wait_until


@pytest.fixture
def door(sallyport, web, authority):
    """An instance with two workers before nginx."""
    def make(**words):
        return sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2,
                         **words)
    return make


def stop_briefly(instance):
    """By SIGINT, which does not wait for a log that takes nothing."""
    instance.stop(sig=signal.SIGINT)


def lines_of(path):
    """Its lines, which must all be whole."""
    text = path.read_text()
    assert text == "" or text.endswith("\n"), text[-200:]
    return [json.loads(line) for line in text.splitlines()]


def test_reopening_after_a_rename_loses_no_line(door):
    instance = door()
    log = instance.folder / "access.log"
    files = []
    with Knocking(instance.port, 2) as knocking:
        for number in range(5):
            time.sleep(0.2)
            files.append(log.with_suffix(f".{number}"))
            os.rename(log, files[-1])
            instance.signal(signal.SIGUSR1)
            wait_until(log.exists, "a new log")
        knocks = knocking.finish()
    assert not [k for k in knocks if k.error]
    instance.wait_metric(len(knocks), "connections_ended_total")
    files.append(log)

    def all_there():
        return sum(len(f.read_text().splitlines()) for f in files) >= len(knocks)
    wait_until(all_there, f"{len(knocks)} lines")
    lines = [line for f in files for line in lines_of(f)]
    assert len(lines) == len(knocks)
    # The kernel gives a port again after a while, but not to two at a time.
    assert len({(line["client"], line["time"]) for line in lines}) == len(lines)
    assert instance.metrics().get("log_records_dropped_total") == 0
    # Rotation wrote to each of them.
    assert all(f.stat().st_size > 0 for f in files[1:-1])


def test_the_error_log_is_reopened_too(door):
    instance = door()
    log = instance.folder / "error.log"
    moved = log.with_suffix(".1")
    os.rename(log, moved)
    instance.signal(signal.SIGUSR1)
    wait_until(log.exists, "a new log")
    instance.write("{")
    assert instance.reload() == "refused"
    instance.wait_error(r"sallyport\.json:1:")
    assert "sallyport.json:1:" not in moved.read_text()


def test_a_log_that_cannot_be_reopened_is_kept(door):
    instance = door()
    folder = instance.folder / "logs"
    folder.mkdir()
    config = dict(instance.config, log={"access": {"path": str(folder / "a.log")}})
    assert instance.reload(config) == "done"
    os.rename(folder, instance.folder / "moved")
    instance.signal(signal.SIGUSR1)
    instance.wait_error(r"logs/a\.log.*No such file")
    fetch(instance.port)
    wait_until(lambda: (instance.folder / "moved" / "a.log").read_text(), "its line")


def test_a_reload_moves_the_log(door):
    instance = door()
    fetch(instance.port)
    wait_until(instance.access_log, "the first line")
    other = instance.folder / "other.log"
    config = dict(instance.config)
    config["log"] = dict(config["log"], access={"path": str(other)})
    assert instance.reload(config) == "done"
    fetch(instance.port)
    wait_until(lambda: other.exists() and other.read_text(), "the second line")
    assert len(instance.access_log()) == 1 == len(lines_of(other))
    config["log"] = dict(config["log"], access=False)
    assert instance.reload(config) == "done"
    fetch(instance.port)
    instance.wait_metric(3, "connections_ended_total")
    time.sleep(0.3)
    assert len(lines_of(other)) == 1


def make_pipe(path):
    """A FIFO, and a descriptor that keeps it open for reading without reading. With the least
    room that the kernel gives."""
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(fd, 1031, 4096)  # F_SETPIPE_SZ
    return fd


def read_some(reader):
    """What the pipe holds now."""
    try:
        return os.read(reader, 1 << 20)
    except BlockingIOError:
        return b""


def test_a_log_that_nobody_reads_does_not_stop_traffic(door):
    instance = door(start=False)
    path = instance.folder / "pipe"
    reader = make_pipe(path)
    instance.configure(dict(instance.config, log={"access": {"path": str(path)}}))
    instance.start()
    url = f"https://127.0.0.1:{instance.port}/hello"
    # More lines than pipe, buffers and rings (4 MiB a worker) hold would take minutes of
    # handshakes: it is the wait of the writer that shall not reach anybody else.
    load = h2load(url, clients=8, requests=2000 if SANITIZED else 8000)
    assert (load.failed, load.errored) == (0, 0), load.output
    with Knocking(instance.port, 2) as knocking:
        time.sleep(2)
        knocks = knocking.finish()
    assert knocks and not [k for k in knocks if k.error]
    assert max(k.seconds for k in knocks) < (3 if SANITIZED else 1)
    # The error log goes on meanwhile, and so do admin and reload.
    assert instance.get("/healthz")[0] == 200
    assert instance.reload() == "done"
    instance.write("{")
    assert instance.reload() == "refused"
    instance.wait_error(r"sallyport\.json:1:")

    # Somebody reads: every line comes, or was counted.
    got = bytearray()

    def read_on():
        while data := read_some(reader):
            got.extend(data)
        dropped = instance.metrics().get("log_records_dropped_total")
        ended = instance.metrics().get("connections_ended_total")
        return got.count(b"\n") + dropped >= ended
    wait_until(read_on, "all lines", PATIENCE * 2)
    for line in bytes(got).splitlines():
        json.loads(line)
    os.close(reader)


@pytest.mark.skipif(SANITIZED, reason="takes as many connections as a ring has room for records")
def test_what_finds_no_room_is_counted(door):
    """Plain connections are cheap enough to fill a ring."""
    instance = door(start=False)
    path = instance.folder / "pipe"
    reader = make_pipe(path)
    config = dict(instance.config, workers=1, log={"access": {"path": str(path)}})
    config["listeners"] = [dict(config["listeners"][0])]
    config["listeners"][0].pop("tls")
    config["pools"] = {"back": {"servers": ["127.0.0.1:1"]}}  # refuses at once
    instance.configure(config)
    instance.start()

    def flood():
        for _ in range(7000):
            # The reset may come before our connect has returned.
            with socket.socket() as s, contextlib.suppress(ConnectionResetError):
                s.connect(("127.0.0.1", instance.port))
    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    instance.wait_metric(28000, "connections_accepted_total", timeout=30)
    instance.wait_metric(28000, "connections_ended_total", timeout=30)
    dropped = instance.wait_metric(lambda n: n > 0, "log_records_dropped_total", timeout=30)
    assert dropped < 28000
    assert instance.get("/healthz")[0] == 200
    stop_briefly(instance)
    os.close(reader)


def test_a_reader_that_goes_away(door):
    """A pipe whose reader has ended is an error to be counted, not the end of the steward."""
    instance = door(start=False)
    path = instance.folder / "pipe"
    reader = make_pipe(path)
    instance.configure(dict(instance.config, log={"access": {"path": str(path)}}))
    instance.start()
    steward = instance.steward()
    fetch(instance.port)
    wait_until(lambda: read_some(reader), "a line")
    os.close(reader)
    for _ in range(5):
        fetch(instance.port)
    instance.wait_metric(lambda n: n > 0, "log_write_errors_total")
    assert instance.steward() == steward
    instance.wait_error(r"access log: \d+ writes failed: Broken pipe")
    # Another reader, and it goes on by itself.
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fetch(instance.port)

    wait_until(lambda: read_some(reader), "lines again")
    os.close(reader)


def test_a_full_disk_is_told_of_once_and_traffic_goes_on(door):
    instance = door(log={"access": {"path": "/dev/full"}})
    url = f"https://127.0.0.1:{instance.port}/hello"
    load = h2load(url, clients=8, requests=500)
    assert (load.failed, load.errored) == (0, 0), load.output
    with Knocking(instance.port, 2) as knocking:
        time.sleep(1.5)
        knocks = knocking.finish()
    assert knocks and not [k for k in knocks if k.error]
    instance.wait_metric(lambda n: n > 0, "log_write_errors_total")
    instance.wait_error(r"access log: \d+ writes failed: No space left on device")
    time.sleep(1.5)
    told = [line for line in instance.error_log().splitlines() if "No space left" in line]
    assert len(told) == 1, told  # a minute has not passed
    assert instance.get("/readyz")[0] == 200
    stop_briefly(instance)


def test_a_full_disk_under_the_error_log(door):
    instance = door(log={"error": "/dev/full"})
    fetch(instance.port)
    instance.write("{")
    assert instance.reload() == "refused"
    for _ in range(5):
        fetch(instance.port)
    instance.wait_metric(lambda n: n > 0, "log_records_dropped_total")
    assert len(wait_until(lambda: len(a := instance.access_log()) >= 6 and a, "lines")) == 6
    stop_briefly(instance)


@pytest.mark.parametrize("level,debug,info", [("error", False, False), ("info", False, True),
                                              ("debug", True, True)])
def test_levels_leave_out_what_is_less_important(door, level, debug, info):
    instance = door(log={"level": level})
    fetch(instance.port)
    assert instance.reload() == "done"
    instance.wait_metric(1, "connections_ended_total")
    time.sleep(0.3)
    said = instance.error_log()
    assert (" info " in said) == info
    assert debug or " debug " not in said


def test_lines_of_the_error_log_have_time_level_and_role(door):
    instance = door()
    instance.write("{")
    assert instance.reload() == "refused"
    instance.wait_error(r"sallyport\.json:1:")
    for line in instance.error_log().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warning|info|debug) "
                        r"(supervisor|steward|loader|worker \d+): .", line), line
