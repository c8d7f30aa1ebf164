"""Backends by HTTP/2: what the proxy asks of them, how many connections it makes, and what it makes
of one that goes away, refuses, or breaks the rules. A client never gets a part for the whole."""

import itertools
import threading

import pytest

from support.anyhttp import any_backend
from support.h2backend import H2Backend
from support.h2door import part
from support.h2frames import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS,
                              INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MOST,
                              PING, PUSH_PROMISE, RST_STREAM, SETTINGS, Code, block, frame, goaway,
                              literal, rst, settings, u32, window)
from support.ports import HOST, free_port
from support.rawbackend import patience_ms
from support.rawh2 import Client
from support.wait import PATIENCE, wait_until

OK = block([(":status", "200"), ("x-some", "field")])


def answer(stream):
    """A plain one, once the request is whole."""
    stream.done().respond(200, [("x-some", "field")], b"body")


class Setting:
    """An instance before backends by HTTP/2, each with a path of its own; made as they are asked
    for by the tests, so that the instance is reloaded for each."""

    def __init__(self, sallyport, authority):
        self.authority = authority
        self.leaf = authority.leaf("a.example")
        self._backends = []
        self._numbers = itertools.count()
        self._start = sallyport
        self.instance = None

    def _config(self, pool):
        return {"workers": 1, "drain_timeout": "2s", "pools": {"back": pool}, "listeners": [
            {"name": "door", "mode": "http", "pool": "back",
             "address": f"{HOST}:{self.instance.port if self.instance else free_port()}",
             "tls": {"certificates": [self.leaf.pem]}}]}

    def before(self, *servers, **pool):
        """The proxy in front of these. Returns a client."""
        pool = {"servers": [s if isinstance(s, str) else s.address for s in servers],
                "protocol": "http/2", **pool}
        config = self._config(pool)
        if self.instance is None:
            self.instance = self._start(config=config)
        else:
            assert self.instance.reload(config) == "done"
        return Client(self.instance.port)

    def backend(self, handler=answer, **words):
        """A backend by HTTP/2."""
        self._backends.append(H2Backend(handler, **words))
        return self._backends[-1]

    def close(self):
        """Closes what was made."""
        backends, self._backends = self._backends, []
        for backend in backends:
            backend.close()
        for backend in backends:
            if isinstance(backend, H2Backend):
                backend.check()


@pytest.fixture(scope="module")
def shared(sallyport_for_all, authority):
    return Setting(sallyport_for_all, authority)


@pytest.fixture
def setting(shared):
    yield shared
    shared.close()


def ask(client, path="/", **words):
    """A request that is answered well."""
    response = client.ask(path, **words)
    assert (response.status, bytes(response.body)) == (200, b"body"), response.fields
    return response


# ---- which version

def test_prior_knowledge_without_tls(setting):
    backend = setting.backend()
    with setting.before(backend) as client:
        for _ in range(5):
            ask(client)
    assert len(backend.connections) == 1
    assert [s.get(":scheme") for s in backend.requests] in (["http"] * 5, ["https"] * 5)
    assert all(s.get(":authority") == "a.example" and not s.all("host") for s in backend.requests)


@pytest.mark.parametrize("protocol, offers, version", [
    ("http/2", ["h2"], "h2"), ("auto", ["h2"], "h2"), ("auto", ["h2", "http/1.1"], "h2"),
    ("auto", ["http/1.1"], "h1"), ("auto", None, "h1")])
def test_what_is_agreed_on_by_tls(setting, protocol, offers, version):
    if version == "h2":
        backend = setting.backend(leaf=setting.leaf, protocols=offers)
    else:
        backend = any_backend("h1", lambda taken: (taken.measure(), taken.head(200, [], 4),
                                                   taken.write(b"body")), setting.leaf, offers)
    tls = {"ca": setting.authority.path, "server_name": "a.example"}
    with setting.before(backend, protocol=protocol, tls=tls) as client:
        for _ in range(3):
            ask(client)
    if version == "h2":
        assert len(backend.connections) == 1
    else:
        assert backend.accepted == 1
        backend.close()


