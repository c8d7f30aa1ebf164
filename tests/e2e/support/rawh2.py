"""HTTP/2 by hand, for either side: any frames are sent, and what comes is read strictly. A peer
that breaks RFC 9113 is found in `violations`."""

import collections
import socket
import ssl
import threading
import time

import hpack
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame

from support.h2frames import (ACK, CONTINUATION, DATA, ENABLE_PUSH, END_STREAM, GOAWAY,
                              HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, PING,
                              PREFACE, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, Code,
                              as_bytes, frame, head, settings, split, window)
from support.h2stream import KEPT, WINDOW, Stream
from support.pipe import Pipe
from support.tlsclient import context, tcp
from support.wait import PATIENCE

CONNECTION_FIELDS = {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding",
                     b"upgrade"}


class Ended(AssertionError):
    """The connection ended while something was waited for."""


class Endpoint:
    """One end of a connection. A thread receives, answers PING and SETTINGS, and with `grants`
    opens windows as bytes come. `settings` are ours."""

    def __init__(self, pipe, values=None, server=False, greets=True, grants=True):
        self.pipe = pipe
        self.settings = {} if server else {ENABLE_PUSH: 0}
        self.settings.update(values or {})
        self.grants = grants
        self.answers = greets   # SETTINGS and PING; nothing goes between what a test sends by hand
        self.server = server
        self.peer_settings = {}
        self.acknowledged = 0   # SETTINGS of ours
        self.told = 0           # of the peer's
        self._telling = []      # those that were not acknowledged yet
        self.streams = {}
        self.frames = []        # all but DATA, as hyperframe has them
        self.data_order = []    # (stream, length) of DATA frames that were not empty
        self.counts = collections.Counter()
        self.goaways = []
        self.pongs = []
        self.holds_pings = False
        self.held = []          # answers that wait for release_pings
        self.violations = []
        self.over = None        # why the connection ended; "" in good order
        self.changed = threading.Condition()
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_allowed_table_size = self.settings.get(HEADER_TABLE_SIZE, 4096)
        self.decoder.max_header_list_size = 1 << 20
        self.window = WINDOW    # the peer's, of the connection
        self.credit = WINDOW    # ours
        self._owed = 0
        self._sending = threading.RLock()
        self._next = 1
        self._block = None      # a field block that has begun: its stream, flags, bytes
        self._input = bytearray()
        self._first = True
        if greets:
            self.send((b"" if server else PREFACE) + settings(self.settings))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes it."""
        try:
            self.pipe.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(PATIENCE)
        self.pipe.socket.close()

    def initial_credit(self):
        """The window of a new stream of the peer's. A client may send by what was before our
        settings until it has acknowledged them; a server has read them before any request."""
        ours = self.settings.get(INITIAL_WINDOW_SIZE, WINDOW)
        return ours if self.acknowledged or not self.server else max(ours, WINDOW)

    # -- sending

    def send(self, *frames):
        """Sends bytes."""
        with self._sending:
            self.pipe.send(b"".join(frames))
        return self

    def try_send(self, *frames):
        """Sends them; False where the peer has closed."""
        try:
            self.send(*frames)
        except (OSError, ssl.SSLError):
            return False
        return True

    def _size(self):
        return self.peer_settings.get(MAX_FRAME_SIZE, 16384)

    def send_head(self, sid, fields, end=False):
        """Sends a field block."""
        with self._sending:
            data = self.encoder.encode([(as_bytes(n), as_bytes(v)) for n, v in fields])
            self.send(split(HEADERS, END_STREAM if end else 0, sid, data, self._size()))

    def send_data(self, stream, data, end=False, timeout=PATIENCE):
        """Sends DATA within the peer's windows."""
        rest = memoryview(data)
        while rest:
            with self.changed:
                self._wait(lambda: stream.reset is not None or
                           (self.window > 0 and stream.window > 0), "a window", timeout)
                if stream.ended and stream.reset == Code.NO_ERROR:
                    return  # the peer has answered, and wants no more (RFC 9113, 8.1)
                if stream.reset is not None:
                    raise BrokenPipeError(f"stream {stream.id}: {stream.reset!r}")
                n = min(len(rest), self.window, stream.window, self._size())
                self.window -= n
                stream.window -= n
            last = end and n == len(rest)
            self.send(frame(DATA, END_STREAM if last else 0, stream.id, bytes(rest[:n])))
            rest = rest[n:]
        if end and not data:
            self.send(frame(DATA, END_STREAM, stream.id))

    def grant(self, n):
        """Opens the connection's window."""
        with self.changed:
            self.credit += n
        self.send(window(0, n))

    def new(self):
        """The next stream of our own."""
        with self.changed:
            sid = self._next
            self._next += 2
            self.streams[sid] = Stream(self, sid)
            return self.streams[sid]

    def stream(self, sid):
        """That stream of our own, also one that others come before."""
        with self.changed:
            self._next = max(self._next, sid + 2)
            return self.streams.setdefault(sid, Stream(self, sid))

    # -- waiting

    def _wait(self, look, what, timeout):
        deadline = time.monotonic() + timeout
        while not (got := look()):
            if self.over is not None:
                raise Ended(f"the connection ended ({self.over}, {self.goaways}) while {what} "
                            f"was waited for; the last frames: {self.frames[-5:]}")
            left = deadline - time.monotonic()
            if left <= 0 or not self.changed.wait(left):
                if not (got := look()):
                    raise AssertionError(f"waited {timeout} s for {what} in vain; the last "
                                         f"frames: {self.frames[-5:]}")
        return got

    def wait(self, look, what, timeout=PATIENCE):
        """Waits until `look` returns something true, and returns that."""
        with self.changed:
            return self._wait(look, what, timeout)

    def ping(self, data=b"\0ping-me\0"[:8], timeout=PATIENCE):
        """Comes back when all that was sent has been read by the peer."""
        before = self.pongs.count(data)
        self.send(frame(PING, 0, 0, data))
        self.wait(lambda: self.pongs.count(data) > before, "a PING's answer", timeout)
        return self

    def release_pings(self):
        """Answers the PINGs that were held, and those to come."""
        with self.changed:
            self.holds_pings, held, self.held = False, self.held, []
        self.send(*held)

    def wait_settings(self):
        """Waits for the peer's settings and its acknowledgement of ours."""
        self.wait(lambda: self.told and self.acknowledged, "SETTINGS")
        return self

    def wait_end(self, timeout=PATIENCE):
        """Waits until the peer has closed."""
        with self.changed:
            self.changed.wait_for(lambda: self.over is not None, timeout)
        assert self.over is not None, f"still open after {timeout} s; {self.frames[-5:]}"
        return self

    def broken(self, *codes, silent=False, timeout=PATIENCE):
        """The peer says GOAWAY with one of these codes and closes; `silent`: or just closes."""
        self.wait_end(timeout)
        if not self.goaways and silent:
            return self
        assert self.goaways, f"no GOAWAY; {self.over}; {self.frames[-5:]}"
        code = Code(self.goaways[-1].error_code)
        assert code in codes, f"{code!r}, not {codes}"
        return self

    # -- receiving

    def _run(self):
        why = ""
        try:
            if self.server:
                self._take_preface()
                self._take_frames()
            while data := self.pipe.receive():
                self._input += data
                self._take_frames()
            if self._input:
                self._violation("the end within a frame")
        except Exception as e:  # a thread's last words
            why = repr(e)
        with self.changed:
            self.over = why
            self.changed.notify_all()

    def _take_preface(self):
        while len(self._input) < len(PREFACE):
            data = self.pipe.receive()
            if not data:
                return
            self._input += data
        if not self._input.startswith(PREFACE):
            self._violation(f"not a preface: {bytes(self._input[:40])!r}")
            raise ConnectionError("no preface")
        del self._input[:len(PREFACE)]

    def _violation(self, what):
        self.violations.append(what)

    def _take_frames(self):
        answer, at, size = bytearray(), 0, len(self._input)
        with self.changed, memoryview(self._input) as view:
            while size - at >= 9:
                try:
                    got, length = Frame.parse_frame_header(view[at:at + 9])
                except HyperframeError as e:
                    self._violation(repr(e))
                    raise
                if length > self.settings.get(MAX_FRAME_SIZE, 16384):
                    self._violation(f"a frame of {length} bytes")
                if size - at - 9 < length:
                    break
                body = bytes(view[at + 9:at + 9 + length])
                at += 9 + length
                answer += self._take(got, length, body) or b""
            self.changed.notify_all()
        del self._input[:at]
        if answer and self.answers:
            self.try_send(bytes(answer))
        if self._telling:
            self._apply_settings()

    def _take(self, got, length, body):
        try:
            got.parse_body(memoryview(body))
        except HyperframeError as e:
            self._violation(f"{type(got).__name__} of {length} bytes: {e!r}")
            return None
        kind = got.type if got.type is not None else -1
        self.counts[kind] += 1
        if self._first:
            if kind != SETTINGS or "ACK" in got.flags:
                self._violation(f"{got} comes first")
            self._first = False
        if (self._block is None) == (kind == CONTINUATION) or (
                self._block is not None and self._block[0] != got.stream_id):
            self._violation(f"{got} while a field block is {self._block}")
        if kind == DATA:
            return self._take_data(got, length)
        self.frames.append(got)
        name = {HEADERS: "_take_headers", CONTINUATION: "_take_continuation",
                RST_STREAM: "_take_reset", SETTINGS: "_take_settings", PING: "_take_ping",
                GOAWAY: "_take_goaway", WINDOW_UPDATE: "_take_window"}.get(kind)
        if name:
            return getattr(self, name)(got)
        if kind == PUSH_PROMISE:
            self._violation("PUSH_PROMISE")
        return None

    def _of(self, got):
        stream = self.streams.get(got.stream_id)
        if stream is None:
            self._violation(f"{got} on a stream that is idle")
        return stream

    def _take_data(self, got, length):
        stream = self._of(got)
        if stream is None:
            return None
        if stream.over or stream.fields is None:
            self._violation(f"DATA on stream {stream.id}, which does not wait for it")
        if got.data:
            self.data_order.append((stream.id, len(got.data)))
        stream.digest.update(got.data)
        stream.total += len(got.data)
        if len(stream.body) < KEPT:
            stream.body += got.data
        self.credit -= length
        stream.credit -= length
        if self.credit < 0 or stream.credit < 0:
            self._violation(f"DATA past the window: {self.credit}, {stream.credit}")
        stream.ended = "END_STREAM" in got.flags
        return self._grant_back(stream, length)

    def _grant_back(self, stream, length):
        # Often enough that the peer never waits, seldom enough that we do not write all the time.
        answer = b""
        if self.grants:
            self._owed += length
            if self._owed > self.credit // 2:
                self.credit += self._owed
                answer += window(0, self._owed)
                self._owed = 0
        if stream.grants and not stream.ended:
            stream.owed += length
            if stream.owed > stream.credit // 2:
                stream.credit += stream.owed
                answer += window(stream.id, stream.owed)
                stream.owed = 0
        return answer

    def _take_headers(self, got):
        self._block = [got.stream_id, "END_STREAM" in got.flags, got.data]
        return self._take_block(got)

    def _take_continuation(self, got):
        if self._block is not None:
            self._block[2] += got.data
            self._take_block(got)

    def _take_block(self, got):
        if "END_HEADERS" not in got.flags:
            return
        (sid, end, data), self._block = self._block, None
        fields = [(bytes(n), bytes(v)) for n, v in self.decoder.decode(data, raw=True)]
        if self.server and sid not in self.streams:
            if sid % 2 == 0 or sid < self._next:
                self._violation(f"a new stream {sid} after {self._next}")
            self._next = sid + 2
            self.streams[sid] = Stream(self, sid)
        stream = self.streams.get(sid)
        if stream is None:
            self._violation(f"HEADERS on {sid}, which is idle")
            return
        if stream.over:
            self._violation(f"HEADERS on {sid}, which is closed")
        self._check(fields, trailers=stream.fields is not None)
        if stream.fields is not None:
            if not end:
                self._violation(f"trailers that are not the end: {fields}")
            stream.trailers = fields
        elif not self.server and fields[:1] and fields[0][1].startswith(b"1"):
            if end:
                self._violation(f"an end with 1xx: {fields}")
            stream.interim.append(fields)
        else:
            stream.fields = fields
            stream.ended = end
            self.opened(stream)
        stream.ended = end

    def _check(self, fields, trailers):
        names = [n for n, _ in fields]
        pseudo = [n for n in names if n.startswith(b":")]
        if names[:len(pseudo)] != pseudo or len(set(pseudo)) != len(pseudo) or (
                trailers and pseudo):
            self._violation(f"pseudo-header fields: {fields}")
        if not trailers:
            wanted = {b":method", b":scheme", b":path"} if self.server else {b":status"}
            extra = {b":authority", b":protocol"} if self.server else set()
            if not wanted <= set(pseudo) <= wanted | extra:
                self._violation(f"pseudo-header fields: {fields}")
        for name, value in fields:
            if name != name.lower() or name in CONNECTION_FIELDS or not name or (
                    name == b"te" and value != b"trailers") or any(
                        c in value for c in b"\r\n\0") or value.strip(b" \t") != value:
                self._violation(f"a field: {name!r}: {value!r}")

    def _take_reset(self, got):
        stream = self._of(got)
        if stream is not None and stream.reset is None:
            stream.reset = Code(got.error_code)

    def _take_settings(self, got):
        if "ACK" in got.flags:
            before = self.initial_credit()
            self.acknowledged += 1
            for stream in self.streams.values():
                stream.credit += self.initial_credit() - before
            return None
        self._telling.append(got.settings)
        return settings(flags=ACK)

    def _apply_settings(self):
        # Only now: by what they allow nothing may go before the acknowledgement.
        with self.changed:
            for values in self._telling:
                before = self.peer_settings.get(INITIAL_WINDOW_SIZE, WINDOW)
                self.peer_settings.update(values)
                change = self.peer_settings.get(INITIAL_WINDOW_SIZE, WINDOW) - before
                for stream in self.streams.values():
                    stream.window += change
                if HEADER_TABLE_SIZE in values:
                    self.encoder.header_table_size = min(4096, values[HEADER_TABLE_SIZE])
                self.told += 1
            self._telling.clear()
            self.changed.notify_all()

    def _take_ping(self, got):
        if "ACK" in got.flags:
            self.pongs.append(got.opaque_data)
            return None
        answer = frame(PING, ACK, 0, got.opaque_data)
        if self.holds_pings:
            self.held.append(answer)
            return None
        return answer

    def _take_goaway(self, got):
        if self.goaways and got.last_stream_id > self.goaways[-1].last_stream_id:
            self._violation("the last stream of a GOAWAY grew")
        self.goaways.append(got)

    def _take_window(self, got):
        if got.stream_id == 0:
            self.window += got.window_increment
        elif (stream := self._of(got)) is not None:
            stream.window += got.window_increment

    def opened(self, stream):
        """A head has come."""


