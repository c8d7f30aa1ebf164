"""Connections by HTTP/2 while the proxy lives on: reloads that nobody notices, drains by GOAWAY,
workers that die; what a connection may be asked for, and in which order it is served."""

import os
import signal
import threading
import time

import pytest

from support import processes
from support.h2backend import H2Backend
from support.h2frames import (INITIAL_WINDOW_SIZE, MOST, NO_RFC7540_PRIORITIES, PRIORITY_UPDATE,
                              Code, frame, u32)
from support.ports import HOST, free_port
from support.rawh2 import WINDOW, Client
from support.tools import h2load
from support.traffic import HELLO
from support.wait import PATIENCE, SANITIZED, wait_until

RELOADS = 6 if SANITIZED else 25


def config(pem, routes, pools, workers=1, drain="5s"):
    """A configuration with one listener."""
    certificates = pem if isinstance(pem, list) else [pem]
    return {"workers": workers, "drain_timeout": drain, "log": {"access": False}, "pools": pools,
            "listeners": [{"name": "door", "address": f"{HOST}:{free_port()}", "mode": "http",
                           "tls": {"certificates": certificates}, "routes": routes}]}


# ---- reload

@pytest.mark.parametrize("protocol", ["http/1.1", "http/2"])
def test_reloads_under_load_break_nothing(sallyport, authority, web, loading, protocol):
    behind = H2Backend(lambda stream: stream.done().respond(200, [], b"by h2"))
    server = web().address if protocol == "http/1.1" else behind.address
    pools = {"web": {"servers": [server], "protocol": protocol}}
    first = config(authority.leaf("a.example").pem, [{"pool": "web"}], pools, workers=2)
    instance = sallyport(config=first)
    kept = Client(instance.port)
    load = loading(f"https://{HOST}:{instance.port}/hello", clients=4, streams=8,
                   seconds=3 if SANITIZED else 2)
    for number in range(RELOADS):
        stamp = {"response_headers": {"set": {"X-Turn": str(number)}}}
        extra = {"extra": {"servers": [server], "protocol": protocol}} if number % 2 else {}
        assert instance.reload({**instance.config, "pools": {**pools, **extra}, "listeners": [
            {**first["listeners"][0], "routes": [{"pool": "web", **stamp}]}]}) == "done"
        answer = kept.ask("/hello")
        assert answer.status == 200 and answer.get("x-turn") == str(number)
    done = load.finish()
    assert done.failed == done.errored == done.timed_out == 0, done.output
    assert done.succeeded == done.done > 100, done.output
    assert not kept.goaways and not kept.violations
    kept.close()
    behind.close()
    behind.check()


def test_a_listener_that_goes_drains_its_connections(sallyport, authority, http_back):
    leaf = authority.leaf("a.example").pem
    instance = sallyport(config=config(leaf, [{"pool": "web"}], http_back.pools))
    client = Client(instance.port)
    stream = client.request("/held")
    http_back.wait_held()
    gone = config(leaf, [{"pool": "web"}], http_back.pools)
    gone["listeners"][0]["name"] = "other"
    assert instance.reload(gone) == "done"
    client.wait(lambda: client.goaways, "GOAWAY")
    http_back.release()
    assert stream.done().status == 200
    client.wait_end()
    assert [g.error_code for g in client.goaways] == [0] * len(client.goaways)
    client.close()


# ---- drain

class Holding:
    """A backend by HTTP/2 that answers /held when it is told to, everything else at once."""

    def __init__(self):
        self._go = threading.Event()
        self.held = []
        self._backend = H2Backend(self._answer)
        self.pools = {"web": {"servers": [self._backend.address], "protocol": "http/2"}}
        self.close, self.check = self._backend.close, self._backend.check

    def _answer(self, stream):
        stream.done()
        if stream.path == "/held":
            self.held.append(stream)
            assert self._go.wait(PATIENCE)
        stream.respond(200, [], b"x" * 50_000)

    def wait_held(self, n=1):
        """So many requests wait."""
        wait_until(lambda: len(self.held) >= n, f"{n} requests at the backend")

    def release(self):
        """Answers."""
        self._go.set()


@pytest.fixture
def http_back():
    made = Holding()
    yield made
    made.close()
    made.check()


@pytest.fixture
def draining(sallyport, authority, http_back):
    return sallyport(config=config(authority.leaf("a.example").pem, [{"pool": "web"}],
                                   http_back.pools))


def test_drain_says_goaway_twice_and_finishes_what_was_accepted(draining, http_back):
    client = Client(draining.port)
    client.holds_pings = True
    early = client.request("/held")
    http_back.wait_held()
    draining.signal(signal.SIGTERM)
    client.wait(lambda: client.goaways, "the first GOAWAY")
    assert (client.goaways[0].last_stream_id, client.goaways[0].error_code) == (MOST, 0)
    # This one was on its way: nothing has told us yet that it would not be taken.
    late = client.request("/held")
    http_back.wait_held(2)
    client.release_pings()
    client.wait(lambda: len(client.goaways) > 1, "the second GOAWAY")
    assert (client.goaways[1].last_stream_id, client.goaways[1].error_code) == (late.id, 0)
    http_back.release()
    assert early.done().total == late.done().total == 50_000
    client.wait_end()
    assert len(client.goaways) == 2 and not client.violations
    client.close()
    draining.stop()


