"""The keeper: it alone signs; it may die, be replaced, and get other keys, and no handshake fails."""

import copy
import os
import resource
import signal
import ssl
import time

import pytest

from support import processes
from support.tlsclient import Wire, connect, context, serial, served_serial
from support.tools import Loading
from support.traffic import Knocking, Steady, fetch
from support.wait import PATIENCE, wait_until


@pytest.fixture
def leaves(authority):
    """An ECDSA and an RSA certificate for the same name."""
    return [authority.leaf("a.example", fresh=True),
            authority.leaf("a.example", key="rsa", fresh=True)]


@pytest.fixture
def instance(sallyport, web, leaves):
    """Two workers before nginx."""
    return sallyport([web().address], tls=[leaf.pem for leaf in leaves], workers=2)


def kill_keeper(instance, sig=signal.SIGKILL):
    """Ends it and waits for another one."""
    instance.expect_noise = (r"keeper \(process \d+\) was killed",)
    pid = instance.keeper()
    os.kill(pid, sig)
    return wait_until(lambda: (k := instance.keeper()) and k != pid and k, "another keeper")


def rsa_context(version):
    """A client that can verify RSA only."""
    ctx = context()
    ctx.minimum_version = ctx.maximum_version = version
    if version == ssl.TLSVersion.TLSv1_2:
        ctx.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    return ctx


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_and_kinds_of_key(instance, leaves, version):
    ctx = context()
    ctx.minimum_version = ctx.maximum_version = version
    assert served_serial(instance.port, ctx=ctx) == leaves[0].serial
    if version == ssl.TLSVersion.TLSv1_2:
        assert served_serial(instance.port, ctx=rsa_context(version)) == leaves[1].serial


def test_it_yields_to_workers(instance):
    fetch(instance.port)  # so they have begun
    nice = [os.getpriority(os.PRIO_PROCESS, p) for p in (instance.keeper(), *instance.workers())]
    assert nice[0] > nice[1] == nice[2]
    assert os.sched_getscheduler(instance.keeper()) == os.SCHED_BATCH


def test_no_handshake_notices_that_it_dies(instance):
    workers = instance.workers()
    with Steady(instance.port, 2) as steady, Knocking(instance.port, 4) as knocking:
        for _ in range(5):
            time.sleep(0.4)
            kill_keeper(instance)
        knocks = knocking.finish()
        steady.finish()
    assert len(knocks) > 20 and not [k for k in knocks if k.error]
    assert max(k.seconds for k in knocks) < 1.5
    assert instance.workers() == workers
    instance.wait_metric(5, "process_restarts_total", role="keeper")
    assert instance.metrics().get("process_restarts_total", role="worker") == 0


def test_handshakes_wait_for_one_that_hangs(instance):
    # The kernel has stopped it: what is asked meanwhile is answered when it goes on, or by the
    # next one.
    fetch(instance.port)
    os.kill(instance.keeper(), signal.SIGSTOP)
    with Knocking(instance.port, 3) as knocking:
        time.sleep(0.5)
        kill_keeper(instance)
        time.sleep(0.5)
        knocks = knocking.finish()
    assert knocks and not [k for k in knocks if k.error]


def test_what_cannot_finish_any_more_is_shed(sallyport, web, authority):
    """More handshakes than can be signed in their time: those that are past help make room for the
    others, and are counted."""
    dear = authority.leaf("a.example", key="rsa4096")
    made = sallyport([web().address], tls=[dear.pem], workers=1,
                     listener={"timeouts": {"handshake": "1500ms"}})
    fetch(made.port)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    waiting = []
    try:
        for _ in range(1100):
            waiting.append(Wire(made.port, ctx=rsa_context(ssl.TLSVersion.TLSv1_3)))
            waiting[-1].raw.sendall(waiting[-1].first_flight())
        shed = made.wait_metric(lambda n: n is not None and n > 0, "tls_handshake_failures_total",
                                cause="handshake_shed", listener="door")
    finally:
        for each in waiting:
            each.raw.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert shed < 1100 - 512, "some could be signed in time"
    made.wait_record(cause="handshake_shed")
    made.wait_metric(0, "connections_active")
    for _ in range(5):
        fetch(made.port)


