"""SIGUSR2: a new binary takes over, or fails to."""

import copy
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from support import processes, tlsclient
from support.backends import read_exactly
from support.ports import HOST, free_port
from support.sallyport import binary
from support.tlsclient import connect, context, served_serial
from support.traffic import Curling, Knocking, fetch
from support.wait import PATIENCE, SANITIZED, wait_until


def install(made, script=None):
    """Gives the instance a binary of its own, which may be replaced: by a script, or by itself."""
    path = pathlib.Path(made.folder) / "sallyport"
    new = path.with_suffix(".new")
    if script is None:
        shutil.copy(binary(), new)
    else:
        new.write_text(f"#!/bin/sh\n{script}\n")
    new.chmod(0o755)
    new.rename(path)
    made.program = path


@pytest.fixture
def instance(sallyport, web, authority):
    """Makes one in mode http, with a binary of its own."""
    def make(start=True, **words):
        words.setdefault("workers", 2)
        words.setdefault("listener", {"mode": "http"})
        words.setdefault("drain_timeout", "5s")
        made = sallyport([web().address], tls=[authority.leaf("a.example").pem], start=False,
                         **words)
        install(made)
        return started(made) if start else made
    return make


def started(made):
    """Starts it and waits until all of it serves."""
    made.start()
    made.wait_error("serving: generation 1")
    return made


def ended(old):
    """The old one ends in good order."""
    assert old.wait(PATIENCE * 2) == 0
    wait_until(lambda: not processes.alive(old.pid), "its end")


def test_a_new_binary_takes_over(instance):
    made = instance()
    before, workers = made.pid, made.workers()
    old = made.upgrade()
    assert made.pid != before
    fetch(made.port)
    ended(old)
    fetch(made.port)
    assert not set(workers) & set(made.workers())
    made.wait_error(rf"info supervisor: took over from process {before}$")
    # The admin socket answers for the new one, and is its own to remove.
    assert made.get("/readyz")[0] == 200
    assert made.metrics().get("draining") == 0


def test_connections_of_the_old_one_end_in_peace(instance, backend, authority, sallyport):
    made = sallyport([backend().address], tls=[authority.leaf("a.example").pem], start=False,
                     drain_timeout="20s")
    install(made)
    started(made)
    with connect(made.port) as tls:
        tls.sendall(b"hello")
        assert read_exactly(tls, 5) == b"hello"
        old = made.upgrade()
        time.sleep(0.3)
        tls.sendall(b"still")
        assert read_exactly(tls, 5) == b"still"
        with connect(made.port) as other:  # the new one's
            other.sendall(b"hello")
            assert read_exactly(other, 5) == b"hello"
        assert old.poll() is None
        tls.unwrap().close()
    ended(old)


def test_sessions_resume_with_the_new_one(instance):
    made = instance()
    ctx = context()
    ctx.maximum_version = tlsclient.ssl.TLSVersion.TLSv1_2
    with connect(made.port, ctx=ctx) as tls:
        session = tls.session
    ended(made.upgrade())
    with socket.create_connection((HOST, made.port), PATIENCE) as raw:
        with ctx.wrap_socket(raw, server_hostname="a.example", session=session) as tls:
            assert tls.session_reused


def test_unix_sockets_and_other_numbers_of_workers(instance):
    made = instance(start=False)
    path = pathlib.Path(made.folder) / "front.sock"
    config = copy.deepcopy(made.config)
    config["listeners"][0]["address"] = [config["listeners"][0]["address"], f"unix:{path}"]
    made.configure(config)
    started(made)
    for workers in (3, 1):
        config["workers"] = workers
        made.configure(config)
        ended(made.upgrade())
        assert len(made.workers()) == workers
        assert path.is_socket()
        for _ in range(12):
            fetch(made.port)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            with context().wrap_socket(raw, server_hostname="a.example") as tls:
                assert tls.version()
    made.stop()
    assert not path.exists()
    assert not pathlib.Path(made.admin_path).exists()
    assert not pathlib.Path(made.admin_path + ".lock").exists()