@pytest.mark.parametrize("leaf", [False, True])
def test_a_backend_that_does_not_speak_http_2(setting, leaf):
    backend = any_backend("h1", lambda taken: taken.head(200, [], 0),
                          setting.leaf if leaf else None)
    tls = {"tls": {"ca": setting.authority.path, "server_name": "a.example"}} if leaf else {}
    with setting.before(backend, **tls) as client:
        assert client.ask("/").status in (502, 503)
    backend.close()


# ---- how many connections

def test_many_exchanges_share_a_connection(setting):
    gate = threading.Barrier(51)

    def together(stream):
        stream.done()
        gate.wait(PATIENCE)
        answer(stream)

    backend = setting.backend(together)
    with setting.before(backend) as client:
        streams = [client.request("/") for _ in range(50)]
        gate.wait(PATIENCE)
        assert all(s.done().status == 200 for s in streams)
    assert len(backend.connections) <= 2


def test_the_peers_limit_is_kept_and_more_connections_are_made(setting):
    most, lock, under_way = [0], threading.Lock(), {}
    gate = threading.Barrier(13)

    def counted(stream):
        with lock:
            ours = under_way.setdefault(stream.endpoint, set())
            if len(ours) == 3 and stream.is_early:
                stream.abort(Code.REFUSED_STREAM)
                return
            ours.add(stream)
            most[0] = max(most[0], len(ours))
        stream.done()
        if stream.path == "/together":
            gate.wait(PATIENCE)
        with lock:
            ours.discard(stream)
        answer(stream)

    backend = setting.backend(counted, values={MAX_CONCURRENT_STREAMS: 3})
    with setting.before(backend) as client:
        ask(client)  # so that the limit is known
        streams = [client.request("/together") for _ in range(12)]
        gate.wait(PATIENCE)
        assert all(s.done().status == 200 for s in streams)
    assert most[0] <= 3
    assert len(backend.connections) >= 4


def test_a_limit_of_none_is_waited_for(setting):
    backend = setting.backend(values={MAX_CONCURRENT_STREAMS: 0})
    with setting.before(backend, timeouts={"connect": patience_ms(500)}) as client:
        stream = client.request("/")
        stream.wait(lambda: stream.over, "an answer")
        assert stream.status in (200, 502, 503, 504)


# ---- windows

def test_the_backends_windows_are_kept(setting):
    def slow(stream):
        if stream.path != "/slow":
            answer(stream)
            return
        stream.grants = False
        stream.wait_total(1000)
        stream.endpoint.ping()
        assert stream.total == 1000
        stream.grant(50_000)
        stream.done()
        stream.respond(200, [], b"%d" % stream.total)

    backend = setting.backend(slow, values={INITIAL_WINDOW_SIZE: 1000})
    with setting.before(backend) as client:
        ask(client)  # so that they are known
        assert bytes(client.ask("/slow", method="POST", body=b"x" * 40_000).body) == b"40000"
    assert not backend.errors


def test_frames_are_as_large_as_the_backend_allows(setting):
    backend = setting.backend(values={MAX_FRAME_SIZE: 1 << 20, INITIAL_WINDOW_SIZE: 1 << 20})
    with setting.before(backend) as client:
        ask(client, method="POST", body=b"x" * 200_000)
    assert backend.requests[0].total == 200_000


# ---- backends that go away

def test_goaway_loses_no_exchange(setting):
    seen = []

    def leaving(stream):
        stream.done()
        seen.append(stream)
        if len(seen) == 3:  # no more on this connection
            stream.endpoint.send(goaway(MOST), goaway(stream.id))
        answer(stream)

    backend = setting.backend(leaving)
    with setting.before(backend) as client:
        for _ in range(10):
            ask(client)
    assert len(backend.connections) == 2