def h2_context(authority=None, protocols=("h2",)):
    """A client's TLS context that offers HTTP/2."""
    ctx = context(authority)
    ctx.set_alpn_protocols(list(protocols))
    return ctx


class Client(Endpoint):
    """A client's end. `tls`: True, a context, or False: prior knowledge."""

    def __init__(self, port, values=None, tls=True, name="a.example", greets=True, grants=True,
                 receive_buffer=None):
        raw = tcp(port, PATIENCE * 6, receive_buffer)
        try:
            ctx = (h2_context() if tls is True else tls) or None
            pipe = Pipe(raw, ctx, name)
            if ctx:
                assert pipe.tls.selected_alpn_protocol() == "h2", "HTTP/2 was not agreed on"
        except BaseException:
            raw.close()
            raise
        self.scheme = "https" if ctx else "http"
        super().__init__(pipe, values, greets=greets, grants=grants)

    def fields(self, path="/", *fields, **words):
        """A request's fields in good form."""
        words.setdefault("scheme", self.scheme)
        return head(path, *fields, **words)

    def open(self, fields, end=True, grants=True):
        """Sends a request's head on a new stream; with `grants` False its window is not opened."""
        with self._sending:  # ids in the order in which they go
            stream = self.new()
            stream.grants = stream.grants and grants
            self.send_head(stream.id, fields, end)
        return stream

    def request(self, path="/", *fields, body=None, trailers=None, end=True, grants=True, **words):
        """Sends a request; with `end` False it stays open."""
        ends = end and body is None and trailers is None
        stream = self.open(self.fields(path, *fields, **words), ends, grants)
        if body is not None:
            stream.data(body, end=end and trailers is None)
        if trailers is not None:
            stream.head(trailers, end=end)
        return stream

    def ask(self, path="/", *fields, **words):
        """Sends a request and waits for the whole response."""
        return self.request(path, *fields, **words).done()

    def works(self):
        """A request on it is answered still."""
        assert self.ask("/works").status == 200
        return self
