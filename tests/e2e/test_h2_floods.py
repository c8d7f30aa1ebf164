"""What HTTP/2 makes cheap for a client and dear for a server, done for a while as fast as it goes:
the connection is ended with ENHANCE_YOUR_CALM, memory stays where it was, the cause is counted, and
whoever behaves is served throughout. FLOOD_SECONDS: how long each is (2)."""

import contextlib
import os
import threading
import time

import pytest

from support.h2frames import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS,
                              INITIAL_WINDOW_SIZE, MOST, PADDED, PING, PREFACE, PRIORITY,
                              PRIORITY_UPDATE, Code, block, frame, head, literal, rst, settings,
                              u32, window)
from support.memory import Watch
from support.nginx import Nginx
from support.ports import HOST, free_port
from support.rawh2 import Client, h2_context
from support.tlsclient import connect
from support.tools import Polite
from support.traffic import push
from support.wait import PATIENCE, SANITIZED, wait_until

MIB = 1 << 20
SECONDS = float(os.environ.get("FLOOD_SECONDS", "2"))
MAY_GROW = (64 if SANITIZED else 16) * MIB
ENVIRON = {"ASAN_OPTIONS": "abort_on_error=1:quarantine_size_mb=4"}
# Seconds that 99 of 100 answers may take, where three times the quiet value is not more: the
# machine may be at something else. Whoever looks for long has one that is not.
P99 = 2.0 if SANITIZED else 0.5 if SECONDS < 10 else 0

GOOD = block(head("/hello"))
POST = block(head("/slow", method="POST"))
STREAMS = range(1, 1 << 16, 2)


def opened(sid, fields=GOOD, end=True):
    """HEADERS of a request."""
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), sid, fields)


def packed(frames, size=1 << 14):
    """These frames in pieces of about that size."""
    out = bytearray()
    for each in frames:
        out += each
        if len(out) > size:
            yield bytes(out)
            out.clear()
    yield bytes(out)


