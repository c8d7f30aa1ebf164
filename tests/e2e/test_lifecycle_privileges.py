"""What each process may do, and where private keys are: with the keeper, nowhere else."""

import grp
import os
import pathlib
import pwd
import re
import shutil
import ssl

import pytest
from cryptography.hazmat.primitives import serialization

from support.processes import links, sockets, status
from support.tlsclient import context, served_serial
from support.tools import Loading
from support.traffic import fetch
from support.wait import SANITIZED, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into the others")


@pytest.fixture
def instance(sallyport, web, authority):
    """Two workers before nginx."""
    made = sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2)
    served_serial(made.port)
    return made


def identity():
    """Who workers become by default."""
    for name in ("sallyport", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("no user to become")


def assert_unprivileged(pid, uid, gid):
    """The process is that user, and can become nobody else."""
    wait_until(lambda: status(pid)["NoNewPrivs"] == "1", f"{pid} to have begun")
    said = status(pid)
    assert set(said["Uid"].split()) == {str(uid)}
    assert set(said["Gid"].split()) == {str(gid)}
    assert said["Groups"] in ("", str(gid))
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(said[kind], 16) == 0, f"{kind} {said[kind]}"


def test_no_role_has_privileges(instance):
    user = identity()
    for pid in (*instance.workers(), instance.steward(), instance.keeper()):
        assert_unprivileged(pid, user.pw_uid, user.pw_gid)
        if not SANITIZED:  # LeakSanitizer needs it
            # Files in /proc of a process that cannot be dumped belong to root.
            assert os.stat(f"/proc/{pid}/mem").st_uid == 0


def test_they_become_the_configured_user_and_group(sallyport, web, authority):
    user, group = pwd.getpwnam("daemon"), grp.getgrnam("games")
    made = sallyport([web().address], tls=[authority.leaf("a.example").pem], user="daemon",
                     group="games")
    served_serial(made.port)
    for pid in (*made.workers(), made.steward()):
        assert_unprivileged(pid, user.pw_uid, group.gr_gid)


def test_all_share_one_index_that_none_can_write(instance):
    for pid in instance.workers():
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
        (snapshot,) = [line.split() for line in maps if "/memfd:snapshot" in line]
        assert snapshot[1].startswith("r--")
    inodes = {line.split()[4] for pid in instance.workers()
              for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
              if "/memfd:snapshot" in line}
    assert len(inodes) == 1, "each has a copy of its own"


def test_workers_have_no_files(instance):
    """Beside the three that it was started with: sockets, memories, what an event loop needs."""
    for pid in instance.workers():
        for fd, target in links(pid).items():
            if fd > 2:
                assert re.match(r"socket:|anon_inode:|/memfd:|pipe:", target), f"{fd}: {target}"


def test_only_the_steward_has_the_logs_and_only_the_supervisor_beside_it(instance):
    logs = {str(instance.folder / "error.log"), str(instance.folder / "access.log")}
    assert logs <= set(links(instance.steward()).values())
    for pid in instance.workers():
        assert not logs & set(links(pid).values())


def test_the_steward_has_no_door_and_workers_have_no_admin(instance):
    def listening(pid):
        inodes = sockets(pid)
        with open("/proc/net/tcp", encoding="ascii") as f:
            rows = [line.split() for line in f.readlines()[1:]]
        return {row[1] for row in rows if row[9] in inodes and row[3] == "0A"}

    def is_admin(pid):
        inodes = sockets(pid)
        with open("/proc/net/unix", encoding="ascii") as f:
            return any(len(r) > 7 and r[6] in inodes and r[7] == instance.admin_path
                       for r in (line.split() for line in f))
    door = f":{instance.port:04X}"
    for pid in instance.workers():
        (own,) = listening(pid)  # its own queue, not its sibling's
        assert own.endswith(door)
        assert not is_admin(pid)
    assert not listening(instance.steward())
    assert is_admin(instance.steward())


def test_nothing_is_inherited_from_whoever_started_it(sallyport, web, authority, folder):
    """A descriptor that the starter left open, and its environment, stop at the supervisor."""
    secret = folder / "secret"
    secret.write_text("secret")
    with open(secret, "rb") as f:
        os.set_inheritable(f.fileno(), True)
        made = sallyport([web().address], tls=[authority.leaf("a.example").pem], start=False,
                         environ={"DATABASE_PASSWORD": "hunter2"})
        made.start()
    for pid in (*made.workers(), made.steward()):
        assert str(secret) not in links(pid).values()
        assert b"hunter2" not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()


# ---- keys

def secrets_of(path):
    """What of a private key must not be seen: an ECDSA key's number, an RSA key's primes."""
    key = serialization.load_pem_private_key(pathlib.Path(path).read_bytes(), None)
    numbers = key.private_numbers()
    if hasattr(numbers, "p"):
        size = key.key_size // 16
        return [numbers.p.to_bytes(size, "big"), numbers.q.to_bytes(size, "big")]
    return [numbers.private_value.to_bytes(32, "big")]


@pytest.fixture
def keyed(sallyport, web, authority):
    """An instance with an ECDSA and an RSA key of its own, and one to show to its server, reloaded
    once, and the secrets in them."""
    leaves = [authority.leaf("a.example", fresh=True),
              authority.leaf("a.example", key="rsa", fresh=True),
              authority.leaf("proxy.example", key="rsa", fresh=True, client=True)]
    server = web(leaf=authority.leaf("127.0.0.1"),
                 tls=f"ssl_verify_client on; ssl_client_certificate {authority.path};")
    made = sallyport([server.address], tls=[leaf.pem for leaf in leaves[:2]], workers=2,
                     pool={"tls": {"ca": authority.path, "certificate": leaves[2].pem}})
    assert made.reload() == "done"
    served_serial(made.port)
    fetch(made.port)
    wait_until(lambda: len(made.pids()) == 5, "the loader to end")
    return made, [s for leaf in leaves for s in secrets_of(leaf.pem)]


def memfds(pid):
    """Name and bytes of the memories that a process has descriptors of."""
    found = []
    for fd, target in links(pid).items():
        if target.startswith("/memfd:"):
            name = target[len("/memfd:"):].split(" ")[0]
            found.append((name, pathlib.Path(f"/proc/{pid}/fd/{fd}").read_bytes()))
    return found


def test_keys_are_in_a_memory_of_their_own_not_in_the_snapshot(keyed):
    instance, secrets = keyed
    seen = {name: data for name, data in memfds(instance.pid)}
    assert "snapshot" in seen and "keys" in seen, seen.keys()
    for secret in secrets:
        assert secret in seen["keys"]  # so that we know what to look for
        for name, data in seen.items():
            assert name == "keys" or secret not in data, f"a private key is in {name}"


def test_the_steward_has_no_way_to_the_keys(keyed):
    instance, secrets = keyed
    steward = instance.steward()
    assert "/memfd:keys" not in pathlib.Path(f"/proc/{steward}/maps").read_text()
    for name, data in memfds(steward):
        assert name != "keys" and not any(secret in data for secret in secrets)


def memory_has(pid, needles):
    """Which of the needles lie in a process' memory."""
    found = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, rights = line.split()[:2]
            start, end = (int(part, 16) for part in where.split("-"))
            if not rights.startswith("r") or "[v" in line or end - start > 1 << 28:
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:
                continue
            found |= {n for n in needles if n in data}
    return found


@pytest.mark.skipif(SANITIZED, reason="its memory is too large to be looked through")
def test_no_key_is_in_the_memory_of_any_but_the_keeper(keyed):
    instance, secrets = keyed
    try:
        open(f"/proc/{instance.pid}/mem", "rb").close()
    except OSError:
        pytest.skip("this machine does not let root look into processes")
    assert "/memfd:keys" not in pathlib.Path(f"/proc/{instance.pid}/maps").read_text()
    # It has them: the search finds what is there.
    assert memory_has(instance.keeper(), secrets) == set(secrets)
    rsa = context()
    rsa.maximum_version = ssl.TLSVersion.TLSv1_2
    rsa.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    served_serial(instance.port, ctx=rsa)
    load = Loading(f"https://127.0.0.1:{instance.port}/hello", clients=8, seconds=2)
    for _ in range(3):
        for pid in (instance.pid, instance.steward(), *instance.workers()):
            assert not memory_has(pid, secrets)
    assert load.finish().errored == 0


@pytest.mark.parametrize("isolation", [True, False])
def test_memories_are_sealed(sallyport, web, authority, isolation):
    """Nobody can change a snapshot, not even root through /proc; nor keys, but where they are to
    be wiped."""
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem],
                         key_isolation=isolation)
    sealed = r"/memfd:snapshot" if isolation else r"/memfd:(snapshot|keys)"
    for fd, target in links(instance.pid).items():
        if re.match(sealed, target):
            with pytest.raises(OSError), open(f"/proc/{instance.pid}/fd/{fd}", "r+b") as f:
                f.write(b"x")
                f.flush()


