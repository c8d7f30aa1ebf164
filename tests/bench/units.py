"""What is measured, and what is asked of it: for each mode its units, in the order of the table."""

from dataclasses import dataclass

# What a target is about.
RATIO, OWN = "ratio", "own"


@dataclass(frozen=True)
class Target:
    """`of` RATIO: to the best peer; OWN: Sallyport's own figure. Met at `most` or less."""
    of: str
    most: float
    words: str


@dataclass(frozen=True)
class H2:
    """Connections, streams on each at a time, bytes of a body."""
    connections: int
    streams: int
    body: int


@dataclass(frozen=True)
class Unit:
    """`words` of bench_load for `count` of them in a round, or what h2load is asked for; `key`: the
    listener's. `scale` makes the raw figure (nanoseconds, bytes, a ratio) one of `measure`."""
    title: str
    measure: str
    scale: float
    decimals: int
    words: tuple = ()
    key: str = "ecdsa"
    count: int = 0
    target: Target = None
    per_gb: bool = False  # else per unit
    plain: bool = False   # also measured without TLS
    h2: H2 = None


def _ratio(most):
    return Target(RATIO, most, f"ratio <= {most:.2f}")


_IDLE_TARGET = Target(OWN, 5 * 1024, f"<= {5 * 1024}")
_SAME = Target(OWN, 1.10, "<= 1.10")
_SMALL = ("--body", "1024")

TCP = {
    "full-ecdsa": Unit("full handshake, ECDSA P-256", "us", 1e-3, 0, ("full",), count=2500,
                       target=_ratio(0.90), plain=True),
    "full-rsa": Unit("full handshake, RSA-2048", "us", 1e-3, 0, ("full",), key="rsa", count=1200),
    "resumed": Unit("resumed handshake", "us", 1e-3, 0, ("resumed",), count=3000,
                    target=_ratio(0.80)),
    "bytes": Unit("GB relayed to the client", "ms", 1e-6, 0,
                  ("bodies", "--body", str(64 << 20), "--concurrency", "4"), count=24,
                  target=_ratio(0.75), per_gb=True, plain=True),
    "idle": Unit("idle connection, user space", "bytes", 1, 0, ("idle",), count=3000,
                 target=_IDLE_TARGET),
}

HTTP = {
    "request": Unit("keep-alive request, 1 KiB back", "us", 1e-3, 1,
                    ("kept", *_SMALL, "--concurrency", "32"), count=20000, target=_ratio(0.92)),
    "bodies": Unit("GB of bodies of 10 MB", "ms", 1e-6, 0,
                   ("kept", "--body", "10000000", "--concurrency", "4"), count=120,
                   target=_ratio(0.75), per_gb=True),
    "full": Unit("full handshake, ECDSA P-256, and a request", "us", 1e-3, 0, ("full", *_SMALL),
                 count=2000, target=_ratio(0.90)),
    "few": Unit("request, 10 connections open", "us", 1e-3, 1,
                ("kept", *_SMALL, "--concurrency", "10", "--open", "10"), count=10000),
    "crowd": Unit("request, 1,000 open, 10 of them asking", "us", 1e-3, 1,
                  ("kept", *_SMALL, "--concurrency", "10", "--open", "1000", "--asking", "10"),
                  count=10000),
    "crowd-few": Unit("that to 10 open", "", 1, 2, target=_SAME),
    "many": Unit("request, 1,000 open, taking turns", "us", 1e-3, 1,
                 ("kept", *_SMALL, "--concurrency", "10", "--open", "1000"), count=10000),
    "many-few": Unit("that to 10 open", "", 1, 2, target=_SAME),
    "idle": Unit("idle connection after a request, user space", "bytes", 1, 0, ("idle", *_SMALL),
                 count=2000, target=_IDLE_TARGET),
}

HTTP2 = {
    "request": Unit("h2 request, 1 KiB back", "us", 1e-3, 1, h2=H2(16, 16, 1024), count=40000,
                    target=_ratio(0.80)),
    "bodies": Unit("GB of bodies of 10 MiB over h2", "ms", 1e-6, 0, h2=H2(4, 2, 10 << 20),
                   count=120, target=_ratio(0.75), per_gb=True),
}

ALL = {"tcp": TCP, "http": HTTP, "h2": HTTP2}

# unit: the two whose samples it is the ratio of, round by round.
DERIVED = {"crowd-few": ("crowd", "few"), "many-few": ("many", "few")}


def derive(units, results):
    """Adds those that are made of others, and brings all into the order of the table."""
    for name, (over, under) in DERIVED.items():
        if over in results and under in results:
            results[name] = {proxy: [a / b for a, b in zip(samples, results[under][proxy])]
                             for proxy, samples in results[over].items()}
    return {name: results[name] for name in units if name in results}
