"""sallyport check: everything a reload would find, without doing it."""

import json
import os
import re
import shutil
import subprocess

import pytest

from support.ports import HOST, free_port
from support.sallyport import binary
from support.wait import PATIENCE


def check(path, *flags, environ=None):
    """Runs it; the finished process."""
    return subprocess.run([binary(), "check", "-c", str(path), *flags], capture_output=True,
                          text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, **(environ or {})))


@pytest.fixture
def written(folder, authority):
    """Writes a configuration, text or object, beside the certificate a.pem."""
    shutil.copy(authority.leaf("a.example").pem, folder / "a.pem")
    path = folder / "conf.json"

    def write(config):
        path.write_text(config if isinstance(config, str) else json.dumps(config, indent=2))
        return path
    return write


def good():
    """A configuration without a fault."""
    return {"listeners": [{"address": f"{HOST}:{free_port()}", "mode": "tcp", "pool": "back",
                           "tls": {"certificates": ["a.pem"]}}],
            "pools": {"back": {"servers": [f"{HOST}:1"]}}, "admin": False}


def test_a_good_one_is_exit_code_0(written):
    done = check(written(good()))
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr


def test_nothing_is_bound_or_left_behind(written, folder):
    config = good()
    config["admin"] = {"address": "unix:admin.sock"}
    before = set(folder.iterdir())
    path = written(config)
    assert check(path).returncode == 0
    assert set(folder.iterdir()) == before | {path}


SYNTAX = [
    ('{\n  "listeners": [1,]\n}', 2, "remove the comma"),
    ('{\n  "listeners": [] // none\n}', 2, "no comments"),
    ("{\n  'listeners': []\n}", 2, "double quotes"),
    ('{\n  "listeners": [\n', 0, "not closed"),
    ('{}\n{}', 2, "something follows"),
    ('{ "a": 1, "a": 2 }', 1, "duplicate key .a."),
    ("\ufeff{}", 1, "byte order mark"),
]


@pytest.mark.parametrize("text,line,words", SYNTAX, ids=[w for _, _, w in SYNTAX])
def test_syntax_is_reported_with_line_and_column(written, text, line, words):
    path = written(text)
    done = check(path)
    assert done.returncode == 1
    found = re.search(rf"^{re.escape(str(path))}:(\d+):(\d+): (.*)$", done.stderr, re.MULTILINE)
    assert found, done.stderr
    assert re.search(words, found.group(3)), found.group(3)
    assert line in (0, int(found.group(1)))


def test_every_fault_is_reported_with_its_pointer(written, folder):
    config = good()
    config["listeners"][0]["pool"] = "bcak"
    config["listeners"][0]["tls"]["min_version"] = "1.1"
    config["listeners"].append({"address": "nowhere", "mode": "tpc", "pool": "back"})
    config["pools"]["back"]["sevrers"] = []
    config["drain_timeout"] = "5 minutes"
    config["limits"] = {"connections": -1}
    path = written(config)
    done = check(path)
    assert done.returncode == 1
    wanted = {
        "/listeners/0/pool": 'did you mean "back"',
        "/listeners/0/tls/min_version": '"1.2"',
        "/listeners/1/address": "nowhere",
        "/listeners/1/mode": 'did you mean "tcp"',
        "/pools/back": 'unknown key "sevrers", did you mean "servers"',
        "/drain_timeout": "duration",
        "/limits/connections": "whole number",
    }
    for pointer, words in wanted.items():
        lines = [line for line in done.stderr.splitlines()
                 if line.startswith(f"{path}: {pointer}: ") or
                 line.startswith(f"{path}: {pointer}/")]
        assert any(words in line for line in lines), (pointer, words, done.stderr)


def fault_missing(folder, config):
    config["listeners"][0]["tls"]["certificates"].append("none.pem")
    return "none.pem", "No such file"


def fault_mismatch(folder, config):
    text = (folder / "a.pem").read_text()
    other = config.pop("other")
    cert = text[: text.index("-----BEGIN PRIVATE")]
    key = open(other, encoding="ascii").read()
    (folder / "a.pem").write_text(cert + key[key.index("-----BEGIN PRIVATE"):])
    return "a.pem", "does not belong"


def fault_encrypted(folder, config):
    subprocess.run(["openssl", "pkcs8", "-topk8", "-in", str(folder / "a.pem"), "-out",
                    str(folder / "a.key"), "-passout", "pass:x"], check=True, capture_output=True)
    text = (folder / "a.pem").read_text()
    cert = text[: text.index("-----BEGIN PRIVATE")]
    (folder / "a.pem").write_text(cert + (folder / "a.key").read_text())
    (folder / "a.key").unlink()
    return "a.pem", "encrypted"


