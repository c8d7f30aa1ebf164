"""HTTP/2 at the door: raw clients of a rawbackend.Door that check what the proxy sends."""

from support import rawbackend
from support.rawh2 import Client


class H2Door:
    """A door, and clients of it that are closed together; `check` fails where the proxy sent one of
    them what RFC 9113 does not allow."""

    def __init__(self, door):
        self.door = door
        self._clients = []

    def client(self, values=None, listener="door", **words):
        """A connection by HTTP/2."""
        words.setdefault("tls", "tls" in self.door.words(listener))
        made = Client(self.door.port(listener), values, **words)
        self._clients.append(made)
        return made

    def same(self):
        """The last connection, or a new one where that has ended."""
        last = self._clients[-1] if self._clients else None
        return last if last and last.over is None else self.client()

    def case(self, *script):
        """A new case at the backend."""
        return self.door.case(*script)

    def exchange(self, *fields, script=(), client=None, path="", **words):
        """One request for a new case's path and `path` behind it. Returns the response's stream and
        the request that the backend got."""
        case = self.case(*script)
        response = (client or self.client()).ask(case.path + path, *fields, **words)
        return response, case.one()

    def untouched(self, mark):
        """The backend has got nothing since there were `mark` requests."""
        assert self.door.seen_since(mark) == []

    @property
    def mark(self):
        """How many requests the backend has got."""
        return len(self.door.backend.requests)

    def check(self):
        """Closes the clients and looks at what both sides saw."""
        clients, self._clients = self._clients, []
        for client in clients:
            client.close()
        for client in clients:
            assert not client.violations, client.violations
        self.door.check()


part = rawbackend.part


def lower(fields):
    """Fields with their names in lower case: HTTP/1 may write them as it likes."""
    return [(n.lower(), v) for n, v in fields]
