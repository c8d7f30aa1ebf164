"""Listeners that come, go, stay, and change their name over reloads."""

import copy
import os
import signal
import socket
import time

import pytest

from support import backends, tlsclient
from support.ports import HOST, free_port
from support.traffic import refused
from support.wait import wait_until


@pytest.fixture
def two(sallyport, backend, authority):
    """An instance with the listeners "door" and "gate" before an echo, and its configuration
    without "gate"."""
    words = {"tls": [authority.leaf("a.example").pem], "drain_timeout": "1s"}
    instance = sallyport([backend().address], start=False, **words)
    without = copy.deepcopy(instance.config)
    gate = copy.deepcopy(without["listeners"][0])
    gate.update(name="gate", address=f"{HOST}:{free_port()}")
    both = copy.deepcopy(without)
    both["listeners"].append(gate)
    instance.configure(both)
    return instance.start(), without


def ask(tls, what=b"hello"):
    """An echo's answer."""
    tls.sendall(what)
    assert backends.read_exactly(tls, len(what)) == what


def test_connections_of_a_removed_listener_are_drained(two):
    instance, without = two
    door, gate = instance.ports
    with tlsclient.connect(door) as stays, tlsclient.connect(gate) as short, \
            tlsclient.connect(gate) as long:
        for tls in (stays, short, long):
            ask(tls)
        assert instance.reload(without) == "done"
        began = time.monotonic()
        wait_until(lambda: refused(gate), "the removed listener to be closed")
        # They still work, and may end in good order.
        ask(short)
        ask(long)
        raw = short.unwrap()
        raw.close()
        assert instance.wait_record(listener="gate", cause="closed")
        # The other one uses all its time and is then broken off, not ended.
        long.settimeout(5)
        with pytest.raises(OSError):
            while True:
                ask(long)
                time.sleep(0.05)
        assert 0.5 < time.monotonic() - began < 3
        assert instance.wait_record(listener="gate", cause="listener_retired")
        ask(stays)
    instance.wait_metric(0, "connections_active")


def test_a_removed_listener_may_come_back_at_once(two):
    instance, without = two
    both = copy.deepcopy(without)
    both["listeners"].append(copy.deepcopy(without["listeners"][0]))
    both["listeners"][1].update(name="gate", address=f"{HOST}:{instance.ports[1]}")
    gate = instance.ports[1]
    for _ in range(5):
        assert instance.reload(without) == "done"
        wait_until(lambda: refused(gate), "the removed listener to be closed")
        assert instance.reload(both) == "done"
        with tlsclient.connect(gate) as tls:
            ask(tls)


def test_a_listener_removed_and_added_again_before_its_connections_end(two):
    instance, without = two
    gate, both = instance.ports[1], copy.deepcopy(instance.config)
    with tlsclient.connect(gate) as tls:
        ask(tls)
        assert instance.reload(without) == "done"
        assert instance.reload(both) == "done"
        with tlsclient.connect(gate) as other:
            ask(other)
            time.sleep(1.5)  # more than drain_timeout
            ask(other)
    instance.wait_metric(0, "connections_active")


def test_what_is_queued_on_a_removed_listener_is_served(two):
    instance, without = two
    gate = instance.ports[1]
    worker = instance.workers()[0]
    queued = []
    os.kill(worker, signal.SIGSTOP)
    try:
        for _ in range(20):
            queued.append(tlsclient.tcp(gate))
        instance.configure(dict(without, drain_timeout="10s"))
        instance.signal(signal.SIGHUP)
        # The worker is told while it cannot listen.
        time.sleep(0.5)
        assert instance.metrics().get("reloads_total") == 0
    finally:
        os.kill(worker, signal.SIGCONT)
    instance.wait_metric(1, "reloads_total", outcome="done")
    for raw in queued:
        with tlsclient.connect(gate, raw=raw) as tls:
            ask(tls)
    assert refused(gate)


def test_a_renamed_listener_keeps_its_socket(two):
    instance, without = two
    gate = instance.ports[1]
    renamed = copy.deepcopy(instance.config)
    renamed["listeners"][1]["name"] = "portal"
    inodes = _listening(gate)
    assert inodes
    failed = []

    def knock():
        try:
            with tlsclient.connect(gate) as tls:
                ask(tls)
        except OSError as e:
            failed.append(e)

    for config in (renamed, copy.deepcopy(instance.config)) * 5:
        instance.configure(config)
        instance.signal(signal.SIGHUP)
        for _ in range(5):
            knock()
    wait_until(lambda: instance.metrics().get("reloads_total", outcome="done") > 0, "a reload")
    assert not failed
    assert _listening(gate) == inodes
    assert instance.reload(renamed) == "done"
    with tlsclient.connect(gate) as tls:
        ask(tls)
    instance.wait_record(listener="portal", cause="client_truncated")
    assert _listening(gate) == inodes
    assert instance.metrics().get("connections_accepted_total", listener="portal") >= 1


