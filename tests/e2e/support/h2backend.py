"""A backend that speaks HTTP/2, each request handled by a plain function in a thread of its own."""

import ssl
import threading

from support import backends
from support.pipe import Pipe
from support.rawh2 import Endpoint
from support.tlsclient import server_context
from support.wait import PATIENCE


class _Connection(Endpoint):
    def __init__(self, backend, pipe):
        self._backend = backend
        super().__init__(pipe, backend.values, server=True, greets=backend.greets)

    def opened(self, stream):
        threading.Thread(target=self._answer, args=(stream,), daemon=True).start()

    def _answer(self, stream):
        self._backend.requests.append(stream)
        try:
            self._backend.answer(stream)
        except (OSError, AssertionError, ssl.SSLError) as e:
            self._backend.errors.append(e)


class H2Backend(backends.Backend):
    """Calls `answer(stream)` for each request, a support.rawh2.Stream whose head has come. By prior
    knowledge, or with `leaf` by TLS. `values` are its settings. What the proxy must not send is in
    `violations` of its `connections`."""

    def __init__(self, answer, leaf=None, values=None, greets=True, protocols=("h2",), **words):
        self.answer = answer
        self.values = values
        self.greets = greets
        self.connections = []
        self.requests = []  # all, in order
        self._ctx = None
        if leaf:
            self._ctx = server_context(leaf)
            self._ctx.set_alpn_protocols(list(protocols))
        super().__init__(self._serve, **words)

    def _serve(self, raw):
        raw.settimeout(PATIENCE * 6)
        connection = _Connection(self, Pipe(raw, self._ctx, server_side=True))
        self.connections.append(connection)
        with connection.changed:
            connection.changed.wait_for(lambda: connection.over is not None)
        connection.close()

    def check(self):
        """No connection saw what must not be sent."""
        for connection in self.connections:
            violations, connection.violations = connection.violations, []
            assert not violations, violations
