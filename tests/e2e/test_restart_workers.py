"""Workers that die, and what everybody else notices of it: nothing."""

import contextlib
import os
import time

import pytest

from support import backends, processes, tlsclient
from support.tools import Loading
from support.traffic import Knocking, Probing, fetch
from support.wait import SANITIZED, wait_until

# How long a probe that began after the death may wait for its answer.
SECOND = 3.0 if SANITIZED else 1.0


def ask(tls, what=b"hello"):
    """An echo's answer."""
    tls.sendall(what)
    assert backends.read_exactly(tls, len(what)) == what


def alive(tls):
    """Whether the connection still answers."""
    try:
        ask(tls)
        return True
    except (OSError, AssertionError):
        return False


def assert_served_again(knocks, deaths):
    """Every probe that began after a death (and is not one of the next) was answered in time."""
    late = [k for k in knocks if not k.error and k.seconds > SECOND]
    assert not late, f"answered late: {late[:5]}"
    for knock in knocks:
        if knock.error:
            assert any(knock.began <= death + 0.1 and knock.began + knock.seconds >= death
                       for death in deaths), f"{knock} has nothing to do with {deaths}"
    assert any(not k.error and k.began > deaths[-1] for k in knocks)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_serving_again_within_a_second(sallyport, web, authority, workers):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=workers)
    url = f"https://127.0.0.1:{instance.port}/hello"
    deaths = []
    with Probing(instance.port) as probing:
        for _ in range(2):
            load = Loading(url, clients=2 * workers, seconds=2)
            before = instance.workers()
            assert len(before) == workers
            time.sleep(0.5)
            deaths.append(instance.kill_worker(before[0]))
            now = instance.wait_replaced(before[:1], workers)
            assert set(before[1:]) < set(now)  # the others are who they were
            load.finish()
        knocks = probing.finish()
    assert_served_again(knocks, deaths)
    assert len(knocks) > (50 if SANITIZED else 200)
    instance.wait_metric(2, "process_restarts_total", role="worker")
    instance.wait_metric(0, "connections_active")
    assert len(instance.wait_error(r"worker \d.*killed by SIGKILL")) > 0


@pytest.mark.parametrize("workers", [2, 4])
def test_no_connection_of_another_worker_is_touched(sallyport, backend, authority, workers):
    if os.geteuid() != 0:
        pytest.skip("only root sees which worker has which connection")
    instance = sallyport([backend().address], tls=[authority.leaf("a.example").pem],
                         workers=workers)
    ctx = tlsclient.context()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(tlsclient.connect(instance.port, ctx=ctx))
                       for _ in range(20 * workers)]
        for tls in connections:
            ask(tls)
        instance.wait_metric(len(connections), "connections_active")
        before = instance.workers()
        theirs = {w: processes.peers_of(w, instance.port) for w in before}
        assert sum(map(len, theirs.values())) == len(connections)
        victim = max(theirs, key=lambda w: len(theirs[w]))
        assert all(theirs.values()), f"the kernel gave a worker nothing: {theirs}"
        ports = {tls: tls.getsockname()[1] for tls in connections}
        instance.kill_worker(victim)
        instance.wait_replaced([victim], workers)
        rest = [tls for tls in connections if ports[tls] not in theirs[victim]]
        lost = [tls for tls in connections if ports[tls] in theirs[victim]]
        for tls in rest:
            ask(tls)  # raises where it was touched
        assert not any(alive(tls) for tls in lost)
        # The dead one's gauges are cleared, the others' stay.
        instance.wait_metric(len(rest), "connections_active")
        instance.wait_metric(len(rest), "server_connections_active")
        assert instance.metrics().get("workers") == workers
    instance.wait_metric(0, "connections_active")
    instance.wait_metric(0, "server_connections_active")


def test_counters_never_decrease(sallyport, web, authority):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2)
    names = ("connections_accepted_total", "tls_handshakes_total", "received_bytes_total",
             "sent_bytes_total", "server_connects_total", "connections_ended_total",
             "tls_handshake_duration_seconds_count")
    for _ in range(20):
        fetch(instance.port)
    last = dict.fromkeys(names, 0.0)
    with Knocking(instance.port, 2):
        for _ in range(3):
            pid = instance.workers()[0]
            instance.kill_worker(pid)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                metrics = instance.metrics()
                for name in names:
                    seen = metrics.get(name)
                    assert seen >= last[name], f"{name}: {seen} after {last[name]}"
                    last[name] = seen
            instance.wait_replaced([pid], 2)
    assert last["connections_accepted_total"] > 20
    instance.wait_metric(0, "connections_active")


