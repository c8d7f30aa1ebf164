"""Which server of a pool a connection goes to, and what happens where one does not answer."""

import collections
import socket
import time

import pytest

from support.backends import echo, named
from support.ports import HOST, free_port
from support.tlsclient import ask, tcp
from support.wait import SANITIZED


def greeting(port):
    """What a connection's server says first."""
    with tcp(port) as client:
        return client.recv(100).decode()


def refused(port):
    """A connection must be reset, at the earliest while it is made."""
    with pytest.raises(ConnectionResetError), tcp(port) as client:
        assert client.recv(10) == b"never"


@pytest.fixture
def silent():
    """Address of a server whose queue is full: it answers no SYN."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(0)
        held = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(listener.getsockname())
            held.append(s)
        time.sleep(0.1)
        yield "%s:%d" % listener.getsockname()
        for s in held:
            s.close()


def test_round_robin_gives_each_the_same(sallyport, backend):
    instance = sallyport([backend(named(n)).address for n in "abc"],
                         pool={"balance": "round_robin"})
    seen = collections.Counter(greeting(instance.port) for _ in range(30))
    assert seen == {"a": 10, "b": 10, "c": 10}


def test_weights_are_kept_and_spread(sallyport, backend):
    servers = [{"address": backend(named(n)).address, "weight": w}
               for n, w in (("a", 1), ("b", 2), ("c", 3))]
    instance = sallyport(servers, pool={"balance": "round_robin"})
    seen = [greeting(instance.port) for _ in range(60)]
    assert collections.Counter(seen) == {"a": 10, "b": 20, "c": 30}
    # Every six in a row are shared out as the sixty are.
    for i in range(0, 60, 6):
        assert collections.Counter(seen[i:i + 6]) == {"a": 1, "b": 2, "c": 3}


def test_the_shares_hold_over_all_workers(sallyport, backend):
    instance = sallyport([backend(named(n)).address for n in "ab"], workers=4)
    seen = collections.Counter(greeting(instance.port) for _ in range(80))
    assert abs(seen["a"] - seen["b"]) <= 8


def test_one_that_refuses_is_passed_over(sallyport, backend):
    dead = f"{HOST}:{free_port()}"
    instance = sallyport([dead, backend(named("alive")).address])
    for _ in range(6):
        assert greeting(instance.port) == "alive"
    assert instance.metrics().get("server_connect_failures_total", server=dead,
                                  cause="connect_refused") > 0
    instance.wait_error(f"{dead}.*connect_refused")


def test_a_missing_unix_socket_is_passed_over(sallyport, backend, folder):
    instance = sallyport([f"unix:{folder}/nobody.sock", backend(named("alive")).address])
    for _ in range(4):
        assert greeting(instance.port) == "alive"


def test_where_all_refuse_the_client_is_reset(sallyport):
    instance = sallyport([f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"])
    refused(instance.port)
    assert instance.wait_record()["cause"] == "connect_refused"
    assert instance.metrics().get("server_connect_failures_total", cause="connect_refused") == 2


def test_connecting_has_a_time_limit(sallyport, silent):
    instance = sallyport([silent], pool={"timeouts": {"connect": "300ms"}})
    began = time.monotonic()
    refused(instance.port)
    assert 0.25 < time.monotonic() - began < (3 if SANITIZED else 1)
    assert instance.wait_record()["cause"] == "connect_timeout"


def test_one_that_does_not_answer_is_passed_over_in_time(sallyport, backend, silent):
    instance = sallyport([silent, backend(named("alive")).address],
                         pool={"timeouts": {"connect": "200ms"}})
    assert [greeting(instance.port) for _ in range(2)] == ["alive", "alive"]


def test_a_full_pool_refuses_and_takes_up_again(sallyport, backend):
    instance = sallyport([backend(echo).address], pool={"connections": {"max": 2}}, workers=2)
    with tcp(instance.port) as one, tcp(instance.port) as two:
        ask(one)
        ask(two)
        refused(instance.port)
        assert instance.wait_record()["cause"] == "pool_full"
        ask(one)
    instance.wait_metric(0, "server_connections_active")
    with tcp(instance.port) as again:
        ask(again)
