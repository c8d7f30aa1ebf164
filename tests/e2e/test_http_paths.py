"""Routes that must not be walked around: paths and hosts in every spelling. What was matched is
what is forwarded. And what else a route does: conditions, redirects, answers, edits."""

import pytest

from support.rawbackend import read_body
from support.rawhttp import get, ok, post

FORBIDDEN = {"status": 403, "body": "not for you\n"}


@pytest.fixture(scope="module")
def door(http_door, authority):
    leaf = authority.leaf("a.example").pem
    paths = [
        {"path_prefix": "/admin", "respond": FORBIDDEN},
        {"path": "/exact", "respond": FORBIDDEN},
        {"pool": "back"},
    ]
    hosts = [
        {"host": "secret.example", "respond": FORBIDDEN},
        {"host": "*.wild.example", "respond": FORBIDDEN},
        {"host": ["one.example", "[::1]"], "respond": {"status": 404, "body": "one"}},
        {"host": "deep.wild.example", "path_prefix": "/open/", "pool": "back"},
        {"pool": "back"},
    ]
    order = [
        {"path_prefix": "/", "respond": {"status": 200, "body": "root"}},
        {"path_prefix": "/a/", "respond": {"status": 200, "body": "a"}},
        {"path_prefix": "/a/b/", "respond": {"status": 200, "body": "a/b"}},
        {"path": "/a/b/c", "respond": {"status": 200, "body": "exact"}},
        {"host": "h.example", "path_prefix": "/a/", "respond": {"status": 200, "body": "h a"}},
        {"host": "*.example", "path": "/a/b/c", "respond": {"status": 200, "body": "wild"}},
    ]
    conditions = [
        {"path": "/m", "methods": ["GET", "HEAD"], "respond": {"status": 200, "body": "get"}},
        {"path": "/m", "methods": ["POST"], "respond": {"status": 200, "body": "post"}},
        {"path": "/h", "headers": {"X-Key": "right"}, "respond": {"status": 200, "body": "value"}},
        {"path": "/h", "headers": {"X-Key": {"present": True}},
         "respond": {"status": 200, "body": "present"}},
        {"path": "/s", "source": ["10.0.0.0/8"], "respond": {"status": 200, "body": "far"}},
        {"path": "/s", "source": ["127.0.0.0/8", "::1/128"],
         "respond": {"status": 200, "body": "near"}},
        {"path_prefix": "/strip/", "pool": "back", "strip_prefix": "/strip"},
        {"path_prefix": "/edit/", "pool": "back",
         "request_headers": {"set": {"X-Set": "ours"}, "add": {"X-Add": "more"},
                             "remove": ["X-Gone", "cookie"]},
         "response_headers": {"set": {"X-Set": "ours"}, "add": {"X-Add": "more"},
                              "remove": ["Server", "x-gone"]}},
        {"path": "/made", "respond": {"status": 418, "body": "short and stout",
                                      "headers": {"Content-Type": "text/x-tea", "X-A": "b"}}},
        {"path": "/empty", "respond": {"status": 204}},
        {"path": "/found", "redirect": {"location": "/elsewhere?x=1", "status": 302}},
        {"path_prefix": "/moved/", "redirect": {"location": "https://www.example"}},
    ]
    return http_door({
        "paths": {"routes": paths},
        "hosts": {"routes": hosts},
        "order": {"routes": order},
        "conditions": {"routes": conditions},
        "no slashes": {"routes": paths, "http": {"escaped_slashes": "reject"}},
        "to https": {"routes": [{"redirect": "https"}]},
        "to https elsewhere": {"routes": [{"redirect": {"location": "https", "port": 8443,
                                                        "status": 301}}]},
        "secure": {"tls": {"certificates": [leaf]},
                   "routes": [{"path": "/soon", "pool": "back",
                               "hsts": {"max_age": "1h", "include_subdomains": True}},
                              {"path": "/made", "respond": FORBIDDEN, "hsts": "1h"},
                              {"pool": "back", "hsts": "365d"}]},
    })


@pytest.fixture(autouse=True)
def well_formed(door):
    """Whatever a test does, the backend gets nothing but good requests."""
    yield
    door.check()


def answer(door, listener, data, method="GET"):
    """The response, and the target that the backend got, if it got any."""
    mark = len(door.backend.requests)
    with door.client(listener) as client:
        response = client.ask(data, method)
    seen = door.seen_since(mark)
    assert len(seen) <= 1
    return response, seen[0] if seen else None


# ---- paths

NO = 403   # found by the route
BAD = 400  # read by nobody

