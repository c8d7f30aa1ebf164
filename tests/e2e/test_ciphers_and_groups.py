"""The configured cipher suites and key exchange groups, and their order."""

import pytest

from support.tools import HANDSHAKE_FAILURE, s_client


@pytest.fixture
def door(sallyport, backend, authority):
    """A listener with these members of `tls`."""
    return lambda **tls: sallyport([backend().address], tls={
        "certificates": [authority.leaf("a.example").pem], **tls})


def test_the_server_s_order_of_ciphers_counts(door):
    instance = door(ciphers=["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"])
    client = s_client(instance.port, "-tls1_2", "-cipher",
                      "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305")
    assert client.cipher == "ECDHE-ECDSA-CHACHA20-POLY1305"


def test_a_cipher_that_is_not_configured_is_not_used(door):
    instance = door(ciphers=["ECDHE-ECDSA-AES256-GCM-SHA384"])
    client = s_client(instance.port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
    assert not client.connected and client.alert == HANDSHAKE_FAILURE, client.output
    instance.wait_record(event="handshake_failed", cause="no_shared_cipher")
    assert s_client(instance.port, "-tls1_2").cipher == "ECDHE-ECDSA-AES256-GCM-SHA384"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("group, name", [("P-384", "secp384r1"), ("P-256", "prime256v1"),
                                         ("X25519", "X25519")])
def test_the_configured_group_is_used(door, version, group, name):
    # TLS 1.2 wants the group of the certificate's key to be offered, too.
    client = s_client(door(groups=[group]).port, version, "-groups", "X25519:P-256:P-384")
    assert client.group in (name, group), client.output


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_without_a_common_group_is_refused(door, version):
    instance = door(groups=["P-384"])
    client = s_client(instance.port, version, "-groups", "P-256")
    assert not client.connected and client.alert == HANDSHAKE_FAILURE, client.output
    cause = instance.wait_record(event="handshake_failed")["cause"]
    # TLS 1.2 has no suite left without a group.
    assert cause == ("no_shared_group" if version == "-tls1_3" else "no_shared_cipher")


def test_a_group_that_the_client_sent_no_share_for_is_asked_for(door):
    client = s_client(door(groups=["P-384"]).port, "-tls1_3", "-groups", "X25519:P-384")
    assert client.connected and client.group in ("secp384r1", "P-384"), client.output
