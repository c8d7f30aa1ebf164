"""The command line: what each command says, and its exit code."""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

from support import processes
from support.ports import HOST, free_port
from support.sallyport import binary, wait_until_gone
from support.tlsclient import served_serial
from support.tools import curl
from support.traffic import refused
from support.wait import PATIENCE, wait_until


def run(*argv, cwd=None):
    """Runs the binary to its end."""
    return subprocess.run([binary(), *argv], capture_output=True, text=True, timeout=PATIENCE,
                          check=False, stdin=subprocess.DEVNULL, cwd=cwd)


class Background:
    """The binary, started with any arguments."""

    def __init__(self, folder, *argv):
        self._err = open(folder / "stderr", "w+b")
        self._out = open(folder / "stdout", "w+b")
        self.process = subprocess.Popen([binary(), *argv], stdin=subprocess.DEVNULL, cwd=folder,
                                        stdout=self._out, stderr=self._err)
        self.pids = []

    def said(self):
        """stdout and stderr."""
        return "".join(pathlib.Path(f.name).read_text() for f in (self._out, self._err))

    def wait_open(self, port):
        """Waits until somebody listens there."""
        def look():
            assert self.process.poll() is None, self.said()
            return not refused(port)
        wait_until(look, "it to listen")
        self.pids = processes.descendants(self.process.pid)

    def stop(self, sig=signal.SIGTERM):
        """Ends it; the exit code. Nothing of it may stay."""
        self.pids += processes.descendants(self.process.pid)
        self.process.send_signal(sig)
        code = self.process.wait(PATIENCE)
        assert not wait_until_gone(self.pids)
        return code

    def close(self):
        """Ends what is left."""
        for pid in processes.descendants(self.process.pid):
            processes.kill(pid)
        self.process.kill()
        self.process.wait()
        for f in (self._out, self._err):
            f.close()


@pytest.fixture
def started(folder):
    """Starts the binary with any arguments."""
    made = []

    def start(*argv):
        made.append(Background(folder, *argv))
        return made[-1]
    yield start
    for each in made:
        each.close()


# ---- usage

@pytest.mark.parametrize("argv", [[], ["bogus"], ["--bogus"], ["run"], ["run", "-c"], ["check"],
                                  ["check", "-c"], ["run", "-c", "a", "-c", "b"],
                                  ["run", "-c", "a", "extra"], ["schema", "extra"],
                                  ["proxy"], ["proxy", "--listen", ":1"],
                                  ["proxy", "--backend", "127.0.0.1:1"],
                                  ["proxy", "--listen"], ["demo", "extra"], ["@worker", "x"],
                                  ["@nothing"]],
                         ids=" ".join)
def test_a_mistaken_call_is_exit_code_2_with_a_word_of_help(argv):
    done = run(*argv)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stdout == "" and done.stderr
    assert "Sanitizer" not in done.stderr


@pytest.mark.parametrize("argv,wanted", [
    (["chekc", "-c", "x"], "check"), (["rnu", "-c", "x"], "run"), (["verison"], "version"),
    (["proxy", "--lisetn", ":1", "--backend", "127.0.0.1:1"], "--listen"),
    (["proxy", "--listen", ":1", "--bakend", "127.0.0.1:1"], "--backend"),
    (["demo", "--litsen", ":1"], "--listen")])
def test_what_was_meant_is_suggested(argv, wanted):
    done = run(*argv)
    assert done.returncode == 2
    assert re.search(rf"did you mean .?{re.escape(wanted)}\b", done.stderr), done.stderr


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"]])
def test_help_is_on_stdout(argv):
    done = run(*argv)
    assert done.returncode == 0
    for command in ("run", "check", "proxy", "demo", "schema", "version"):
        assert re.search(rf"\b{command}\b", done.stdout), command


@pytest.mark.parametrize("argv", [["version"], ["--version"]])
def test_version_names_itself_and_its_library(argv):
    done = run(*argv)
    assert done.returncode == 0
    assert re.search(r"^sallyport \d+\.\d+\.\d+", done.stdout, re.IGNORECASE)
    assert re.search(r"BoringSSL|AWS-LC", done.stdout)


def test_output_that_cannot_be_written_is_no_success():
    with open("/dev/full", "w", encoding="ascii") as full:
        for command in ("schema", "version"):
            done = subprocess.run([binary(), command], stdout=full, stderr=subprocess.PIPE,
                                  timeout=PATIENCE, check=False)
            assert done.returncode != 0, command


# ---- schema

def test_the_schema_is_json_and_describes_every_key():
    done = run("schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) >= {"listeners", "pools", "workers", "user", "group",
                                         "drain_timeout", "limits", "log", "admin"}

    def undocumented(node, where=""):
        for name, value in node.get("properties", {}).items():
            if not name.startswith("$") and "description" not in value:
                yield f"{where}/{name}"
            if isinstance(value, dict):
                yield from undocumented(value, f"{where}/{name}")
        for part in ("items", "additionalProperties"):
            if isinstance(node.get(part), dict):
                yield from undocumented(node[part], where)
    assert not list(undocumented(schema))


