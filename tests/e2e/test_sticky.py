"""A cookie names the server that a client was sent to."""

import re

import pytest

from support.rawhttp import Client, get
from support.tlsclient import context
from support.wait import wait_until

COOKIE = re.compile(r"srv=([A-Za-z0-9+/]{32}); Path=/; HttpOnly; SameSite=Lax")


def named(name):
    def handler(connection):
        while b"\r\n\r\n" in connection.recv(4096):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
                               % (len(name), name))

    return handler


@pytest.fixture
def servers(backend):
    return [backend(named(name)) for name in (b"a", b"b", b"c")]


def make(sallyport, servers, secret=None, **words):
    sticky = {"cookie": "srv", **({"secret": secret} if secret else {}), **words}
    return sallyport([s.address for s in servers], workers=2, listener={"mode": "http"},
                     pool={"balance": "round_robin", "sticky": sticky, "eject": {"failures": 2}})


def ask(made, cookie=None):
    """The server that answered, and the cookie that it gives; None: none."""
    with Client(made.port) as client:
        extra = [] if cookie is None else [f"Cookie: x=1; srv={cookie}; y=2"]
        reply = client.ask(get("/", *extra))
    assert reply.status == 200
    given = reply.get("set-cookie")
    return reply.body, COOKIE.match(given)[1] if given else None


def test_who_comes_back_comes_to_the_same_server(sallyport, servers):
    made = make(sallyport, servers)
    tokens = {}
    for _ in range(12):
        name, token = ask(made)
        tokens[name] = token
    assert len(set(tokens.values())) == 3
    for name, token in tokens.items():
        for _ in range(6):
            assert ask(made, token) == (name, None), "and gets no other cookie"


def test_what_a_client_makes_up_is_no_cookie(sallyport, servers):
    made = make(sallyport, servers)
    name, token = ask(made)
    assert name
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in (forged, "", "a", "A" * 32, token + "A"):
        assert {ask(made, wrong)[0] for _ in range(6)} == {b"a", b"b", b"c"}, wrong
        assert ask(made, wrong)[1] is not None


def test_a_server_that_is_gone_is_given_up(sallyport, servers, backend):
    made = make(sallyport, servers)
    tokens = dict(ask(made) for _ in range(12))
    servers[0].close()
    wait_until(lambda: (ask(made, tokens[b"a"]), "gets nothing" in made.error_log())[1],
               "it to be out of use")
    name, token = ask(made, tokens[b"a"])
    assert token == tokens[name] and name != b"a"


def test_a_secret_outlives_a_start(sallyport, servers):
    made = make(sallyport, servers, "of the fleet", max_age="1h")
    with Client(made.port) as client:
        reply = client.ask(get("/"))
    assert reply.get("set-cookie").endswith("; Max-Age=3600")
    token = COOKIE.match(reply.get("set-cookie"))[1]
    other = make(sallyport, servers[::-1], "of the fleet")
    assert ask(other, token) == (reply.body, None)
    stranger = make(sallyport, servers, "of another fleet")
    assert ask(stranger, token)[1] not in (None, token)


def test_over_tls_it_is_secure(sallyport, servers, authority):
    made = sallyport([servers[0].address], tls=[authority.leaf("a.example").pem],
                     listener={"mode": "http"}, pool={"sticky": {"cookie": "srv"}})
    with Client(made.port, context(authority)) as client:
        assert client.ask(get("/")).get("set-cookie").endswith("; SameSite=Lax; Secure")