def fault_garbage(folder, config):
    (folder / "a.pem").write_bytes(b"\x30\x82\0\0" * 100)
    return "a.pem", "no certificate"


def fault_folder(folder, config):
    (folder / "empty").mkdir()
    config["listeners"][0]["tls"]["certificates"] = ["empty"]
    return "empty", "holds no certificate"


def fault_default(folder, config):
    config["listeners"][0]["tls"]["default_certificate"] = "b.pem"
    return "b.pem", "No such file"


def fault_group(folder, config):
    config["listeners"][0]["tls"]["groups"] = ["X2551"]
    return "/groups", "X2551"


def fault_cipher(folder, config):
    config["listeners"][0]["tls"]["ciphers"] = ["NO-SUCH-CIPHER"]
    return "/ciphers", "NO-SUCH-CIPHER"


def fault_ca(folder, config):
    config["pools"]["back"]["tls"] = {"ca": "a-ca.pem", "server_name": "a.example"}
    return "a-ca.pem", "No such file"


def fault_name(folder, config):
    config["listeners"][0]["address"] = "no-such-host.invalid:4443"
    return "no-such-host.invalid", "nothing to listen on"


FAULTS = [fault_missing, fault_mismatch, fault_encrypted, fault_garbage, fault_folder,
          fault_default, fault_group, fault_cipher, fault_ca, fault_name]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_faults_of_files_are_found_by_check_and_by_a_reload_alike(written, folder, authority,
                                                                 sallyport, web, fault):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem])
    config = good()
    config["other"] = authority.leaf("b.example").pem
    what, words = fault(folder, config)
    config.pop("other", None)
    config["workers"] = 1
    done = check(written(config))
    assert done.returncode == 1
    faults = [line for line in done.stderr.splitlines() if what in line and words in line]
    assert faults, done.stderr

    # What check says of a file is what a reload logs.
    config["admin"] = instance.config["admin"]
    config["log"] = instance.config["log"]
    text = json.dumps(config)
    for name in ("a.pem", "none.pem", "empty", "b.pem", "a-ca.pem"):
        text = text.replace(f'"{name}"', f'"{folder}/{name}"')
    instance.write(text)
    assert instance.reload() == "refused"
    said = faults[0].rpartition("conf.json: ")[2]
    said = re.sub(r"^/[^ ]*?: (?=/)", "", said)
    instance.wait_error(re.escape(said))


def test_all_faulty_files_are_named_at_once(written, folder, authority):
    config = good()
    config["listeners"][0]["tls"]["certificates"] += ["none.pem", "b.pem", {
        "certificate": "c.pem", "key": "c.key"}]
    (folder / "b.pem").write_text("nothing of use")
    done = check(written(config))
    assert done.returncode == 1
    for name in ("none.pem", "b.pem", "c.pem"):
        assert name in done.stderr


def test_an_expired_certificate_is_a_warning(written, folder, authority):
    shutil.copy(authority.leaf("old.example", days=-2).pem, folder / "old.pem")
    config = good()
    config["listeners"][0]["tls"]["certificates"].append("old.pem")
    done = check(written(config))
    assert done.returncode == 0
    assert re.search(r"old\.pem: warning: the certificate expired on ", done.stderr), done.stderr


def test_a_server_without_an_address_is_a_warning(written):
    config = good()
    config["pools"]["back"]["servers"].append("no-such-host.invalid:80")
    done = check(written(config))
    assert done.returncode == 0
    assert "no-such-host.invalid" in done.stderr and "warning" in done.stderr


def test_a_port_in_use_is_no_fault_of_the_configuration(written, web):
    """It may be in use by the very instance that shall reload."""
    config = good()
    config["listeners"][0]["address"] = web().address
    assert check(written(config)).returncode == 0


def test_variables_of_the_environment(written):
    config = good()
    config["pools"]["back"]["servers"] = ["${BACKEND}"]
    path = written(config)
    done = check(path)
    assert done.returncode == 1 and "/pools/back/servers/0" in done.stderr
    assert "BACKEND" in done.stderr
    assert check(path, environ={"BACKEND": "127.0.0.1:80"}).returncode == 0
    assert check(path, environ={"BACKEND": "not an address"}).returncode == 1
    config["pools"]["back"]["servers"] = ["${BACKEND:-127.0.0.1:80}"]
    assert check(written(config)).returncode == 0


def test_an_empty_file(written):
    done = check(written(""))
    assert done.returncode == 1 and "conf.json: is empty" in done.stderr


def test_a_file_that_is_not_there(folder):
    done = check(folder / "none.json")
    assert done.returncode == 1
    assert "none.json" in done.stderr and "No such file" in done.stderr


def test_a_folder_in_place_of_the_file(folder):
    done = check(folder)
    assert done.returncode == 1 and "Is a directory" in done.stderr
