"""How it ends: by a drain, at once, or with its supervisor killed."""

import copy
import signal
import time

import pytest

from support import backends, processes, tlsclient
from support.sallyport import wait_until_gone
from support.traffic import Knocking, refused
from support.wait import SANITIZED, wait_until

SLOW = 3 if SANITIZED else 1


@pytest.fixture
def door(sallyport, backend, authority):
    """Starts an instance before an echo."""
    def start(**words):
        return sallyport([backend().address], tls=[authority.leaf("a.example").pem], **words)
    return start


def ask(tls, what=b"hello"):
    """An echo's answer."""
    tls.sendall(what)
    assert backends.read_exactly(tls, len(what)) == what


def ended(instance, within):
    """Waits for the end that a signal has begun; exit code and nothing left behind are checked."""
    instance.stop(sig=0, within=within)


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_lets_connections_finish(door, workers):
    instance = door(workers=workers, drain_timeout="20s")
    port, admin = instance.port, instance.get
    with tlsclient.connect(port) as tls:
        ask(tls)
        began = time.monotonic()
        instance.signal(signal.SIGTERM)
        wait_until(lambda: refused(port), "new connections to be refused")
        assert time.monotonic() - began < SLOW
        time.sleep(0.5)
        ask(tls)
        # It says what it does.
        assert admin("/healthz") == (503, "draining\n")
        assert instance.metrics().get("draining") == 1
        assert instance.metrics().get("connections_active") == 1
        assert instance.process.poll() is None
        tls.unwrap().close()
    ended(instance, SLOW)
    assert instance.access_log()[-1]["cause"] == "closed"


def test_sigterm_without_connections_ends_at_once(door):
    instance = door(workers=2, drain_timeout="20s")
    began = time.monotonic()
    instance.signal(signal.SIGTERM)
    ended(instance, SLOW)
    assert time.monotonic() - began < SLOW


def test_drain_timeout_ends_what_does_not_finish(door):
    instance = door(drain_timeout="1s")
    with tlsclient.connect(instance.port) as tls:
        ask(tls)
        began = time.monotonic()
        instance.signal(signal.SIGTERM)
        ended(instance, 1 + 2 * SLOW)
        assert time.monotonic() - began >= 0.9
        with pytest.raises(OSError):  # broken off: no close_notify
            while tls.recv(100):
                pass
    assert instance.access_log()[-1]["cause"] == "drain_timeout"


def test_drain_timeout_zero_ends_at_once(door):
    instance = door(drain_timeout="0s")
    with tlsclient.connect(instance.port) as tls:
        ask(tls)
        instance.signal(signal.SIGTERM)
        ended(instance, SLOW)


def test_a_reload_changes_the_drain_timeout(door):
    instance = door(drain_timeout="60s")
    assert instance.reload(dict(instance.config, drain_timeout="1s")) == "done"
    with tlsclient.connect(instance.port) as tls:
        ask(tls)
        instance.signal(signal.SIGTERM)
        ended(instance, 1 + 2 * SLOW)


def test_a_handshake_under_way_finishes_in_a_drain(door):
    instance = door(drain_timeout="5s")
    with tlsclient.Wire(instance.port) as wire:
        hello = wire.first_flight()
        wire.raw.sendall(hello[:20])
        instance.wait_metric(1, "connections_active")
        instance.signal(signal.SIGTERM)
        wait_until(lambda: refused(instance.port), "new connections to be refused")
        wire.raw.sendall(hello[20:])
        wire.handshake()
        wire.send(b"late")
        assert wire.read() == b"late"
        wire.close_notify()
        assert wire.read() == b""
    ended(instance, SLOW)


def test_what_is_queued_is_served_in_a_drain(sallyport, web, authority):
    """No client sees a reset because it came in the moment of the signal."""
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2,
                         drain_timeout="5s")
    with Knocking(instance.port, 4) as knocking:
        time.sleep(0.5)
        instance.signal(signal.SIGTERM)
        ended(instance, 5)
        knocks = knocking.finish()
    wrong = [k for k in knocks if k.error and not isinstance(k.error, ConnectionRefusedError)]
    # A connection may reach a queue between its last accept and its close: the kernel resets it.
    assert len(wrong) <= 1, wrong
    assert len([k for k in knocks if not k.error]) > 10


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGQUIT])
def test_sigint_and_sigquit_stop_at_once(door, sig):
    instance = door(workers=2, drain_timeout="60s")
    with tlsclient.connect(instance.port) as tls:
        ask(tls)
        began = time.monotonic()
        instance.stop(sig=sig, within=SLOW)
        assert time.monotonic() - began < SLOW
        assert refused(tls.getpeername()[1])


