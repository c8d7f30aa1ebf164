"""What README and conf/examples tell people to write does work."""

import json
import os
import pathlib
import re
import subprocess

import pytest

from support.ports import HOST, free_port
from support.sallyport import binary
from support.traffic import fetch
from support.wait import PATIENCE

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "conf" / "examples").glob("*.json"))


def check(path, environ=None):
    """Runs sallyport check."""
    return subprocess.run([binary(), "check", "-c", str(path)], capture_output=True, text=True,
                          timeout=PATIENCE * 3, check=False, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, **(environ or {})))


def schema():
    """What sallyport schema prints."""
    done = subprocess.run([binary(), "schema"], capture_output=True, timeout=PATIENCE, check=True)
    return json.loads(done.stdout)


def readme_configurations():
    """The JSON in README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def with_files(config, folder, authority):
    """The configuration with its files made below `folder`, and users that exist."""
    def here(path):
        return str(folder / path.lstrip("/"))

    def put(path, leaf, what):
        target = pathlib.Path(here(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(pathlib.Path(getattr(leaf, what)).read_bytes())
        target.chmod(0o600)
        return str(target)

    leaf = authority.leaf("a.example")
    for listener in config["listeners"]:
        tls = listener.get("tls")
        if tls is None:
            continue
        made = []
        for entry in tls["certificates"]:
            if isinstance(entry, dict):
                made.append({"certificate": put(entry["certificate"], leaf, "cert"),
                             "key": put(entry["key"], leaf, "key")})
            elif entry.endswith(".d"):
                put(entry + "/site.pem", leaf, "pem")
                made.append(here(entry))
            else:
                made.append(put(entry, leaf, "pem"))
        tls["certificates"] = made
        if "default_certificate" in tls:
            tls["default_certificate"] = here(tls["default_certificate"])
    for pool in config["pools"].values():
        if "ca" in pool.get("tls", {}):
            target = pathlib.Path(here(pool["tls"]["ca"]))
            target.write_bytes(pathlib.Path(authority.path).read_bytes())
            pool["tls"]["ca"] = str(target)
        if "certificate" in pool.get("tls", {}):
            pool["tls"]["certificate"] = put(pool["tls"]["certificate"], leaf, "pem")
    for key in ("user", "group"):
        if key in config:
            config[key] = "root" if key == "group" else "nobody"
    return config


def substituted(config):
    """With every ${NAME:-default} replaced by its default."""
    return json.loads(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", json.dumps(config)))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_every_example_is_accepted(path, folder, authority):
    config = with_files(substituted(json.loads(path.read_text())), folder, authority)
    made = folder / "example.json"
    made.write_text(json.dumps(config))
    done = check(made)
    assert done.returncode == 0, done.stderr


def test_there_are_examples_and_a_configuration_in_readme():
    assert len(EXAMPLES) >= 3 and len(readme_configurations()) >= 1


@pytest.mark.parametrize("number", range(len(readme_configurations())))
def test_every_configuration_of_readme_is_accepted(number, folder, authority):
    config = with_files(readme_configurations()[number], folder, authority)
    made = folder / "readme.json"
    made.write_text(json.dumps(config))
    done = check(made)
    assert done.returncode == 0, done.stderr


def test_every_example_fits_the_schema():
    jsonschema = pytest.importorskip("jsonschema")
    described = schema()
    validator = jsonschema.validators.validator_for(described)
    validator.check_schema(described)
    judge = validator(described)
    for config in [json.loads(p.read_text()) for p in EXAMPLES] + readme_configurations():
        assert [str(e) for e in judge.iter_errors(config)] == []
    # And what is wrong does not.
    for wrong in ({}, {"listeners": []}, {"listeners": [{"address": 5, "pool": "a"}]},
                  {"listeners": [{"address": ":1", "pool": "a", "sevrers": 1}]},
                  {"listeners": [{"address": ":1", "pool": "a"}], "drain_timeout": "5 s"},
                  {"listeners": [{"address": ":1", "pool": "a"}], "workers": 0},
                  {"listeners": [{"address": ":1", "pool": "a"}], "workers": "2"}):
        assert not judge.is_valid(wrong), wrong


def test_the_sidecar_example_serves_with_what_the_environment_says(folder, authority, web,
                                                                    sallyport):
    leaf, port = authority.leaf("a.example"), free_port()
    tls = folder / "tls"
    tls.mkdir()
    for name, source in (("tls.crt", leaf.cert), ("tls.key", leaf.key)):
        (tls / name).write_bytes(pathlib.Path(source).read_bytes())
        (tls / name).chmod(0o600)
    config = json.loads((ROOT / "conf" / "examples" / "sidecar.json").read_text())
    config.pop("admin")
    config.pop("log")
    config["workers"] = 1
    instance = sallyport(config=config, environ={
        "LISTEN": f"{HOST}:{port}", "MODE": "tcp", "TLS_FOLDER": str(tls),
        "BACKEND": web().address})
    fetch(port)
    # Also after a reload: the loader gets the environment again.
    assert instance.reload() == "done"
    fetch(port)


def commands_of(text):
    """The sub-commands of sallyport that a text shows."""
    return set(re.findall(r"^(?:\$ )?sallyport ([a-z]+)", text, re.MULTILINE))


def test_readme_and_man_page_name_no_command_that_is_not_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    man = (ROOT / "deploy" / "man" / "sallyport.8").read_text(encoding="utf-8")
    shown = commands_of(readme) | commands_of(man) | set(re.findall(r"^\.Cm ([a-z]+)", man,
                                                                    re.MULTILINE))
    assert {"run", "check", "proxy"} <= shown
    for command in shown:
        done = subprocess.run([binary(), command, "--surely-not-an-option"], capture_output=True,
                              text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 2
        assert "unknown command" not in done.stderr, done.stderr


def test_readme_names_no_file_that_is_not_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\b((?:deploy|tests|conf|proxy|certs)/[\w./-]*\w)", readme):
        assert (ROOT / name).exists(), name


def test_architecture_names_no_file_that_is_not_there():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = ["", "proxy/", "proxy/net/"]
    for name in re.findall(r"`([a-z_0-9/]+\.(?:c|h|py))`", text):
        found = any((ROOT / room / name).exists() for room in rooms)
        found = found or list((ROOT / "proxy").rglob(name))
        assert found, name


def test_every_metric_that_readme_or_man_name_is_there(sallyport, web):
    instance = sallyport([web().address])
    types = instance.metrics().types
    for page in ("README.md", "ARCHITECTURE.md", "deploy/man/sallyport.8"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for name in re.findall(r"\bsallyport_[a-z_]+", text):
            assert name in types, f"{page} names {name}"
