"""Unix sockets in front and behind; plaintext in front."""

import socket
import stat

from support.backends import echo
from support.tlsclient import Wire, ask, connect, tcp
from support.tools import curl


def unix(path):
    """A connection to a unix socket."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(path)
    return s


def test_tls_on_a_unix_socket(sallyport, backend, authority, folder):
    path = str(folder / "door.sock")
    instance = sallyport([backend(echo).address], tls=[authority.leaf("a.example").pem],
                         listener={"address": f"unix:{path}"}, workers=2)
    for _ in range(4):
        with connect(0, raw=unix(path)) as client:
            ask(client)
            client.unwrap()
    assert instance.wait_record()["client"] == "unix"


def test_a_unix_socket_that_was_left_behind_is_taken_over(sallyport, backend, folder):
    path = str(folder / "door.sock")
    left = socket.socket(socket.AF_UNIX)
    left.bind(path)
    left.close()
    sallyport([backend(echo).address], listener={"address": f"unix:{path}"})
    with unix(path) as client:
        ask(client)


def test_a_unix_socket_in_use_is_not_taken_over(sallyport, backend, folder):
    path = str(folder / "door.sock")
    words = {"listener": {"address": f"unix:{path}"}}
    sallyport([backend(echo).address], **words)
    second = sallyport([backend(echo).address], start=False, **words).spawn()
    assert second.process.wait(10) == 3
    second.process = None
    assert "door.sock" in second.words()
    with unix(path) as client:
        ask(client)


def test_the_admin_socket_is_private(sallyport, backend):
    instance = sallyport([backend(echo).address])
    mode = (instance.folder / "admin.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_nginx_on_a_unix_socket(sallyport, web, authority, folder):
    server = web(path=str(folder / "nginx.sock"))
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    got = curl("https://a.example/hello", instance.port, authority=authority)
    assert got.stdout == "hello from nginx\n", got.stderr
    assert instance.wait_record()["server"] == server.address


def test_plaintext_in_front(sallyport, backend):
    instance = sallyport([backend(echo).address])
    with tcp(instance.port) as client:
        ask(client, bytes(100000))
    record = instance.wait_record()
    assert record["event"] == "connection" and "tls" not in record and "sni" not in record


def test_plaintext_in_front_and_tls_behind(sallyport, web, authority):
    server = web(leaf=authority.leaf("127.0.0.1"))
    instance = sallyport([server.address], pool={"tls": {"ca": authority.path}})
    got = curl("http://a.example/hello", instance.port)
    assert got.stdout == "hello from nginx\n", got.stderr


def test_several_addresses_of_one_listener(sallyport, backend, authority, folder):
    path = str(folder / "door.sock")
    config_address = sallyport([backend(echo).address], start=False)
    address = config_address.config["listeners"][0]["address"]
    instance = sallyport([backend(echo).address], tls=[authority.leaf("a.example").pem],
                         listener={"address": [address, f"unix:{path}"]})
    with Wire(0, raw=unix(path)) as one, Wire(instance.port) as other:
        for client in (one, other):
            client.handshake()
            client.send(b"ping")
            assert client.read() == b"ping"