PATHS = [
    ("/admin", NO), ("/admin/", NO), ("/admin/x", NO), ("/admin?x", NO), ("/admin/?/../..", NO),
    ("/./admin", NO), ("/././admin", NO), ("/x/../admin", NO), ("/x/y/../../admin", NO),
    ("/x/./../admin", NO), ("/%61dmin", NO), ("/%61%64%6d%69%6e", NO), ("/%61%64%6D%69%6E/x", NO),
    ("/x/%2e%2e/admin", NO), ("/x/%2E%2e/admin", NO), ("/x/.%2e/admin", NO), ("/x/%2e./admin", NO),
    ("/%2e/admin", NO), ("/%2e/%61dmin", NO), ("/admin/.", NO), ("/admin/x/..", NO),
    ("/x/..//../admin", NO), ("/admin//", NO), ("/admin//..", NO), ("/admin/%2e", NO),
    ("/admin/..", "/"), ("/admin/../x", "/x"), ("/admin/%2e%2e/x", "/x"), ("/x/..", "/"),
    ("/public/../public", "/public"), ("/x/%2e%2E/y", "/y"),
    # Another name, forwarded as it is: what the backend makes of it is what was asked for.
    ("//admin", "//admin"), ("/x//admin", "/x//admin"), ("/ADMIN", "/ADMIN"),
    ("/Admin/x", "/Admin/x"),
    ("/%41dmin", "/Admin"), ("/administrator", "/administrator"), ("/admin.", "/admin."),
    ("/admin%2e", "/admin."), ("/admin;x", "/admin;x"), ("/admin%20", "/admin%20"),
    ("/admin%09", "/admin%09"), ("/admin%23", "/admin%23"), ("/admin%3f", "/admin%3F"),
    ("/admin%3Fx", "/admin%3Fx"), ("/admin%2fx", "/admin%2Fx"), ("/admin%2F", "/admin%2F"),
    ("/%2fadmin", "/%2Fadmin"), ("/x%2fadmin", "/x%2Fadmin"), ("/%5cadmin", "/%5Cadmin"),
    ("/%2561dmin", "/%2561dmin"), ("/x/%252e%252e/admin", "/x/%252e%252e/admin"),
    ("/x%252f..%252fadmin", "/x%252f..%252fadmin"), ("/%25%36%31dmin", "/%2561dmin"),
    ("/%c0%ae%c0%ae/admin", "/%C0%AE%C0%AE/admin"), ("/%c0%afadmin", "/%C0%AFadmin"),
    ("/%ef%bc%8fadmin", "/%EF%BC%8Fadmin"), ("/.../admin", "/.../admin"),
    ("/..admin", "/..admin"), ("/.admin", "/.admin"), ("/x?/../admin", "/x?/../admin"),
    ("/x?a=%2e%2e/", "/x?a=%2e%2e/"), ("/x?%61=b", "/x?%61=b"), ("/a%7eb%2d%5f%2E", "/a~b-_."),
    ("/%3a%40%21", "/%3A%40%21"), ("/admin%0a", "/admin%0A"), ("/%20admin", "/%20admin"),
    ("/admin%ff", "/admin%FF"), ("/x/..admin", "/x/..admin"),
    # What two readers could take for two paths.
    ("/admin%00", BAD), ("/%00/admin", BAD), ("/admin%00.html", BAD), ("/x/%00/../admin", BAD),
    ("/..", BAD), ("/../admin", BAD), ("/x/../../admin", BAD), ("/%2e%2e/admin", BAD),
    ("/admin%2f..", BAD), ("/admin%2f../x", BAD), ("/x%2f..%2fadmin", BAD), ("/x/..%2fadmin", BAD),
    ("/..%2fadmin", BAD), ("/..%5cadmin", BAD), ("/x/%2e%2e%2fadmin", BAD), ("/x/%2e%2fadmin", BAD),
    ("/x/.%2fadmin", BAD), ("/x%5c..%5cadmin", BAD), ("/x/..;/admin", BAD),
    ("/x/..;a=b/admin", BAD),
    ("/x/.;/admin", BAD), ("/x/%2e%2e;/admin", BAD), ("/x\\..\\admin", BAD), ("/\\admin", BAD),
    ("\\admin", BAD), ("/admin#x", BAD), ("/x#/admin", BAD), ("/%zz", BAD), ("/%", BAD),
    ("/%6", BAD), ("/%u0061dmin", BAD), ("/admin%", BAD), ("/%-1", BAD), ("/%+61", BAD),
    ("/\xe9", BAD), ("/\u00c3\u00a9", BAD), ("admin", BAD), ("./admin", BAD), ("?/admin", BAD),
    ("/\x7f", BAD), ("/a\tb", BAD),
]


