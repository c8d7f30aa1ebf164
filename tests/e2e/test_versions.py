"""TLS 1.2 and 1.3, nothing older, and no more than the configuration lets through."""

import pytest

from support.tools import PROTOCOL_VERSION, curl, s_client


@pytest.fixture
def door(sallyport, backend, authority):
    """A listener with these members of `tls`."""
    return lambda **tls: sallyport([backend().address], tls={
        "certificates": [authority.leaf("a.example").pem], **tls})


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_gets_a_page_over_each_version(sallyport, web, authority, version):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem])
    got = curl("https://a.example/hello", instance.port, f"--tlsv{version}", "--tls-max", version,
               authority=authority)
    assert got.stdout == "hello from nginx\n", got.stderr
    assert instance.wait_record()["tls"] == f"TLSv{version}"


def test_a_client_that_has_both_gets_tls_1_3(door):
    assert s_client(door().port).version == "TLSv1.3"


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused(door, version):
    instance = door()
    client = s_client(instance.port, version, "-cipher", "DEFAULT@SECLEVEL=0")
    assert not client.connected
    assert client.alert == PROTOCOL_VERSION, client.output
    instance.wait_record(event="handshake_failed", cause="unsupported_version")


def test_min_version_refuses_what_is_below(door):
    instance = door(min_version="1.3")
    client = s_client(instance.port, "-tls1_2")
    assert not client.connected and client.alert == PROTOCOL_VERSION, client.output
    assert s_client(instance.port, "-tls1_3").version == "TLSv1.3"


def test_max_version_refuses_what_is_above(door):
    instance = door(max_version="1.2")
    client = s_client(instance.port, "-tls1_3")
    assert not client.connected and client.alert == PROTOCOL_VERSION, client.output
    assert s_client(instance.port).version == "TLSv1.2"


def test_tls_1_2_is_forward_secret_or_nothing(door):
    client = s_client(door().port, "-tls1_2", "-cipher", "AES128-GCM-SHA256:AES128-SHA")
    assert not client.connected and client.alert is not None, client.output
