"""How it starts, and how it refuses to."""

import json
import os
import pathlib
import pwd
import shutil
import socket
import stat
import subprocess
import time

import pytest

from support import backends, tlsclient
from support.ports import HOST, free_port
from support.sallyport import binary
from support.tlsclient import served_serial
from support.wait import PATIENCE, wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def run(*argv, timeout=PATIENCE, **words):
    """Runs a command to its end."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, **words)


def refuses(instance, code=3):
    """Starts what must not start; returns what it said on stderr."""
    instance.spawn()
    assert instance.process.wait(PATIENCE) == code
    instance.process = None
    return (instance.folder / "stderr").read_text() + instance.error_log()


@pytest.fixture
def door(sallyport, backend, authority):
    """An instance before an echo."""
    def make(**words):
        return sallyport([backend().address], tls=[authority.leaf("a.example").pem], **words)
    return make


def ask(tls, what=b"hello"):
    """An echo's answer."""
    tls.sendall(what)
    assert backends.read_exactly(tls, len(what)) == what


def test_a_second_instance_at_the_same_port_is_refused(door):
    first = door(workers=2)
    second = door(start=False)
    second.configure(dict(second.config, listeners=first.config["listeners"]))
    said = refuses(second)
    assert f"127.0.0.1:{first.port}: cannot listen: address already in use" in said
    assert "another instance" in said
    # Nothing of it stays, and the first one did not notice.
    assert not (second.folder / "admin.sock").exists()
    for _ in range(10):
        with tlsclient.connect(first.port) as tls:
            ask(tls)
    first.wait_metric(10, "connections_accepted_total")


def test_a_second_instance_at_the_same_admin_socket_is_refused(door):
    first = door()
    second = door(start=False)
    second.configure(dict(second.config, admin={"address": f"unix:{first.admin_path}"}))
    said = refuses(second)
    assert first.admin_path in said and "another instance holds" in said
    assert first.get("/readyz")[0] == 200


def test_the_socket_of_a_dead_instance_is_replaced(door):
    instance = door(start=False)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(instance.admin_path)  # and never listens: its owner is as good as dead
    assert stat.S_ISSOCK(os.stat(instance.admin_path).st_mode)
    instance.start()
    assert instance.get("/readyz")[0] == 200


def test_a_file_in_the_place_of_the_admin_socket_is_left_alone(door):
    instance = door(start=False)
    pathlib.Path(instance.admin_path).write_text("precious")
    said = refuses(instance)
    assert instance.admin_path in said and "no socket" in said
    assert pathlib.Path(instance.admin_path).read_text() == "precious"


def test_a_missing_folder_of_a_socket_is_named(door, folder):
    instance = door(start=False, admin={"address": f"unix:{folder}/no/ne/admin.sock"})
    said = refuses(instance)
    assert f"{folder}/no/ne/admin.sock: cannot listen: its folder does not exist" in said


def test_an_address_of_another_machine_is_refused(door):
    instance = door(start=False, listener={"address": f"192.0.2.1:{free_port()}"})
    said = refuses(instance)
    assert "192.0.2.1" in said and "no interface of this machine has this address" in said


def test_a_broken_configuration_is_exit_code_1(door):
    instance = door(start=False)
    instance.write('{"listeners": []')
    said = refuses(instance, 1)
    assert "sallyport.json:1:" in said


def test_a_missing_certificate_is_exit_code_1(door):
    instance = door(start=False, listener={"tls": {"certificates": ["none.pem"]}})
    said = refuses(instance, 1)
    assert "none.pem" in said and "No such file" in said


def test_a_log_that_cannot_be_opened_is_named(door, folder):
    instance = door(start=False, log={"error": f"{folder}/none/error.log"})
    instance.spawn()
    assert instance.process.wait(PATIENCE) in (1, 3)
    instance.process = None
    assert "none/error.log" in (instance.folder / "stderr").read_text()