def test_limits_forget_the_dead(sallyport, backend, authority):
    """What a dead worker had counted against an address, or in all, is free again."""
    instance = sallyport([backend().address], tls=[authority.leaf("a.example").pem], workers=2,
                         limits={"connections": 10, "connections_per_address": 6})
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                ask(stack.enter_context(tlsclient.connect(instance.port)))
            gone = instance.workers()
            for pid in gone:
                instance.kill_worker(pid)
            instance.wait_replaced(gone, 2)
        instance.wait_metric(0, "connections_active")
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            ask(stack.enter_context(tlsclient.connect(instance.port)))
        with pytest.raises(OSError):
            tlsclient.connect(instance.port)


def test_siblings_serve_for_one_that_crashes_in_a_loop(sallyport, web, authority):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2)
    # One serves, and says so, before the other has a name.
    survivor, victim = wait_until(lambda: len(w := instance.workers()) == 2 and w, "two workers")
    kills = 0
    with Probing(instance.port) as probing:
        began = time.monotonic()
        while time.monotonic() < began + 5:
            for pid in set(instance.workers()) - {survivor}:
                instance.kill_worker(pid)
                kills += 1
            time.sleep(0.002)
        ended = time.monotonic()
        assert processes.alive(survivor)
        knocks = probing.finish()
    # A back-off, so not a thousand of them; and it never gave up.
    assert 3 <= kills <= 40, kills
    # The sibling took over, whatever became of those that a short-lived one had accepted.
    taken_over = [k for k in knocks if k.began > began + 2.5 and k.began < ended - 0.5]
    failed = [k for k in taken_over if k.error]
    assert len(failed) <= len(taken_over) // 20, f"{len(failed)} of {len(taken_over)} failed"
    late = [k for k in taken_over if k.seconds > SECOND]
    assert not late, f"{len(late)} of {len(taken_over)} waited: {late[:3]}"

    # Left alone, it comes back, and gets its share of the connections again.
    (fresh,) = wait_until(lambda: set(instance.workers()) - {survivor}, "a new worker", 30)
    for _ in range(40):
        fetch(instance.port)
    assert processes.alive(fresh) and processes.alive(survivor)
    instance.wait_metric(0, "connections_active")
    assert instance.reload() == "done"
    for _ in range(20):
        fetch(instance.port)


def test_a_reload_while_a_worker_is_away(sallyport, web, authority, folder):
    """The successor starts with the configuration of the hour."""
    fresh = authority.leaf("a.example", fresh=True)
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2)
    config = dict(instance.config)
    config["listeners"] = [dict(config["listeners"][0], tls={"certificates": [fresh.pem]})]
    for _ in range(3):
        gone = instance.workers()
        for pid in gone:
            instance.kill_worker(pid)
        assert instance.reload(config) == "done"
        instance.wait_replaced(gone, 2)
        for _ in range(6):
            assert tlsclient.served_serial(instance.port) == fresh.serial


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_so_many_workers_as_configured(sallyport, web, authority, workers):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=workers)
    assert len(instance.workers()) == workers
    assert instance.steward() is not None
    wait_until(lambda: len(instance.pids()) == workers + 3, "supervisor and the others, no more")
    for _ in range(10):
        fetch(instance.port)
    instance.wait_metric(workers, "workers")
    instance.wait_metric(10, "connections_accepted_total")


def test_by_default_a_worker_for_each_cpu(sallyport, web, authority):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem], start=False)
    config = dict(instance.config)
    del config["workers"]
    instance.configure(config)
    instance.start()
    number = len(instance.workers())
    assert 1 <= number == instance.metrics().get("workers") <= len(os.sched_getaffinity(0))
    fetch(instance.port)


def test_one_cpu_by_affinity_is_one_worker(sallyport, web, authority):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem], start=False)
    config = dict(instance.config)
    del config["workers"]
    instance.configure(config)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        instance.spawn()
    finally:
        os.sched_setaffinity(0, before)
    wait_until(lambda: instance.workers() and instance.get_or_none("/readyz"), "readiness")
    assert len(instance.workers()) == 1
