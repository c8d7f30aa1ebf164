"""A worker whose loop does not turn: reported with where it stands, then replaced."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from support import tlsclient
from support.sallyport import ENDED, binary
from support.tlsclient import served_serial
from support.wait import SANITIZED, wait_until

HANGS = r"has not turned its loop|stands at|is killed: it has not"


@pytest.fixture
def instance(sallyport, backend, authority):
    """Two workers before an echo, one of which will be stopped."""
    made = sallyport([backend().address], tls=[authority.leaf("a.example").pem], workers=2)
    made.expect_noise = (HANGS, ENDED)
    served_serial(made.port)
    return made


def test_a_worker_that_hangs_is_reported_and_may_go_on(instance):
    number = instance.wait_error("serving: generation 1") and instance.workers()[0]
    os.kill(number, signal.SIGSTOP)
    try:
        line = instance.wait_error(r"error supervisor: worker \d \(process \d+\) has not turned its "
                                   r"loop for [56] s$", timeout=15)
        assert f"(process {number})" in line
    finally:
        os.kill(number, signal.SIGCONT)
    stack = instance.wait_error(r"error supervisor: worker \d stands at ")
    frames = stack.split(" stands at ")[1].split()
    assert len(frames) >= 4, stack
    assert all(re.match(r"[\w.+-]*\+0x[0-9a-f]+$", frame) for frame in frames), stack
    instance.wait_error(r"info supervisor: worker \d turns its loop again")
    assert number in instance.workers()
    # What was said can be read.
    if shutil.which("addr2line") and not SANITIZED:
        ours = [f.split("+")[1] for f in frames if f.startswith("sallyport+")]
        names = subprocess.run(["addr2line", "-fe", binary(), *ours], capture_output=True,
                               text=True, check=True).stdout
        assert "worker_main" in names or "main" in names, (stack, names)


def test_a_worker_that_hangs_for_long_is_replaced(instance):
    number = instance.workers()[0]
    os.kill(number, signal.SIGSTOP)
    began = time.monotonic()
    # Meanwhile its sibling serves all.
    instance.wait_error("accepts for worker", timeout=15)
    while time.monotonic() - began < 28:
        served_serial(instance.port)
        time.sleep(1)
    assert number in instance.workers()
    instance.wait_error(r"error supervisor: worker \d is killed: it has not turned its loop for "
                        r"3\d s$", timeout=15)
    wait_until(lambda: number not in instance.workers() and len(instance.workers()) == 2,
               "another one")
    with tlsclient.connect(instance.port):
        pass


def test_a_keeper_that_hangs_is_replaced_in_time(instance):
    """Whose handshake waits for it gets its signature from the next one."""
    number = instance.keeper()
    os.kill(number, signal.SIGSTOP)
    began = time.monotonic()
    assert served_serial(instance.port)
    assert time.monotonic() - began < 9, "within a handshake's time"
    assert instance.keeper() not in (None, number)
    instance.wait_error(r"keeper is killed: it has not turned its loop for [56] s$")


def test_a_steward_that_hangs_is_reported_and_may_go_on(instance):
    number = instance.steward()
    os.kill(number, signal.SIGSTOP)
    try:
        for _ in range(70):
            served_serial(instance.port)
            time.sleep(0.1)
    finally:
        os.kill(number, signal.SIGCONT)
    instance.wait_error(rf"steward \(process {number}\) has not turned its loop for [56] s$")
    instance.wait_error("steward turns its loop again")
    assert instance.steward() == number


def test_who_is_not_asked_says_nothing(instance):
    (number, _) = instance.workers()
    for _ in range(10):
        os.kill(number, signal.SIGRTMIN + 1)
    served_serial(instance.port)
    time.sleep(1.2)
    assert number in instance.workers()
    assert "stands at" not in instance.error_log()
