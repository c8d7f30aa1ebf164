"""WebSocket to an HTTP/1.1 backend: by an upgrade of HTTP/1.1, and by extended CONNECT over HTTP/2
(RFC 8441). Nothing else is upgraded, and there is no plain CONNECT."""

import base64
import itertools
import os
import threading

import pytest

from support.backends import Backend
from support.h2frames import DATA, ENABLE_CONNECT_PROTOCOL, INITIAL_WINDOW_SIZE, Code, frame, rst
from support.ports import HOST, free_port
from support.rawh2 import Client as H2Client
from support.rawhttp import Client, get
from support.tlsclient import context
from support.wait import PATIENCE, SANITIZED, wait_until
from support.websocket import (BINARY, CLOSE, PING, PONG, TEXT, Frames, accept_key, echoing,
                               frame as ws)

MESSAGES = 5_000 if SANITIZED else 50_000  # each way, by HTTP/1.1 and as many by HTTP/2
BATCH = 500
KEY = base64.b64encode(b"0123456789abcdef").decode()
MASK = b"\x12\x34\x56\x78"


class Setting:
    """An instance before a backend that talks WebSocket, and one that does not know how."""

    def __init__(self, sallyport, authority):
        self.seen = []
        self.backend = Backend(echoing(self.seen))
        self.instance = sallyport(config={
            "workers": 1, "drain_timeout": "2s",
            "pools": {"ws": {"servers": [self.backend.address]}},
            "listeners": [{"name": name, "address": f"{HOST}:{free_port()}", "mode": "http",
                           "pool": "ws", **words} for name, words in (
                ("door", {"tls": {"certificates": [authority.leaf("a.example").pem]}}),
                ("clear", {}))]})
        self.port, self.clear = self.instance.ports


@pytest.fixture(scope="module")
def setting(sallyport_for_all, authority):
    made = Setting(sallyport_for_all, authority)
    yield made
    made.backend.close()


class OverH1:
    """A WebSocket by upgrade."""

    def __init__(self, setting, path="/chat"):
        self._client = Client(setting.port, ctx=context())
        response = self._client.ask(get(path, "Connection: keep-alive, Upgrade",
                                        "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}",
                                        "Sec-WebSocket-Version: 13",
                                        "Sec-WebSocket-Protocol: chat, superchat"))
        assert response.status == 101
        assert response.get("upgrade").lower() == "websocket"
        assert "upgrade" in response.list("connection")
        assert response.get("sec-websocket-accept") == accept_key(KEY)
        assert response.get("sec-websocket-protocol") == "chat"
        self.send = self._client.send

    def receive(self):
        """Some bytes."""
        stream = self._client.stream
        if not stream.buffer and not stream.more():
            return b""
        return stream.exactly(len(stream.buffer))

    def closed(self):
        """The server has ended."""
        assert self._client.ended()

    def close(self):
        """Closes it."""
        self._client.socket.close()


