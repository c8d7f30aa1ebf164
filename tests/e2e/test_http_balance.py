"""Which server of a pool a request goes to: by a hash of what it says, the first, any; and backups
where the others cannot."""

import collections

import pytest

from support.backends import named
from support.ports import HOST, free_port
from support.rawbackend import RawBackend
from support.rawhttp import get, ok
from support.tlsclient import tcp

NAMES = "abcd"


@pytest.fixture(scope="module")
def servers():
    """Backends that say who they are; by name."""
    made = {name: RawBackend(answer=ok(name.encode())) for name in NAMES}
    yield made
    for backend in made.values():
        backend.close()


@pytest.fixture(scope="module")
def door(http_door, servers):
    four = [b.address for b in servers.values()]
    dead = f"{HOST}:{free_port()}"
    # Of the first pool's server, which http_door adds, nothing is asked.
    pools = {
        "header": {"servers": four, "balance": "hash", "hash": "header:X-User"},
        "host": {"servers": four, "balance": "hash", "hash": "header:Host"},
        "cookie": {"servers": four, "balance": "hash", "hash": "cookie:sid"},
        "path": {"servers": four, "balance": "hash", "hash": "path"},
        "address": {"servers": four, "balance": "hash"},
        "first": {"servers": four, "balance": "first"},
        "random": {"servers": four, "balance": "random"},
        "backup": {"servers": [dead, {"address": four[1], "backup": True}]},
        "spare": {"servers": [{"address": four[0], "backup": True}, four[1], four[2]]},
    }
    listeners = {name: {"pool": name} for name in pools}
    listeners["address"]["trusted_proxies"] = ["127.0.0.0/8"]
    listeners["strip"] = {"routes": [{"path_prefix": "/in/", "strip_prefix": "/in",
                                      "pool": "path"}]}
    return http_door(listeners, pools)


def server_of(door, listener, *fields, path="/", **words):
    """Who answers that request, on a connection of its own."""
    with door.client(listener) as client:
        response = client.ask(get(path, *fields, **words))
        assert response.status == 200, response
        return response.body.decode()


def assert_sticky(ask):
    """`ask(i)` gives the same server each time, and not the same one for every i."""
    first = [ask(i) for i in range(24)]
    assert [ask(i) for i in range(24)] == first
    assert len(set(first)) > 1
    return first


def test_hash_by_header(door):
    assert_sticky(lambda i: server_of(door, "header", f"x-user: u{i}"))


def test_hash_by_host(door):
    assert_sticky(lambda i: server_of(door, "host", host=f"h{i}.example"))


def test_hash_by_cookie(door):
    first = assert_sticky(lambda i: server_of(door, "cookie", f"Cookie: sid=s{i}"))
    # Other cookies, wherever they stand, are nothing to it; nor are those with nearly its name.
    among = [server_of(door, "cookie", f"Cookie: a=b; xsid=1; sid=s{i}; sid2=9; SID={i}")
             for i in range(24)]
    assert among == first
    apart = [server_of(door, "cookie", "Cookie: a=b;sid=", f"Cookie: sid=s{i} ;z=y")
             for i in range(24)]
    assert apart == first


def test_hash_by_path(door):
    first = assert_sticky(lambda i: server_of(door, "path", path=f"/p/{i}"))
    # Neither the query nor the spelling makes it another path.
    assert [server_of(door, "path", path=f"/p/{i}?q={i}") for i in range(24)] == first
    assert [server_of(door, "path", path=f"/x/../%70/{i}") for i in range(24)] == first


def test_hash_by_path_takes_the_clients(door):
    first = [server_of(door, "path", path=f"/in/{i}") for i in range(24)]
    assert [server_of(door, "strip", path=f"/in/{i}") for i in range(24)] == first


@pytest.mark.parametrize("listener, field", [("header", "X-User:"), ("cookie", "Cookie: sid="),
                                             ("header", "X-Other: 1"), ("cookie", "Cookie: a=1")])
def test_without_header_or_cookie_it_is_the_address(door, listener, field):
    usual = server_of(door, "address")
    assert {server_of(door, listener, field) for _ in range(8)} == {usual}


def test_hash_by_address_believes_trusted_proxies(door):
    assert_sticky(lambda i: server_of(door, "address", f"X-Forwarded-For: 192.0.2.{i}"))


def test_first(door):
    assert {server_of(door, "first") for _ in range(10)} == {"a"}


def test_random(door):
    seen = collections.Counter(server_of(door, "random") for _ in range(80))
    assert set(seen) == set(NAMES) and max(seen.values()) < 50


def test_backup_takes_over_where_the_others_refuse(door):
    assert {server_of(door, "backup") for _ in range(4)} == {"b"}


def test_backup_gets_nothing_while_others_can(door):
    seen = collections.Counter(server_of(door, "spare") for _ in range(20))
    assert set(seen) == {"b", "c"}


def test_hash_in_mode_tcp(sallyport, backend):
    addresses = [backend(named(n)).address for n in NAMES]
    instance = sallyport(addresses, pool={"balance": "hash", "hash": "cookie:sid"}, workers=2)

    def ask(local):
        with tcp(instance.port, source=f"127.0.0.{local}") as client:
            return client.recv(100).decode()

    first = [ask(i) for i in range(1, 17)]
    assert [ask(i) for i in range(1, 17)] == first
    assert len(set(first)) > 1
