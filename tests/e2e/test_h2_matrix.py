"""Any client's protocol to any backend's: HTTP/1.1 and HTTP/2, backends with TLS and without, and
all that a message can be. What arrives is what was sent, and memory stays where it was."""

import hashlib
import itertools
import os
import subprocess

import pytest

from support.anyhttp import VERSIONS, any_backend, caller
from support.backends import blocks
from support.memory import Watch
from support.ports import HOST, free_port
from support.rawhttp import BROKEN
from support.tools import curl_command
from support.wait import PATIENCE, SANITIZED, wait_until

MIB = 1 << 20
MUCH = (16 if SANITIZED else 100) * MIB  # bytes of a large body
MAY_GROW = (48 if SANITIZED else 8) * MIB
ENVIRON = {"ASAN_OPTIONS": "abort_on_error=1:quarantine_size_mb=4"}
LEGS = ("plain", "tls")
WAYS = list(itertools.product(VERSIONS, LEGS))
SOME = os.urandom(100_000)

every = pytest.mark.parametrize("client, back, leg",
                                list(itertools.product(VERSIONS, VERSIONS, LEGS)))


class Behind:
    """The backends' side of all cases: what is done is told by the path's last segment."""

    def __init__(self):
        self.seen = {}    # by path, what came: (length, sha256), trailers, fields
        self.failed = {}  # by path

    def answer(self, taken):
        """Does it."""
        path = taken.path.partition("?")[0]
        name = path.rpartition("/")[2].partition("-")[0]
        try:
            getattr(self, name)(taken, path)
        except (OSError, AssertionError) as e:
            self.failed[path] = e
            raise

    def _take(self, taken, path):
        measured = taken.measure()
        self.seen[path] = measured, taken.trailers, taken.fields
        return measured

    def plainly(self, taken, path):
        """Answers with some bytes, their length told."""
        self._take(taken, path)
        taken.head(200, [("X-Some", "field")], len(SOME))
        taken.write(SOME)
        taken.end()

    def nothing(self, taken, path):
        """To HEAD: a length and no body."""
        self._take(taken, path)
        taken.head(200, [], 12345, bodiless=True)

    def status(self, taken, path):
        """A status without a body."""
        self._take(taken, path)
        taken.head(int(path.rpartition("-")[2]), [("ETag", '"a"')], bodiless=True)

    def trailing(self, taken, path):
        """Answers with trailers."""
        _, digest = self._take(taken, path)
        taken.head(200, [("Trailer", "X-Sum, X-Kind")])
        taken.write(SOME)
        taken.end([("X-Sum", digest), ("X-Kind", "whole")])

    def interim(self, taken, path):
        """Says 1xx before."""
        taken.interim(103, [("Link", "</a.css>; rel=preload")])
        taken.interim(103, [("Link", "</b.css>; rel=preload")])
        self._take(taken, path)
        taken.head(200, [], 2)
        taken.write(b"ok")
        taken.end()

    def early(self, taken, path):
        """Answers before the body is whole, and reads no more of it."""
        self.seen[path] = None
        taken.head(403, [], 6)
        taken.write(b"enough")
        taken.end()
        taken.measure()

    def broken(self, taken, path):
        """Ends its answer in the middle."""
        self._take(taken, path)
        taken.head(200)
        taken.write(SOME[:5000])
        taken.break_off()

    def down(self, taken, path):
        """Answers with many bytes."""
        self._take(taken, path)
        total, digest = int(path.rpartition("-")[2]), hashlib.sha256()
        taken.head(200)
        for block in blocks(total):
            digest.update(block)
            taken.write(block)
        self.seen[path] = digest.hexdigest()
        taken.end()

    def up(self, taken, path):
        """Takes many bytes."""
        total, digest = self._take(taken, path)
        said = f"{total} {digest}".encode()
        taken.head(200, [], len(said))
        taken.write(said)
        taken.end()