def test_what_a_goaway_leaves_out_is_asked_again(setting):
    turns = itertools.count()

    def leaving(stream):
        stream.done()
        if next(turns) == 0:
            # Nothing of it was acted upon (RFC 9113, 6.8), so that any request can be asked again.
            stream.endpoint.send(goaway(0))
            stream.endpoint.pipe.finish()
        else:
            answer(stream)

    backend = setting.backend(leaving)
    with setting.before(backend) as client:
        ask(client, method="GET")
    assert len(backend.connections) == 2


def test_refused_streams_are_asked_again(setting):
    turns = itertools.count()

    def refusing(stream):
        if next(turns) == 0:
            stream.abort(Code.REFUSED_STREAM)
        else:
            answer(stream)

    with setting.before(setting.backend(refusing)) as client:
        ask(client)


def test_a_connection_that_was_closed_is_not_used_again(setting):
    backend = setting.backend()
    with setting.before(backend) as client:
        ask(client)
        backend.connections[0].close()
        wait_until(lambda: backend.connections[0].over is not None, "the end")
        for _ in range(3):
            ask(client)
    assert len(backend.connections) == 2


def test_a_backend_that_closes_in_the_middle(setting):
    def leaving(stream):
        stream.done().head([(":status", "200"), ("content-length", "100")])
        stream.data(b"x" * 50)
        stream.endpoint.pipe.finish()

    with setting.before(setting.backend(leaving)) as client:
        client.request("/").cut()


def test_a_response_timeout_ends_the_stream_alone(setting):
    aborted = []

    def silent(stream):
        if stream.path == "/silent":
            stream.wait(lambda: stream.reset is not None, "a reset")
            aborted.append(stream.reset)
        else:
            answer(stream)

    backend = setting.backend(silent)
    with setting.before(backend, timeouts={"response_header": patience_ms(300)}) as client:
        ask(client)
        assert client.ask("/silent").status == 504
        ask(client)
    assert len(backend.connections) == 1
    wait_until(lambda: aborted, "the backend to be told")
    assert aborted[0] in (Code.CANCEL, Code.NO_ERROR)


# ---- backends that break the rules

def replying(*frames):
    """A handler that sends these, where stream 1 stands for the request's."""
    def handler(stream):
        stream.done()
        for each in frames:
            sid = int.from_bytes(each[5:9], "big")
            stream.endpoint.try_send(
                each[:5] + u32(stream.id) + each[9:] if sid == 1 else each)
    return handler


CONNECTION = {
    "data on stream 0": frame(DATA, 0, 0, b"x"), "idle data": frame(DATA, 0, 999, b"x"),
    "push": frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + OK),
    "long frame": frame(HEADERS, END_HEADERS, 1, OK + bytes(16384)),
    "ping of 7": frame(PING, 0, 0, b"1234567"), "settings of 5": frame(SETTINGS, 0, 0, bytes(5)),
    "settings on a stream": settings(sid=1), "acknowledgement with words":
    frame(SETTINGS, ACK, 0, bytes(6)), "window overflow": window(0, MOST),
    "window of 0": window(0, 0), "continuation": frame(CONTINUATION, END_HEADERS, 1, OK),
    "interrupted": frame(HEADERS, 0, 1, OK) + frame(PING, 0, 0, b"12345678"),
    "hpack": frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\x7f"),
    "reset of an idle stream": rst(999), "short reset": frame(RST_STREAM, 0, 1, b"x"),
    "even headers": frame(HEADERS, END_HEADERS | END_STREAM, 2, OK),
    "push enabled": settings({2: 1})}