def endless(*frames):
    """The same again and again."""
    piece = b"".join(frames)
    piece *= max(1, 16384 // len(piece))
    while True:
        yield piece


def for_each_stream(make):
    """What `make(stream)` gives, for one stream after the other."""
    return lambda: packed(make(sid) for sid in STREAMS)


def begun(*frames, fields=POST):
    """A request whose body is to come, then frames without end."""
    def make():
        yield opened(1, fields, end=False)
        yield from endless(*frames)
    return make


def bomb():
    """Fields that say little and mean much: one entry of 4000 bytes, named 10,000 times a head."""
    yield opened(1, GOOD + literal("x", "a" * 4000, 0x40))
    for sid in STREAMS[1:]:
        yield opened(sid, GOOD + b"\xbe" * 10_000)


def unfinished():
    """A field block that never ends, of fields."""
    yield frame(HEADERS, END_STREAM, 1, GOOD)
    yield from endless(frame(CONTINUATION, 0, 1, literal("x", "a" * 100) * 10))


def unfinished_empty():
    """A field block that never ends, of nothing."""
    yield frame(HEADERS, END_STREAM, 1, GOOD)
    yield from endless(frame(CONTINUATION, 0, 1))


RESET, CONTROL, EMPTY = "h2_reset_flood", "h2_control_flood", "h2_empty_frame_flood"
BLOCK, FIELDS = "h2_continuation_flood", "h2_header_flood"
# So many at once that our resets are still to be sent: then there are too many streams.
PROVOKED = (RESET, "h2_protocol_error")

# By name: what is sent, all of it at once on a connection each and then on the next, and the cause
# that is counted.
FLOODS = {
    "rapid resets": (RESET, [
        for_each_stream(lambda sid: opened(sid) + rst(sid)),
        for_each_stream(lambda sid: opened(sid, POST, False) + frame(DATA, 0, sid, b"x" * 100) +
                        rst(sid))]),
    "provoked resets": (PROVOKED, [
        for_each_stream(lambda sid: opened(sid, POST, False) +
                        opened(sid, block([(":path", "/")]))),
        for_each_stream(lambda sid: opened(sid, POST, False) + window(sid, MOST))]),
    "malformed requests": (PROVOKED, [
        for_each_stream(lambda sid: opened(sid, POST + literal("content-length", "1"), False) +
                        frame(DATA, END_STREAM, sid, b"xx")),
        for_each_stream(lambda sid: opened(sid, GOOD + literal("Upper", "x")))]),
    "settings": (CONTROL, [
        lambda: endless(settings({INITIAL_WINDOW_SIZE: 1000}),
                        settings({INITIAL_WINDOW_SIZE: 65535})),
        lambda: endless(settings())]),
    "ping": (CONTROL, [lambda: endless(frame(PING, 0, 0, b"flooding"))]),
    "priority": (CONTROL, [
        lambda: endless(*[frame(PRIORITY, 0, sid, u32(0) + b"\x10") for sid in range(1, 999, 2)]),
        lambda: endless(*[frame(PRIORITY_UPDATE, 0, 0, u32(sid) + b"u=1")
                          for sid in range(1, 999, 2)])]),
    "other frames": (CONTROL, [begun(window(0, 1), window(1, 1)), begun(rst(1)),
                               lambda: endless(frame(99))]),
    "empty frames": (EMPTY, [begun(frame(DATA, 0, 1)),
                             begun(frame(DATA, PADDED, 1, b"\xff" + bytes(255)))]),
    "continuation": ((BLOCK, FIELDS, EMPTY), [unfinished, unfinished_empty]),
    "bomb": (FIELDS, [bomb]),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nginx")
    made = Nginx(folder, free_port())
    (made.www / "big").write_bytes(os.urandom(4 * MIB))
    yield made
    made.close()


@pytest.fixture(scope="module")
def start(sallyport_for_all, authority, server):
    """Starts a proxy."""
    return lambda: sallyport_for_all(config={
        "workers": 1, "drain_timeout": "1s", "log": {"access": False},
        "pools": {"web": {"servers": [server.address]}},
        "listeners": [{"name": "door", "address": f"{HOST}:{free_port()}", "mode": "http",
                       "pool": "web", "tls": {"certificates": [authority.leaf("a.example").pem]}}]},
        environ=ENVIRON)


@pytest.fixture(scope="module")
def aside(start):
    """Another one on the same machine, which nobody floods: what its clients wait is what
    processes wait for a processor."""
    return start()


@pytest.fixture(scope="module")
def instance(start):
    made = start()
    # What it takes in any case, before anything is measured.
    with polite(made, 1) as client:
        made.quiet = p99(client.finish())
    with Client(made.port, {INITIAL_WINDOW_SIZE: 1 << 20}) as client:
        for stream in [client.request("/big") for _ in range(20)]:
            stream.done()
    return made


@contextlib.contextmanager
def polite(instance, seconds):
    """A client that behaves, for so long."""
    made = Polite(f"https://{HOST}:{instance.port}/hello", seconds)
    try:
        yield made
    finally:
        made.close()


class Flooder:
    """One connection after the other, on each what `make` gives, as fast as it is taken."""

    def __init__(self, port, make, values=None):
        self._port, self._make, self._values = port, make, values
        self.codes = []  # of GOAWAY, for each connection that was ended; None: without a word
        self._over = threading.Event()
        self._client = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        # Or its hunger for the processor would be measured: the client that behaves, and the proxy,
        # have to share that with it.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while not self._over.is_set():
            try:
                self._client = client = Client(self._port, self._values)
            except OSError:
                time.sleep(0.01)
                continue
            client.answers = False
            for data in self._make():
                if self._over.is_set() or client.over is not None or not client.try_send(data):
                    break
            if not self._over.is_set():
                with client.changed:
                    client.changed.wait_for(lambda c=client: c.over is not None, PATIENCE)
                self.codes.append(client.goaways[-1].error_code if client.goaways else None)
            client.close()

    def stop(self):
        """Ends it."""
        self._over.set()
        if self._client:
            self._client.close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def ends(instance, causes):
    """How many connections have ended so."""
    metrics = instance.metrics()
    causes = (causes,) if isinstance(causes, str) else causes
    return sum(metrics.get("connections_ended_total", listener="door", cause=c) for c in causes)


def p99(times):
    """What 99 of 100 did not take longer than."""
    return times[int(len(times) * 0.99)]


def served_throughout(instance, client, unconcerned):
    """It was, and soon."""
    times = client.finish()
    assert len(times) > 20 * SECONDS, f"only {len(times)} answers"
    late, quiet = p99(times), max(instance.quiet, p99(unconcerned.finish()))
    assert late < max(P99, 3 * quiet), f"p99 {late * 1e3:.1f} ms, quiet {quiet * 1e3:.1f} ms"


@pytest.mark.parametrize("name", list(FLOODS))
def test_floods(instance, aside, name):
    causes, makers = FLOODS[name]
    allowed = {Code.ENHANCE_YOUR_CALM, None}
    if causes is PROVOKED:
        allowed.add(Code.PROTOCOL_ERROR)
    before = ends(instance, causes)
    with (Watch(instance) as watch, polite(instance, SECONDS) as client,
          polite(aside, SECONDS) as other):
        flooders = [Flooder(instance.port, make) for make in makers]
        try:
            served_throughout(instance, client, other)
        finally:
            for flooder in flooders:
                flooder.stop()
    for flooder in flooders:
        # Where the proxy closed while we still wrote, its last words may be lost.
        assert Code.ENHANCE_YOUR_CALM in flooder.codes, set(flooder.codes)
        assert set(flooder.codes) <= allowed, set(flooder.codes)
    assert watch.grown < MAY_GROW
    wait_until(lambda: ends(instance, causes) >= before + len(flooders), "the cause to be counted")


def test_windows_that_are_never_opened(instance, aside):
    # 256 responses of 4 MiB that nobody takes: what is kept of them is bounded.
    def make():
        yield from (opened(sid, block(head("/big"))) for sid in range(1, 256, 2))
        while True:
            time.sleep(0.1)
            yield frame(PING, 0, 0, b"still on")

    with (Watch(instance) as watch, polite(instance, SECONDS) as client,
          polite(aside, SECONDS) as other):
        flooders = [Flooder(instance.port, make, {INITIAL_WINDOW_SIZE: 0}) for _ in range(2)]
        try:
            served_throughout(instance, client, other)
        finally:
            for flooder in flooders:
                flooder.stop()
    assert watch.grown < MAY_GROW


def test_answers_that_are_not_read(instance, aside):
    # Questions that must be answered, and nobody who takes the answers from the socket.
    asked = PREFACE + settings() + frame(PING, 0, 0, b"unheard!") * 2_000_000
    with (Watch(instance) as watch, polite(instance, SECONDS) as client,
          polite(aside, SECONDS) as other):
        with connect(instance.port, ctx=h2_context()) as tls:
            with contextlib.suppress(OSError):  # it has ended that
                assert push(tls, asked) < len(asked)
            served_throughout(instance, client, other)
    assert watch.grown < MAY_GROW


def test_a_reset_stream_counts_until_its_exchange_has_ended(sallyport, authority, backend):
    # CVE-2023-44487: what is limited is the work that goes on, not the streams that are open.
    at_work, most, changed = set(), [0], threading.Lock()

    def slow(connection):
        with changed:
            at_work.add(connection)
            most[0] = max(most[0], len(at_work))
        try:
            while connection.recv(65536):
                pass
        finally:
            with changed:
                at_work.discard(connection)

    made = sallyport([backend(slow).address], tls=[authority.leaf("a.example").pem],
                     listener={"mode": "http", "http": {"max_concurrent_streams": 10}})
    with Client(made.port) as client:
        sids = list(STREAMS[:200])
        client.try_send(b"".join(opened(sid) + rst(sid) for sid in sids))
        with contextlib.suppress(AssertionError):
            client.ping()
        wait_until(lambda: not at_work, "the backend's exchanges to end")
    assert most[0] <= 20, most


def test_a_client_in_a_hurry_is_no_flood(instance):
    # A page that is left in the middle: a hundred requests given up at once, and then another one.
    with Client(instance.port) as client:
        for _ in range(2):
            streams = [client.request("/big") for _ in range(100)]
            client.send(*[rst(stream.id) for stream in streams])
            client.ping()
        assert client.ask("/hello").status == 200
        assert not client.violations
