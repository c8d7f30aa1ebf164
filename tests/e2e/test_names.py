"""Servers that are named: their addresses follow the name servers, which may fail."""

import collections
import os
import signal
import socket
import time

import pytest

from support import confine
from support.backends import named
from support.nameserver import EMPTY, GARBAGE, NXDOMAIN, SERVFAIL, SILENT, NameServer
from support.ports import free_port
from support.rawhttp import Client, get
from support.sallyport import ENDED
from support.tlsclient import tcp
from support.wait import PATIENCE, wait_until

NAME = "app.test"


@pytest.fixture
def names():
    made = NameServer()
    yield made
    made.close()


@pytest.fixture
def at(backend):
    """at(host, ...): servers on one port of several addresses, which greet with these; the port."""
    def make(*hosts):
        port = free_port()
        for host in hosts:
            backend(named(host), port=port, host=host)
        return port
    return make


@pytest.fixture
def full():
    """full(host, port): makes a server there whose queue is full, so that it answers no SYN."""
    held = []

    def make(host, port):
        listener = socket.socket()
        held.append(listener)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            held.append(socket.socket())
            held[-1].setblocking(False)
            held[-1].connect_ex((host, port))
        time.sleep(0.1)

    yield make
    for each in held:
        each.close()


def greeting(instance):
    """The server that a connection comes to; None: to none."""
    try:
        with tcp(instance.port) as client:
            return client.recv(100).decode() or None
    except ConnectionResetError:
        return None


def greetings(instance, n=20):
    return collections.Counter(greeting(instance) for _ in range(n))


def configured(sallyport, names, servers, pool=None, **words):
    return sallyport(servers, pool={"timeouts": {"connect": "2s"}, **(pool or {})},
                     resolver={"servers": [names.address]}, **words)


def until(instance, wanted):
    """Connections come to these servers and to no others, from some time on."""
    wait_until(lambda: set(greetings(instance)) == set(wanted), f"connections to {wanted}")


def test_all_addresses_of_a_name_take_turns(sallyport, names, at):
    port = at("127.0.0.2", "127.0.0.3", "127.0.0.4")
    names.say(NAME, A=["127.0.0.2", "127.0.0.3", "127.0.0.4"])
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    seen = greetings(instance, 30)
    assert len(seen) == 3 and min(seen.values()) >= 8, seen


def test_traffic_follows_the_name(sallyport, names, at):
    port = at("127.0.0.2", "127.0.0.3", "127.0.0.4")
    names.say(NAME, A=["127.0.0.2"])
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    assert set(greetings(instance)) == {"127.0.0.2"}
    names.say(NAME, A=["127.0.0.3", "127.0.0.4"])
    until(instance, ["127.0.0.3", "127.0.0.4"])
    names.say(NAME, A=["127.0.0.2"])
    until(instance, ["127.0.0.2"])
    instance.wait_error(rf"server {NAME}:{port} is at 127\.0\.0\.3:{port}, 127\.0\.0\.4:{port}")


def http_named(name):
    """A handler that answers each request of HTTP with `name`."""
    def handler(connection):
        while b"\r\n\r\n" in connection.recv(4096):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
                               % (len(name), name.encode()))

    return handler


def test_kept_connections_follow_too(sallyport, names, backend):
    port = free_port()
    for host in ("127.0.0.2", "127.0.0.3"):
        backend(http_named(host), port=port, host=host)
    names.say(NAME, A=["127.0.0.2"])
    instance = configured(sallyport, names, [f"{NAME}:{port}"], listener={"mode": "http"})
    client = Client(instance.port)
    assert [client.ask(get("/")).body for _ in range(3)] == [b"127.0.0.2"] * 3
    names.say(NAME, A=["127.0.0.3"])
    wait_until(lambda: client.ask(get("/")).body == b"127.0.0.3", "the new address")
    assert [client.ask(get("/")).body for _ in range(20)] == [b"127.0.0.3"] * 20
    names.say(NAME, A=["127.0.0.2", "127.0.0.3"])
    wait_until(lambda: client.ask(get("/")).body == b"127.0.0.2", "both")
    seen = collections.Counter(client.ask(get("/")).body for _ in range(40))
    assert min(seen.values()) >= 15, "requests are shared out, not connections"


@pytest.mark.parametrize("trouble", [SERVFAIL, NXDOMAIN, EMPTY, SILENT, GARBAGE],
                         ids=["servfail", "nxdomain", "empty", "silent", "garbage"])
def test_the_last_good_answer_stays_in_use(sallyport, names, at, trouble):
    port = at("127.0.0.2", "127.0.0.3")
    names.say(NAME, A=["127.0.0.2"])
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    instance.wait_error(rf"server {NAME}:{port} is at 127\.0\.0\.2:{port}")
    names.say(NAME, A=trouble, AAAA=trouble)
    instance.wait_error(rf"pool \w+: server {NAME}:{port} does not resolve: .*; its last addresses "
                      "stay in use", timeout=PATIENCE)
    assert set(greetings(instance)) == {"127.0.0.2"}
    names.say(NAME, A=["127.0.0.3"])
    until(instance, ["127.0.0.3"])
    instance.wait_error(f"server {NAME}:{port} resolves again")


def test_what_is_not_there_at_first_is_found_later(sallyport, names, at):
    port = at("127.0.0.2")
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    assert "does not resolve (there is no such name (NXDOMAIN))" in instance.stderr()
    assert greeting(instance) is None
    instance.wait_metric(lambda n: n >= 1, "name_lookups_total", outcome="nxdomain")
    names.say(NAME, A=["127.0.0.2"])
    until(instance, ["127.0.0.2"])


