"""TLS to the backend: its certificate is verified, and why one was refused is said."""

import ssl

import pytest

from support.backends import echo
from support.rawhttp import Client, get
from support.tlsclient import ask, connect, server_context


@pytest.fixture
def behind(sallyport, backend, authority):
    """An instance before an echo that shows `leaf`."""
    def make(leaf, version=None, **tls):
        server = backend(echo, tls=server_context(leaf, version))
        made = sallyport([server.address], tls=[authority.leaf("a.example").pem],
                         pool={"tls": {"ca": authority.path, **tls}})
        return made, server
    return make


def refused(instance, server):
    """The client is sent away without a clean end, and the backend has heard nothing."""
    with connect(instance.port) as client:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.sendall(b"ping")
            client.recv(10)
            raise AssertionError("the stream ended as if it were complete")
    assert server.results == []
    record = instance.wait_record()
    assert record["cause"] == "connect_tls_failed" and record["bytes_sent"] == 0
    instance.wait_metric(1, "server_connect_failures_total", cause="connect_tls_failed")


def test_the_right_certificate_is_accepted(behind, authority):
    instance, _ = behind(authority.leaf("127.0.0.1"))
    with connect(instance.port) as client:
        ask(client, bytes(100000))


def test_an_rsa_certificate_is_accepted(behind, authority):
    instance, _ = behind(authority.leaf("127.0.0.1", key="rsa"))
    with connect(instance.port) as client:
        ask(client)


def test_a_certificate_for_another_name_is_refused(behind, authority):
    instance, server = behind(authority.leaf("other.example"))
    refused(instance, server)
    assert "other.example" in instance.wait_error(r"not for 127\.0\.0\.1")


def test_a_certificate_of_an_unknown_authority_is_refused(behind, stranger):
    instance, server = behind(stranger.leaf("127.0.0.1"))
    refused(instance, server)
    assert "Unknown Root" in instance.wait_error("not among the trusted roots")


def test_an_expired_certificate_is_refused(behind, authority):
    instance, server = behind(authority.leaf("127.0.0.1", days=-2))
    refused(instance, server)
    assert "back" in instance.wait_error("certificate expired on")


def test_server_name_is_asked_for_and_verified(sallyport, backend, authority):
    asked = []
    tls = server_context(authority.leaf("inner.example"))
    tls.sni_callback = lambda connection, name, ctx: asked.append(name)
    instance = sallyport([backend(echo, tls=tls).address],
                         tls=[authority.leaf("a.example").pem],
                         pool={"tls": {"ca": authority.path, "server_name": "inner.example"}})
    with connect(instance.port) as client:
        ask(client)
    assert asked == ["inner.example"]


def test_a_uri_in_place_of_the_name(behind, authority):
    leaf = authority.leaf("spiffe://example.org/web", "other.example")
    instance, _ = behind(leaf, server_uri="spiffe://example.org/web")
    with connect(instance.port) as client:
        ask(client)


def test_another_uri_is_refused(behind, authority):
    leaf = authority.leaf("spiffe://example.org/db", "127.0.0.1")
    instance, server = behind(leaf, server_uri="spiffe://example.org/web")
    refused(instance, server)
    assert "certificate is for spiffe://example.org/db" in instance.wait_error(
        "not for spiffe://example.org/web")


def test_without_verify_anything_is_accepted(behind, stranger):
    instance, _ = behind(stranger.leaf("other.example", days=-2), verify=False)
    with connect(instance.port) as client:
        ask(client)


def test_min_version_refuses_an_older_backend(behind, authority):
    instance, server = behind(authority.leaf("127.0.0.1"), version="1.2", min_version="1.3")
    refused(instance, server)


def test_a_backend_that_does_not_speak_tls_is_refused(sallyport, backend, authority):
    server = backend(lambda c: c.sendall(b"220 mail.example ready\r\n"))
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem],
                         pool={"tls": {"ca": authority.path}})
    with connect(instance.port) as client:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            assert client.recv(10) == b"never"
    assert instance.wait_record()["cause"] == "connect_tls_failed"
    instance.wait_error("not TLS")


def sessions(sallyport, web, authority, version, **tls):
    """What nginx says of the session of each of four connections, one a request; and the instance."""
    server = web(leaf=authority.leaf("127.0.0.1"), tls=f"ssl_protocols {version}; {tls.pop('also', '')}")
    made = sallyport([server.address], workers=1, listener={"mode": "http"},
                     pool={"tls": {"ca": authority.path, **tls}, "connections": {"idle": 0}})
    with Client(made.port) as client:
        return [client.ask(get("/reused")).body.decode().strip() for _ in range(4)], made


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_sessions_are_resumed(sallyport, web, authority, version):
    seen, made = sessions(sallyport, web, authority, version)
    assert seen == [".", "r", "r", "r"]
    assert made.metrics().get("server_connects_resumed_total") == 3


def test_a_server_that_gives_none_is_met_anew(sallyport, web, authority):
    seen, made = sessions(sallyport, web, authority, "TLSv1.2",
                          also="ssl_session_tickets off; ssl_session_cache none;")
    assert seen == ["."] * 4
    assert made.metrics().get("server_connects_resumed_total") == 0


def test_a_session_with_a_client_certificate_is_resumed(sallyport, web, authority):
    own = authority.leaf("proxy.example", client=True).pem
    seen, _ = sessions(sallyport, web, authority, "TLSv1.3", certificate=own,
                       also=f"ssl_verify_client on; ssl_client_certificate {authority.path};")
    assert seen == [".", "r", "r", "r"]


def test_a_session_is_not_taken_to_another_server(sallyport, web, authority):
    servers = [web(leaf=authority.leaf("127.0.0.1")) for _ in range(2)]
    made = sallyport([s.address for s in servers], workers=1, listener={"mode": "http"},
                     pool={"tls": {"ca": authority.path}, "connections": {"idle": 0},
                           "balance": "round_robin"})
    with Client(made.port) as client:
        seen = [client.ask(get("/reused")).body.decode().strip() for _ in range(6)]
    assert seen == [".", ".", "r", "r", "r", "r"]


def test_another_server_in_its_place_is_verified(sallyport, web, authority, stranger, folder):
    """A session says nothing for who does not have its keys."""
    server = web(leaf=authority.leaf("127.0.0.1"))
    made = sallyport([server.address], workers=1, listener={"mode": "http"},
                     pool={"tls": {"ca": authority.path}, "connections": {"idle": 0}})
    with Client(made.port) as client:
        assert client.ask(get("/reused")).status == 200
        server.close()
        impostor = web(leaf=stranger.leaf("127.0.0.1"), port=int(server.address.split(":")[1]))
        assert client.ask(get("/reused")).status == 502
        assert impostor.asked("/reused") == 0
    assert made.wait_record(status=502)["cause"] == "connect_tls_failed"
