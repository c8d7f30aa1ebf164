#!/usr/bin/python3
"""tests/bench/run.py: what TLS termination costs, Sallyport beside nginx, HAProxy and hitch.

Each proxy runs with one worker on one core; load client and backend (bench_load) share another
one. What is measured is CPU time of all processes of the proxy, user and kernel, to the
nanosecond, until they have come to rest after the work; on a busy machine it holds roughly where
wall time does not. A unit is a connection of TLS 1.3 (TLS_AES_128_GCM_SHA256, X25519): handshake,
one small request and its response, close_notify and close; or a GB (10^9 bytes) of bodies of
64 MiB, four at a time. Idle connections: a fresh process, its user-space memory (PSS without pages
of files) before and after N connections have each relayed one request and stay. The proxies take
turns in every round, the first one changing. Figures are medians; the ratio is the median of the
rounds' ratios to the best peer, the one against which it is worst. The client checks version,
cipher, group and that each ticket was taken.

All of it depends on the machine: compare figures of one run only, and ratios between runs. With
others at work on it, more rounds of less work (--rounds 15 --scale 0.2 --nice -15) hold better.

Certificates are the same for all, logs are off but where the column says otherwise, session
tickets are on, the rest is as each comes. The last column is the price of the sockets alone: nginx
relaying without TLS. Output folder: configurations, logs, versions, table.md, results.json.

Targets: those of issue 3, with Debian's BoringSSL.

  cmake --preset release && cmake --build --preset release && tests/bench/run.py
  tests/bench/run.py --units full-ecdsa,resumed --proxies sallyport,nginx --rounds 9
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time

import proxies
import report
from process import Program, cpu_ns, memory, settle

ROOT = pathlib.Path(__file__).resolve().parents[2]
BODY = 64 << 20
# unit: (bench_load's words, listener, connections)
WORK = {
    "full-ecdsa": (["full"], "ecdsa", 2500),
    "full-rsa": (["full"], "rsa", 1200),
    "resumed": (["resumed"], "ecdsa", 3000),
    "bytes": (["bodies", "--body", str(BODY), "--concurrency", "4"], "ecdsa", 24),
    "idle": (["idle"], "ecdsa", 3000),
}


class Failure(Exception):
    """The run cannot go on; the words say why."""


class Bench:
    def __init__(self, args):
        self.args = args
        self.proxy_cpu, self.load_cpu = args.proxy_cpu, args.load_cpu
        self.out = pathlib.Path(args.out or tempfile.mkdtemp(prefix="sallyport-bench-")).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.out.chmod(0o755)
        self.backend_port = proxies.free_port()
        self.load_log = self.out / "load.log"

    def load(self, words, **more):
        return Program([self.args.load, *words], self.load_cpu, self.load_log, **more)

    def try_one(self, proxy, key):
        """Whether a request gets through."""
        words = ["full", str(proxy.ports[key]), "--units", "1"] + ["--plain"] * proxy.plain
        return subprocess.run([self.args.load, *words], check=False,
                              capture_output=True).returncode == 0

    def client_words(self, proxy, unit, units):
        words, key, _ = WORK[unit]
        return [words[0], str(proxy.ports[key]), *words[1:], "--units", str(units),
                "--segment", str(self.args.segment),
                *["--plain"] * proxy.plain]

    def units(self, unit):
        if unit == "idle":
            return WORK[unit][2]  # with fewer, what a process needs once would count as theirs
        return max(8, round(WORK[unit][2] * self.args.scale))

    def cpu_per_unit(self, proxy, started, unit, units):
        """CPU nanoseconds per unit."""
        pids = started.family
        before = cpu_ns(pids)
        with self.load(self.client_words(proxy, unit, units), stdout=subprocess.PIPE) as client:
            said, _ = client.popen.communicate()
        settle(pids)
        if client.popen.returncode != 0:
            raise Failure(f"{proxy.name}, {unit}: the load failed; see {self.load_log}")
        if started.family != pids:
            raise Failure(f"{proxy.name}, {unit}: a process has gone or come; see {proxy.log}")
        used, done = cpu_ns(pids) - before, json.loads(said)
        if unit == "resumed" and done["resumed"] < units - 1:
            raise Failure(f"{proxy.name}: only {done['resumed']} of {units} were resumed")
        return used / (done["bytes"] / 1e9 if unit == "bytes" else units)

    def memory_per_idle(self, proxy, units):
        """Bytes per idle connection of a fresh process."""
        with proxy.start() as started:
            settle(started.family)
            before = memory(started.family)
            with self.load(self.client_words(proxy, "idle", units), stdout=subprocess.PIPE,
                           stdin=subprocess.PIPE) as client:
                ready = client.popen.stdout.readline()
                settle(started.family)
                used = memory(started.family) - before
                client.popen.communicate()
            if not ready or client.popen.returncode != 0:
                raise Failure(f"{proxy.name}, idle: the load failed; see {self.load_log}")
            return used / units


def rotated(items, by):
    by %= len(items)
    return items[by:] + items[:by]


def cpu_rounds(bench, chosen, units, rounds, results, say):
    """All units that cost CPU, proxies in turn."""
    running = {}
    try:
        for proxy in chosen:
            running[proxy.name] = proxy.start()
        for turn in range(-1, rounds):  # the first one warms up
            for unit in units:
                for proxy in rotated(chosen, turn):
                    if proxy.plain and unit != "full-ecdsa" and unit != "bytes":
                        continue
                    number = bench.units(unit) if turn >= 0 else bench.units(unit) // 4
                    value = bench.cpu_per_unit(proxy, running[proxy.name], unit, max(4, number))
                    if turn >= 0:
                        results[unit].setdefault(proxy.name, []).append(value)
            say(f"round {turn + 1} of {rounds}")
    finally:
        for started in running.values():
            started.stop()


def idle_rounds(bench, chosen, rounds, results, say):
    for turn in range(rounds):
        for proxy in rotated(chosen, turn):
            value = bench.memory_per_idle(proxy, bench.units("idle"))
            results["idle"].setdefault(proxy.name, []).append(value)
        say(f"idle, round {turn + 1} of {rounds}")


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def package(name):
    """Version of a Debian package, or an empty text."""
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], check=False,
                              capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def versions(chosen):
    found = {p.title: p.version() for p in chosen if p.name in ("sallyport", "nginx", "haproxy",
                                                               "hitch")}
    found["OpenSSL of the peers"] = package("libssl3") or package("libssl3t64")
    found["BoringSSL package"] = package("android-libboringssl")
    found["kernel"] = platform.release()
    found["CPU"] = f"{cpu_model()}, {os.cpu_count()} cores"
    return {k: v for k, v in found.items() if v}


def choose(bench, args):
    chosen = []
    for name in args.proxies.split(","):
        if name not in proxies.ALL:
            raise Failure(f"no proxy {name}; there are {', '.join(proxies.ALL)}")
        program = proxies.find(name, args.sallyport)
        if program is None:
            print(f"left out: {name} is not installed or not built", file=sys.stderr)
            continue
        chosen.append(proxies.ALL[name](program, bench))
    if not chosen:
        raise Failure("no proxy to measure")
    return chosen


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    build = ROOT / "build/release"
    parser.add_argument("--sallyport", default=str(build / "sallyport"), help="the binary")
    parser.add_argument("--load", default=str(build / "tests/bench_load"), help="bench_load")
    parser.add_argument("--out", help="output folder; default: a new one in the temporary folder")
    parser.add_argument("--proxies", default=",".join(proxies.ALL), help="default: %(default)s")
    parser.add_argument("--units", default=",".join(WORK), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--scale", type=float, default=1.0,
                        help="multiplies the work of a round, but for idle; default: %(default)s")
    parser.add_argument("--proxy-cpu", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--load-cpu", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--segment", type=int, default=0, help="TCP segments of clients and backend,"
                        " in bytes: 1460 is Ethernet's; default: 0, as loopback has them (64 KiB)")
    parser.add_argument("--nice", type=int, default=0, help="priority of all processes of the run: "
                        "-15 keeps others on these CPUs out of the figures; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a target is missed")
    args = parser.parse_args()
    unknown = set(args.units.split(",")) - set(WORK)
    if unknown:
        parser.error(f"no unit {', '.join(sorted(unknown))}; there are {', '.join(WORK)}")
    if args.rounds < 1 or args.scale <= 0:
        parser.error("--rounds and --scale are greater than 0")
    if not os.access(args.load, os.X_OK):
        parser.error(f"{args.load} is not built: cmake --build --preset release")
    missing = {args.proxy_cpu, args.load_cpu} - os.sched_getaffinity(0)
    if missing:
        parser.error(f"CPU {min(missing)} may not be used here; see --proxy-cpu and --load-cpu")
    return args


def measure(bench, args, say):
    chosen = choose(bench, args)
    units = args.units.split(",")
    results = {unit: {} for unit in units}
    proxies.make_certificates(bench.out)
    with bench.load(["backend", str(bench.backend_port), "--segment", str(args.segment)]):
        time.sleep(0.2)
        busy = [u for u in units if u != "idle"]
        if busy:
            cpu_rounds(bench, chosen, busy, args.rounds, results, say)
        if "idle" in units:
            idle_rounds(bench, [p for p in chosen if p.name != "sallyport-log"],
                        min(args.rounds, 5), results, say)
    return chosen, results


def show(bench, args, chosen, results):
    columns = {p.name: p.title for p in chosen}
    peers = [p.name for p in chosen if p.peer]
    found = versions(chosen)
    text = "\n".join([report.table(results, columns, peers), "",
                      f"Medians of {args.rounds} rounds, TCP segments: "
                      f"{args.segment or 'as loopback has them'}. Half the distance of the quartiles:", "",
                      report.spreads(results, columns), "",
                      *[f"- {what}: {' '.join(version.split())}" for what, version in found.items()],
                      ""])
    verdicts = {}
    for unit, samples in results.items():
        medians = {p: report.median(samples.get(p)) for p in columns}
        ratio, target, met = report.judge(unit, samples, peers)
        verdicts[unit] = {"medians": medians, "ratio": ratio, "target": target, "met": met,
                          "samples": samples}
    raw = json.dumps({"units": verdicts, "versions": found, "rounds": args.rounds,
                      "scale": args.scale, "segment": args.segment}, indent=2)
    (bench.out / "table.md").write_text(text)
    (bench.out / "results.json").write_text(raw + "\n")
    print(raw if args.json else text)
    print(f"configurations and logs: {bench.out}", file=sys.stderr)
    return all(v["met"] is not False for v in verdicts.values())


def main():
    args = arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        os.nice(args.nice)
    except PermissionError:
        print("bench: --nice: a higher priority needs root", file=sys.stderr)
        return 2
    bench = Bench(args)

    def say(text):
        print(text, file=sys.stderr, flush=True)

    try:
        chosen, results = measure(bench, args, say)
    except (Failure, RuntimeError) as e:
        print(f"bench: {e}", file=sys.stderr)
        return 2
    met = show(bench, args, chosen, results)
    return 1 if args.strict and not met else 0


if __name__ == "__main__":
    sys.exit(main())
