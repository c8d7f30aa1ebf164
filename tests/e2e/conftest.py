"""Fixtures of the end-to-end tests: the real binary, real clients, real servers, each test in a
folder of its own and on ports of its own. SALLYPORT names the binary, SALLYPORT_SANITIZE what it
was built with ("" or "address")."""

import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support import backends, certs, nginx, rawbackend, sallyport as runner, tools  # noqa: E402
from support.h2door import H2Door  # noqa: E402
from support.ports import HOST, free_port  # noqa: E402


def _own_folder(prefix):
    # Short, for the paths of unix sockets; open, for processes that have become another user.
    folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def authority():
    """The root that clients and pools trust, and the leaves it signs."""
    folder = _own_folder("sp-ca-")
    yield certs.Authority(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stranger():
    """A root that nobody trusts."""
    folder = _own_folder("sp-ca-")
    yield certs.Authority(folder, "Unknown Root")
    shutil.rmtree(folder)


@pytest.fixture
def folder():
    """The test's own folder."""
    made = _own_folder("sp-")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Lets fixtures see whether the test failed, and shows the logs where it did."""
    report = (yield).get_result()
    if report.when == "call":
        item.failed = report.failed
    for node in (item, item.getparent(pytest.Module)):
        for instance in getattr(node, "instances", ()):
            if report.failed:
                report.sections.append((f"sallyport in {instance.folder}", instance.words()))


def _instances(folder, node):
    instances = node.instances = []

    def make(servers=None, config=None, start=True, nofile=None, environ=None, **words):
        place = folder / f"sallyport{len(instances)}"
        place.mkdir()
        place.chmod(0o755)
        chosen = config or runner.config(servers, **words)
        made = runner.Sallyport(place, chosen, nofile=nofile, environ=environ)
        instances.append(made)
        return made.start() if start else made

    yield make
    try:
        if not getattr(node, "failed", False):
            for instance in instances:
                instance.stop()
                instance.assert_clean()
    finally:
        for instance in instances:
            instance.destroy()


@pytest.fixture
def sallyport(folder, request):
    """Makes and starts instances: sallyport(servers, tls=..., ...) with the words of
    support.sallyport.config, or sallyport(config={...}). At the end each is stopped by SIGTERM,
    must exit 0, leave no process behind, and have said nothing it must not say."""
    yield from _instances(folder, request.node)


@pytest.fixture(scope="module")
def sallyport_for_all(request):
    """The same for all tests of a file together."""
    folder = _own_folder("sp-")
    yield from _instances(folder, request.node)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def http_door(sallyport_for_all):
    """Makes an instance in mode http before a raw backend, for all tests of a file:
    http_door(listeners={name: words}, pools={name: words}). Without a pool or routes a listener
    goes to the pool "back". A pool without servers has that backend alone, and behind those in
    `before` where it has that."""
    made = []

    def make(listeners=None, pools=None, **top):
        made.append(rawbackend.RawBackend())
        entries = [{"name": name, "address": f"{HOST}:{free_port()}", "mode": "http",
                    **({} if "routes" in words else {"pool": "back"}), **words}
                   for name, words in {"door": {}, **(listeners or {})}.items()]
        everything = {}
        for name, words in {"back": {}, **(pools or {})}.items():
            words = dict(words)
            servers = [*words.pop("before", []), made[-1].address]
            everything[name] = {"servers": servers, **words}
        config = {"workers": 1, "drain_timeout": "2s", "listeners": entries, "pools": everything,
                  **top}
        return rawbackend.Door(sallyport_for_all(config=config), made[-1])

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def h2_door(http_door, authority):
    """The same, with TLS on "door" and on others that say "tls": True, and a listener "clear" that
    takes HTTP/2 without TLS."""
    pem = authority.leaf("a.example").pem

    def make(listeners=None, pools=None, **top):
        entries = {"door": {"tls": True}, "clear": {"http": {"versions": [2, 1.1]}},
                   **(listeners or {})}
        for words in entries.values():
            if words.get("tls") is True:
                words["tls"] = {"certificates": [pem]}
        return http_door(entries, pools, **top)

    return make


@pytest.fixture
def h2(door):
    """Clients by HTTP/2 of the file's door; at the end nothing may have been sent to them, or to
    the backend, that must not be."""
    made = H2Door(door)
    yield made
    made.check()


@pytest.fixture
def backend():
    """Makes backends of handlers: backend(), backend(handler, path=...), (handler, tls=...)."""
    made = []

    def make(handler=backends.echo, **words):
        made.append(backends.Backend(handler, **words))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def web(folder):
    """Makes nginx backends: web(), web(leaf=...), web(path=...)."""
    made = []

    def make(path=None, leaf=None, tls="", port=None):
        port = None if path else port or free_port()
        made.append(nginx.Nginx(folder / f"nginx{len(made)}", port, path, leaf, tls))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def loading():
    """Starts h2load in the background: loading(url, seconds=5)."""
    made = []

    def make(url, *flags, **amount):
        made.append(tools.Loading(url, *flags, **amount))
        return made[-1]

    yield make
    for each in made:
        each.close()