def test_sigint_ends_a_drain(door):
    instance = door(drain_timeout="60s")
    with tlsclient.connect(instance.port) as tls:
        ask(tls)
        instance.signal(signal.SIGTERM)
        wait_until(lambda: refused(instance.port), "the drain to begin")
        instance.stop(sig=signal.SIGINT, within=SLOW)


def test_a_reload_in_a_drain_changes_nothing(door):
    instance = door(drain_timeout="20s")
    with tlsclient.connect(instance.port) as tls:
        ask(tls)
        instance.signal(signal.SIGTERM)
        wait_until(lambda: refused(instance.port), "the drain to begin")
        instance.signal(signal.SIGHUP)
        instance.signal(signal.SIGTERM)
        time.sleep(0.3)
        ask(tls)
        assert instance.get("/healthz")[0] == 503
        assert refused(instance.port)
        tls.unwrap().close()
    ended(instance, SLOW)


def test_a_worker_that_dies_in_a_drain_does_not_hold_it_up(door):
    instance = door(workers=2, drain_timeout="20s")
    instance.expect_noise = (r"killed by SIGKILL",)
    with tlsclient.connect(instance.port) as tls:
        ask(tls)
        instance.signal(signal.SIGTERM)
        wait_until(lambda: refused(instance.port), "the drain to begin")
        for pid in instance.workers():
            processes.kill(pid)
        ended(instance, SLOW)


def test_admin_socket_and_files_are_tidied_up(door, folder):
    instance = door()
    config = copy.deepcopy(instance.config)
    path = folder / "door.sock"
    config["listeners"][0]["address"] = f"unix:{path}"
    assert instance.reload(config) == "done"
    assert path.exists()
    instance.stop()
    assert not path.exists()
    assert not (instance.folder / "admin.sock").exists()


def test_the_others_end_with_a_killed_supervisor(door, sallyport):
    instance = door(workers=2, drain_timeout="2s")
    port, config = instance.port, copy.deepcopy(instance.config)
    pids = processes.descendants(instance.pid)
    assert len(pids) == 4
    with tlsclient.connect(port) as tls:
        ask(tls)
        instance.process.kill()
        instance.process.wait()
        began = time.monotonic()
        instance.process = None  # its end was not in good order, and shall not be looked at
        wait_until(lambda: refused(port), "the orphans to stop listening")
        # The connection may finish, and another instance starts meanwhile at the same address.
        ask(tls)
        config.pop("admin")
        config.pop("log")
        heir = sallyport(config=config)
        with tlsclient.connect(port) as other:
            ask(other)
            ask(tls)
            assert not wait_until_gone(pids, 2 + 3 * SLOW), "the orphans live on"
            assert time.monotonic() - began > 1
            ask(other)
    assert heir.get("/readyz")[0] == 200
    # A probe of `refused` that came in before the end has a line of its own.
    (line,) = wait_until(lambda: [r for r in instance.access_log() if r["event"] == "connection"],
                         "its line")
    assert line["cause"] == "drain_timeout"


def test_without_connections_the_orphans_end_at_once(door):
    instance = door(workers=2, drain_timeout="60s")
    pids = processes.descendants(instance.pid)
    instance.process.kill()
    instance.process.wait()
    instance.process = None
    assert not wait_until_gone(pids, 1 + SLOW)


def test_a_drain_gives_all_of_its_time_after_a_quiet_while(door):
    """The clock of a loop that slept must not stand for now."""
    instance = door(drain_timeout="1s")
    with tlsclient.connect(instance.port) as tls:
        ask(tls)
        time.sleep(2.7)
        began = time.monotonic()
        instance.signal(signal.SIGTERM)
        with pytest.raises(OSError):
            while True:
                ask(tls)
                time.sleep(0.02)
        assert time.monotonic() - began > 0.95
    ended(instance, SLOW)