class Setting:
    """An instance with a way to every kind of backend."""

    def __init__(self, sallyport, authority):
        self.behind = Behind()
        leaf = authority.leaf("a.example")
        self.backends, pools, routes = {}, {}, []
        for version, leg in WAYS:
            name = f"{version}-{leg}"
            made = any_backend(version, self.behind.answer, leaf if leg == "tls" else None)
            self.backends[version, leg] = made
            pools[name] = {"servers": [made.address],
                           "protocol": {"h1": "http/1.1", "h2": "http/2"}[version]}
            if leg == "tls":
                pools[name]["tls"] = {"ca": authority.path, "server_name": "a.example"}
            routes.append({"path_prefix": f"/{name}/", "pool": name})
        config = {"workers": 1, "drain_timeout": "2s", "pools": pools, "listeners": [
            {"name": "door", "address": f"{HOST}:{free_port()}", "mode": "http", "routes": routes,
             "tls": {"certificates": [leaf.pem]}}]}
        self.instance = sallyport(config=config, environ=ENVIRON)
        self.port = self.instance.port
        self._numbers = itertools.count()

    def path(self, back, leg, name):
        """A path of its own that leads there."""
        return f"/{back}-{leg}/{next(self._numbers)}/{name}"

    def check(self):
        """The backends by HTTP/2 got nothing that they must not."""
        for (version, _), backend in self.backends.items():
            if version == "h2":
                backend.check()


@pytest.fixture(scope="module")
def setting(sallyport_for_all, authority):
    made = Setting(sallyport_for_all, authority)
    yield made
    for backend in made.backends.values():
        backend.close()


@pytest.fixture
def way(setting, client, back, leg):
    """One way through: path(name), and a client's connection."""
    class Way:
        """As said."""
        behind = setting.behind
        caller = caller(client, setting.port)

        @staticmethod
        def path(name):
            """A path of its own."""
            return setting.path(back, leg, name)

        @staticmethod
        def again():
            """Whoever asks next is answered."""
            with_new = caller(client, setting.port)
            with_new.plain(setting.path(back, leg, "plainly"))
            assert with_new.reply().body == SOME
            with_new.close()

    made = Way()
    yield made
    made.caller.close()
    setting.check()


@every
def test_get(way):
    for _ in range(3):
        path = way.path("plainly")
        way.caller.plain(path, [("x-odd", "value"), ("cookie", "a=b")])
        reply = way.caller.reply()
        assert (reply.status, reply.body, reply.fields["x-some"]) == (200, SOME, "field")
        assert reply.fields["content-length"] == str(len(SOME))
        measured, _, fields = way.behind.seen[path]
        assert measured == (0, hashlib.sha256().hexdigest())
        assert fields["x-odd"] == "value" and fields["cookie"] == "a=b"
        assert fields.get("host", fields.get(":authority")) == "a.example"


@every
def test_head(way):
    way.caller.plain(way.path("nothing"), method="HEAD")
    reply = way.caller.reply("HEAD")
    assert (reply.status, reply.body, reply.fields["content-length"]) == (200, b"", "12345")
    way.again()


@every
@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(way, status):
    for _ in range(2):
        way.caller.plain(way.path(f"status-{status}"))
        reply = way.caller.reply()
        assert (reply.status, reply.body, reply.fields["etag"]) == (status, b"", '"a"')


@every
def test_trailers_both_ways(way):
    path, parts = way.path("trailing"), [os.urandom(n) for n in (1, 70_000, 3)]
    way.caller.begin(path, [("te", "trailers"), *way.caller.with_te, ("trailer", "x-up")])
    for part in parts:
        assert way.caller.write(part)
    way.caller.end([("x-up", "there"), ("x-more", "also")])
    reply = way.caller.reply()
    whole = b"".join(parts)
    assert reply.status == 200 and reply.body == SOME
    assert reply.trailers == {"x-sum": hashlib.sha256(whole).hexdigest(), "x-kind": "whole"}
    measured, trailers, _ = way.behind.seen[path]
    assert measured == (len(whole), hashlib.sha256(whole).hexdigest())
    assert trailers == {"x-up": "there", "x-more": "also"}