def test_both_families_and_one_that_is_not_there(sallyport, names, at):
    port = at("127.0.0.2", "::1")
    names.say(NAME, A=["127.0.0.2"], AAAA=["::1"])
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    assert set(greetings(instance)) == {"::1"}, "the newer family goes first"
    names.say(NAME, A=["127.0.0.2"], AAAA=["::2"])
    until(instance, ["127.0.0.2"])


def test_an_address_that_does_not_answer_costs_little(sallyport, names, at, full):
    """RFC 8305: the next one is tried after a quarter of a second, and goes first then."""
    port = at("127.0.0.8")
    full("127.0.0.9", port)
    names.say(NAME, A=["127.0.0.9", "127.0.0.8"])
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    took = []
    for _ in range(10):
        began = time.monotonic()
        assert greeting(instance) == "127.0.0.8"
        took.append(time.monotonic() - began)
    assert max(took) < 1.5, took
    assert sorted(took)[7] < 0.2, took


def test_services_say_ports_and_priorities(sallyport, names, backend):
    ports = {}
    for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
        ports[host] = backend(named(host), host=host).port
    for i, host in enumerate(ports):
        names.say(f"n{i}.test", A=[host])
    service = "_app._tcp.test"
    names.say(service, SRV=[(1, 30, ports["127.0.0.2"], "n0.test"),
                            (1, 10, ports["127.0.0.3"], "n1.test"),
                            (2, 1, ports["127.0.0.4"], "n2.test")])
    instance = configured(sallyport, names, [service], pool={"discovery": "srv"})
    instance.wait_error(f"server {service} is at ")
    wait_until(lambda: set(greetings(instance)) == {"127.0.0.2", "127.0.0.3"}, "both services")
    seen = greetings(instance, 40)
    assert 26 <= seen["127.0.0.2"] <= 34, seen
    names.say(service, SRV=[(2, 1, ports["127.0.0.4"], "n2.test")])
    until(instance, ["127.0.0.4"])


def test_an_alias_is_followed(sallyport, names, at):
    port = at("127.0.0.2")
    names.say("real.test", A=["127.0.0.2"])
    names.say(NAME, CNAME=["real.test"])
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    assert set(greetings(instance)) == {"127.0.0.2"}


def test_two_hundred_addresses(sallyport, names, backend):
    def handler(connection):
        connection.sendall(connection.getsockname()[0].encode())

    port = backend(handler, host="0.0.0.0").port
    names.say(NAME, A=[f"127.0.1.{i}" for i in range(1, 201)])
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    instance.wait_error("and others")
    assert names.over_tcp > 0, "they do not fit one datagram"
    seen = greetings(instance, 200)
    assert None not in seen and len(seen) > 150, len(seen)


def test_slow_name_servers_do_not_stall_traffic(sallyport, names, at):
    port = at("127.0.0.2")
    names.say(NAME, A=["127.0.0.2"])
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    assert greeting(instance) == "127.0.0.2"
    names.delay = 3
    end = time.monotonic() + 4
    while time.monotonic() < end:
        began = time.monotonic()
        assert greeting(instance) == "127.0.0.2"
        assert time.monotonic() - began < 1
        time.sleep(0.05)


def test_names_outlive_the_steward_and_a_reload(sallyport, names, at):
    port = at("127.0.0.2", "127.0.0.3")
    names.say(NAME, A=["127.0.0.2"])
    instance = configured(sallyport, names, [f"{NAME}:{port}"])
    names.say(NAME, A=["127.0.0.3"])
    until(instance, ["127.0.0.3"])
    instance.expect_noise = (ENDED,)
    killed = instance.steward()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: instance.steward() not in (None, killed), "another steward")
    assert set(greetings(instance)) == {"127.0.0.3"}
    names.say(NAME, A=["127.0.0.2"])
    until(instance, ["127.0.0.2"])
    instance.reload()
    assert set(greetings(instance)) == {"127.0.0.2"}
    names.say(NAME, A=["127.0.0.3"])
    until(instance, ["127.0.0.3"])


@pytest.fixture
def seeing(sallyport, folder):
    """seeing(path, text, ...): an instance that finds this text at a path of the system's; and the
    file that it is in, to be changed."""
    if os.geteuid() != 0 or not confine.may_mount(folder):
        pytest.skip("mounting a file is not allowed here")

    def make(path, text, servers):
        ours = folder / "ours"
        ours.write_text(text)
        made = sallyport(servers, start=False)
        made.enter = confine.with_file(path, ours)
        made.start()
        return made, ours

    return make


def test_hosts_are_read_again_when_they_change(seeing, at):
    port = at("127.0.0.2", "127.0.0.3")
    made, hosts = seeing("/etc/hosts", f"127.0.0.2 {NAME}\n", [f"{NAME}:{port}"])
    assert greeting(made) == "127.0.0.2"
    hosts.write_text(f"127.0.0.3 {NAME}\n")
    until(made, ["127.0.0.3"])


def test_name_servers_are_read_again_when_they_change(seeing, at):
    """Under a search list, as containers have it."""
    port = at("127.0.0.2")
    there = NameServer(host="127.0.0.77", port=53)
    there.say("app.inside.test", A=["127.0.0.2"])
    made, resolv_conf = seeing("/etc/resolv.conf", "nameserver 127.0.0.78\n", [f"app:{port}"])
    assert greeting(made) is None
    resolv_conf.write_text("search other.test inside.test\nnameserver 127.0.0.77\n"
                           "options ndots:2\n")
    until(made, ["127.0.0.2"])
    assert ("app.other.test", "A") in there.asked
    there.close()
