"""TLS clients made of Python's ssl: a plain one on a socket, and one whose every byte on the wire
is in the test's hands."""

import socket
import ssl

from support.ports import HOST
from support.wait import PATIENCE


def context(authority=None, version=None, ciphers=None):
    """A client's context. Without `authority` nothing is verified. `version`: "1.2" or "1.3" and
    no other."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
    else:
        c.load_verify_locations(authority.path)
    if version is not None:
        v = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
        c.minimum_version = c.maximum_version = v
    if ciphers:
        c.set_ciphers(ciphers)
    # A stream that ends without close_notify is an error here (OpenSSL 3 says so; some
    # distributions switch it off).
    c.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return c


def server_context(leaf, version=None):
    """A server's context, for a backend."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(leaf.cert, leaf.key)
    if version is not None:
        v = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
        c.minimum_version = c.maximum_version = v
    return c


def tcp(port, timeout=PATIENCE, receive_buffer=None, source=None):
    """A plain connection. `receive_buffer`: bytes that the kernel keeps for us. `source`: the address
    that it comes from."""
    s = socket.socket()
    if source:
        s.bind((source, 0))
    s.settimeout(timeout)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.connect((HOST, port))
    return s


def connect(port, name="a.example", ctx=None, session=None, timeout=PATIENCE, raw=None):
    """A TLS connection, its handshake done. A missing close_notify raises when read."""
    raw = raw or tcp(port, timeout)
    try:
        return (ctx or context()).wrap_socket(raw, server_hostname=name, session=session,
                                              suppress_ragged_eofs=False)
    except BaseException:
        raw.close()
        raise


def ask(connection, data=b"ping"):
    """Sends `data` to an echo and reads it back."""
    connection.sendall(data)
    got = bytearray()
    while len(got) < len(data):
        more = connection.recv(65536)
        assert more, f"the stream ended after {len(got)} of {len(data)} bytes"
        got += more
    assert bytes(got) == data
    return bytes(got)


def visit(port, ctx, name="a.example", session=None):
    """One whole connection to an echo: whether it was resumed, and the session it ended with."""
    with connect(port, name, ctx, session) as tls:
        ask(tls)  # tickets of TLS 1.3 come before the answer
        outcome = tls.session_reused, tls.session
        tls.unwrap()  # OpenSSL resumes no session that was not closed in good order
        return outcome


def serial(tls):
    """Serial number of the certificate that the server showed."""
    from cryptography import x509
    return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)).serial_number


def served_serial(port, name="a.example", ctx=None):
    """The same, by a connection of its own."""
    with connect(port, name, ctx) as tls:
        return serial(tls)


class Wire:
    """A TLS client between two memory buffers: the test says when bytes go, and in what pieces."""

    def __init__(self, port, name="a.example", ctx=None, session=None, timeout=PATIENCE, raw=None):
        self.raw = raw or tcp(port, timeout)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (ctx or context()).wrap_bio(self._in, self._out, server_hostname=name,
                                               session=session)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    def pending(self):
        """Takes what TLS wants to send."""
        return self._out.read()

    def flush(self):
        """Sends that."""
        data = self.pending()
        if data:
            self.raw.sendall(data)

    def feed(self):
        """Receives once; False at the end of the TCP stream."""
        data = self.raw.recv(65536)
        if not data:
            self._in.write_eof()
            return False
        self._in.write(data)
        return True

    def first_flight(self):
        """The ClientHello's bytes, not sent yet."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.pending()

    def handshake(self):
        """Goes on until the handshake is done."""
        while True:
            try:
                self.tls.do_handshake()
                self.flush()
                return self
            except ssl.SSLWantReadError:
                self.flush()
                self.feed()

    def send(self, data):
        """Encrypts and sends."""
        self.tls.write(data)
        self.flush()

    def read(self, n=65536):
        """The next plaintext; b"" after close_notify; raises where TCP ended without."""
        while True:
            try:
                return self.tls.read(n)
            except ssl.SSLWantReadError:
                self.feed()
            except ssl.SSLZeroReturnError:
                return b""

    def read_all(self):
        """Everything until close_notify."""
        got = bytearray()
        while data := self.read():
            got += data
        return bytes(got)

    def close_notify(self):
        """Ends our direction; reading goes on."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()