@every
def test_interim_responses(way):
    way.caller.plain(way.path("interim"))
    reply = way.caller.reply()
    assert [(status, fields["link"]) for status, fields in reply.interim] == [
        (103, "</a.css>; rel=preload"), (103, "</b.css>; rel=preload")]
    assert (reply.status, reply.body) == (200, b"ok")


@every
def test_an_early_answer_while_the_body_comes(way):
    way.caller.begin(way.path("early"))
    way.caller.write(SOME)
    reply = way.caller.reply("POST")
    assert (reply.status, reply.body) == (403, b"enough")
    way.again()


@every
def test_a_backend_that_breaks_off_in_the_middle(way):
    way.caller.plain(way.path("broken"))
    with pytest.raises((AssertionError, *BROKEN)):
        way.caller.reply()
    way.again()


@every
def test_a_client_that_breaks_off_in_the_middle(way):
    path = way.path("up-cut")
    way.caller.begin(path)
    assert way.caller.write(SOME)
    way.caller.break_off()
    wait_until(lambda: path in way.behind.failed, "the backend to be told")
    assert path not in way.behind.seen
    way.again()


def flags(client):
    """What makes curl speak that version."""
    return ["--http2"] if client == "h2" else []


@every
def test_many_bytes_down(setting, client, back, leg):
    total, digest, got = MUCH, hashlib.sha256(), 0
    path = setting.path(back, leg, f"down-{total}")
    argv = curl_command(f"https://a.example{path}", setting.port, "-N", *flags(client),
                        timeout=PATIENCE * 6)
    with Watch(setting.instance) as watch, subprocess.Popen(argv, stdout=subprocess.PIPE) as curl:
        while data := curl.stdout.read(MIB):
            digest.update(data)
            got += len(data)
    assert (curl.returncode, got) == (0, total)
    assert setting.behind.seen[path] == digest.hexdigest()
    assert watch.grown < MAY_GROW
    setting.check()


@every
def test_many_bytes_up(setting, client, back, leg):
    total, digest = MUCH, hashlib.sha256()
    path = setting.path(back, leg, "up")
    argv = curl_command(f"https://a.example{path}", setting.port, *flags(client), "-T", "-",
                        timeout=PATIENCE * 6)
    with Watch(setting.instance) as watch, subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
        for block in blocks(total):
            digest.update(block)
            curl.stdin.write(block)
        curl.stdin.close()
        said = curl.stdout.read()
    assert (curl.returncode, said) == (0, f"{total} {digest.hexdigest()}".encode())
    assert watch.grown < MAY_GROW
    setting.check()


@pytest.mark.parametrize("back", VERSIONS)
def test_cookies_of_http_2(setting, back):
    path = setting.path(back, "plain", "plainly")
    asking = caller("h2", setting.port)
    asking.plain(path, [("cookie", "a=b"), ("x", "y"), ("cookie", "c=d"), ("cookie", "e=f; g=h")])
    assert asking.reply().status == 200
    asking.close()
    _, _, fields = setting.behind.seen[path]
    if back == "h1":
        assert fields["cookie"] == "a=b; c=d; e=f; g=h"
    else:
        stream = next(r for r in setting.backends[back, "plain"].requests if r.path == path)
        assert "; ".join(stream.all("cookie")) == "a=b; c=d; e=f; g=h"


def test_requests_at_once_share_a_connection_to_a_backend_by_http_2(setting):
    backend = setting.backends["h2", "plain"]
    asking = caller("h2", setting.port)
    asking.plain(setting.path("h2", "plain", "plainly"))
    asking.reply()
    before = len(backend.connections)
    streams = [asking.client.request(setting.path("h2", "plain", "plainly")) for _ in range(50)]
    for stream in streams:
        assert bytes(stream.done().body) == SOME
    asking.close()
    assert len(backend.connections) <= before + 1
    setting.check()


def test_h2_goes_to_a_tls_backend_that_offers_it_alone(setting):
    backend = setting.backends["h2", "tls"]
    asking = caller("h1", setting.port)
    asking.plain(setting.path("h2", "tls", "plainly"))
    assert asking.reply().body == SOME
    asking.close()
    assert backend.connections[-1].pipe.tls.selected_alpn_protocol() == "h2"