@pytest.mark.parametrize("target, outcome", PATHS, ids=[p.encode("unicode_escape").decode()
                                                        for p, _ in PATHS])
def test_a_path_in_every_spelling(door, target, outcome):
    response, got = answer(door, "paths", get(target))
    if isinstance(outcome, int):
        assert (response.status, got) == (outcome, None)
    else:
        assert response.status == 200 and got.target == outcome


@pytest.mark.parametrize("target", [t for t, outcome in PATHS if t.startswith("/")],
                         ids=lambda t: t.encode("unicode_escape").decode())
def test_absolute_form_makes_no_difference(door, target):
    outcome = dict(PATHS)[target]
    response, got = answer(door, "paths", get("http://a.example" + target))
    if isinstance(outcome, int):
        assert (response.status, got) == (outcome, None)
    else:
        assert response.status == 200 and got.target == outcome


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "DELETE", "PROPFIND"])
def test_no_method_walks_around(door, method):
    response, got = answer(door, "paths", get("/admin", method=method), method)
    assert (response.status, got) == (403, None)


@pytest.mark.parametrize("field", ["X-Original-URL: /x", "X-Rewrite-URL: /x", "X-HTTP-Method: x",
                                   "Connection: Host", "Referer: /x", "X-Forwarded-Prefix: /x"])
def test_no_field_walks_around(door, field):
    response, got = answer(door, "paths", get("/admin", field))
    assert (response.status, got) == (403, None)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_no_version_walks_around(door, version):
    assert answer(door, "paths", get("/admin", version=version))[0].status == 403


@pytest.mark.parametrize("target, outcome", [
    ("/exact", NO), ("/%65xact", NO), ("/x/../exact", NO), ("/exact?x", NO), ("/exact/", "/exact/"),
    ("/exactly", "/exactly"), ("/EXACT", "/EXACT"), ("//exact", "//exact"), ("/exact/.", "/exact/"),
    ("/exact/x/..", "/exact/"), ("/exact/../exact", NO)])
def test_an_exact_path_in_every_spelling(door, target, outcome):
    response, got = answer(door, "paths", get(target))
    if outcome == NO:
        assert (response.status, got) == (NO, None)
    else:
        assert response.status == 200 and got.target == outcome


@pytest.mark.parametrize("target", ["/x%2fy", "/x%2Fy", "/x%5cy", "/%2f", "/admin%2fx"])
def test_escaped_slashes_may_be_refused_everywhere(door, target):
    response, got = answer(door, "no slashes", get(target))
    assert (response.status, got) == (400, None)


def test_escaped_slashes_in_a_query_are_nobody_s_business(door):
    response, got = answer(door, "no slashes", get("/x?y=%2f%5c"))
    assert response.status == 200 and got.target == "/x?y=%2f%5c"


def test_a_refused_path_does_not_keep_its_connection_in_doubt(door):
    """Whether it closes or not, what follows is read as what it is."""
    mark = len(door.backend.requests)
    with door.client("paths") as client:
        client.send(get("/x/..%2fadmin") + get("/admin") + get("/y")).end()
        assert client.final().status == 400
        rest = client.stream.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 403")
    assert [r.target for r in door.seen_since(mark)] in ([], ["/y"])


# ---- hosts

@pytest.mark.parametrize("host, outcome", [
    ("secret.example", 403), ("SECRET.example", 403), ("sEcReT.eXaMpLe", 403),
    ("secret.example:80", 403), ("secret.example:65535", 403), ("secret.example:", 403),
    ("secret.example.", 403), ("SECRET.EXAMPLE.:8080", 403), ("x.wild.example", 403),
    ("X.WILD.EXAMPLE", 403), ("x.y.wild.example", 403), ("x.wild.example.:443", 403),
    ("[::1]", 404), ("[::1]:8080", 404), ("[0:0:0:0:0:0:0:1]", 404), ("[0::1]", 404),
    ("ONE.example", 404),
    ("wild.example", 200), ("xwild.example", 200), ("other.example", 200), ("127.0.0.1", 200),
    ("secret.example.other", 200), ("xsecret.example", 200), ("[::2]", 200),
    ("secret.example..", 400), (".secret.example", 400), ("secret..example", 400),
    ("secret%2eexample", 400), ("%73ecret.example", 400), ("secret.example:0", 400),
    ("secret.example:080x", 400), ("secret.example,x", 400), ("x@secret.example", 400),
    ("secret.example@x", 400), ("secret.example/", 400), ("secret.example\\x", 400),
    ("secret.example#", 400), ("secret.example?", 400), ("secret .example", 400),
    ("secret.example:80:80", 400), ("secret.example:99999", 400), ("[::1", 400), ("::1", 400),
    ("[secret.example]", 400), ("*.wild.example", 400), ("s\xe9cret.example", 400)])