def test_a_new_worker_finds_it(instance):
    for pid in instance.workers():
        instance.kill_worker(pid)
        instance.wait_replaced([pid], 2)
    keeper = instance.keeper()
    for _ in range(20):
        fetch(instance.port)
    assert instance.keeper() == keeper


def test_new_keys_while_it_is_gone(instance, authority):
    leaf = authority.leaf("a.example", fresh=True)
    config = copy.deepcopy(instance.config)
    config["listeners"][0]["tls"]["certificates"] = [leaf.pem]
    with Knocking(instance.port, 3) as knocking:
        for turn in range(6):
            instance.expect_noise = (r"keeper \(process \d+\) was killed",)
            processes.kill(instance.keeper())
            instance.configure(config)
            assert instance.reload() == "done"
            wait_until(lambda: served_serial(instance.port) == leaf.serial, "the new certificate")
            leaf = authority.leaf("a.example", fresh=True)
            config["listeners"][0]["tls"]["certificates"] = [leaf.pem]
        knocks = knocking.finish()
    assert knocks and not [k for k in knocks if k.error]


def test_old_keys_sign_for_handshakes_that_have_begun(instance, authority, leaves):
    # One whose client hesitates keeps its certificate, and so its key, past a reload.
    config = copy.deepcopy(instance.config)
    config["listeners"][0]["tls"]["certificates"] = [authority.leaf("a.example", fresh=True).pem]
    assert key_tables(instance) == 1
    with Wire(instance.port) as slow:
        hello = slow.first_flight()
        slow.raw.sendall(hello[:50])
        fetch(instance.port)  # the first piece has come as well, then
        assert instance.reload(config) == "done"
        slow.raw.sendall(hello[50:])
        slow.handshake()
        assert serial(slow.tls) == leaves[0].serial
    # Then nobody needs them any more: they are wiped and gone.
    wait_until(lambda: key_tables(instance) == 1, "the old keys to go")


def key_tables(instance):
    """How many the supervisor holds."""
    return sum(t.startswith("/memfd:keys") for t in links(instance.pid))


def links(pid):
    """What its descriptors are."""
    folder = f"/proc/{pid}/fd"
    found = []
    for fd in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{fd}"))
        except OSError:
            continue
    return found


def test_nothing_is_left_of_many(instance):
    def held():
        return sorted(t.split(":")[0] + ":" + t.split(" ")[0][7:12]
                      for p in (instance.pid, *instance.workers()) for t in links(p)
                      if "memfd" in t or "eventfd" in t)

    fetch(instance.port)
    before = held()
    for _ in range(5):
        kill_keeper(instance)
        fetch(instance.port)
    wait_until(lambda: held() == before, "nothing more than before")


def test_it_ends_with_the_others(sallyport, web, authority):
    made = sallyport([web().address], tls=[authority.leaf("a.example").pem])
    load = Loading(f"https://127.0.0.1:{made.port}/hello", clients=4, seconds=1)
    time.sleep(0.3)
    made.stop()  # fails where a process stays behind
    load.finish()


def test_a_supervisor_that_is_killed_leaves_nobody(sallyport, web, authority):
    made = sallyport([web().address], tls=[authority.leaf("a.example").pem], drain_timeout="1s")
    pids = made.pids()
    with connect(made.port):
        made.process.kill()
        made.process.wait()
        made.process = None
    wait_until(lambda: not [p for p in pids if processes.alive(p)], "the others to end",
               PATIENCE * 3)


def test_without_isolation_workers_sign(sallyport, web, authority):
    made = sallyport([web().address], tls=[authority.leaf("a.example").pem],
                     key_isolation=False)
    assert made.keeper() is None
    fetch(made.port)
    made.wait_error(r"warning supervisor: key_isolation is off")
    config = copy.deepcopy(made.config)
    config["key_isolation"] = True
    assert made.reload(config) == "refused"
    made.wait_error(r"key_isolation")