def test_addresses_come_and_go_with_an_upgrade(instance):
    made = instance()
    old_port, config = made.port, copy.deepcopy(made.config)
    config["listeners"][0]["address"] = f"{HOST}:{free_port()}"
    made.configure(config)
    ended(made.upgrade())
    fetch(made.port)
    with pytest.raises(OSError):
        socket.create_connection((HOST, old_port), 1)


@pytest.mark.parametrize("script, says", [
    ("exit 7", "exited with code 7"),
    ("kill -9 $$", "was killed by SIGKILL"),
])
def test_one_that_fails_changes_nothing(instance, script, says):
    made = instance()
    made.expect_noise = ("the upgrade failed",)
    install(made, script)
    before = made.pids()
    with Knocking(made.port) as knocking:
        made.signal(signal.SIGUSR2)
        made.wait_error(rf"error supervisor: the upgrade failed: process \d+ {says}; this one goes on "
                        "serving$")
        time.sleep(0.2)
        knocks = knocking.finish()
    assert knocks and not [k for k in knocks if k.error]
    assert set(before) <= set(made.pids())
    assert made.reload() == "done"
    # And may be tried again.
    install(made)
    ended(made.upgrade())


def with_unix_socket(made):
    """Gives its listener a unix socket beside the port, and starts it."""
    path = pathlib.Path(made.folder) / "front.sock"
    config = copy.deepcopy(made.config)
    config["listeners"][0]["address"] = [config["listeners"][0]["address"], f"unix:{path}"]
    made.configure(config)
    started(made)
    return path


def test_one_that_fails_late_leaves_the_files_of_the_old_one(instance):
    """It has taken all that it inherits when it finds that it cannot have a port of its own."""
    made = instance(start=False)
    made.expect_noise = ("the upgrade failed",)
    path, good = with_unix_socket(made), made.config
    with socket.socket() as busy:
        busy.bind((HOST, 0))
        busy.listen(1)
        bad = copy.deepcopy(good)
        bad["listeners"][0]["address"].append(f"{HOST}:{busy.getsockname()[1]}")
        made.write(json.dumps(bad))
        made.signal(signal.SIGUSR2)
        made.wait_error("the upgrade failed: process .* exited with code 3")
    assert path.is_socket()
    assert made.get("/readyz")[0] == 200
    assert pathlib.Path(made.admin_path + ".lock").exists()
    made.configure(good)
    ended(made.upgrade())
    made.stop()
    assert not path.exists()


def test_an_admin_socket_that_is_no_more_goes_with_an_upgrade(instance):
    made = instance()
    path, config = pathlib.Path(made.admin_path), copy.deepcopy(made.config)
    made.admin_path += ".new"
    config["admin"] = {"address": f"unix:{made.admin_path}"}
    made.configure(config)
    ended(made.upgrade())
    assert not path.exists()
    assert not pathlib.Path(f"{path}.lock").exists()
    assert made.get("/readyz")[0] == 200


def test_a_configuration_that_is_refused_changes_nothing(instance):
    made = instance()
    made.expect_noise = ("the upgrade failed",)
    good = made.config
    made.write("{")
    made.signal(signal.SIGUSR2)
    made.wait_error("the upgrade failed: process .* exited with code 1")
    fetch(made.port)
    made.configure(good)
    ended(made.upgrade())


def test_a_reload_waits_for_the_outcome(instance):
    made = instance()
    made.expect_noise = ("the upgrade failed",)
    install(made, "sleep 1; exit 1")
    made.signal(signal.SIGUSR2)
    made.wait_error("upgrading: ")
    done = made.metrics().get("reloads_total", outcome="done")
    made.signal(signal.SIGHUP)
    made.signal(signal.SIGUSR2)
    made.wait_error("error supervisor: no upgrade: one is on its way")
    assert made.metrics().get("reloads_total", outcome="done") == done
    made.wait_error("the upgrade failed")
    made.wait_metric(done + 1, "reloads_total", outcome="done")
    made.expect_noise += ("no upgrade",)


