"""gRPC through the proxy: grpcio's client by TLS, its server behind, every kind of call; and errors
made here, which are gRPC's where the request is."""

import concurrent.futures
import itertools
import threading
import time

import grpc
import pytest

from support.h2backend import H2Backend
from support.ports import HOST, free_port
from support.rawbackend import patience_ms
from support.rawh2 import Client
from support.wait import PATIENCE, SANITIZED

MESSAGES = 2000 if SANITIZED else 10_000
Status = grpc.StatusCode


class Service:
    """What runs behind the proxy. A message is bytes."""

    def __init__(self):
        self.active = 0
        self.cancelled = threading.Event()
        self.remaining = []
        self.metadata = {}

    def unary(self, message, context):
        """Echoes it, with metadata before and behind."""
        self.metadata = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-first", "said"),))
        context.set_trailing_metadata((("x-last", "said too"), ("x-last-bin", b"\0\xff")))
        return message

    def fail(self, message, context):
        """Fails with that number and words that need an escape."""
        context.abort(list(Status)[int(message)], "caf\u00e9 100%")

    def gather(self, messages, context):
        """Adds up what comes."""
        count = total = 0
        for message in messages:
            count, total = count + 1, total + len(message)
        return f"{count} {total}".encode()

    def count(self, message, context):
        """Answers with so many messages."""
        for number in range(int(message)):
            yield str(number).encode()

    def chat(self, messages, context):
        """Answers each message at once."""
        for message in messages:
            yield message[::-1]

    def wait(self, message, context):
        """Waits until the call is given up."""
        self.remaining.append(context.time_remaining())
        gone = threading.Event()
        context.add_callback(gone.set)
        yield b"waiting"
        gone.wait(PATIENCE)
        self.cancelled.set()


def serve(service):
    """grpcio's server, and its port."""
    kinds = {"unary": grpc.unary_unary_rpc_method_handler,
             "fail": grpc.unary_unary_rpc_method_handler,
             "gather": grpc.stream_unary_rpc_method_handler,
             "count": grpc.unary_stream_rpc_method_handler,
             "chat": grpc.stream_stream_rpc_method_handler,
             "wait": grpc.unary_stream_rpc_method_handler}
    handlers = {name: make(getattr(service, name)) for name, make in kinds.items()}
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16),
                         options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = free_port()
    assert server.add_insecure_port(f"{HOST}:{port}") == port
    server.start()
    return server, port


class Setting:
    """An instance before that server, a server that nobody is, one that never answers, and one that
    breaks off."""

    def __init__(self, sallyport, authority):
        self.service = Service()
        self.server, port = serve(self.service)
        self.silent = H2Backend(lambda stream: None)
        self.broken = H2Backend(lambda stream: stream.abort(7))  # REFUSED_STREAM
        pools = {"echo": {"servers": [f"{HOST}:{port}"]},
                 "nobody": {"servers": [f"{HOST}:{free_port()}"]},
                 "silent": {"servers": [self.silent.address],
                            "timeouts": {"response_header": patience_ms(300)}},
                 "broken": {"servers": [self.broken.address]}}
        routes = [{"path_prefix": f"/{name}.Echo/", "pool": name}
                  for name in ("nobody", "silent", "broken")]
        routes.append({"path_prefix": "/test.Echo/", "pool": "echo"})
        self.instance = sallyport(config={
            "workers": 1, "drain_timeout": "2s",
            "pools": {name: {"protocol": "http/2", **words} for name, words in pools.items()},
            "listeners": [{"name": "door", "address": f"{HOST}:{free_port()}", "mode": "http",
                           "routes": routes,
                           "tls": {"certificates": [authority.leaf("a.example").pem]}}]})
        with open(authority.path, "rb") as root:
            credentials = grpc.ssl_channel_credentials(root.read())
        self.channel = grpc.secure_channel(
            f"{HOST}:{self.instance.port}", credentials,
            options=(("grpc.ssl_target_name_override", "a.example"),
                     ("grpc.default_authority", "a.example"), ("grpc.enable_retries", 0)))

    def call(self, kind, name, service="test.Echo"):
        """A method of that kind."""
        return getattr(self.channel, kind)(f"/{service}/{name}")

    def close(self):
        """Ends all of it."""
        self.channel.close()
        self.server.stop(0)
        self.silent.close()
        self.broken.close()


@pytest.fixture(scope="module")
def setting(sallyport_for_all, authority):
    made = Setting(sallyport_for_all, authority)
    yield made
    made.close()


def test_unary(setting):
    call = setting.call("unary_unary", "unary")
    for size in (0, 1, 100, 70_000, 3_000_000):
        message = bytes(size)
        got, done = call.with_call(message, timeout=PATIENCE, metadata=(("x-mine", "yes"),))
        assert got == message and done.code() == Status.OK
        assert ("x-first", "said") in done.initial_metadata()
        assert ("x-last", "said too") in done.trailing_metadata()
        assert ("x-last-bin", b"\0\xff") in done.trailing_metadata()
    assert setting.service.metadata["x-mine"] == "yes"


