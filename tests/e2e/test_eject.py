"""Servers that fail get nothing for a while; the others take over, and none is forgotten."""

import copy
import os
import signal
import socket
import threading
import time

import pytest

from support.backends import named
from support.ports import HOST, free_port
from support.rawhttp import Client, get
from support.tlsclient import tcp
from support.traffic import HELLO
from support.wait import wait_until

EJECT = {"failures": 3, "for": "1s"}


@pytest.fixture
def three(sallyport, web):
    """Three servers, of which the first has gone, and makes an instance before them."""
    servers = [web() for _ in range(3)]

    def make(**pool):
        made = sallyport([s.address for s in servers], workers=2, listener={"mode": "http"},
                         pool={"balance": "round_robin", "eject": EJECT, **pool})
        servers[0].close()
        return made
    return make, servers


def ask(made, times=1):
    """So many requests, on a connection each, that all have to be answered."""
    for _ in range(times):
        with Client(made.port) as client:
            response = client.ask(get("/hello"))
            assert (response.status, response.body) == (200, HELLO)


def until_out(made, server, seconds="1.0", times=1):
    """Asks until it is out, for the so manyth time."""
    line = (f"pool back: server {server.address} failed 3 times in a row and gets nothing for "
            f"{seconds} s")

    def look():
        ask(made)
        return len([x for x in made.error_log().splitlines() if line in x]) >= times
    wait_until(look, line)


def failures(made):
    """How many connections to servers failed so far."""
    return made.metrics().get("server_connect_failures_total") or 0


def test_it_gets_nothing_and_comes_back(three):
    make, servers = three
    made = make()
    until_out(made, servers[0])
    before = failures(made)
    ask(made, 20)
    assert failures(made) == before
    made.wait_metric(1, "servers_ejected")
    servers[0].restart()
    made.wait_error(f"server {servers[0].address} is in use again")
    made.wait_metric(0, "servers_ejected")
    seen = servers[0].asked("/hello")
    ask(made, 12)
    wait_until(lambda: servers[0].asked("/hello") > seen, "it to be asked")
    assert made.metrics().get("server_ejections_total") == 1


def test_it_is_out_for_longer_each_time(three):
    make, servers = three
    made = make()
    for seconds in ("1.0", "2.0", "4.0"):
        until_out(made, servers[0], seconds)


def test_a_reload_forgets_nothing(three):
    make, servers = three
    made = make(eject={"failures": 3, "for": "30s"})
    until_out(made, servers[0], "30.0")
    before = failures(made)
    assert made.reload() == "done"
    ask(made, 20)
    assert failures(made) == before
    # One that leaves the pool, and comes back to it, is a new one.
    config = copy.deepcopy(made.config)
    gone = config["pools"]["back"]["servers"].pop(0)
    assert made.reload(config) == "done"
    made.wait_metric(0, "servers_ejected")
    config["pools"]["back"]["servers"].append(gone)
    assert made.reload(config) == "done"
    until_out(made, servers[0], "30.0", times=2)


def test_a_steward_that_dies_leaves_none_out(three):
    make, servers = three
    made = make(eject={"failures": 3, "for": "30s"})
    until_out(made, servers[0], "30.0")
    made.expect_noise = (r"steward \(process \d+\) was killed",)
    steward = made.steward()
    os.kill(steward, signal.SIGKILL)
    wait_until(lambda: made.steward() not in (None, steward), "another steward")
    wait_until(lambda: made.metrics().get("servers_ejected") == 0, "none to be out")
    before = failures(made)

    def fails_again():
        ask(made)
        return failures(made) > before
    wait_until(fails_again, "it to be asked")


def test_the_last_ones_stay(sallyport):
    """With a bound on the share, and without: who asks is told how it is."""
    for most, status in ((50, 502), (100, 502)):
        made = sallyport([f"{HOST}:{free_port()}" for _ in range(2)], listener={"mode": "http"},
                         pool={"eject": {**EJECT, "max_percent": most}})

        def out():
            with Client(made.port) as client:
                assert client.ask(get("/")).status == status
            return made.metrics().get("servers_ejected") == most // 50
        wait_until(out, "them to be out")
        with Client(made.port) as client:
            assert client.ask(get("/")).status == status


def test_zero_takes_none_out(three):
    make, _ = three
    made = make(eject={"failures": 0})
    ask(made, 30)
    assert failures(made) >= 9 and made.metrics().get("servers_ejected") == 0


class Greeter:
    """Says "b" to whoever connects, and keeps that connection, also while it is down."""

    def __init__(self):
        self.port, self._kept, self._listener = free_port(), [], None
        self.up()

    def up(self):
        """Listens."""
        self._listener = socket.create_server((HOST, self.port))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener):
        try:
            while True:
                self._kept.append(listener.accept()[0])
                self._kept[-1].sendall(b"b")
        except OSError:
            pass

    def down(self):
        """Refuses what comes from now on."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_a_connection_is_a_success_in_mode_tcp(sallyport, backend):
    """Also while others are open, of which nobody knows how they fare."""
    flaky, alive = Greeter(), backend(named("a"))
    made = sallyport([f"{HOST}:{flaky.port}", alive.address],
                     pool={"balance": "round_robin", "eject": EJECT})

    def greeted():
        with tcp(made.port) as client:
            return client.recv(10)

    held = [tcp(made.port) for _ in range(2)]
    assert {c.recv(10) for c in held} == {b"a", b"b"}
    for _ in range(3):
        flaky.down()
        before = failures(made)
        wait_until(lambda: greeted() and failures(made) >= before + 2, "two failures")
        time.sleep(0.6)
        flaky.up()
        wait_until(lambda: greeted() == b"b", "a success")
        time.sleep(0.6)
    assert made.metrics().get("server_ejections_total") == 0
    for client in held:
        client.close()
    flaky.down()


def test_in_mode_tcp(sallyport, backend):
    dead, alive = f"{HOST}:{free_port()}", backend(named("a"))
    made = sallyport([dead, alive.address], pool={"balance": "round_robin", "eject": EJECT})

    def out():
        with tcp(made.port) as client:
            assert client.recv(10) == b"a"
        return made.metrics().get("servers_ejected") == 1
    wait_until(out, "it to be out")
    before = failures(made)
    for _ in range(10):
        with tcp(made.port) as client:
            assert client.recv(10) == b"a"
    assert failures(made) == before