def test_a_host_in_every_spelling(door, host, outcome):
    response, got = answer(door, "hosts", get("/", host=host))
    assert response.status == outcome
    assert (got is not None) == (outcome == 200)
    if got:  # what was matched, whether its port is told or not
        assert got.get("host").lower() == host.lower()


@pytest.mark.parametrize("target, host, outcome", [
    ("http://secret.example/", "secret.example", 403),
    ("http://SECRET.example/", "secret.EXAMPLE", 403),
    ("http://secret.example./", "secret.example.", 403),
    ("http://secret.example", "secret.example", 403),
    ("http://secret.example?x", "secret.example", 403),
    ("https://secret.example/", "secret.example", 403),
    ("http://secret.example/", "other.example", 400),
    ("http://other.example/", "secret.example", 400),
    ("http://other.example@secret.example/", "other.example", 400),
    ("http://secret.example#@other.example/", "other.example", 400),
    ("http://other.example:80/", "other.example:81", 400),
    ("http://secret.example\\.other.example/", "secret.example", 400)])
def test_a_host_in_absolute_form(door, target, host, outcome):
    response, got = answer(door, "hosts", get(target, host=host))
    assert (response.status, got) == (outcome, None)


def test_a_request_of_http_1_0_without_a_host_has_none(door):
    response, got = answer(door, "hosts", b"GET / HTTP/1.0\r\n\r\n")
    assert response.status == 200 and got.target == "/"
    assert answer(door, "hosts", b"GET http://secret.example/ HTTP/1.0\r\n\r\n")[0].status == 403


def test_each_request_of_a_connection_is_routed_by_its_own_host(door):
    with door.client("hosts") as client:
        for host, status in (("other.example", 200), ("secret.example", 403),
                             ("x.wild.example", 403), ("other.example", 200)):
            assert client.ask(get("/", host=host)).status == status


def test_an_exact_host_s_route_goes_before_a_wildcard_s(door):
    response, got = answer(door, "hosts", get("/open/x", host="deep.wild.example"))
    assert response.status == 200 and got.target == "/open/x"
    assert answer(door, "hosts", get("/open/../x", host="deep.wild.example"))[0].status == 403


# ---- what a route does

@pytest.mark.parametrize("target, host, body", [
    ("/", "x", b"root"), ("/ab", "x", b"root"), ("/a/x", "x", b"a"), ("/a/b/x", "x", b"a/b"),
    ("/a/b/c", "x", b"exact"), ("/a/b/c/", "x", b"a/b"), ("/a/b/c", "h.example", b"h a"),
    ("/a/b/c", "i.example", b"wild"), ("/a/b/d", "i.example", b"a/b"), ("/a", "x", b"root")])
def test_the_most_exact_host_then_the_longest_path(door, target, host, body):
    assert answer(door, "order", get(target, host=host))[0].body == body


@pytest.mark.parametrize("data, body", [
    (get("/m"), b"get"), (get("/m", "Content-Length: 0", method="POST"), b"post"),
    (get("/m", method="DELETE"), None), (get("/h"), None), (get("/h", "x-key: right"), b"value"),
    (get("/h", "X-Key: wrong"), b"present"), (get("/h", "X-Key: RIGHT"), b"present"),
    (get("/h", "X-Key:"), b"present"), (get("/s"), b"near")],
    ids=lambda v: repr(v)[2:20])
def test_conditions(door, data, body):
    response = answer(door, "conditions", data)[0]
    assert (response.status, response.body) == (200, body) if body else response.status == 404


def test_a_forged_address_is_no_source(door):
    response, _ = answer(door, "conditions", get("/s", "X-Forwarded-For: 10.1.2.3"))
    assert response.body == b"near"


@pytest.mark.parametrize("target, got", [
    ("/strip/a/b?x", "/a/b?x"), ("/strip/", "/"), ("/strip//a", "//a"),
    ("/strip/strip/a", "/strip/a"),
    ("/x/../strip/a", "/a"), ("/%73trip/a", "/a"), ("/strip/?x", "/?x")])
def test_strip_prefix(door, target, got):
    response, request = answer(door, "conditions", get(target))
    assert response.status == 200 and request.target == got


