"""What confines each process, what is said of it, and what a violation comes to. What exactly is
forbidden is tried in tests/unit/proxy/sandbox_test.c."""

import copy
import os
import socket
import subprocess

import pytest

from support import confine
from support.processes import status
from support.sallyport import ENDED
from support.tlsclient import served_serial
from support.wait import PATIENCE, SANITIZED, wait_until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into the others"),
    pytest.mark.skipif(bool(SANITIZED), reason="a sanitizer needs what is forbidden"),
]
around = pytest.mark.skipif(not confine.possible(), reason="no filter is known for this machine")

# The capabilities of a supervisor, by number: CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL,
# SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_RESOURCE.
NEEDED = sum(1 << n for n in (0, 1, 2, 3, 5, 6, 7, 8, 10, 24))


@pytest.fixture
def instance(sallyport, web, authority):
    """Makes one with words of its own."""
    def make(**words):
        return sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2, **words)
    return make


def roles(made):
    return [*made.workers(), made.steward(), made.keeper()]


def test_each_process_is_confined_and_says_so(instance):
    made = instance()
    served_serial(made.port)
    for pid in roles(made):
        wait_until(lambda p=pid: status(p)["Seccomp"] == "2", f"{pid} to be confined")
        said = status(pid)
        assert said["NoNewPrivs"] == "1"
        assert int(said["CapBnd"], 16) == 0
    for name in ("worker [01]", "steward", "keeper"):
        made.wait_error(f"info supervisor: {name}: confined by {', '.join(confine.protection())}$")


def test_the_supervisor_keeps_what_it_needs(instance):
    made = instance()
    said = status(made.pid)
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        assert int(said[kind], 16) & ~NEEDED == 0, f"{kind} {said[kind]}"
    assert int(said["CapInh"], 16) == 0


def test_off_is_off_and_said(instance):
    made = instance(sandbox="off")
    served_serial(made.port)
    for pid in roles(made):
        said = status(pid)
        assert said["Seccomp"] == "0"
        assert int(said["CapEff"], 16) == 0
    made.wait_error(r"warning supervisor: sandbox is off")
    config = copy.deepcopy(made.config)
    config["sandbox"] = "on"
    assert made.reload(config) == "refused"
    made.wait_error(r"/sandbox")


@around
@pytest.mark.parametrize("call, part", [("landlock_create_ruleset", "landlock"),
                                        ("seccomp", "seccomp")])
def test_what_a_kernel_lacks_is_a_warning(instance, call, part):
    made = instance(start=False)
    made.enter = confine.around(confine.LACKING, call)
    made.start()
    served_serial(made.port)
    for name in ("worker [01]", "steward", "keeper"):
        made.wait_error(f"warning supervisor: {name}: this kernel gives no {part}$")


@around
def test_required_is_an_error_where_the_kernel_lacks_it(instance):
    made = instance(start=False, sandbox="required")
    made.enter = confine.around(confine.LACKING, "landlock_create_ruleset")
    made.spawn()
    process, made.process = made.process, None
    try:
        assert process.wait(PATIENCE) == 3
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    said = (made.folder / "stderr").read_text()
    assert '"sandbox": "required"' in said and "landlock" in said
    assert len(said.splitlines()) == 1, said


@pytest.mark.skipif(len(confine.protection()) < 3, reason="this kernel lacks a part")
def test_required_serves_where_all_is_there(instance):
    made = instance(sandbox="required")
    served_serial(made.port)


@around
def test_a_violation_ends_the_process_and_names_the_call(instance):
    made = instance(start=False, drain_timeout="1s", admin=False)
    made.enter = confine.around(confine.TRAPPED, "accept4")
    made.expect_noise = (ENDED, "it called")
    made.spawn()
    made.wait_error("serving: generation 1")
    with socket.create_connection(("127.0.0.1", made.port)):
        line = made.wait_error(r"error supervisor: worker [01] \(process \d+\) is ended: it "
                               r"called accept4, which its sandbox forbids$")
    number = line.split("worker ")[1][0]
    made.wait_error(f"worker {number} is started again as process")
