"""Everything is replaced by SIGHUP while it serves at full rate, and no client can tell."""

import copy
import itertools
import os
import shutil
import threading

import pytest

from support.ports import HOST, free_port
from support.tlsclient import serial, connect, served_serial
from support.tools import Loading
from support.traffic import Knocking, Steady, fetch, fetch_again, refused
from support.wait import SANITIZED, wait_until

RELOADS = 20 if SANITIZED else 100


class Turns:
    """h2load at full rate over connections that stay, turn after turn until it is told to stop."""

    def __init__(self, url):
        self._url = url
        self._stopping = threading.Event()
        self.turns = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stopping.is_set():
            self.turns.append(Loading(self._url, clients=8, seconds=2).finish())

    def finish(self):
        """Waits for the end of the turn; nothing may have failed."""
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive() and self.turns
        for load in self.turns:
            assert (load.failed, load.errored, load.timed_out) == (0, 0, 0), load.output
            assert load.succeeded == load.done > 0, load.output


def install(leaf, place):
    """Puts a certificate in place of another, as ACME clients do: by rename."""
    new = place / "a.new"
    shutil.copy(leaf.pem, new)
    new.chmod(0o600)
    os.rename(new, place / "a.pem")


@pytest.fixture
def changing(sallyport, web, authority, folder):
    """An instance, and a function that changes all that can change and reloads."""
    place = folder / "certs"
    place.mkdir()
    leaves = itertools.cycle([authority.leaf("a.example", fresh=True) for _ in range(4)])
    first, second = web().address, web().address
    pools = itertools.cycle([[first], [second, first], [{"address": second, "weight": 3}, first],
                             [second]])
    extras = itertools.cycle([[], [0], [0, 1], [1, 2], [2]])
    ports = [free_port() for _ in range(3)]
    install(next(leaves), place)
    instance = sallyport([first], tls=[str(place)], workers=2, log={"access": False})
    plain = instance.config

    def change():
        leaf, wanted = next(leaves), next(extras)
        install(leaf, place)
        config = copy.deepcopy(plain)
        config["pools"]["back"]["servers"] = next(pools)
        for i in wanted:
            config["pools"][f"pool{i}"] = {"servers": [second if i % 2 else first]}
            config["listeners"].insert(i % 2, {
                "name": f"extra{i}", "address": f"{HOST}:{ports[i]}", "mode": "tcp",
                "tls": {"certificates": [str(place)]}, "pool": f"pool{i}"})
        assert instance.reload(config) == "done"
        return leaf, [ports[i] for i in wanted], [ports[i] for i in range(3) if i not in wanted]

    instance.door = instance.port
    return instance, change


def test_reloads_under_full_load_break_nothing(changing):
    instance, change = changing
    before = sorted(instance.pids())
    steady, knocking = Steady(instance.door, 3), Knocking(instance.door, 2)
    turns = Turns(f"https://127.0.0.1:{instance.door}/hello")
    for number in range(1, RELOADS + 1):
        leaf, added, removed = change()
        if number % 10 == 0:
            assert served_serial(instance.door) == leaf.serial
            for port in added:
                fetch(port)
            for port in removed:
                wait_until(lambda: refused(port), "a listener that was removed to be closed")
    requests = steady.finish()
    knocks = knocking.finish()
    turns.finish()
    failed = [k for k in knocks if k.error]
    assert not failed, f"{len(failed)} of {len(knocks)}: {failed[:5]}"
    assert requests > RELOADS and len(knocks) > RELOADS
    metrics = instance.metrics()
    assert metrics.get("configuration_generation") == RELOADS + 1
    assert metrics.get("reloads_total", outcome="done") == RELOADS
    assert metrics.get("reloads_total", outcome="refused") == 0
    assert metrics.get("process_restarts_total") == 0
    assert metrics.get("server_connect_failures_total") == 0
    # A loader that has just said what it made may still be ending.
    wait_until(lambda: sorted(instance.pids()) == before, "the processes from before, no other")


def test_a_burst_of_signals_ends_with_the_last_files(changing, authority, folder):
    instance, change = changing
    leaf, _, _ = change()
    with Steady(instance.door, 2) as steady:
        for _ in range(10):
            leaf = authority.leaf("a.example", fresh=True)
            install(leaf, folder / "certs")
            instance.signal(1)
        wait_until(lambda: served_serial(instance.door) == leaf.serial, "the last certificate")
        steady.finish()


def test_a_connection_keeps_what_it_began_with(changing):
    instance, change = changing
    with connect(instance.door) as tls:
        fetch_again(tls)
        shown = serial(tls)
        for _ in range(3):
            leaf, _, _ = change()
            fetch_again(tls)
        assert serial(tls) == shown != leaf.serial
        assert served_serial(instance.door) == leaf.serial


def test_reloads_leak_no_descriptors_and_no_memory(changing):
    instance, change = changing
    for _ in range(5):
        change()
    fetch(instance.door)
    settled = {}

    def look():
        return sum(len(os.listdir(f"/proc/{p}/fd")) for p in instance.pids())

    if os.geteuid() != 0:
        pytest.skip("only root sees another user's descriptors")
    wait_until(lambda: len(instance.pids()) == 5, "the loader to end")
    settled["fds"], settled["memory"] = look(), instance.memory()
    for _ in range(20 if SANITIZED else 40):
        change()
    fetch(instance.door)
    wait_until(lambda: len(instance.pids()) == 5, "the loader to end")
    wait_until(lambda: look() <= settled["fds"] + 4, f"descriptors: {look()}, before {settled}")
    if not SANITIZED:  # which keeps what was freed
        assert instance.memory() < settled["memory"] + (4 << 20)
