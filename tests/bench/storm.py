#!/usr/bin/python3
"""tests/bench/storm.py: what established traffic notices of a storm of handshakes.

Each proxy runs with one worker on one core. Requests by HTTP/1.1 and HTTP/2 go over connections that
stay, a few hundred a second; they are timed, first in peace, then while clients on 200 connections do
nothing but full RSA-2048 handshakes (and one request each), and one resumes sessions, some 50 a
second. Load clients
and backend share another core; there the storm runs as SCHED_IDLE, or it would delay the client that
measures. What counts is storm over quiet; and that no handshake fails. Proxies take turns.

  tests/bench/storm.py
  tests/bench/storm.py --rounds 5 --seconds 6 --proxies sallyport,nginx
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

import proxies
from http_proxies import Http2HAProxy, Http2Nginx, Http2Sallyport
from process import Program
from setting import Setting, add_arguments, open_many

RATE = 50     # requests a second on each connection
STEADY = 4    # connections of each protocol
STORM = 200
PAUSE_MS = 20  # between sessions that are resumed
TARGETS = {50: 1.2, 90: 1.5}


class Sallyport(Http2Sallyport):
    keys = proxies.KEYS


class Nginx(Http2Nginx):
    keys = proxies.KEYS


class HAProxy(Http2HAProxy):
    keys = proxies.KEYS


class Joined(Sallyport):
    name, title, isolation = "sallyport-joined", "Sallyport, key_isolation off", False


KNOWN = {kind.name: kind for kind in (Sallyport, Nginx, HAProxy, Joined)}


class Steady:
    """h2load in the background, with the time of each answer."""

    def __init__(self, bench, port, version, seconds):
        self.version = version
        self._log = tempfile.NamedTemporaryFile(prefix="storm-")
        words = ["h2load", "-t", "1", "-c", str(STEADY), "-m", "1", "--rps", str(RATE),
                 "-D", str(seconds), f"--log-file={self._log.name}",
                 *(["--h1"] if version == "h1" else []), f"https://127.0.0.1:{port}/1024"]
        self._program = Program(words, bench.load_cpu, bench.load_log, stdout=subprocess.PIPE)

    def finish(self):
        """Milliseconds of each answer, sorted."""
        output = self._program.popen.communicate(timeout=60)[0].decode(errors="replace")
        rows = [line.split("\t") for line in self._log.read().decode().splitlines()]
        self._log.close()
        if not rows or {row[1] for row in rows} != {"200"}:
            raise RuntimeError(f"{self.version}: not every answer was 200: {output}")
        return sorted(int(row[2]) / 1e3 for row in rows)


class Storm:
    """bench_load as a storm, or as those who resume beside it."""

    def __init__(self, bench, kind, port, concurrency, seconds, idle):
        words = [bench.args.load, kind, str(port), "--units", "10000000", "--concurrency",
                 str(concurrency), "--body", "1024", "--seconds", str(seconds)]
        words += [] if idle else ["--pause", str(PAUSE_MS)]
        self._program = Program(["chrt", "--idle", "0", *words] if idle else words,
                                bench.load_cpu, bench.load_log, stdout=subprocess.PIPE)

    def finish(self):
        """What it did; None: a handshake failed."""
        said = self._program.popen.communicate(timeout=120)[0]
        return json.loads(said) if self._program.popen.returncode == 0 else None


class Bench(Setting):
    def __init__(self, args):
        super().__init__(args, "sallyport-storm-")

    def steady(self, proxy, seconds):
        return [Steady(self, proxy.ports["ecdsa"], version, seconds) for version in ("h1", "h2")]

    def round(self, proxy):
        """One in peace and one in a storm."""
        quiet = [s.finish() for s in self.steady(proxy, self.args.seconds)]
        storm = Storm(self, "full", proxy.ports["rsa"], STORM, self.args.seconds + 2, True)
        resuming = Storm(self, "resumed", proxy.ports["rsa"], 1, self.args.seconds + 2, False)
        time.sleep(1)
        stormy = [s.finish() for s in self.steady(proxy, self.args.seconds)]
        return {"quiet": quiet, "storm": stormy, "full": storm.finish(),
                "resumed": resuming.finish()}


def at(samples, percent):
    return samples[min(len(samples) - 1, len(samples) * percent // 100)]


def ratios(rounds, percent):
    """Of each protocol, the median over the rounds of storm over quiet."""
    return [statistics.median(at(r["storm"][i], percent) / at(r["quiet"][i], percent)
                              for r in rounds) for i in (0, 1)]


def row(title, rounds):
    cells = [title]
    for percent in (50, 90, 99):
        for i, version in enumerate(("h1", "h2")):
            quiet = statistics.median(at(r["quiet"][i], percent) for r in rounds)
            storm = statistics.median(at(r["storm"][i], percent) for r in rounds)
            cells.append(f"{quiet:.2f} / {storm:.2f} = x{ratios(rounds, percent)[i]:.2f}")
    full = [r["full"]["units"] / r["full"]["seconds"] for r in rounds if r["full"]]
    resumed = [r["resumed"]["seconds"] / r["resumed"]["units"] for r in rounds if r["resumed"]]
    failed = sum(r[k] is None for r in rounds for k in ("full", "resumed"))
    cells += [f"{statistics.median(full):.0f}/s" if full else "failed",
              f"{statistics.median(resumed) * 1e3:.1f} ms" if resumed else "failed", str(failed)]
    return "| " + " | ".join(cells) + " |"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--proxies", default="sallyport,nginx,haproxy",
                        help=f"default: %(default)s; known: {','.join(KNOWN)}")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=5, help="of each part; default: %(default)s")
    return parser.parse_args()


def met(rounds):
    """Whether Sallyport is as quiet as it is to be, and nobody failed."""
    return all(r["full"] and r["resumed"] for r in rounds) and all(
        ratio <= most for percent, most in TARGETS.items() for ratio in ratios(rounds, percent))


def main():
    args = arguments()
    open_many()
    bench = Bench(args)
    proxies.make_certificates(bench.out)
    chosen = [KNOWN[name](proxies.find(name, args.sallyport), bench)
              for name in args.proxies.split(",")]
    results = {proxy.name: [] for proxy in chosen}
    with bench.load(["backend", str(bench.backend_port)]):
        time.sleep(0.2)
        for turn in range(args.rounds):
            for proxy in chosen[turn % len(chosen):] + chosen[:turn % len(chosen)]:
                with proxy.start():
                    results[proxy.name].append(bench.round(proxy))
            print(f"round {turn + 1} of {args.rounds}", file=sys.stderr, flush=True)
    lines = ["| ms, quiet / storm | p50 h1 | p50 h2 | p90 h1 | p90 h2 | p99 h1 | p99 h2 "
             "| full handshakes | a resumed one | failed |", "| --- " * 10 + "|"]
    lines += [row(proxy.title, results[proxy.name]) for proxy in chosen]
    text = "\n".join(lines) + "\n"
    (bench.out / "table.md").write_text(text)
    print(text)
    print(f"configurations and logs: {bench.out}", file=sys.stderr)
    good = "sallyport" not in results or met(results["sallyport"])
    return 1 if args.strict and not good else 0


if __name__ == "__main__":
    sys.exit(main())