def test_a_key_that_every_user_can_read_is_warned_of(sallyport, web, authority, folder):
    path = folder / "open.pem"
    shutil.copy(authority.leaf("a.example").pem, path)
    path.chmod(0o644)
    made = sallyport([web().address], tls=[str(path)])
    assert re.search(r"open\.pem: warning: .*chmod o-rwx", made.words())
    assert made.reload() == "done"
    made.wait_error(r" warning .*open\.pem.*chmod o-rwx")


def test_workers_that_would_be_root_are_warned_of(sallyport, web, authority):
    made = sallyport([web().address], tls=[authority.leaf("a.example").pem], user="root")
    assert "/user: warning: workers will run as root" in made.words()


def test_an_unknown_user_is_refused(sallyport, web, authority):
    made = sallyport([web().address], tls=[authority.leaf("a.example").pem], start=False,
                     user="nosuchuser")
    made.spawn()
    assert made.process.wait(10) == 1
    made.process = None
    assert 'there is no user "nosuchuser"' in (made.folder / "stderr").read_text()


def test_no_role_has_a_terminal_or_its_input(instance):
    for pid in [*instance.workers(), instance.steward(), instance.keeper()]:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        assert int(fields[3]) == pid, "a session of its own"
        assert fields[4] == "0", "no terminal"
        assert links(pid)[0] == links(pid)[1] == "/dev/null"
