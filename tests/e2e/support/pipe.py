"""A connection that one thread reads and others write, by TLS or plain."""

import socket
import ssl
import threading


class Pipe:
    """A socket's bytes, by TLS or plain, for one thread that receives and others that send."""

    def __init__(self, raw, ctx=None, name=None, server_side=False):
        self.socket = raw
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = None
        self._sending, self._using = threading.Lock(), threading.Lock()
        if ctx:
            self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = ctx.wrap_bio(self._in, self._out, server_side=server_side,
                                    server_hostname=None if server_side else name)
            self._handshake()

    def _handshake(self):
        done = False
        while not done:
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                self.socket.sendall(self._out.read())  # the alert
                raise
            if data := self._out.read():
                self.socket.sendall(data)
            if not done:
                self._feed()

    def _feed(self):
        data = self.socket.recv(262144)
        with self._using:
            if data:
                self._in.write(data)
            else:
                self._in.write_eof()

    def send(self, data):
        """Sends it all."""
        if not self.tls:
            with self._sending:
                self.socket.sendall(data)
            return
        with self._sending:
            with self._using:
                rest = memoryview(data)
                while rest:
                    rest = rest[self.tls.write(rest):]
                data = self._out.read()
            self.socket.sendall(data)

    def receive(self):
        """What has come; b"" at the end."""
        if not self.tls:
            return self.socket.recv(262144)
        got = bytearray()
        while True:
            try:
                with self._using:
                    while len(got) < 262144:
                        data = self.tls.read(65536)
                        if not data:
                            return bytes(got)
                        got += data
                return bytes(got)
            except ssl.SSLWantReadError:
                if got:
                    return bytes(got)
                self._feed()
            except ssl.SSLZeroReturnError:
                return bytes(got)

    def finish(self):
        """Ends our direction in good order."""
        with self._sending:
            if self.tls:
                with self._using:
                    try:
                        self.tls.unwrap()
                    except ssl.SSLError:
                        pass  # the peer's has not come
                    data = self._out.read()
                self.socket.sendall(data)
            self.socket.shutdown(socket.SHUT_WR)
