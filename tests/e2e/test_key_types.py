"""An RSA and an ECDSA certificate for the same name: the client gets what it can verify."""

import pytest

from support.tools import HANDSHAKE_FAILURE, s_client


@pytest.fixture
def both(sallyport, backend, authority):
    """A listener with both, RSA first: the order in the configuration must not matter."""
    certificates = [authority.leaf("a.example", key=key).pem for key in ("rsa", "ecdsa")]
    return sallyport([backend().address], tls=certificates)


@pytest.mark.parametrize("flags, signature", [
    (["-tls1_3"], "ECDSA"),
    (["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"], "ECDSA"),
    (["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], "RSA-PSS"),
    (["-tls1_2"], "ECDSA"),
    (["-tls1_2", "-sigalgs", "RSA+SHA256"], "RSA"),
    (["-tls1_2", "-sigalgs", "rsa_pss_rsae_sha256"], "RSA-PSS"),
    (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], ("RSA-PSS", "RSA")),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], "ECDSA"),
], ids=str)
def test_the_client_s_offer_chooses_the_key(both, flags, signature):
    client = s_client(both.port, *flags)
    assert client.connected, client.output
    assert client.signature in signature


@pytest.mark.parametrize("key, signature", [("p384", "ECDSA"), ("ed25519", "ed25519")])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_other_kinds_of_keys_sign_as_well(sallyport, backend, authority, key, signature, version):
    instance = sallyport([backend().address], tls=[authority.leaf("a.example", key=key).pem])
    assert s_client(instance.port, version).signature == signature


@pytest.mark.parametrize("flags, cause", [
    (["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"], "no_shared_signature_algorithm"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "no_shared_cipher"),
], ids=["tls1.3", "tls1.2"])
def test_a_client_that_can_verify_no_key_is_told_so(sallyport, backend, authority, flags, cause):
    instance = sallyport([backend().address], tls=[authority.leaf("a.example", key="rsa").pem])
    client = s_client(instance.port, *flags)
    assert not client.connected
    assert client.alert == HANDSHAKE_FAILURE, client.output
    instance.wait_record(event="handshake_failed", cause=cause, sni="a.example")
