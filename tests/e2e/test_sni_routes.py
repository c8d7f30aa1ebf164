"""Mode tcp: where a connection goes is told by the name that it asks for, with TLS ended here or
left to the server."""

import ssl
import time

import pytest

from support.backends import echo
from support.ports import HOST, free_port
from support.tlsclient import Wire, ask, connect, context, serial, server_context, tcp
from support.wait import wait_until


def greet(name):
    def handler(connection):
        connection.sendall(name)
        echo(connection)

    return handler


@pytest.fixture
def door(sallyport, backend, authority):
    """door(routes, tls=True): routes are (hosts or None, backend's name, passthrough). Those that
    are passed through have servers with TLS, the others plaintext ones."""
    here = authority.leaf("here.example", "*.here.example")
    there = authority.leaf("there.example", "*.there.example", "a.example")

    def make(*routes, tls=True, **listener):
        pools, entries = {}, []
        for hosts, name, passthrough in routes:
            server = backend(greet(name.encode()),
                             tls=server_context(there) if passthrough else None)
            pools[name] = {"servers": [server.address]}
            entries.append({"pool": name, "passthrough": passthrough,
                            **({"host": hosts} if hosts else {})})
        listener = {"name": "door", "address": f"{HOST}:{free_port()}", "mode": "tcp",
                    "sni_routes": entries, **listener}
        if tls:
            listener["tls"] = {"certificates": [here.pem]}
        return sallyport(config={"workers": 1, "drain_timeout": "2s", "listeners": [listener],
                                 "pools": pools})

    return make


def visit(made, authority, name):
    """Who greets there."""
    with connect(made.port, name, context(authority)) as tls:
        greeting = tls.recv(100)
        ask(tls, b"x" * 100000)
        return greeting


def test_names_go_where_they_belong(door, authority):
    made = door((["here.example"], "exact", False), (["*.here.example"], "below", False),
                (["there.example", "*.there.example"], "through", True))
    assert visit(made, authority, "here.example") == b"exact"
    assert visit(made, authority, "x.here.example") == b"below"
    assert visit(made, authority, "there.example") == b"through"
    assert visit(made, authority, "x.there.example") == b"through"
    record = made.wait_record(pool="through", sni="x.there.example")
    assert "tls" not in record, "that was not ours"


def test_without_passthrough_tls_is_ended_first(door, authority):
    made = door((["here.example"], "one", False), (["*.here.example"], "two", False))
    assert visit(made, authority, "here.example") == b"one"
    assert visit(made, authority, "x.here.example") == b"two"


def test_a_name_that_nobody_takes_is_refused(door, authority):
    made = door((["here.example"], "here", False), (["there.example"], "through", True))
    with pytest.raises((ssl.SSLError, OSError)), connect(made.port, "nobody.example") as tls:
        assert tls.recv(10) == b"never"
    record = made.wait_record(cause="no_route")
    assert record["detail"] == "no route takes the name that the client asks for"


def test_without_tls_here_it_is_refused_in_words_of_tls(door, authority):
    made = door((["there.example"], "through", True), tls=False)
    assert visit(made, authority, "there.example") == b"through"
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        connect(made.port, "nobody.example")


def test_one_for_any_name_takes_the_rest(door, authority):
    made = door((["here.example"], "here", False), (None, "through", True))
    assert visit(made, authority, "here.example") == b"here"
    assert visit(made, authority, "a.example") == b"through"
    with connect(made.port, None) as tls:
        assert tls.recv(100) == b"through", "clients that name none, too"


@pytest.mark.parametrize("name, greeting", [("here.example", b"here"),
                                            ("there.example", b"through")])
def test_a_hello_may_come_in_pieces(door, authority, name, greeting):
    made = door((["here.example"], "here", False), (["there.example"], "through", True))
    with Wire(made.port, name, context(authority)) as wire:
        hello = wire.first_flight()
        body = hello[5:]
        # In records of 40 bytes, and those byte by byte.
        cut = b"".join(hello[:3] + len(body[k:k + 40]).to_bytes(2, "big") + body[k:k + 40]
                       for k in range(0, len(body), 40))
        for i in range(len(cut)):
            wire.raw.sendall(cut[i:i + 1])
            if i % 50 == 0:
                time.sleep(0.002)
        assert wire.handshake().read() == greeting


def test_what_is_no_hello(door):
    made = door((["here.example"], "here", False), (["there.example"], "through", True))
    with tcp(made.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(100)[:1] in (b"\x15", b""), "an alert, from whoever ends TLS"
    made = door((["there.example"], "through", True), tls=False)
    with tcp(made.port) as client, pytest.raises(ConnectionResetError):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(100) == b"never"
    made.wait_record(cause="no_route")


def test_a_hello_has_its_time_and_its_size(door):
    made = door((["there.example"], "through", True), tls=False, timeouts={"handshake": "500ms"})
    with tcp(made.port) as client, pytest.raises(ConnectionResetError):
        client.sendall(b"\x16\3\1")
        assert client.recv(100) == b"never"
    made.wait_record(cause="handshake_timeout")
    with tcp(made.port) as client, pytest.raises(OSError):
        client.sendall(b"\x16\3\1\x40\0\1\1\0\0" + bytes(16384))
        while client.recv(100):
            pass
        raise ConnectionResetError
    made.wait_record(cause="no_route")
    with tcp(made.port) as client:
        client.sendall(b"\x16\3\1")
    made.wait_record(cause="client_gone")


def test_the_certificate_is_the_servers(door, authority):
    made = door((["here.example"], "here", False), (["there.example"], "through", True))
    with connect(made.port, "here.example") as one, connect(made.port, "there.example") as two:
        assert serial(one) != serial(two)


def test_a_reload_changes_where_names_go(door, authority, backend):
    made = door((["here.example"], "one", False), (["there.example"], "through", True))
    other = backend(greet(b"other"))
    config = dict(made.config)
    config["pools"] = {**config["pools"], "one": {"servers": [other.address]}}
    with connect(made.port, "here.example") as before:
        assert before.recv(100) == b"one"
        made.reload(config)
        wait_until(lambda: visit(made, authority, "here.example") == b"other", "the other server")
        ask(before)
