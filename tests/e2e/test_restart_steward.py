"""The steward dies; no request notices, and what it does goes on."""

import os
import signal
import time

from support.tlsclient import served_serial
from support.tools import Loading
from support.traffic import Knocking, Steady, fetch
from support.wait import PATIENCE, wait_until


def kill_steward(instance):
    """Kills it and waits for another one."""
    instance.expect_noise = (r"killed by SIGKILL",)
    pid = instance.steward()
    os.kill(pid, signal.SIGKILL)
    return wait_until(lambda: (s := instance.steward()) and s != pid and s, "another steward")


def start(sallyport, web, authority, **words):
    """An instance before nginx."""
    return sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2, **words)


def test_no_request_notices(sallyport, web, authority):
    instance = start(sallyport, web, authority)
    workers = instance.workers()
    load = Loading(f"https://127.0.0.1:{instance.port}/hello", clients=8, seconds=3)
    with Steady(instance.port, 2) as steady, Knocking(instance.port, 2) as knocking:
        for _ in range(3):
            time.sleep(0.3)
            kill_steward(instance)
        knocks = knocking.finish()
        steady.finish()
    done = load.finish()
    assert (done.failed, done.errored, done.timed_out) == (0, 0, 0), done.output
    assert knocks and not [k for k in knocks if k.error]
    assert instance.workers() == workers
    instance.wait_metric(3, "process_restarts_total", role="steward")
    assert instance.metrics().get("process_restarts_total", role="worker") == 0


def test_admin_and_logs_come_back(sallyport, web, authority):
    instance = start(sallyport, web, authority)
    fetch(instance.port)
    instance.wait_metric(1, "connections_ended_total")
    wait_until(lambda: len(instance.access_log()) == 1, "the first line")
    before = instance.metrics()
    kill_steward(instance)
    assert wait_until(lambda: instance.get_or_none("/healthz"), "the admin endpoint") == 200
    assert instance.get("/readyz")[0] == 200
    # Counters are on the board, not in the steward.
    now = instance.metrics()
    for name in ("connections_accepted_total", "received_bytes_total", "sent_bytes_total"):
        assert now.get(name) == before.get(name) > 0
    fetch(instance.port)
    wait_until(lambda: len(instance.access_log()) == 2, "the second line")
    assert instance.access_log()[1]["listener"] == "door"
    instance.wait_error(r"steward.*killed by SIGKILL")


def test_lines_of_its_absence_are_written_afterwards(sallyport, web, authority):
    instance = start(sallyport, web, authority)
    total = 0
    for _ in range(3):
        pid = instance.steward()
        instance.expect_noise = (r"killed by SIGKILL",)
        os.kill(pid, signal.SIGKILL)
        for _ in range(20):
            fetch(instance.port)
        total += 20
        wait_until(lambda: instance.steward() not in (None, pid), "another steward")
    instance.wait_metric(total, "connections_ended_total")
    # A line may be lost with the steward that held it, and is never written twice.
    lines = wait_until(lambda: len(a := instance.access_log()) >= total - 3 and a, "the lines")
    clients = [line["client"] for line in lines]
    assert len(set(clients)) == len(clients) <= total


def test_a_reload_while_it_is_away(sallyport, web, authority):
    instance = start(sallyport, web, authority)
    fresh = authority.leaf("a.example", fresh=True)
    config = dict(instance.config)
    config["listeners"] = [dict(config["listeners"][0], name="other",
                                tls={"certificates": [fresh.pem]})]
    instance.configure(config)
    instance.expect_noise = (r"killed by SIGKILL",)
    os.kill(instance.steward(), signal.SIGKILL)
    instance.signal(signal.SIGHUP)
    instance.wait_metric(1, "reloads_total", outcome="done")
    assert served_serial(instance.port) == fresh.serial
    # It knows the names of now.
    fetch(instance.port)
    instance.wait_record(listener="other")
    instance.wait_metric(lambda n: n >= 1, "connections_accepted_total", listener="other")


def test_it_is_killed_again_and_again(sallyport, web, authority):
    """The back-off does not give up, and traffic does not care."""
    instance = start(sallyport, web, authority)
    instance.expect_noise = (r"killed by SIGKILL",)
    kills, until = 0, time.monotonic() + 3
    with Knocking(instance.port, 1) as knocking:
        while time.monotonic() < until:
            pid = instance.steward()
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                kills += 1
                time.sleep(0.005)
        knocks = knocking.finish()
    assert 2 <= kills <= 60, kills
    assert knocks and not [k for k in knocks if k.error]
    wait_until(lambda: instance.get_or_none("/healthz") == 200, "the admin endpoint",
               PATIENCE + 10)
    fetch(instance.port)


def test_all_that_can_die_at_once(sallyport, web, authority):
    instance = start(sallyport, web, authority)
    instance.expect_noise = (r"killed by SIGKILL",)
    fetch(instance.port)
    for pid in (*instance.workers(), instance.steward()):
        os.kill(pid, signal.SIGKILL)
    fetch(instance.port)  # it was queued meanwhile
    assert wait_until(lambda: instance.get_or_none("/readyz"), "the admin endpoint") == 200
    wait_until(lambda: len(instance.workers()) == 2, "both workers")
    instance.wait_metric(2, "connections_accepted_total")
