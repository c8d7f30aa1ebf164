"""What a hostile or unlucky peer can do to the HTTP core: connections whose listener went,
pipelines that nobody reads, and exchanges that end within the turn in which they began."""

import socket
import ssl

import pytest

from support import rawbackend, tlsclient
from support.ports import HOST, free_port
from support.rawhttp import Client, get, ok
from support.wait import PATIENCE


def config_of(door, **pool):
    """One worker with that listener, before the pool."""
    return {"workers": 1, "drain_timeout": "5s",
            "listeners": [{"name": "door", "address": f"{HOST}:{free_port()}", "mode": "http",
                           **door}],
            "pools": {"back": pool} if pool else {}}


RESPOND = {"routes": [{"respond": {"status": 200, "body": "here"}}]}


@pytest.fixture
def backend():
    """A raw backend."""
    return rawbackend.RawBackend()


# ---- a listener that goes while a request's head comes

def half_a_request(instance):
    """A connection on which a request has begun."""
    client = Client(instance.port)
    assert client.ask(get("/first")).status == 200
    client.try_send(b"GET /second HTTP/1.1\r\nHost: a.exa")
    return client


def assert_turned_away(instance, client):
    """The rest of the request is answered with 503, and that is all of it."""
    workers = instance.workers()
    client.try_send(b"mple\r\n\r\n")
    response = client.final()
    assert response.status == 503
    assert "close" in response.list("connection")
    assert client.stream.rest() == b""
    assert instance.workers() == workers


def test_listener_removed_within_a_head(sallyport):
    config = config_of(RESPOND)
    instance = sallyport(config=config)
    with half_a_request(instance) as client:
        other = config_of(RESPOND)
        other["listeners"][0]["name"] = "other"
        assert instance.reload(other) == "done"
        assert_turned_away(instance, client)


def test_listener_becomes_tcp_within_a_head(sallyport, backend):
    config = config_of(RESPOND, servers=[backend.address])
    instance = sallyport(config=config)
    with half_a_request(instance) as client:
        config["listeners"][0] = {"name": "door", "address": config["listeners"][0]["address"],
                                  "mode": "tcp", "pool": "back"}
        assert instance.reload(config) == "done"
        assert_turned_away(instance, client)


# ---- a pipeline that nobody reads

@pytest.mark.parametrize("where", ["here", "backend"])
def test_pipeline_without_reading_is_held_up(sallyport, backend, where):
    body = "x" * 4000
    routes = [{"path": "/here", "respond": {"status": 200, "body": body}}, {"pool": "back"}]
    instance = sallyport(config=config_of({"routes": routes}, servers=[backend.address]))
    path = "/here"
    if where == "backend":
        path = backend.case(ok(body.encode() * 8)).path
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        client.connect((HOST, instance.port))
        client.settimeout(PATIENCE / 5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 2 << 20:
                sent += client.send(get(path) * 100)
        answers = instance.metrics().get("requests_total", listener="door", code="2xx")
        assert answers < 5000  # what the buffers of the kernel hold, and a bit


# ---- exchanges that end in the turn in which their connection opened

def last_flight_with(wire, data):
    """Ends the handshake; what ends it and `data` go together."""
    while True:
        try:
            wire.tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            wire.flush()
            wire.feed()
    wire.tls.write(data)
    wire.flush()


def test_refused_body_in_the_first_flight(sallyport, backend, authority):
    """Its connection to the server is broken off at a point of the turn that is late for it."""
    instance = sallyport(config=config_of(
        {"pool": "back", "http": {"max_body_size": "10"},
         "tls": {"certificates": [authority.leaf("a.example").pem]}},
        servers=[backend.address]))
    workers = instance.workers()
    for _ in range(3):
        with Client(instance.port, ctx=tlsclient.context()) as client:
            assert client.ask(get("/")).status == 200
        with tlsclient.Wire(instance.port, ctx=tlsclient.context(version="1.3")) as wire:
            last_flight_with(wire, b"POST / HTTP/1.1\r\nHost: a.example\r\n"
                                   b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + b"x" * 20)
            assert wire.read().startswith(b"HTTP/1.1 413 ")
    assert instance.workers() == workers
