"""What an operator sees first: a page from a real server through TLS."""

from support.tools import curl, h2load


def test_curl_gets_a_page_from_nginx_through_tls_1_3(sallyport, web, authority):
    server = web()
    (server.www / "page.html").write_text("<h1>hello</h1>\n")
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    got = curl("https://a.example/page.html", instance.port, "--tlsv1.3", authority=authority)
    assert got.stdout == "<h1>hello</h1>\n", got.stderr


def test_a_thousand_requests_on_eight_connections_all_succeed(sallyport, web, authority):
    instance = sallyport([web().address], tls=[authority.leaf("a.example").pem], workers=2)
    load = h2load(f"https://127.0.0.1:{instance.port}/hello", requests=1000, clients=8)
    assert (load.succeeded, load.failed, load.errored) == (1000, 0, 0), load.output
    instance.wait_metric(8, "tls_handshakes_total")


def test_curl_gets_a_large_file_whole(sallyport, web, authority, folder):
    server = web()
    body = bytes(range(256)) * 40000
    (server.www / "large").write_bytes(body)
    instance = sallyport([server.address], tls=[authority.leaf("a.example").pem])
    got = folder / "got"
    done = curl("https://a.example/large", instance.port, "-o", str(got), authority=authority)
    assert done.returncode == 0, done.stderr
    assert got.read_bytes() == body
