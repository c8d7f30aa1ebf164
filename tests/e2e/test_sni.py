"""Which certificate a client is shown, by the name it asks for."""

import pytest

from support.tools import UNRECOGNIZED_NAME, curl, s_client


@pytest.fixture
def door(sallyport, backend, authority):
    """A listener with a plain name, a wildcard, and a name that the wildcard covers, too."""
    def make(**tls):
        certificates = [authority.leaf(name).pem
                        for name in ("first.example", "*.w.example", "exact.w.example")]
        return sallyport([backend().address], tls={"certificates": certificates, **tls})
    return make


def test_curl_trusts_what_each_name_is_shown(sallyport, web, authority):
    names = ["a.example", "b.example", "*.w.example"]
    instance = sallyport([web().address], tls=[authority.leaf(n).pem for n in names])
    for name in ("a.example", "b.example", "deep.w.example"):
        got = curl(f"https://{name}/hello", instance.port, authority=authority)
        assert got.stdout == "hello from nginx\n", got.stderr


def test_an_exact_name_wins_over_a_wildcard(door):
    instance = door()
    assert s_client(instance.port, name="exact.w.example").subject == "exact.w.example"
    assert s_client(instance.port, name="other.w.example").subject == "*.w.example"


def test_a_wildcard_stands_for_exactly_one_label(door):
    instance = door()
    assert s_client(instance.port, name="a.b.w.example").subject == "first.example"
    assert s_client(instance.port, name="w.example").subject == "first.example"


def test_unknown_and_absent_names_get_the_first_certificate(door):
    instance = door()
    assert s_client(instance.port, name="nobody.example").subject == "first.example"
    assert s_client(instance.port, name=None).subject == "first.example"


def test_unknown_and_absent_names_get_the_default_certificate(door, authority):
    instance = door(default_certificate=authority.leaf("exact.w.example").pem)
    assert s_client(instance.port, name="nobody.example").subject == "exact.w.example"
    assert s_client(instance.port, name=None).subject == "exact.w.example"
    assert s_client(instance.port, name="first.example").subject == "first.example"


def test_the_case_of_a_name_does_not_matter(door):
    instance = door()
    assert s_client(instance.port, name="EXACT.w.Example").subject == "exact.w.example"
    assert s_client(instance.port, name="Other.W.EXAMPLE").subject == "*.w.example"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("name", ["nobody.example", None])
def test_strict_sni_refuses_with_unrecognized_name(door, name, version):
    instance = door(strict_sni=True)
    refused = s_client(instance.port, version, name=name)
    assert not refused.connected
    assert refused.alert == UNRECOGNIZED_NAME, refused.output
    instance.wait_record(event="handshake_failed", cause="unrecognized_name")
    assert s_client(instance.port, version, name="exact.w.example").subject == "exact.w.example"


def test_one_certificate_serves_all_its_names(sallyport, backend, authority):
    leaf = authority.leaf("one.example", "two.example", "*.three.example")
    instance = sallyport([backend().address], tls=[authority.leaf("first.example").pem, leaf.pem])
    for name in ("one.example", "two.example", "x.three.example"):
        assert s_client(instance.port, name=name).subject == "one.example"


def test_a_folder_and_pairs_of_files_are_read(sallyport, backend, authority, folder):
    certs = folder / "certs.d"
    certs.mkdir()
    (certs / "a.pem").write_bytes(open(authority.leaf("a.example").pem, "rb").read())
    (certs / "a.pem").chmod(0o600)
    pair = authority.leaf("b.example")
    instance = sallyport([backend().address],
                         tls=[str(certs), {"certificate": pair.cert, "key": pair.key}])
    assert s_client(instance.port, name="a.example").subject == "a.example"
    assert s_client(instance.port, name="b.example").subject == "b.example"
