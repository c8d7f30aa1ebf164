"""Sessions are resumed by ticket: by every worker, over reloads and restarts, and nowhere else."""

import pytest

from support import processes
from support.ports import HOST, free_port
from support.sallyport import ENDED
from support.tlsclient import context, visit
from support.tools import s_client
from support.wait import wait_until

both_versions = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture
def door(sallyport, backend, authority):
    """A listener before an echo."""
    leaf = authority.leaf("a.example", "b.example")
    return lambda **words: sallyport([backend().address], tls=[leaf.pem], **words)


@both_versions
def test_openssl_resumes_by_ticket(sallyport, web, authority, folder, version):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem])
    flag, session = "-tls" + version.replace(".", "_"), str(folder / "session")
    request = b"GET /hello HTTP/1.0\r\n\r\n"
    first = s_client(instance.port, flag, "-sess_out", session, data=request)
    assert first.connected and not first.reused and "hello from nginx" in first.output
    second = s_client(instance.port, flag, "-sess_in", session, data=request)
    assert second.reused and "hello from nginx" in second.output, second.output
    assert instance.wait_record(resumed=True)["tls"] == f"TLSv{version}"
    instance.wait_metric(1, "tls_handshakes_total", version=f"TLSv{version}", resumed="true")


@both_versions
def test_any_worker_takes_the_ticket_of_any_other(door, version):
    instance, ctx = door(workers=4), context(version=version)
    reused, session = visit(instance.port, ctx)
    assert not reused
    for _ in range(30):
        assert visit(instance.port, ctx, session=session)[0]


@both_versions
def test_a_ticket_outlives_a_reload(door, version):
    instance, ctx = door(workers=2), context(version=version)
    _, session = visit(instance.port, ctx)
    assert instance.reload() == "done"
    for _ in range(5):
        assert visit(instance.port, ctx, session=session)[0]


@both_versions
def test_a_ticket_outlives_its_worker(door, version):
    instance, ctx = door(workers=1), context(version=version)
    _, session = visit(instance.port, ctx)
    instance.expect_noise = (ENDED,)
    [old] = instance.workers()
    processes.kill(old)
    wait_until(lambda: instance.workers() not in ([], [old]), "another worker")
    assert visit(instance.port, ctx, session=session)[0]


@both_versions
def test_a_ticket_of_one_listener_is_none_at_another(sallyport, backend, authority, version):
    leaf, echo = authority.leaf("a.example"), backend()
    doors = [{"name": name, "address": f"{HOST}:{free_port()}", "mode": "tcp", "pool": "back",
              "tls": {"certificates": [leaf.pem]}} for name in ("one", "two")]
    instance = sallyport(config={"workers": 1, "listeners": doors,
                                 "pools": {"back": {"servers": [echo.address]}}})
    ctx = context(version=version)
    _, session = visit(instance.ports[0], ctx)
    assert not visit(instance.ports[1], ctx, session=session)[0]
    assert visit(instance.ports[0], ctx, session=session)[0]


@both_versions
def test_a_ticket_for_one_name_is_none_for_another(door, version):
    instance, ctx = door(), context(version=version)
    _, session = visit(instance.port, ctx, "a.example")
    assert not visit(instance.port, ctx, "b.example", session)[0]
    assert visit(instance.port, ctx, "A.example", session)[0]
