"""One stream of a connection by HTTP/2."""

import hashlib

from support.h2frames import INITIAL_WINDOW_SIZE, Code, rst, window
from support.wait import PATIENCE

WINDOW = 65535  # of a stream or a connection, where nothing else is said
KEPT = 1 << 20  # of a body


class Stream:
    """One stream, as its endpoint sees it: what has come, and the ways to send."""

    def __init__(self, endpoint, sid):
        self.endpoint = endpoint
        self.id = sid
        self.fields = None     # of the head; None until it has come
        self.interim = []      # heads with 1xx
        self.trailers = []
        self.body = bytearray()  # the first MiB of it
        self.total = 0
        self.digest = hashlib.sha256()
        self.ended = False     # by END_STREAM
        self.reset = None      # the code of a RST_STREAM that came
        self.window = endpoint.peer_settings.get(INITIAL_WINDOW_SIZE, WINDOW)
        self.credit = endpoint.initial_credit()
        self.grants = endpoint.grants
        self.owed = 0          # taken, and not yet granted again
        # It came before our settings were acknowledged: its peer may not have known them.
        self.is_early = not endpoint.acknowledged

    # -- what came

    def all(self, name):
        """Values of the head's fields with that name."""
        return [v.decode("latin-1") for n, v in self.fields if n == name.encode()]

    def get(self, name):
        """Value of the only such field; None where there is none."""
        found = self.all(name)
        assert len(found) <= 1, f"{name} is there {len(found)} times: {self.fields}"
        return found[0] if found else None

    @property
    def status(self):
        """Of a response."""
        return int(self.get(":status"))

    @property
    def path(self):
        """Of a request."""
        return self.get(":path")

    @property
    def passed(self):
        """A request's fields without those of every request."""
        return [(n, v) for n, v in self.fields if not n.startswith(b":") and
                n not in (b"via", b"forwarded") and not n.startswith(b"x-forwarded-")
                and n != b"x-request-id"]

    @property
    def over(self):
        """Nothing more will come."""
        return self.ended or self.reset is not None

    def wait(self, look, what, timeout=PATIENCE):
        """Waits for something of it."""
        return self.endpoint.wait(look, f"{what} on stream {self.id}", timeout)

    def wait_head(self, timeout=PATIENCE):
        """Waits for the head; fails where the stream is reset before."""
        self.wait(lambda: self.fields is not None or self.over, "a head", timeout)
        assert self.fields is not None, f"stream {self.id} was reset: {self.reset!r}"
        return self

    def wait_total(self, n, timeout=PATIENCE):
        """Waits for so many bytes."""
        self.wait(lambda: self.total >= n or self.over, f"{n} bytes", timeout)
        assert self.total >= n, f"stream {self.id}: {self.total} of {n} bytes, {self.reset!r}"
        return self

    def done(self, timeout=PATIENCE):
        """Waits for the whole message; fails where it is cut."""
        self.wait(lambda: self.over, "the end", timeout)
        assert self.ended, f"stream {self.id} was reset: {self.reset!r}"
        return self

    def cut(self, *codes, timeout=PATIENCE):
        """Waits for a reset with one of these codes."""
        self.wait(lambda: self.reset is not None, "a reset", timeout)
        assert not codes or self.reset in codes, f"{self.reset!r}, not {codes}"
        return self

    def malformed(self):
        """What was sent there was malformed, and is refused as such: a reset with
        PROTOCOL_ERROR, or an answer of 400 (RFC 9113, 8.1.1)."""
        self.wait(lambda: self.over, "a refusal")
        if self.reset is None or self.fields is not None:
            assert self.status == 400, self.fields
        else:
            assert self.reset == Code.PROTOCOL_ERROR, self.reset
        return self

    # -- what goes

    def head(self, fields, end=False):
        """Sends a head, or trailers."""
        self.endpoint.send_head(self.id, fields, end)
        return self

    def respond(self, status=200, fields=(), body=b"", trailers=None):
        """Sends a whole response."""
        self.head([(":status", str(status)), *fields], end=not body and trailers is None)
        if body:
            self.data(body, end=trailers is None)
        if trailers is not None:
            self.head(trailers, end=True)
        return self

    def data(self, data, end=False, timeout=PATIENCE):
        """Sends a body's bytes, as the peer's windows let them go."""
        self.endpoint.send_data(self, data, end, timeout)
        return self

    def abort(self, code=Code.CANCEL):
        """Resets it."""
        self.endpoint.send(rst(self.id, code))

    def grant(self, n):
        """Opens its window."""
        with self.endpoint.changed:
            self.credit += n
        self.endpoint.send(window(self.id, n))