def _listening(port):
    """Inodes of the sockets that listen on a port of IPv4."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}


def test_counters_go_on_over_reloads(two):
    instance, without = two
    door, gate = instance.ports
    both = copy.deepcopy(instance.config)
    moved = copy.deepcopy(both)
    moved["listeners"].reverse()  # another place in the list is the same listener
    server = both["pools"]["back"]["servers"][0]
    for number, config in enumerate((moved, without, both, moved), 1):
        with tlsclient.connect(door) as tls:
            ask(tls)
        assert instance.reload(config) == "done"
        instance.wait_metric(number, "connections_ended_total", listener="door")
        metrics = instance.metrics()
        assert metrics.get("connections_accepted_total", listener="door") == number
        assert metrics.get("tls_handshakes_total", listener="door") == number
        assert metrics.get("tls_handshake_duration_seconds_count", listener="door") == number
        assert metrics.get("received_bytes_total", listener="door") == 5 * number
        assert metrics.get("sent_bytes_total", listener="door") == 5 * number
        assert metrics.get("server_connects_total", pool="back", server=server) == number
        assert metrics.get("server_sent_bytes_total", pool="back", server=server) == 5 * number
    assert metrics.get("configuration_generation") == 5


def test_an_old_connection_counts_on_the_listener_and_server_that_it_came_by(two, backend):
    """Whatever names have come and gone meanwhile, none of them gets its place on the board."""
    instance, without = two
    config = dict(copy.deepcopy(without), drain_timeout="60s")
    old_server = config["pools"]["back"]["servers"][0]
    assert instance.reload(config) == "done"
    with tlsclient.connect(instance.port) as tls:
        ask(tls)
        for number in range(8):
            config["listeners"][0].update(name=f"door{number}", pool=f"back{number}")
            config["pools"] = {f"back{number}": {"servers": [backend().address]}}
            assert instance.reload(config) == "done"
            with tlsclient.connect(instance.port) as other:
                ask(other)
                other.unwrap().close()
            instance.wait_record(listener=f"door{number}", pool=f"back{number}")
            instance.wait_metric(1, "connections_active")
        ask(tls)
        tls.unwrap().close()
    record = instance.wait_record(listener="door", pool="back", server=old_server)
    assert record["bytes_sent"] == 10 and record["cause"] == "closed"
    instance.wait_metric(0, "connections_active")
    instance.wait_metric(0, "server_connections_active")
    assert instance.metrics().get("connections_ended_total", listener="door7") == 1


def test_an_added_address_of_a_listener_serves_and_a_removed_one_does_not(two):
    instance, without = two
    config = copy.deepcopy(without)
    old, new = instance.port, free_port()
    config["listeners"][0]["address"] = [f"{HOST}:{old}", f"{HOST}:{new}"]
    assert instance.reload(config) == "done"
    with tlsclient.connect(old) as a, tlsclient.connect(new) as b:
        ask(a)
        ask(b)
        config["listeners"][0]["address"] = f"{HOST}:{new}"
        assert instance.reload(config) == "done"
        wait_until(lambda: refused(old), "the removed address to be closed")
        # Their listener is still there: connections stay, whichever address they came by.
        time.sleep(1.5)
        ask(a)
        ask(b)
    with socket.socket() as s:
        assert s.connect_ex((HOST, new)) == 0


def test_unix_listeners_come_and_go(two, folder):
    instance, without = two
    path = folder / "door.sock"
    config = copy.deepcopy(without)
    config["listeners"][0]["address"] = [f"{HOST}:{instance.port}", f"unix:{path}"]

    def talk():
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(10)
        raw.connect(str(path))
        with tlsclient.connect(0, raw=raw) as tls:
            ask(tls)

    for _ in range(3):
        assert instance.reload(config) == "done"
        talk()
        assert instance.reload(config) == "done"
        talk()
        assert instance.reload(without) == "done"
        wait_until(lambda: not path.exists(), "the socket's file to go")


def test_all_names_may_be_replaced_at_once_again_and_again(sallyport, backend):
    """A slot for each old name and for each new one: there are enough for both."""
    instance = sallyport([backend().address], start=False)
    address = instance.config["pools"]["back"]["servers"][0]

    def renamed(turn):
        words = copy.deepcopy(instance.config)
        # The one that answers comes first; who asks twice would go to the next.
        words["pools"]["back"]["servers"] = [
            {"name": f"{turn}-{i}", "address": address} for i in range(3000)]
        return words
    instance.configure(renamed(0))
    instance.start()
    for turn in range(1, 5):
        assert instance.reload(renamed(turn)) == "done"
    with tlsclient.tcp(instance.port) as client:
        ask(client)