def test_the_reference_names_every_key_of_the_schema():
    done = run("schema", "--reference")
    assert done.returncode == 0
    for name in json.loads(run("schema").stdout)["properties"]:
        assert f"`{name}`" in done.stdout, name


# ---- proxy

def test_print_config_is_what_run_takes(folder, authority, sallyport, web):
    leaf, server, port = authority.leaf("a.example"), web(), free_port()
    done = run("proxy", "--listen", f"{HOST}:{port}", "--cert", leaf.cert, "--key", leaf.key,
               "--backend", server.address, "--mode", "tcp", "--admin", "false", "--print-config")
    assert done.returncode == 0, done.stderr
    config = json.loads(done.stdout)
    assert config["listeners"][0]["address"] == f"{HOST}:{port}"
    assert config["listeners"][0]["mode"] == "tcp"
    config.pop("admin")
    instance = sallyport(config=dict(config, workers=1))
    assert served_serial(instance.port) == leaf.serial
    (folder / "printed.json").write_text(done.stdout)
    assert run("check", "-c", str(folder / "printed.json")).returncode == 0


def test_proxy_serves_from_flags_alone(started, folder, authority, web):
    leaf, port = authority.leaf("a.example"), free_port()
    servers = [web().address, web().address]
    made = started("proxy", "--listen", f"{HOST}:{port}", "--cert", leaf.pem,
                   "--backend", servers[0], "--backend", servers[1],
                   "--admin", f"unix:{folder}/admin.sock")
    made.wait_open(port)
    for _ in range(4):
        got = curl("https://a.example/hello", port, authority=authority)
        assert got.stdout == "hello from nginx\n", got.stderr
    text = curl("http://localhost/metrics", 1, "--unix-socket", f"{folder}/admin.sock").stdout
    counts = re.findall(r'server_requests_total{.*server="([^"]*)",code="2xx"} (\d+)', text)
    assert {server for server, _ in counts} <= set(servers)
    assert sum(int(count) for _, count in counts) == 4, text
    made.process.send_signal(signal.SIGHUP)
    wait_until(lambda: 'reloads_total{outcome="done"} 1' in curl(
        "http://localhost/metrics", 1, "--unix-socket", f"{folder}/admin.sock").stdout, "a reload")
    assert curl("https://a.example/hello", port, authority=authority).returncode == 0
    assert made.stop() == 0


def test_proxy_with_relative_files(started, folder, authority, web):
    """They are taken from where it is called."""
    port = free_port()
    (folder / "own.pem").write_bytes(open(authority.leaf("a.example").pem, "rb").read())
    (folder / "own.pem").chmod(0o600)
    made = started("proxy", "--listen", f"{HOST}:{port}", "--cert", "own.pem", "--backend",
                   web().address, "--admin", "false")
    made.wait_open(port)
    assert served_serial(port) == authority.leaf("a.example").serial
    assert made.stop() == 0


def test_proxy_with_a_missing_file_is_exit_code_1():
    done = run("proxy", "--listen", f"{HOST}:{free_port()}", "--cert", "/none.pem", "--backend",
               "127.0.0.1:1", "--admin", "false")
    assert done.returncode == 1 and "/none.pem" in done.stderr


def test_run_may_be_left_out(started, folder, authority, sallyport, backend):
    instance = sallyport([backend().address], tls=[authority.leaf("a.example").pem], start=False)
    made = started("-c", str(instance.config_path))
    made.wait_open(instance.port)
    assert made.stop() == 0


# ---- demo

@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_demo_answers_curl_and_tidies_up(started, folder, sig):
    port = free_port()
    temporary = folder / "tmp"
    temporary.mkdir(mode=0o777)
    kept = dict(os.environ)
    os.environ["TMPDIR"] = str(temporary)
    try:
        made = started("demo", "--listen", f"{HOST}:{port}")
    finally:
        os.environ.clear()
        os.environ.update(kept)
    made.wait_open(port)
    got = subprocess.run(["curl", "-sSk", "--tlsv1.3", "-w", "%{http_code} %{ssl_verify_result}",
                          f"https://{HOST}:{port}/"], capture_output=True, text=True,
                         timeout=PATIENCE, check=False)
    assert got.returncode == 0, got.stderr
    assert "200" in got.stdout.splitlines()[-1]
    wait_until(lambda: f"{HOST}:{port}" in made.said(), "it to say where it listens")
    # A second request, and several at once.
    more = subprocess.run(["curl", "-sSk", "--parallel", *[f"https://{HOST}:{port}/"] * 5],
                          capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert more.returncode == 0, more.stderr
    assert made.stop(sig) == 0
    assert refused(port)
    assert not list(temporary.iterdir())


def test_demo_beside_another_server_says_so(web):
    server = web()
    done = run("demo", "--listen", server.address)
    assert done.returncode == 3
    assert f"{server.address}: cannot listen: address already in use" in done.stderr


def test_two_demos_do_not_share_anything(started, folder):
    ports = [free_port(), free_port()]
    made = [started("demo", "--listen", f"{HOST}:{port}") for port in ports]
    for each, port in zip(made, ports):
        each.wait_open(port)
    serials = {served_serial(port) for port in ports}
    assert len(serials) == 2
    assert made[0].stop() == 0
    served_serial(ports[1])
    assert made[1].stop() == 0
