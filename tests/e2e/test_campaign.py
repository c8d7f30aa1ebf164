"""A campaign of deaths, by a fixed seed: workers, keeper and steward, one after the other, under load
by HTTP/1.1 and HTTP/2. What was answered was answered right, nobody waits long, who was not on the
dead one's connections notices nothing, and afterwards nothing is left."""

import os
import random
import time

import pytest

from support import processes
from support.anyhttp import caller
from support.traffic import Background, Probing
from support.wait import PATIENCE, SANITIZED, wait_until

KILLS = 8 if SANITIZED else 50  # of each
WORKERS = 3
FILES = 16
GAP = 5.0 if SANITIZED else 1.0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees whose a connection is")


class Asking(Background):
    """A client that asks for files in turn on a connection that stays, and looks at each answer. A
    connection that breaks is noted, with its port and when, and made again."""

    def __init__(self, version, port, bodies, number):
        super().__init__(1)
        self._version, self._port, self._bodies, self._next = version, port, bodies, number
        self.answered, self.wrong, self.breaks = 0, [], []
        self._begin()

    def _ask(self, connection):
        self._next = (self._next + 1) % len(self._bodies)
        connection.plain(f"/file{self._next}")
        got = connection.reply()
        if got.status == 200 and got.body == self._bodies[self._next]:
            self.answered += 1
        else:
            self.wrong.append((self._next, got.status, got.body[:80]))

    def _stay(self):
        connection = caller(self._version, self._port)
        client = connection.client
        raw = client.socket if self._version == "h1" else client.pipe.socket
        local = raw.getsockname()[1]
        try:
            while not self._stopping.wait(0.01):
                self._ask(connection)
        except (OSError, AssertionError):
            self.breaks.append((time.monotonic(), local))
        finally:
            try:
                connection.close()
            except (OSError, AssertionError):
                pass  # it was broken

    def _run(self, number):
        while not self._stopping.is_set():
            try:
                self._stay()
            except (OSError, AssertionError):
                time.sleep(0.01)  # it could not be made: how long that lasts, Probing tells

    def finish(self):
        """Stops."""
        self._end()


class Campaign:
    """Kills one after the other, and knows whose connections could notice."""

    def __init__(self, instance, clients):
        self.instance, self.clients = instance, clients
        self.deaths = []

    def _breaks_from(self, counts):
        return [b for c, n in zip(self.clients, counts) for b in c.breaks[n:]]

    def kill(self, role):
        """Kills one of that role, once the last that died has a successor, and looks who noticed."""
        made = self.instance
        find = {"worker": made.workers, "keeper": lambda: [made.keeper()],
                "steward": lambda: [made.steward()]}[role]
        wait_until(lambda: None not in find() and len(find()) == (WORKERS if role == "worker" else 1),
                   f"every {role}", PATIENCE * 2)
        before = find()
        victim = before[self.chance.randrange(len(before))]
        living = [w for w in made.workers() if w != victim]
        owned = {w: processes.peers_of(w, made.port) for w in living}
        counts = [len(c.breaks) for c in self.clients]
        os.kill(victim, 9)
        self.deaths.append(time.monotonic())
        time.sleep(0.2)
        broken = {port for _, port in self._breaks_from(counts)}
        touched = {w: broken & ports for w, ports in owned.items() if broken & ports}
        assert not touched, f"the death of {role} {victim} touched connections of others: {touched}"


def held(instance):
    """What must not grow: descriptors and shared memory of each process, by role."""
    def of(pid):
        names = processes.links(pid).values()
        return len(names), sum("memfd" in name for name in names)

    def of_worker(pid):
        # Beside connections that it keeps to servers.
        return sum(not name.startswith("socket:") for name in processes.links(pid).values())

    return {"supervisor": of(instance.pid), "keeper": of(instance.keeper()),
            "steward": of(instance.steward()),
            "workers": sorted(of_worker(w) for w in instance.workers())}


def test_fifty_deaths_of_each(sallyport, web, authority):
    back = web()
    bodies = [f"file {n} ".encode() * (100 + 97 * n) for n in range(FILES)]
    for n, body in enumerate(bodies):
        (back.www / f"file{n}").write_bytes(body)
    instance = sallyport([back.address], tls=[authority.leaf("a.example").pem], workers=WORKERS,
                         listener={"mode": "http"})
    instance.expect_noise = (r"killed by SIGKILL",)
    instance.wait_error("serving: generation 1")
    before = held(instance)
    seed = 20261126
    roles = ["worker", "keeper", "steward"] * KILLS
    clients = [Asking(version, instance.port, bodies, i)
               for i, version in enumerate(["h1", "h1", "h1", "h2", "h2", "h2"])]
    campaign = Campaign(instance, clients)
    campaign.chance = random.Random(seed)
    campaign.chance.shuffle(roles)
    with Probing(instance.port) as probing:
        probing.EVERY = 0.05
        time.sleep(0.5)
        for role in roles:
            campaign.kill(role)
        time.sleep(1.5)
        knocks = probing.finish()
    for client in clients:
        client.finish()
        assert not client.wrong, client.wrong[:3]
        assert client.answered > len(roles)
    late = [k for k in knocks if k.seconds > GAP]
    assert not late, f"answered late: {late[:5]}"
    # Only what was on its way when one died may have failed.
    for knock in knocks:
        assert not knock.error or any(knock.began <= death + 0.1 and
                                      knock.began + knock.seconds >= death - 0.1
                                      for death in campaign.deaths), knock
    assert len(campaign.deaths) == 3 * KILLS
    # Nothing is left of them.
    instance.wait_metric(0, "connections_active")
    instance.wait_metric(0, "requests_active")
    wait_until(lambda: len(instance.pids()) == WORKERS + 3, "no process more or less")
    wait_until(lambda: held(instance) == before, f"what is held to be as before: {before}, now "
               f"{held(instance)}", PATIENCE * 2)
    # Slots, too: reloads that replace everything still find room.
    for i in range(4):
        config = dict(instance.config, pools={f"p{i}": {"servers": [back.address]}})
        config["listeners"] = [dict(config["listeners"][0], pool=f"p{i}")]
        assert instance.reload(config) == "done"