@pytest.mark.parametrize("name", list(CONNECTION))
def test_rules_of_the_connection(setting, name):
    bad = [True]

    def handler(stream):
        if bad[0]:
            replying(CONNECTION[name])(stream)
        else:
            answer(stream)

    backend = setting.backend(handler)
    with setting.before(backend) as client:
        stream = client.request("/", method="POST")
        stream.wait(lambda: stream.over, "an answer")
        assert stream.reset is not None or stream.status == 502
        bad[0] = False
        ask(client)
        wait_until(lambda: backend.connections[0].over is not None, "the end of that connection")
    assert backend.connections[0].goaways[-1].error_code != Code.NO_ERROR


HEAD = frame(HEADERS, END_HEADERS, 1, OK)
STREAM = {
    "upper case": block([(":status", "200"), ("Upper", "x")]),
    "connection": block([(":status", "200"), ("connection", "close")]),
    "coding": block([(":status", "200"), ("transfer-encoding", "chunked")]),
    "line end": block([(":status", "200"), ("x", "a\r\nb: c")]),
    "null": block([(":status", "200"), ("x", "\0")]),
    "space before": block([(":status", "200"), ("x", " a")]),
    "no status": block([("x", "y")]), "two": block([(":status", "200"), (":status", "200")]),
    "status behind": block([("x", "y"), (":status", "200")]),
    "of a request": block([(":status", "200"), (":path", "/")]),
    "99": block([(":status", "99")]), "1000": block([(":status", "1000")]),
    "words": block([(":status", "OK")]), "101": block([(":status", "101")]),
    "two lengths": block([(":status", "200"), ("content-length", "1"), ("content-length", "2")]),
    "a length that is none": block([(":status", "200"), ("content-length", "x")])}


@pytest.mark.parametrize("name", list(STREAM))
def test_malformed_heads(setting, name):
    def handler(stream):
        if stream.path == "/bad":
            replying(frame(HEADERS, END_HEADERS | END_STREAM, 1, STREAM[name]))(stream)
        else:
            answer(stream)

    backend = setting.backend(handler)
    with setting.before(backend) as client:
        assert client.ask("/bad", method="POST").status == 502
        ask(client)
    assert backend.requests[0].reset in (Code.PROTOCOL_ERROR, None)


@pytest.mark.parametrize("frames", [
    part([frame(HEADERS, END_HEADERS, 1, block([(":status", "200"), ("content-length", "5")])),
          frame(DATA, END_STREAM, 1, b"1234")], "shorter"),
    part([frame(HEADERS, END_HEADERS, 1, block([(":status", "200"), ("content-length", "5")])),
          frame(DATA, END_STREAM, 1, b"123456")], "longer"),
    part([HEAD, frame(DATA, 0, 1, b"123"), rst(1, Code.INTERNAL_ERROR)], "reset"),
    part([HEAD, frame(DATA, 0, 1, b"123"), frame(HEADERS, END_HEADERS, 1, block([("x", "y")]))],
         "trailers that are not the end"),
    part([HEAD, frame(DATA, 0, 1, b"1"),
          frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(":status", "200")]))],
         "trailers with a status"),
    part([HEAD, frame(DATA, 0, 1, b"1"),
          frame(HEADERS, END_HEADERS | END_STREAM, 1, literal("X", "y"))], "malformed trailers"),
    part([frame(DATA, END_STREAM, 1, b"1")], "data first"),
    part([frame(HEADERS, END_HEADERS, 1, block([(":status", "103"), ("Link", "</a>")])), HEAD,
          frame(DATA, END_STREAM, 1, b"1")], "a malformed interim one"),
    part([frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(":status", "103")]))],
         "an interim one and the end")])
def test_responses_that_are_not_whole(setting, frames):
    def handler(stream):
        if stream.path == "/bad":
            replying(*frames)(stream)
        else:
            answer(stream)

    with setting.before(setting.backend(handler)) as client:
        stream = client.request("/bad", method="POST")
        stream.wait(lambda: stream.over, "an answer")
        assert stream.reset is not None or stream.status == 502
        ask(client)