def test_an_end_gives_an_upgrade_up(instance):
    made = instance()
    made.expect_noise = ("the upgrade failed",)
    install(made, "exec sleep 1000")
    made.signal(signal.SIGUSR2)
    found = made.wait_error("upgrading: ")
    new = int(re.search(r"process (\d+)", found).group(1))
    made.stop()
    wait_until(lambda: not processes.alive(new), "the other's end")


def test_an_end_that_waits_gives_an_upgrade_up(instance):
    # The other one would be ready before the delay is over, and serve on where an end was wanted.
    made = instance(drain_delay="3s")
    made.expect_noise = ("the upgrade failed",)
    install(made, f'sleep 1; exec {binary()} "$@"')
    made.signal(signal.SIGUSR2)
    found = made.wait_error("upgrading: ")
    new = int(re.search(r"process (\d+)", found).group(1))
    made.signal(signal.SIGTERM)
    made.wait_error("the upgrade failed: .* we are to end")
    fetch(made.port)  # it still accepts
    made.signal(signal.SIGUSR2)
    made.wait_error("no upgrade: a reload or the end is on its way")
    made.expect_noise += ("no upgrade",)
    made.stop()
    assert not processes.alive(new)


def test_process_1_says_that_it_cannot(instance):
    if subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode != 0:
        pytest.skip("needs a namespace of its own")
    made = instance(start=False)
    made.expect_noise = ("no upgrade",)
    program = made.program
    script = pathlib.Path(made.folder) / "inside"
    script.write_text(f"#!/bin/sh\nexec unshare --pid --fork --kill-child {program} \"$@\"\n")
    script.chmod(0o755)
    made.program = script
    started(made)
    (inner,) = processes.children(made.pid)
    os.kill(inner, signal.SIGUSR2)
    made.wait_error("error supervisor: no upgrade: as process 1 of a container we cannot be replaced")
    fetch(made.port)
    os.kill(inner, signal.SIGTERM)
    made.stop(sig=0)


def test_twenty_upgrades_and_failures_under_load(instance):
    """No request fails, whatever its protocol."""
    made = instance(drain_timeout="10s")
    made.expect_noise = ("the upgrade failed",)
    olds = []
    with Curling(made.port, "--http2") as by_h2, Curling(made.port) as by_h1, \
            Knocking(made.port) as knocking:
        for i in range(6 if SANITIZED else 20):
            time.sleep(0.2)
            if i % 2 == 1:
                at = len(made.error_log())
                install(made, "exit 7")
                made.signal(signal.SIGUSR2)
                wait_until(lambda: "the upgrade failed" in made.error_log()[at:], "the failure",
                           PATIENCE * 3)
                install(made)
            else:
                olds.append(made.upgrade(PATIENCE * 3))
        knocks = knocking.finish()
    for old in olds:
        ended(old)
    assert len(knocks) > 50 and not [k for k in knocks if k.error], [k.error for k in knocks if k.error]
    rounds = by_h1.rounds + by_h2.rounds
    assert by_h1.rounds and by_h2.rounds
    assert all(code == 0 and set(said) == {"200"} for code, said in rounds), rounds
    assert max(k.seconds for k in knocks) < (10 if SANITIZED else 2)


def test_a_service_manager_is_told(sallyport, web, authority, folder):
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        path.chmod(0o666)
        manager.settimeout(PATIENCE)
        made = sallyport([web().address], tls=[authority.leaf("a.example").pem],
                         start=False, environ={"NOTIFY_SOCKET": str(path)})
        install(made)
        started(made)

        def heard(start):
            while True:
                said = manager.recv(4096).decode()
                if said.startswith(start):
                    return said
        heard("READY=1")
        assert made.reload() == "done"
        assert re.match(r"RELOADING=1\nMONOTONIC_USEC=\d+$", heard("RELOADING=1"))
        heard("READY=1")
        old = made.upgrade()
        assert heard("MAINPID=") == f"MAINPID={made.pid}"
        ended(old)
        served_serial(made.port)
        made.signal(signal.SIGTERM)
        heard("STOPPING=1")
        made.stop(sig=0)