def test_drain_of_a_connection_without_a_request(draining):
    client = Client(draining.port)
    client.ask("/")
    draining.signal(signal.SIGTERM)
    client.wait_end()
    assert client.goaways[0].last_stream_id in (MOST, 1) and client.goaways[-1].last_stream_id == 1
    assert {g.error_code for g in client.goaways} == {0} and not client.violations
    client.close()
    draining.stop()


def test_drain_does_not_wait_for_a_ping_for_ever(draining, http_back):
    client = Client(draining.port)
    client.holds_pings = True
    stream = client.request("/held")
    http_back.wait_held()
    draining.signal(signal.SIGTERM)
    client.wait(lambda: len(client.goaways) > 1, "the second GOAWAY")
    http_back.release()
    stream.done()
    client.wait_end()
    client.close()
    draining.stop()


class Asking:
    """A connection that asks as fast as it can, until it is told to open no more streams."""

    STREAMS = 8

    def __init__(self, port):
        self.client = Client(port)
        self.streams = []
        self.error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        client = self.client
        try:
            while not client.goaways and client.over is None:
                turn = [client.request("/hello") for _ in range(self.STREAMS)]
                self.streams += turn
                client.wait(lambda t=turn: client.goaways or all(s.over for s in t), "answers")
        except (OSError, AssertionError) as e:
            self.error = e

    def finish(self):
        """Waits for the connection's end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self.client.wait_end()
        self.client.close()


def test_drain_under_load_finishes_every_stream_that_was_accepted(sallyport, authority, web):
    pools = {"web": {"servers": [web().address]}}
    instance = sallyport(config=config(authority.leaf("a.example").pem, [{"pool": "web"}], pools,
                                       workers=2))
    asking = [Asking(instance.port) for _ in range(6)]
    wait_until(lambda: all(len(a.streams) > 50 for a in asking), "all of them to be at it")
    instance.signal(signal.SIGTERM)
    for each in asking:
        each.finish()
        client = each.client
        assert client.goaways and {g.error_code for g in client.goaways} == {0}, client.over
        last = client.goaways[-1].last_stream_id
        for stream in each.streams:
            if stream.id <= last:
                assert stream.ended and stream.status == 200, (stream.id, last, stream.reset)
            else:
                assert stream.fields is None
        assert not client.violations and not client.over, client.over
    instance.stop()


# ---- a worker's death

def test_a_worker_that_dies_takes_only_its_own_with_it(sallyport, authority, web):
    if os.geteuid() != 0:
        pytest.skip("only root sees which worker has which connection")
    pools = {"web": {"servers": [web().address]}}
    instance = sallyport(config=config(authority.leaf("a.example").pem, [{"pool": "web"}], pools,
                                       workers=2))
    asking = [Asking(instance.port) for _ in range(12)]
    wait_until(lambda: all(len(a.streams) > 20 for a in asking), "all of them to be at it")
    theirs = {w: processes.peers_of(w, instance.port) for w in instance.workers()}
    victim = max(theirs, key=lambda w: len(theirs[w]))
    lost, kept = [], []
    for each in asking:
        port = each.client.pipe.socket.getsockname()[1]
        (lost if port in theirs[victim] else kept).append(each)
    assert lost
    instance.kill_worker(victim)
    instance.wait_replaced([victim], 2)
    for each in lost:
        each.client.wait_end()
        assert not each.client.violations
        assert all(s.total == len(HELLO) for s in each.streams if s.ended)
    before = [len(each.streams) for each in kept]
    wait_until(lambda: all(len(e.streams) > n + 20 for e, n in zip(kept, before)), "the others")
    load = h2load(f"https://{HOST}:{instance.port}/hello", clients=4, streams=8, requests=400)
    assert load.succeeded == 400, load.output
    instance.signal(signal.SIGTERM)
    for each in kept:
        each.finish()
        assert each.client.goaways and not each.client.violations
        last = each.client.goaways[-1].last_stream_id
        assert all(s.ended and s.status == 200 for s in each.streams if s.id <= last)
    for each in lost:
        each.client.close()
    instance.stop()


# ---- 421

@pytest.fixture(scope="module")
def names(sallyport_for_all, authority):
    """A listener with three certificates."""
    behind = H2Backend(lambda stream: stream.done().respond(200, [], b"ok"))
    pems = [authority.leaf("a.example", "also.example").pem, authority.leaf("b.example").pem,
            authority.leaf("*.w.example").pem]
    yield sallyport_for_all(config=config(
        pems, [{"pool": "web"}], {"web": {"servers": [behind.address], "protocol": "http/2"}}))
    behind.close()


@pytest.mark.parametrize("name, authority_, status", [
    ("a.example", "a.example", 200), ("a.example", "A.Example", 200),
    ("a.example", "also.example", 200),
    ("a.example", "a.example:443", 200), ("a.example", "b.example", 421),
    ("a.example", "x.w.example", 421), ("b.example", "a.example", 421),
    ("b.example", "b.example", 200),
    ("x.w.example", "y.w.example", 200), ("x.w.example", "b.example", 421),
    ("x.w.example", "x.y.w.example", 421)])
def test_421_where_another_certificate_would_be_right(names, name, authority_, status):
    with Client(names.port, name=name) as client:
        assert client.ask(authority=name).status == 200
        assert client.ask(authority=authority_).status == status
        assert client.ask(authority=name).status == 200  # and the connection is as good as before
        assert not client.violations


# ---- priorities (RFC 9218)

BODY = 150_000


@pytest.fixture(scope="module")
def ready(sallyport_for_all, authority):
    """An instance before a backend whose answers are long."""
    behind = H2Backend(lambda stream: stream.done().respond(200, [("content-type", "x/y")],
                                                            b"x" * BODY))
    instance = sallyport_for_all(config=config(
        authority.leaf("a.example").pem, [{"pool": "web"}],
        {"web": {"servers": [behind.address], "protocol": "http/2"}}))
    instance.behind = behind
    yield instance
    behind.close()


@pytest.fixture
def full(ready):
    """A client whose connection's window is used up: what is asked for now waits for it."""
    client = Client(ready.port, {INITIAL_WINDOW_SIZE: 1 << 20}, grants=False)
    eater = client.request("/eaten")
    client.wait(lambda: eater.total == WINDOW, "a full window")
    yield client
    client.close()
    assert not client.violations, client.violations


