"""Everything at once, by chance: deaths, reloads good and bad, rotation, under load. Afterwards it
is as if nothing had been."""

import copy
import itertools
import os
import random
import signal
import time

from support import processes
from support.ports import HOST, free_port
from support.tlsclient import served_serial
from support.tools import h2load
from support.traffic import Knocking
from support.wait import PATIENCE, wait_until

SECONDS = 4


def test_after_chaos_all_is_well(sallyport, web, authority):
    servers = [web().address, web().address]
    leaves = [authority.leaf("a.example", fresh=True) for _ in range(3)]
    instance = sallyport(servers, tls=[leaves[0].pem], workers=3)
    instance.expect_noise = (r"killed by SIGKILL", r"is killed: ", r"cannot be told")
    plain, port = copy.deepcopy(instance.config), instance.port
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    extras = itertools.cycle([free_port() for _ in range(3)])

    def kill_someone():
        victims = [*instance.workers(), instance.steward(), instance.keeper()]
        pid = chance.choice([v for v in victims if v is not None] or [None])
        if pid is not None:
            processes.kill(pid)

    def reload_well():
        config = copy.deepcopy(plain)
        config["listeners"][0]["tls"]["certificates"] = [chance.choice(leaves).pem]
        if chance.random() < 0.5:
            config["listeners"].append({"name": "extra", "address": f"{HOST}:{next(extras)}",
                                        "mode": "tcp", "pool": "back"})
        if chance.random() < 0.5:
            config["pools"]["back"]["servers"] = servers[:1]
        instance.configure(config)
        instance.signal(signal.SIGHUP)

    def reload_badly():
        instance.write("{")
        instance.signal(signal.SIGHUP)

    def rotate():
        log = instance.folder / "access.log"
        if log.exists():
            os.rename(log, log.with_suffix(f".{time.monotonic_ns()}"))
        instance.signal(signal.SIGUSR1)

    print(f"seed {seed}")
    supervisor = instance.pid
    with Knocking(port, 3) as knocking:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for _ in range(chance.randrange(1, 4)):
                chance.choice([kill_someone, reload_well, reload_badly, rotate])()
            time.sleep(chance.random() * 0.1)
        knocks = knocking.finish()
    assert knocks

    instance.configure(plain)
    wait_until(lambda: instance.get_or_none("/readyz") == 200, "the admin endpoint", PATIENCE * 2)
    wait_until(lambda: len(instance.workers()) == 3 and instance.steward() and instance.keeper(),
               "all processes",
               PATIENCE * 2)
    assert instance.pid == supervisor and instance.process.poll() is None
    # One that was asked for during the last load may still follow it.
    assert instance.reload(timeout=PATIENCE * 2) == "done"
    wait_until(lambda: served_serial(port) == leaves[0].serial, "the first certificate")
    load = h2load(f"https://127.0.0.1:{port}/hello", clients=8, requests=300)
    assert (load.failed, load.errored) == (0, 0), load.output
    instance.wait_metric(0, "connections_active")
    instance.wait_metric(0, "server_connections_active")
    wait_until(lambda: len(instance.pids()) == 6, "no process more or less")
