"""A reload that cannot be taken changes nothing, and says why."""

import copy
import shutil
import socket

import pytest

from support.ports import HOST, free_port
from support.tlsclient import serial, connect, served_serial
from support.traffic import Steady, fetch, fetch_again, refused
from support.wait import wait_until


def broken_syntax(instance, place):
    instance.write('{ "listeners": [ }')
    return r"sallyport\.json:1:\d+: "


def broken_meaning(instance, place):
    config = copy.deepcopy(instance.config)
    config["pools"]["back"]["sevrers"] = config["pools"]["back"].pop("servers")
    instance.configure(config)
    return r"sallyport\.json: /pools/back.*sevrers.*did you mean .servers."


def missing_file(instance, place):
    instance.config_path.unlink()
    return r"sallyport\.json: cannot be opened: No such file"


def broken_certificate(instance, place):
    text = (place / "a.pem").read_text()
    (place / "a.pem").write_text(text.replace("MII", "MIx", 1).replace("A", "!", 3))
    return r"certs/a\.pem"


def broken_key(instance, place):
    # The certificate of one pair, the key of another.
    cert = (place / "a.pem").read_text().partition("-----BEGIN PRIVATE")[0]
    key = (place / "other").read_text()
    (place / "a.pem").write_text(cert + key[key.index("-----BEGIN PRIVATE"):])
    return r"certs/a\.pem: the private key does not belong to the certificate"


def no_certificate(instance, place):
    (place / "a.pem").unlink()
    return r"certs: holds no certificate"


def start_only_workers(instance, place):
    instance.configure(dict(instance.config, workers=2))
    return r"sallyport\.json: /workers: is taken only at start"


def start_only_admin(instance, place):
    instance.configure(dict(instance.config, admin={"address": f"unix:{place}/other.sock"}))
    return r"sallyport\.json: /admin.*: is taken only at start"


def start_only_connections(instance, place):
    instance.configure(dict(instance.config, limits={"connections": 7}))
    return r"sallyport\.json: /limits/connections: is taken only at start"


def port_in_use(instance, place):
    taken = socket.socket()
    taken.bind((HOST, free_port()))
    taken.listen()
    instance.taken = taken
    config = copy.deepcopy(instance.config)
    # The first of the two could be bound, and must not stay so.
    instance.fine = free_port()
    for port in (instance.fine, taken.getsockname()[1]):
        config["listeners"].append({"address": f"{HOST}:{port}", "mode": "tcp", "pool": "back"})
    instance.configure(config)
    return rf"{HOST}:{taken.getsockname()[1]}.*(?i:address already in use)"


def log_in_no_folder(instance, place):
    instance.configure(dict(instance.config, log={"access": {"path": f"{place}/none/a.log"}}))
    return r"none/a\.log.*No such file"


BREAKS = [broken_syntax, broken_meaning, missing_file, broken_certificate, broken_key,
          no_certificate, start_only_workers, start_only_admin, start_only_connections,
          port_in_use, log_in_no_folder]


@pytest.fixture
def door(sallyport, web, authority, folder):
    """An instance with its certificates in folder/certs."""
    place = folder / "certs"
    place.mkdir()
    shutil.copy(authority.leaf("a.example").pem, place / "a.pem")
    shutil.copy(authority.leaf("b.example").pem, place / "other")
    return sallyport([web().address], tls=[str(place)]), place


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda f: f.__name__)
def test_the_old_state_serves_and_the_log_says_why(door, authority, break_it):
    instance, place = door
    config = instance.config
    kept = (place / "a.pem").read_bytes()
    leaf = authority.leaf("a.example")
    pids = sorted(instance.pids())
    with connect(instance.port) as tls, Steady(instance.port, 1) as steady:
        fetch_again(tls)
        pattern = break_it(instance, place)
        assert instance.reload() == "refused"
        instance.wait_error(pattern)
        metrics = instance.metrics()
        assert metrics.get("configuration_generation") == 1
        assert metrics.get("reload_last_success") == 0
        assert metrics.get("reload_last_time_seconds") > 0
        fetch_again(tls)
        port = int(config["listeners"][0]["address"].rpartition(":")[2])
        assert served_serial(port) == leaf.serial
        fetch(port)
        assert instance.get("/healthz")[0] == instance.get("/readyz")[0] == 200
        wait_until(lambda: sorted(instance.pids()) == pids, "the processes from before")
        if hasattr(instance, "fine"):
            assert refused(instance.fine)
            instance.taken.close()

        # What is mended is taken.
        (place / "a.pem").write_bytes(kept)
        assert instance.reload(config) == "done"
        metrics = instance.metrics()
        assert metrics.get("configuration_generation") == 2
        assert metrics.get("reload_last_success") == 1
        assert metrics.get("process_restarts_total") == 0
        fetch_again(tls)
        assert serial(tls) == leaf.serial
        steady.finish()


def test_all_reasons_are_logged_not_just_the_first(door):
    instance, place = door
    config = copy.deepcopy(instance.config)
    config["listeners"][0]["pool"] = "bakc"
    config["drain_timeuot"] = "1s"
    config["workers"] = "many"
    instance.configure(config)
    assert instance.reload() == "refused"
    for pattern in (r"/listeners/0/pool: .*did you mean .back.", r"drain_timeuot.*drain_timeout",
                    r"/workers: "):
        instance.wait_error(pattern)


def test_a_broken_reload_between_good_ones(door, authority):
    instance, place = door
    config = instance.config
    with Steady(instance.port, 2) as steady:
        for turn in range(3):
            leaf = authority.leaf("a.example", fresh=True)
            shutil.copy(leaf.pem, place / "a.pem")
            assert instance.reload(config) == "done"
            port = int(config["listeners"][0]["address"].rpartition(":")[2])
            assert served_serial(port) == leaf.serial
            instance.write("{")
            assert instance.reload() == "refused"
            assert served_serial(port) == leaf.serial
        steady.finish()
    metrics = instance.metrics()
    assert metrics.get("reloads_total", outcome="done") == 3
    assert metrics.get("reloads_total", outcome="refused") == 3
    assert metrics.get("configuration_generation") == 4
    instance.configure(config)