def test_a_relative_path_is_taken_from_the_configuration_s_folder(door, authority):
    instance = door(start=False, listener={"tls": {"certificates": ["own.pem"]}})
    shutil.copy(authority.leaf("a.example").pem, instance.folder / "own.pem")
    process = instance.spawn().process
    wait_until(lambda: process.poll() is not None or instance.get_or_none("/readyz"), "readiness")
    assert served_serial(instance.port) == authority.leaf("a.example").serial


def test_it_starts_from_another_folder_than_its_own(door, folder):
    """The roles are executed from a descriptor: the binary may be replaced, or gone."""
    instance = door(start=False, workers=2)
    copy = folder / "sallyport-copy"
    shutil.copy(binary(), copy)
    kept, os.environ["SALLYPORT"] = os.environ["SALLYPORT"], str(copy)
    try:
        instance.start()
    finally:
        os.environ["SALLYPORT"] = kept
    copy.unlink()
    assert instance.reload() == "done"
    worker = instance.workers()[0]
    instance.expect_noise = (r"killed by SIGKILL",)
    os.kill(worker, 9)
    wait_until(lambda: len(instance.workers()) == 2 and worker not in instance.workers(),
               "a new worker")
    for _ in range(6):
        with tlsclient.connect(instance.port) as tls:
            ask(tls)


def as_nobody(folder, config):
    """What is needed to run as another user: a folder of its own, a binary it can reach, and the
    arguments to start with."""
    nobody = pwd.getpwnam("nobody")
    place = folder / "nobody"
    place.mkdir()
    shutil.copy(binary(), place / "sallyport")
    (place / "sallyport.json").write_text(json.dumps(config))
    for path in (place, *place.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
            "--inh-caps=-all", "--bounding-set=-all",
            str(place / "sallyport"), "run", "-c", str(place / "sallyport.json")], place


@needs_root
def test_a_port_that_needs_a_privilege_is_refused_in_words(door, folder):
    if int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81:
        pytest.skip("this machine gives low ports to everybody")
    config = dict(door(start=False).config, log={"access": False}, admin=False)
    config["listeners"] = [{"address": f"{HOST}:81", "mode": "tcp", "pool": "back"}]
    argv, _ = as_nobody(folder, config)
    done = run(*argv)
    assert done.returncode == 3
    assert "127.0.0.1:81" in done.stderr and "CAP_NET_BIND_SERVICE" in done.stderr


@needs_root
def test_it_runs_without_any_privilege(backend, authority, folder):
    port = free_port()
    leaf = authority.leaf("a.example")
    config = {"workers": 2, "admin": {"address": "unix:admin.sock"}, "drain_timeout": "1s",
              "log": {"error": "error.log", "access": {"path": "access.log"}},
              "listeners": [{"address": f"{HOST}:{port}", "mode": "tcp", "pool": "back",
                             "tls": {"certificates": ["leaf.pem"]}}],
              "pools": {"back": {"servers": [backend().address]}}}
    argv, place = as_nobody(folder, config)
    shutil.copy(leaf.pem, place / "leaf.pem")
    os.chown(place / "leaf.pem", pwd.getpwnam("nobody").pw_uid, -1)
    with open(place / "stderr", "w", encoding="ascii") as err:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=err)
    try:
        def ready():
            assert process.poll() is None, (place / "stderr").read_text()
            return (place / "admin.sock").exists() and _serves(port)
        wait_until(ready, "readiness")
        with tlsclient.connect(port) as tls:
            ask(tls)
        for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("Uid:"):
                assert set(line.split()[1:]) == {str(pwd.getpwnam("nobody").pw_uid)}
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    assert (place / "access.log").read_text().count('"cause"') >= 1


def _serves(port):
    with socket.socket() as s:
        return s.connect_ex((HOST, port)) == 0


def test_it_is_ready_soon(door):
    began = time.monotonic()
    door(workers=4)
    assert time.monotonic() - began < PATIENCE / 2


def test_too_few_descriptors_for_a_single_connection_refuse_the_start(door):
    """Else it would say that it serves, and never accept."""
    said = refuses(door(start=False, nofile=64))
    assert "the limit of open files is 64" in said
    assert "raise it" in said