@pytest.mark.parametrize("number", range(1, 17))
def test_statuses_pass(setting, number):
    code = list(Status)[number]
    with pytest.raises(grpc.RpcError) as failed:
        setting.call("unary_unary", "fail")(str(number).encode(), timeout=PATIENCE)
    assert failed.value.code() == code and failed.value.details() == "caf\u00e9 100%"


def test_client_streaming(setting):
    sizes = [0, 1, 16384, 100_000, 5] * 20
    got = setting.call("stream_unary", "gather")((bytes(n) for n in sizes), timeout=PATIENCE)
    assert got == f"{len(sizes)} {sum(sizes)}".encode()


def test_server_streaming(setting):
    got = list(setting.call("unary_stream", "count")(b"1000", timeout=PATIENCE))
    assert got == [str(n).encode() for n in range(1000)]


def test_bidirectional_streaming_message_by_message(setting):
    # The next one is sent only when the last one's answer has come: nothing may be held back.
    go = threading.Semaphore(1)

    def messages():
        for number in range(100):
            assert go.acquire(timeout=PATIENCE)
            yield f"message {number}".encode()

    count = 0
    for answer in setting.call("stream_stream", "chat")(messages(), timeout=PATIENCE):
        assert answer == f"message {count}".encode()[::-1]
        count += 1
        go.release()
    assert count == 100


def test_10_000_messages_both_ways(setting):
    sent = (number.to_bytes(4, "big") * 8 for number in range(MESSAGES))
    got = setting.call("stream_stream", "chat")(sent, timeout=PATIENCE * 6)
    for number, answer in zip(itertools.count(), got):
        assert answer == (number.to_bytes(4, "big") * 8)[::-1]
    assert number == MESSAGES - 1


def test_calls_at_once(setting):
    call = setting.call("unary_unary", "unary")
    pending = [(n, call.future(str(n).encode(), timeout=PATIENCE * 2)) for n in range(300)]
    for number, future in pending:
        assert future.result() == str(number).encode()


def test_cancellation_comes_to_the_server(setting):
    setting.service.cancelled.clear()
    call = setting.call("unary_stream", "wait")(b"", timeout=PATIENCE)
    assert next(call) == b"waiting"
    call.cancel()
    assert setting.service.cancelled.wait(PATIENCE)
    assert call.code() == Status.CANCELLED


def test_a_deadline_comes_to_the_server(setting):
    setting.service.remaining.clear()
    began = time.monotonic()
    call = setting.call("unary_stream", "wait")(b"", timeout=PATIENCE / 10)
    with pytest.raises(grpc.RpcError):
        list(call)
    assert call.code() == Status.DEADLINE_EXCEEDED
    assert time.monotonic() - began < PATIENCE / 2
    [remaining] = setting.service.remaining
    assert 0 < remaining <= PATIENCE / 10 + 0.1  # grpcio rounds up


@pytest.mark.parametrize("service, codes", [
    ("nobody.Echo", {Status.UNAVAILABLE}), ("silent.Echo", {Status.DEADLINE_EXCEEDED}),
    ("broken.Echo", {Status.UNAVAILABLE}), ("none.Echo", {Status.UNIMPLEMENTED})])
def test_errors_made_here(setting, service, codes):
    with pytest.raises(grpc.RpcError) as failed:
        setting.call("unary_unary", "unary", service)(b"x", timeout=PATIENCE)
    assert failed.value.code() in codes, failed.value
    # grpcio would make up the same of an HTTP status: this one said it.
    assert "http" not in failed.value.details().lower(), failed.value.details()


@pytest.mark.parametrize("service, status", [("nobody", "14"), ("silent", "4"), ("none", "12")])
@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto"])
def test_errors_made_here_as_they_are_written(setting, service, status, kind):
    with Client(setting.instance.port) as client:
        response = client.ask(f"/{service}.Echo/unary", ("content-type", kind), ("te", "trailers"),
                              method="POST", body=b"\0\0\0\0\1x")
        assert response.status == 200
        assert response.get("content-type").startswith("application/grpc")
        # Trailers alone: one block that is also the end.
        assert response.get("grpc-status") == status
        assert response.get("grpc-message")
        assert response.total == 0 and not response.trailers
        assert not client.violations


def test_other_requests_get_a_status_of_http(setting):
    with Client(setting.instance.port) as client:
        assert client.ask("/nobody.Echo/x", ("content-type", "application/grpcx"),
                          method="POST", body=b"x").status in (502, 503)
        assert client.ask("/silent.Echo/x").status == 504
        assert client.ask("/none.Echo/x").status == 404


def test_an_answer_that_is_cut_is_no_whole_one(setting):
    def answer(stream):
        stream.head([(":status", "200"), ("content-type", "application/grpc")])
        stream.data(b"\0\0\0\0\1x")
        stream.abort(2)

    before, setting.broken.answer = setting.broken.answer, answer
    try:
        got = []
        with pytest.raises(grpc.RpcError) as failed:
            for message in setting.call("unary_stream", "x", "broken.Echo")(b"x", timeout=PATIENCE):
                got.append(message)
        assert got in ([], [b"x"])
        assert failed.value.code() in (Status.UNAVAILABLE, Status.INTERNAL, Status.UNKNOWN,
                                       Status.CANCELLED)
    finally:
        setting.broken.answer = before
