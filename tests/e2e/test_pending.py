"""Where every server has the connections that it may, requests and connections wait for one."""

import select
import threading
import time

import pytest

from support.rawhttp import Client, get
from support.tlsclient import tcp
from support.tools import h2load
from support.wait import PATIENCE


def held(amount):
    """A handler that counts how many connections there are at a time: `most[0]`."""
    lock, now, most = threading.Lock(), [0], [0]

    def handler(connection):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(amount)
        with lock:
            now[0] -= 1
        connection.sendall(b"ok")
    return handler, most


def answers(clients):
    """What each gets, whoever is first; who has it goes, and makes room."""
    got, waiting = [], {c.fileno(): c for c in clients}
    ready = select.poll()
    for fd in waiting:
        ready.register(fd, select.POLLIN)
    while waiting:
        events = ready.poll(PATIENCE * 1000)
        assert events, f"{len(waiting)} wait for ever"
        for fd, _ in events:
            ready.unregister(fd)
            client = waiting.pop(fd)
            got.append(client.recv(10))
            client.close()
    return got


def test_nothing_fails_where_servers_take_few(sallyport, web, authority):
    server = web()
    made = sallyport([server.address], tls=[authority.leaf("a.example").pem], workers=2,
                     listener={"mode": "http"}, pool={"connections": {"max": 3}})
    for streams in (None, 4):
        done = h2load(f"https://127.0.0.1:{made.port}/hello", clients=20, requests=3000,
                      streams=streams)
        assert done.succeeded == 3000, done.output
    assert (made.metrics().get("request_errors_total", cause="pool_full") or 0) == 0


def test_connections_wait_in_mode_tcp(sallyport, backend):
    handler, most = held(0.05)
    made = sallyport([backend(handler).address], workers=1, pool={"connections": {"max": 2}})
    assert answers([tcp(made.port) for _ in range(12)]) == [b"ok"] * 12
    assert most[0] == 2


def test_one_waits_only_so_long(sallyport, backend):
    def silent(connection):
        while connection.recv(1 << 16):
            pass
    made = sallyport([backend(silent).address], workers=1, listener={"mode": "http"},
                     pool={"connections": {"max": 1, "pending_timeout": "300ms"}})
    with Client(made.port) as first, Client(made.port) as second:
        first.send(get("/"))
        made.wait_metric(1, "server_connections_active")
        began = time.monotonic()
        response = second.ask(get("/"))
        assert response.status == 503 and response.get("retry-after") == "1"
        assert 0.25 < time.monotonic() - began < 3


def test_so_many_wait_and_no_more(sallyport, backend):
    go = threading.Event()

    def handler(connection):
        go.wait(PATIENCE)
        connection.sendall(b"ok")

    made = sallyport([backend(handler).address], workers=1,
                     pool={"connections": {"max": 1, "max_pending": 3, "pending_timeout": "60s"}})
    clients = [tcp(made.port) for _ in range(4)]
    made.wait_metric(4, "connections_active")
    for _ in range(4):
        with pytest.raises(ConnectionResetError), tcp(made.port) as client:
            assert client.recv(10) == b"never"
    go.set()
    assert answers(clients) == [b"ok"] * 4


def test_kept_connections_give_way(sallyport, web):
    """One worker has the only connection, and keeps it though it has nothing to do."""
    made = sallyport([web().address], workers=2, listener={"mode": "http"},
                     pool={"connections": {"max": 1}})
    clients = [Client(made.port) for _ in range(12)]
    for _ in range(2):
        for client in clients:
            assert client.ask(get("/hello")).status == 200
    for client in clients:
        client.socket.close()


def test_those_of_another_worker_are_found(sallyport, backend):
    """What one worker lets go of is taken by who waits in the other."""
    handler, most = held(0.05)
    made = sallyport([backend(handler).address], workers=2, pool={"connections": {"max": 1}})
    assert answers([tcp(made.port) for _ in range(16)]) == [b"ok"] * 16
    assert most[0] <= 2, "two workers may look at the same moment"