def waiting(client, *priorities):
    """Requests with these priorities whose bodies wait; the stream that comes first is reset."""
    client.streams[1].abort()
    streams = [client.request("/", *([("priority", p)] if p else [])) for p in priorities]
    for stream in streams:
        stream.wait_head()
    time.sleep(0.05)  # for some of each body to come from the backend
    return streams


def order(client, n):
    """Opens the connection's window by `n`; the streams of the DATA that comes, and how much."""
    mark, before = len(client.data_order), sum(size for _, size in client.data_order)
    client.grant(n)
    client.wait(lambda: sum(size for _, size in client.data_order) == before + n, "DATA")
    return client.data_order[mark:]


@pytest.mark.parametrize("priorities, first", [
    (["u=7", "u=0"], 1), (["u=0", "u=7"], 0), (["u=5", None], 1), ([None, "u=2"], 1),
    (["u=7", "u=6", "u=1", "u=4"], 2), (["u=4,i", "u=3"], 1), (["u=1, i", "u=6"], 0)])
def test_urgency_decides(full, priorities, first):
    streams = waiting(full, *priorities)
    for _ in range(2):
        got = order(full, 8000)
        assert {sid for sid, _ in got} == {streams[first].id}, got


def test_those_that_are_not_incremental_come_one_after_the_other(full):
    streams = waiting(full, "u=3", "u=3")
    got = order(full, 8000) + order(full, 8000)
    assert {sid for sid, _ in got} == {streams[0].id}, got


def test_those_that_are_incremental_share(full):
    streams = waiting(full, "i", "i")
    got = order(full, 64_000)
    shares = [sum(size for sid, size in got if sid == stream.id) for stream in streams]
    assert min(shares) >= 10_000, shares


def test_a_priority_update_changes_the_order(full):
    streams = waiting(full, "u=2", "u=5")
    assert {sid for sid, _ in order(full, 4000)} == {streams[0].id}
    full.send(frame(PRIORITY_UPDATE, 0, 0, u32(streams[1].id) + b"u=0")).ping()
    assert {sid for sid, _ in order(full, 4000)} == {streams[1].id}


def test_priorities_that_are_none_are_passed_over(full):
    # RFC 9218, 4: what is not understood, or out of range, is as if it were not there.
    streams = waiting(full, "u=9, x=y", "u=2")
    assert {sid for sid, _ in order(full, 4000)} == {streams[1].id}


@pytest.mark.parametrize("payload, sid", [
    (u32(0) + b"u=1", 0), (b"\0\0\0", 0), (u32(1) + b"u=1", 1)])
def test_priority_updates_that_are_malformed(ready, payload, sid):
    client = Client(ready.port)
    client.request("/")
    client.try_send(frame(PRIORITY_UPDATE, 0, sid, payload))
    client.broken(Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR)
    client.close()


def test_the_field_is_passed_on_and_the_old_scheme_is_not_used(ready):
    with Client(ready.port) as client:
        client.wait_settings()
        assert client.peer_settings.get(NO_RFC7540_PRIORITIES) == 1
        client.ask("/passed", ("priority", "u=1, i"))
    assert [s.get("priority") for s in ready.behind.requests if s.path == "/passed"] == ["u=1, i"]


def test_everything_comes_in_the_end(ready):
    with Client(ready.port) as client:
        streams = [client.request("/", ("priority", f"u={n % 8}" + (", i" if n % 3 else "")))
                   for n in range(40)]
        for stream in streams:
            assert stream.done(PATIENCE * 2).total == BODY
        assert not client.violations
