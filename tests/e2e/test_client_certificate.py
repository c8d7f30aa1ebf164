"""What is shown to servers that ask for a certificate: nginx checks it, and the key is not ours."""

import copy
import http.client
import os
import signal

import pytest

from support.tlsclient import connect, served_serial
from support.traffic import Knocking, fetch
from support.wait import wait_until


@pytest.fixture
def behind(sallyport, web, authority):
    """An instance before an nginx that wants a certificate of `authority`, and shows it one."""
    def make(own, version="TLSv1.2 TLSv1.3", wants=None, **top):
        server = web(leaf=authority.leaf("127.0.0.1"),
                     tls=f"ssl_protocols {version}; ssl_verify_client on; "
                         f"ssl_client_certificate {wants or authority.path};")
        tls = {"ca": authority.path, **own}
        return sallyport([server.address], tls=[authority.leaf("a.example").pem],
                         listener={"mode": "http"}, pool={"tls": tls}, **top)
    return make


def who(instance):
    """What the server says of the certificate; its status where that is not 200."""
    with connect(instance.port) as sock:
        sock.sendall(b"GET /shown HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        response = http.client.HTTPResponse(sock)
        response.begin()
        body = response.read()
        return body.decode().strip() if response.status == 200 else response.status


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("key", ["ecdsa", "rsa"])
def test_it_is_shown_to_who_asks(behind, authority, key, version, isolated):
    leaf = authority.leaf("proxy.example", key=key, client=True)
    made = behind({"certificate": leaf.cert, "key": leaf.key}, version, key_isolation=isolated)
    for _ in range(3):
        assert who(made) == f"SUCCESS CN=proxy.example {version}"


def test_certificate_and_key_in_one_file(behind, authority):
    made = behind({"certificate": authority.leaf("proxy.example", client=True).pem})
    assert who(made).startswith("SUCCESS CN=proxy.example")


def test_one_that_is_not_for_clients_is_warned_of(behind, authority):
    made = behind({"certificate": authority.leaf("proxy.example").pem})
    assert "lacks clientAuth" in made.words()
    assert who(made) == 400


def test_without_one_the_server_refuses(behind):
    assert who(behind({})) == 400


def test_the_wrong_one_is_refused(behind, stranger):
    assert who(behind({"certificate": stranger.leaf("proxy.example", client=True).pem})) == 400


def test_one_file_for_both_sides(sallyport, web, authority):
    """One key may be for clients and for servers."""
    leaf = authority.leaf("a.example", fresh=True, client=True)
    server = web(leaf=authority.leaf("127.0.0.1"),
                 tls=f"ssl_verify_client on; ssl_client_certificate {authority.path};")
    made = sallyport([server.address], tls=[leaf.pem], listener={"mode": "http"},
                     pool={"tls": {"ca": authority.path, "certificate": leaf.pem}})
    assert who(made).startswith("SUCCESS CN=a.example")
    assert served_serial(made.port) == leaf.serial


def test_no_handshake_notices_that_the_keeper_dies(behind, authority):
    made = behind({"certificate": authority.leaf("proxy.example", client=True).pem}, workers=1)
    made.expect_noise = (r"keeper \(process \d+\) was killed",)
    config = copy.deepcopy(made.config)
    for pool in config["pools"].values():
        pool["connections"] = {"idle": 0}  # a handshake with the server for each request
    assert made.reload(config) == "done"
    with Knocking(made.port, 2) as knocking:
        for _ in range(3):
            fetch(made.port)
            pid = made.keeper()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: (k := made.keeper()) and k != pid, "another keeper")
        knocks = knocking.finish()
    assert knocks and not [k for k in knocks if k.error]


def test_a_new_one_is_shown_after_a_reload(behind, authority):
    made = behind({"certificate": authority.leaf("old.example", client=True).pem})
    assert "old.example" in who(made)
    config = copy.deepcopy(made.config)
    for pool in config["pools"].values():
        pool["tls"]["certificate"] = authority.leaf("new.example", client=True).pem
        pool["connections"] = {"idle": 0}
    assert made.reload(config) == "done"
    wait_until(lambda: "new.example" in who(made), "the new certificate")


def test_what_cannot_be_shown_is_refused_at_load(behind, authority, tmp_path):
    made = behind({"certificate": authority.leaf("proxy.example", client=True).pem})
    for own, words in (
            ({"certificate": str(tmp_path / "none.pem")}, r"none\.pem"),
            ({"certificate": authority.leaf("x.example", client=True).cert}, "no private key"),
            ({"certificate": authority.leaf("x.example", client=True).cert,
              "key": authority.leaf("y.example", client=True).key},
             "does not belong to the certificate"),
            ({"key": authority.leaf("x.example", client=True).key},
             '"key" needs the "certificate"')):
        config = copy.deepcopy(made.config)
        for pool in config["pools"].values():
            pool["tls"] = {"ca": authority.path, **own}
        assert made.reload(config) == "refused"
        made.wait_error(words)
    assert "proxy.example" in who(made)