def connect_fields(path="/chat", **words):
    """An extended CONNECT's fields."""
    pseudo = {"method": "CONNECT", "protocol": "websocket", "scheme": "https", "path": path,
              "authority": "a.example", **words}
    return [*[(f":{k}", v) for k, v in pseudo.items() if v is not None],
            ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat, superchat")]


class OverH2:
    """A WebSocket by extended CONNECT."""

    def __init__(self, setting, path="/chat", client=None, values=None):
        self.client = client or H2Client(setting.port, values)
        self.client.wait_settings()
        assert self.client.peer_settings.get(ENABLE_CONNECT_PROTOCOL) == 1
        self.stream = self.client.open(connect_fields(path), end=False)
        self.stream.wait_head()
        assert self.stream.status == 200, self.stream.fields
        # What a client by HTTP/1.1 checks is none of this one's (RFC 8441, 5.1).
        assert self.stream.get("sec-websocket-accept") is None
        assert self.stream.get("sec-websocket-protocol") == "chat"
        assert self.stream.get("content-length") is None
        self._taken = 0

    def send(self, data):
        """Sends bytes."""
        self.stream.data(data)

    def receive(self):
        """Some bytes."""
        stream = self.stream
        stream.wait(lambda: len(stream.body) or stream.over, "bytes")
        with self.client.changed:
            data = bytes(stream.body)
            stream.body.clear()
        return data

    def closed(self):
        """The server has ended."""
        self.stream.done()

    def close(self):
        """Closes it."""
        self.client.close()
        assert not self.client.violations, self.client.violations


@pytest.fixture
def talk(setting, request):
    """A WebSocket of either kind."""
    made = request.param(setting)
    yield made
    made.close()


both = pytest.mark.parametrize("talk", [OverH1, OverH2], indirect=True)


def messages(talk, n):
    """The next messages that come."""
    frames, got = Frames(masked=False), []
    while len(got) < n:
        data = talk.receive()
        assert data, f"the end after {len(got)} of {n}"
        got += frames.feed(data)
    assert len(got) == n
    return got


@both
def test_messages_of_all_sizes(talk, setting):
    for size in (0, 1, 125, 126, 65535, 65536, 300_000):
        data = os.urandom(size)
        talk.send(ws(BINARY, data, MASK))
        assert messages(talk, 1) == [(BINARY, data)]
    talk.send(ws(PING, b"there?", MASK))
    assert messages(talk, 1) == [(PONG, b"there?")]


@both
def test_the_handshake_that_the_backend_sees(talk, setting):
    request = setting.seen[-1]
    assert request.method == "GET" and request.target == "/chat"
    assert request.fields["upgrade"].lower() == "websocket"
    assert request.fields["connection"].lower() == "upgrade"
    assert request.fields["sec-websocket-version"] == "13"
    assert len(base64.b64decode(request.fields["sec-websocket-key"])) == 16
    assert request.fields["sec-websocket-protocol"] == "chat, superchat"
    assert request.fields["host"] == "a.example"
    assert "content-length" not in request.fields and "transfer-encoding" not in request.fields


@both
def test_the_end_comes_through(talk):
    talk.send(ws(TEXT, b"last", MASK) + ws(CLOSE, b"\x03\xe8", MASK))
    assert messages(talk, 2) == [(TEXT, b"last"), (CLOSE, b"\x03\xe8")]
    talk.closed()


@both
def test_many_messages(talk):
    def one(number):
        return b"%d " % number * (number % 7 + 1)

    def sender():
        for start in range(0, MESSAGES, BATCH):
            talk.send(b"".join(ws(TEXT, one(n), MASK) for n in range(start, start + BATCH)))

    thread = threading.Thread(target=sender, daemon=True)
    thread.start()
    frames, numbers = Frames(masked=False), itertools.count()
    seen = 0
    while seen < MESSAGES:
        data = talk.receive()
        assert data, f"the end after {seen}"
        for kind, message in frames.feed(data):
            assert (kind, message) == (TEXT, one(next(numbers)))
            seen += 1
    thread.join(PATIENCE)
    assert seen == MESSAGES and not thread.is_alive()


def test_websockets_and_requests_share_a_connection(setting):
    with H2Client(setting.port) as client:
        talks = [OverH2(setting, f"/chat{n}", client) for n in range(20)]
        for number, talk in enumerate(talks):
            talk.send(ws(TEXT, b"%d" % number, MASK))
        assert bytes(client.ask("/plain").body) == b"plain"
        for number, talk in enumerate(talks):
            assert messages(talk, 1) == [(TEXT, b"%d" % number)]
        assert not client.violations


def test_a_slow_reader_stops_only_itself(setting):
    talk = OverH2(setting, values={INITIAL_WINDOW_SIZE: 100})
    talk.stream.grants = False
    talk.send(ws(BINARY, bytes(1000), MASK))
    talk.stream.wait_total(100)
    assert bytes(talk.client.ask("/plain").body) == b"plain"
    talk.stream.grant(10_000)
    assert messages(talk, 1) == [(BINARY, bytes(1000))]
    talk.close()


def test_a_reset_ends_the_backends_connection(setting):
    results, errors = len(setting.backend.results), len(setting.backend.errors)
    talk = OverH2(setting)
    talk.client.send(rst(talk.stream.id))
    wait_until(lambda: len(setting.backend.results) + len(setting.backend.errors)
               > results + errors, "the backend's end")
    assert bytes(talk.client.ask("/plain").body) == b"plain"
    talk.close()


def test_a_backend_that_does_not_upgrade(setting):
    with H2Client(setting.port) as client:
        refused = client.open(connect_fields("/refused"), end=False).wait_head()
        assert refused.status == 403 and bytes(refused.done().body) == b"no"
        # 200 would say that the tunnel is there.
        plain = client.open(connect_fields("/plain"), end=False)
        plain.wait(lambda: plain.over, "a refusal")
        assert plain.fields is None or plain.status == 502
        assert client.ask("/plain").status == 200
        assert not client.violations


# ---- what is no WebSocket

@pytest.mark.parametrize("words", [
    {"path": None}, {"scheme": None}, {"authority": None}, {"protocol": ""}, {"path": ""},
    {"method": "GET"}, {"method": "POST"}], ids=str)
def test_extended_connect_that_is_malformed(setting, words):
    with H2Client(setting.port) as client:
        before = len(setting.seen)
        stream = client.open(connect_fields(**words), end=False)
        stream.wait(lambda: stream.over, "a refusal")
        assert stream.reset == Code.PROTOCOL_ERROR or stream.status in (400, 501)
        assert client.ask("/plain").status == 200
        assert [r.target for r in setting.seen[before:]] == ["/plain"]


@pytest.mark.parametrize("protocol", ["connect-udp", "h2c", "websocket2", "raw"])
def test_extended_connect_to_other_protocols_is_refused(setting, protocol):
    with H2Client(setting.port) as client:
        before = len(setting.seen)
        stream = client.open(connect_fields(protocol=protocol), end=False)
        stream.wait(lambda: stream.over, "a refusal")
        assert stream.fields is None or stream.status in (400, 405, 501)
        assert client.ask("/plain").status == 200
        assert [r.target for r in setting.seen[before:]] == ["/plain"]


def test_plain_connect_is_refused(setting):
    with H2Client(setting.port) as client:
        before = len(setting.seen)
        stream = client.open([(":method", "CONNECT"), (":authority", "a.example:80")], end=False)
        client.try_send(frame(DATA, 0, stream.id, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"))
        stream.wait(lambda: stream.over, "a refusal")
        assert stream.fields is None or stream.status in (400, 405, 501)
        assert client.ask("/plain").status == 200
        assert [r.target for r in setting.seen[before:]] == ["/plain"]


@pytest.mark.parametrize("fields", [
    ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    ["Connection: Upgrade", "Upgrade: h2c"], ["Connection: Upgrade", "Upgrade: H2C, websocket"],
    ["Connection: Upgrade", "Upgrade: TLS/1.0"]], ids=lambda f: f[1])
@pytest.mark.parametrize("secure", [True, False])
def test_other_upgrades_are_not_forwarded(setting, fields, secure):
    port, ctx = (setting.port, context()) if secure else (setting.clear, None)
    before = len(setting.seen)
    with Client(port, ctx=ctx) as client:
        response = client.ask(get("/plain", *fields))
        assert response.status == 200 and response.body == b"plain"
    [request] = setting.seen[before:]
    assert "h2c" not in request.fields.get("upgrade", "").lower()
    assert "http2-settings" not in request.fields
    assert "http2-settings" not in request.fields.get("connection", "").lower()