@pytest.mark.parametrize("target", ["/strip/../admin", "/strip/..", "/stripped", "/strip%2fa",
                                    "/STRIP/a", "//strip/a"])
def test_what_is_not_the_prefix_is_not_stripped(door, target):
    response, request = answer(door, "conditions", get(target))
    assert (response.status, request) == (404, None)


def test_edits_of_request_and_response(door):
    case = door.case(read_body, ok(b"x", "Server: theirs", "X-Set: theirs", "X-Add: first",
                                   "X-Gone: 1", "X-Gone: 2"))
    with door.client("conditions") as client:
        response = client.ask(get(f"/edit{case.path}", "X-Set: a", "x-set: b", "X-Add: first",
                                  "X-Gone: 1", "Cookie: a=b", "X-Kept: 1"))
    got = case.one()
    assert got.get("x-set") == "ours" and got.all("x-add") == ["first", "more"]
    assert got.get("x-gone") is None and got.get("cookie") is None and got.get("x-kept") == "1"
    assert response.get("x-set") == "ours" and response.all("x-add") == ["first", "more"]
    assert response.get("server") is None and response.get("x-gone") is None


def test_an_edit_cannot_be_hidden_from_by_connection(door):
    """What Connection names goes before ours is added."""
    case = door.case()
    with door.client("conditions") as client:
        client.ask(get(f"/edit{case.path}", "Connection: X-Set, X-Add"))
    assert case.one().get("x-set") == "ours" and case.one().get("x-add") == "more"


def test_respond(door):
    with door.client("conditions") as client:
        for _ in range(2):
            response = client.ask(get("/made"))
            assert response.status == 418 and response.body == b"short and stout"
            assert response.get("content-type") == "text/x-tea" and response.get("x-a") == "b"
        response = client.ask(get("/made", method="HEAD"), "HEAD")
        assert response.get("content-length") == "15"
        assert client.ask(get("/empty")).status == 204
        assert client.ask(post("/made", b"a body")).status == 418
    with door.client("conditions") as client:
        client.send(get("/made", "Content-Length: 5", method="POST"))
        assert client.final().status == 418
        client.try_send(b"hello" + get("/made", "Connection: close"))
        rest = client.stream.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 418")


@pytest.mark.parametrize("target, host, location", [
    ("/", "a.example", "https://a.example/"),
    ("/x/y?z=1", "a.example", "https://a.example/x/y?z=1"),
    ("/", "A.example:80", "https://a.example/"), ("/", "a.example.", "https://a.example/"),
    ("/a/../b", "a.example", "https://a.example/b"), ("/", "[::1]:80", "https://[::1]/"),
    ("//evil.example/", "a.example", "https://a.example//evil.example/")])
def test_redirect_to_https(door, target, host, location):
    with door.client("to https") as client:
        response = client.ask(get(target, host=host))
    assert response.status == 308 and response.get("location") == location


def test_redirect_to_https_on_another_port(door):
    with door.client("to https elsewhere") as client:
        response = client.ask(get("/x?y", host="a.example:8080"))
    assert response.status == 301 and response.get("location") == "https://a.example:8443/x?y"


def test_redirect_to_https_needs_a_host(door):
    with door.client("to https") as client:
        response = client.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert response.status == 400 or response.status == 421


@pytest.mark.parametrize("target, status, location", [
    ("/found", 302, "/elsewhere?x=1"), ("/moved/a?b", 308, "https://www.example/moved/a?b")])
def test_redirects(door, target, status, location):
    with door.client("conditions") as client:
        response = client.ask(get(target))
        assert response.status == status and response.get("location") == location
        response = client.ask(get(target, method="HEAD"), "HEAD")
        assert response.status == status and response.get("location") == location


def test_a_location_cannot_be_split(door):
    with door.client("to https") as client:
        response = client.ask(get("/%0d%0aX-Evil:%201"))
        assert response.get("x-evil") is None and "%0D%0A" in response.get("location")


def test_hsts(door):
    with door.client("secure") as client:
        assert client.ask(get("/")).get("strict-transport-security") == "max-age=31536000"
        assert client.ask(get("/soon")).get("strict-transport-security") == \
            "max-age=3600; includeSubDomains"
        assert client.ask(get("/made")).get("strict-transport-security") == "max-age=3600"
    case = door.case(read_body, ok(b"x", "Strict-Transport-Security: max-age=1"))
    with door.client("secure") as client:
        assert client.ask(get(case.path)).get("strict-transport-security") == "max-age=31536000"
