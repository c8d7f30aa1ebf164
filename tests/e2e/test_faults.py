"""Memory that fails and a wall clock that jumps, from a preloaded library: what the fault hits is
lost, nothing else, and afterwards all is as before."""

import os
import shutil
import socket
import struct
import time

import pytest

from support.ports import HOST
from support.tlsclient import connect, context, served_serial, ssl
from support.traffic import Curling, Knocking, Steady, fetch
from support.wait import PATIENCE, SANITIZED, wait_until

LIBRARY = os.environ.get("SALLYPORT_FAULTS", "")

pytestmark = pytest.mark.skipif(bool(SANITIZED) or not os.path.exists(LIBRARY),
                                reason="a sanitizer has an allocator of its own")


class Faults:
    """The library in a folder, and what it is told."""

    def __init__(self, folder):
        self.library = folder / "faults.so"
        shutil.copy(LIBRARY, self.library)
        self.library.chmod(0o755)
        self._control = folder / "faults.so.control"
        self._control.write_bytes(bytes(4096))
        self._control.chmod(0o666)

    def _put(self, offset, value):
        with open(self._control, "r+b") as f:
            f.seek(offset)
            f.write(struct.pack("=q", value))

    def fail(self, every, role=""):
        """Every so many allocations of a role fail."""
        self._put(16, ord(role[0]) if role else 0)
        self._put(0, every)

    def jump(self, seconds):
        """The wall clock is so much ahead."""
        self._put(8, seconds)

    def failed(self):
        """How many allocations have failed."""
        return struct.unpack_from("=q", self._control.read_bytes(), 24)[0]


@pytest.fixture
def faults(folder):
    return Faults(folder)


@pytest.fixture
def instance(sallyport, web, authority, faults):
    """Two workers in mode http, with the library in every process."""
    made = sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2,
                     listener={"mode": "http"}, environ={"LD_PRELOAD": str(faults.library)})
    made.wait_error("serving: generation 1")
    fetch(made.port)
    return made


@pytest.mark.parametrize("role, every", [("worker", 300), ("worker", 31), ("keeper", 7),
                                         ("steward", 50)])
def test_memory_that_fails(instance, faults, role, every):
    before = {"worker": instance.workers(), "keeper": [instance.keeper()],
              "steward": [instance.steward()]}
    instance.expect_noise = (".",)  # whatever it says: it must go on
    with Knocking(instance.port, 2) as knocking, Curling(instance.port, "--http2"):
        faults.fail(every, role)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            instance.get_or_none("/metrics")
            time.sleep(0.02)
        faults.fail(0)
        failed = faults.failed()
        time.sleep(0.3)
        knocking.finish()
    assert failed > 3
    # Nobody was lost of those that were not hit, nor the supervisor.
    assert instance.process.poll() is None
    for other, pids in before.items():
        if other != role:
            now = {"worker": instance.workers, "keeper": lambda: [instance.keeper()],
                   "steward": lambda: [instance.steward()]}[other]()
            assert now == pids, other
    # Libraries may end the process that they are in (nghttp2 asserts, libseccomp reads a null
    # pointer): it is replaced. Nothing is left of it.
    wait_until(lambda: len(instance.workers()) == 2 and instance.keeper() and instance.steward(),
               "all processes")
    for _ in range(20):
        fetch(instance.port)
    instance.wait_metric(0, "connections_active")
    assert instance.reload() == "done"


def test_a_reload_without_memory_is_refused_or_done(instance, faults):
    """Never anything between."""
    instance.expect_noise = (".",)
    for every in (200, 90, 40, 17):
        faults.fail(every, "load")
        outcome = instance.reload(timeout=PATIENCE * 2)
        faults.fail(0)
        assert outcome in ("done", "refused")
        fetch(instance.port)
    assert instance.reload() == "done"


@pytest.mark.parametrize("ahead", [86400 * 2, -86400 * 2, 86400 * 400, -86400 * 400])
def test_a_clock_that_jumps_is_noticed_by_no_connection(instance, faults, ahead):
    """Timers go by another clock, so nobody is cut off or kept for ever; sessions may not resume."""
    ctx = context()
    ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(instance.port, ctx=ctx) as tls:
        session = tls.session
    pids = instance.pids()
    with Steady(instance.port, 4, pause=0.01) as steady, \
            Knocking(instance.port, 1) as knocking:
        for jump in (ahead, 0, ahead):
            faults.jump(jump)
            time.sleep(0.5)
            raw = connect(instance.port, ctx=ctx)
            raw.close()
        assert steady.finish() > 50
        knocks = knocking.finish()
    assert len(knocks) > 20 and not [k for k in knocks if k.error], knocks
    assert instance.pids() == pids
    assert instance.reload() == "done"
    # A ticket from another time is no error: at worst the handshake is a full one.
    raw = socket.create_connection((HOST, instance.port), PATIENCE)
    with ctx.wrap_socket(raw, server_hostname="a.example", session=session) as tls:
        assert tls.version() == "TLSv1.2"
    faults.jump(0)
    assert served_serial(instance.port)
    instance.wait_metric(0, "connections_active")
