"""status, reload and drain: what speaks to a running instance; and how a drain begins."""

import copy
import json
import os
import pwd
import re
import signal
import subprocess
import time

import pytest

from support import confine, tlsclient
from support.sallyport import ENDED, binary
from support.tlsclient import served_serial
from support.wait import PATIENCE, wait_until

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def instance(sallyport, backend, authority):
    """Makes one before an echo, with words of its own."""
    def make(**words):
        words.setdefault("workers", 2)
        return sallyport([backend().address], tls=[authority.leaf("a.example").pem], **words)
    return make


def call(made, *words, **options):
    """Runs a command against that instance."""
    return subprocess.run([binary(), words[0], "--admin", f"unix:{made.admin_path}", *words[1:]],
                          capture_output=True, text=True, timeout=60, check=False, **options)


def test_status_says_what_there_is(instance):
    made = instance()
    with tlsclient.connect(made.port):
        said = call(made, "status", "--json")
        assert said.returncode == 0, said.stderr
        status = json.loads(said.stdout)
        assert status["state"] == "serving"
        processes = {(p["role"], p.get("number")): p for p in status["processes"]}
        assert processes["supervisor", None]["pid"] == made.pid
        assert processes["keeper", None]["pid"] == made.keeper()
        assert processes["steward", None]["pid"] == made.steward()
        assert {processes["worker", n]["pid"] for n in (0, 1)} == set(made.workers())
        protection = confine.protection()
        for role in (("keeper", None), ("steward", None), ("worker", 0), ("worker", 1)):
            assert processes[role]["protection"] == protection
            assert processes[role]["uptime_seconds"] < 60
        assert sum(processes["worker", n]["connections"] for n in (0, 1)) == 1
        assert status["connections"]["clients"] == 1
        assert status["configuration"]["generation"] == 1
        assert status["configuration"]["certificates"] == 1
        assert status["configuration"]["last_reload"] is None
        (listener,), (pool,) = status["listeners"], status["pools"]
        assert listener["connections"] == 1 and listener["accepted"] == 1
        assert pool["connections"] == 1 and len(pool["servers"]) == 1
        words = call(made, "status")
        assert words.returncode == 0
        assert re.match(r"sallyport \S+, serving, for \d+ s\n", words.stdout)
        assert re.search(rf"^  worker 0 +{processes['worker', 0]['pid']}  ", words.stdout, re.M)


def test_status_follows_processes(instance):
    made = instance()
    made.expect_noise = (ENDED,)
    old = made.keeper()
    os.kill(old, signal.SIGKILL)

    def new():
        status = json.loads(call(made, "status", "--json").stdout)
        (keeper,) = [p for p in status["processes"] if p["role"] == "keeper"]
        return keeper["pid"] not in (None, old) and keeper["protection"]
    wait_until(new, "the new keeper to show")


def test_reload_waits_for_the_outcome(instance):
    made = instance()
    said = call(made, "reload")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("reloaded: generation 2, ")
    made.configure({**made.config, "drain_timeout": "7 parsecs"})
    said = call(made, "reload")
    assert said.returncode == 1
    assert "/drain_timeout" in said.stderr and said.stdout == ""
    status = json.loads(call(made, "status", "--json").stdout)
    last = status["configuration"]["last_reload"]
    assert last["outcome"] == "refused" and "/drain_timeout" in last["reason"]
    assert abs(last["time"] - time.time()) < 60


def test_reload_says_all_that_is_wrong(instance):
    made = instance()
    config = copy.deepcopy(made.config)
    config["drain_timeout"], config["workres"] = 5, 2
    made.configure(config)
    said = call(made, "reload")
    assert said.returncode == 1
    assert "/drain_timeout" in said.stderr and "workres" in said.stderr


def test_reloads_at_once_each_get_an_outcome(instance):
    made = instance()
    argv = [binary(), "reload", "--admin", f"unix:{made.admin_path}"]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    for each in running:
        out, _ = each.communicate(timeout=PATIENCE)
        assert each.returncode == 0 and out.startswith("reloaded: generation ")


def test_a_steward_that_dies_gives_no_outcome(instance, folder):
    made = instance()
    made.expect_noise = (ENDED,)
    # A configuration that nobody finishes reading.
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    made.config_path.unlink()
    made.config_path.symlink_to(pipe)
    argv = [binary(), "reload", "--admin", f"unix:{made.admin_path}"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as waiting:
        made.wait_error("a reload is asked for")
        os.kill(made.steward(), signal.SIGKILL)
        _, err = waiting.communicate(timeout=PATIENCE)
        assert waiting.returncode == 3 and "no answer" in err
    wait_until(lambda: made.steward() is not None, "a steward")
    made.config_path.unlink()
    made.configure(made.config)


def test_drain_is_sigterm(instance):
    made = instance(drain_timeout="20s")
    with tlsclient.connect(made.port):
        said = call(made, "drain")
        assert (said.returncode, said.stdout) == (0, "draining\n")
        made.wait_error(r"info supervisor: draining: 1 connections are left, \d+ s$")
        time.sleep(1.1)
        assert len(re.findall("connections are left", made.error_log())) >= 2
        said = call(made, "reload")
        assert said.returncode == 1 and "the end has begun" in said.stderr
        assert json.loads(call(made, "status", "--json").stdout)["state"] == "draining"
    made.stop(sig=0)


@ROOT
def test_a_stranger_cannot_command(instance):
    made = instance()
    os.chmod(made.admin_path, 0o666)
    stranger = pwd.getpwnam("games").pw_uid
    said = call(made, "reload", user=stranger)
    assert said.returncode == 1 and "root" in said.stderr
    # What it may connect to, it may see.
    assert call(made, "status", user=stranger).returncode == 0


def test_nobody_there(instance):
    made = instance(start=False)
    said = call(made, "status")
    assert said.returncode == 3 and "nobody answers" in said.stderr


def test_not_ready_first(instance):
    made = instance(drain_delay="2s", drain_timeout="1s")
    assert made.get("/readyz")[0] == 200
    began = time.monotonic()
    made.signal(signal.SIGTERM)
    wait_until(lambda: made.get("/readyz")[0] == 503, "not ready", every=0.02)
    assert made.get("/healthz")[0] == 503
    served_serial(made.port)  # it still accepts
    made.wait_error("not ready any more; draining begins in 2 s, or when asked again")
    made.stop(sig=0)
    assert time.monotonic() - began >= 1.9


def test_asked_again_it_does_not_delay(instance):
    made = instance(drain_delay="1m", drain_timeout="1s")
    made.signal(signal.SIGTERM)
    made.wait_error("not ready any more")
    made.stop()


def test_at_once_is_at_once(instance):
    made = instance(drain_delay="1m")
    made.signal(signal.SIGTERM)
    made.wait_error("not ready any more")
    made.stop(signal.SIGINT)
