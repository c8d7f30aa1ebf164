#!/usr/bin/python3
"""tests/bench/run.py: what TLS termination costs, Sallyport beside its peers.

Each proxy runs with one worker on one core; load client and backend (bench_load) share another
one. What is measured is CPU time of all processes of the proxy, user and kernel, to the
nanosecond, until they have come to rest after the work; on a busy machine it holds roughly where
wall time does not. Everybody speaks TLS 1.3 (TLS_AES_128_GCM_SHA256, X25519); the client checks
version, cipher, group and that each ticket was taken.

--mode tcp: beside nginx's stream module, HAProxy and hitch. A unit is a connection: handshake, one
small request and its response, close_notify and close; or a GB (10^9 bytes) of bodies of 64 MiB,
four at a time. Logs are off but where the column says otherwise. What it costs that keys are in a
process of their own is the difference to the column without; the last one is the price of the
sockets alone: nginx relaying without TLS.

--mode http: beside nginx, HAProxy and nghttpx, all with kept connections to the backend and an
access log in a file. A unit is a request over connections that are kept, 32 at a time; a GB of
bodies of 10 MB, four at a time; or a connection as above. Requests with 10 and 1,000 connections
open are 10 at a time in all cases; opening is not counted. Where all 1,000 take turns, each finds
its connection's memory, the kernel's too, gone from the caches. Of each access log the lines are
counted: they must be as many as the requests.

--mode h2: the same proxies, HTTP/2 to the client and HTTP/1.1 to the backend. A unit is a request
on one of 16 connections with 16 streams each, or a GB of bodies of 10 MiB, two streams on each of
four connections. The load is h2load (Debian: nghttp2-client), with windows that no body fills; its
output is checked as the other load checks itself: how many succeeded, bytes of bodies,
version, cipher, group. Of each access log the lines are counted. Connections are opened anew in
each round, and that counts: 16 handshakes among 40,000 requests, 4 among 1.26 GB, under 1 % of
the figures (--scale 0.2: 4 %). Segments are those of loopback.

Idle connections: a fresh process, its user-space memory (PSS without pages of files) before and
after N connections have each had one response and stay. The proxies take turns in every round, the
first one changing. Figures are medians; the ratio is the median of the rounds' ratios to the best
peer, the one against which it is worst.

All of it depends on the machine: compare figures of one run only, and ratios between runs. With
others at work on it, more rounds of less work (--rounds 15 --scale 0.2 --nice -15) hold better.

Certificates are the same for all, session tickets are on, the rest is as each comes. Output folder:
configurations, logs, versions, table.md, results.json.

Targets: those of issues 3 (tcp) and 4 (http), with Debian's BoringSSL; with --mode h2, 0.80 of the
best peer for a request and 0.75 for a GB.

  cmake --preset release && cmake --build --preset release && tests/bench/run.py
  tests/bench/run.py --units full-ecdsa,resumed --proxies sallyport,nginx --rounds 9
  tests/bench/run.py --mode http
  tests/bench/run.py --mode h2 --rounds 5
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import h2load
import http_proxies
import proxies
import report
import units as measures
from process import Program, cpu_ns, memory, settle
from setting import Setting, add_arguments, open_many

PROXIES = {"tcp": proxies.TCP, "http": http_proxies.HTTP, "h2": http_proxies.HTTP2}
LOG_PATIENCE_S = 5


class Failure(Exception):
    """The run cannot go on; the words say why."""


class Bench(Setting):
    def __init__(self, args):
        super().__init__(args, "sallyport-bench-")
        self.measures = measures.ALL[args.mode]
        self.asked = {}  # proxy: requests, of those that the load says were answered

    def client_words(self, proxy, unit, units):
        what = self.measures[unit]
        return [what.words[0], str(proxy.ports[what.key]), *what.words[1:], "--units", str(units),
                "--segment", str(self.args.segment),
                *["--plain"] * proxy.plain]

    def units(self, unit):
        count = self.measures[unit].count
        if unit == "idle":
            return count  # with fewer, what a process needs once would count as theirs
        return max(8, round(count * self.args.scale))

    def count(self, proxy, said):
        """What the load said about its work, and how much that was."""
        if not said:
            raise Failure(f"{proxy.name}: the load failed; see {self.load_log}")
        done = json.loads(said)
        self.asked[proxy.name] = self.asked.get(proxy.name, 0) + done["units"]
        return done

    def run_h2load(self, proxy, what, units):
        """What h2load says that it did, having ended."""
        h2 = what.h2
        words = h2load.command(proxy.ports[what.key], h2.connections, h2.streams, h2.body, units)
        with Program(words, self.load_cpu, self.load_log, stdout=subprocess.PIPE) as client:
            output = client.popen.communicate()[0].decode(errors="replace")
        done, wrong = h2load.read(output, units, h2.body)
        if done is None:
            raise Failure(f"{proxy.name}: h2load: {wrong}")
        self.asked[proxy.name] = self.asked.get(proxy.name, 0) + units
        return done

    def cpu_of_h2(self, proxy, started, unit, units):
        """CPU nanoseconds per unit."""
        what, pids = self.measures[unit], started.family
        settle(pids)
        before = cpu_ns(pids)
        done = self.run_h2load(proxy, what, units)
        settle(pids)
        used = cpu_ns(pids) - before
        if started.family != pids:
            raise Failure(f"{proxy.name}, {unit}: a process has gone or come; see {proxy.log}")
        return used / (done["bytes"] / 1e9 if what.per_gb else units)

    def cpu_per_unit(self, proxy, started, unit, units):
        """CPU nanoseconds per unit."""
        what, pids = self.measures[unit], started.family
        if what.h2 is not None:
            return self.cpu_of_h2(proxy, started, unit, units)
        with self.load(self.client_words(proxy, unit, units), stdout=subprocess.PIPE,
                       stdin=subprocess.PIPE) as client:
            if what.words[0] == "kept":
                self.count(proxy, client.popen.stdout.readline())
                settle(pids)
            before = cpu_ns(pids)
            if what.words[0] == "kept":
                client.popen.stdin.write(b"\n")
                client.popen.stdin.flush()
            done = self.count(proxy, client.popen.stdout.readline())
            settle(pids)
            used = cpu_ns(pids) - before
            client.popen.communicate()
        if client.popen.returncode != 0:
            raise Failure(f"{proxy.name}, {unit}: the load failed; see {self.load_log}")
        if started.family != pids:
            raise Failure(f"{proxy.name}, {unit}: a process has gone or come; see {proxy.log}")
        if unit == "resumed" and done["resumed"] < units - 1:
            raise Failure(f"{proxy.name}: only {done['resumed']} of {units} were resumed")
        settle(pids)  # closing what was kept is not the next one's work
        return used / (done["bytes"] / 1e9 if what.per_gb else units)

    def memory_per_idle(self, proxy, units):
        """Bytes per idle connection of a fresh process."""
        with proxy.start() as started:
            settle(started.family)
            before = memory(started.family)
            with self.load(self.client_words(proxy, "idle", units), stdout=subprocess.PIPE,
                           stdin=subprocess.PIPE) as client:
                self.count(proxy, client.popen.stdout.readline())
                settle(started.family)
                used = memory(started.family) - before
                client.popen.communicate()
            if client.popen.returncode != 0:
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
                    if proxy.plain and not bench.measures[unit].plain:
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
    found = {p.title: p.version() for p in chosen if p.name not in ("sallyport-log", "nginx-plain")}
    found["OpenSSL of the peers"] = package("libssl3") or package("libssl3t64")
    found["BoringSSL package"] = package("android-libboringssl")
    found["h2load package"] = package("nghttp2-client")
    found["kernel"] = platform.release()
    found["CPU"] = f"{cpu_model()}, {os.cpu_count()} cores"
    return {k: v for k, v in found.items() if v}


def choose(bench, args):
    chosen, known = [], PROXIES[args.mode]
    for name in args.proxies.split(",") if args.proxies else known:
        if name not in known:
            raise Failure(f"no proxy {name}; there are {', '.join(known)}")
        program = proxies.find(name, args.sallyport)
        if program is None:
            print(f"left out: {name} is not installed or not built", file=sys.stderr)
            continue
        chosen.append(known[name](program, bench))
    if not chosen:
        raise Failure("no proxy to measure")
    return chosen


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--mode", choices=list(PROXIES), default="tcp",
                        help="default: %(default)s")
    for what, known in (("proxies", PROXIES), ("units", measures.ALL)):
        parser.add_argument(f"--{what}", help="default: all; " + "; ".join(
            f"{mode}: {','.join(names)}" for mode, names in known.items()))
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--scale", type=float, default=1.0,
                        help="multiplies the work of a round, but for idle; default: %(default)s")
    parser.add_argument("--segment", type=int, default=0, help="TCP segments of clients and backend,"
                        " in bytes: 1460 is Ethernet's; default: 0, as loopback has them (64 KiB)")
    parser.add_argument("--nice", type=int, default=0, help="priority of all processes of the run: "
                        "-15 keeps others on these CPUs out of the figures; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    args = parser.parse_args()
    known = [name for name, unit in measures.ALL[args.mode].items() if unit.count]
    args.units = args.units.split(",") if args.units else known
    unknown = set(args.units) - set(known)
    if unknown:
        parser.error(f"no unit {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if args.rounds < 1 or args.scale <= 0:
        parser.error("--rounds and --scale are greater than 0")
    if not os.access(args.load, os.X_OK):
        parser.error(f"{args.load} is not built: cmake --build --preset release")
    if args.mode == "h2" and not h2load.found():
        parser.error("h2load is not installed: nghttp2-client")
    if args.mode == "h2" and args.segment:
        parser.error("--segment: h2load knows no such thing")
    missing = {args.proxy_cpu, args.load_cpu} - os.sched_getaffinity(0)
    if missing:
        parser.error(f"CPU {min(missing)} may not be used here; see --proxy-cpu and --load-cpu")
    return args


def measure(bench, args, say):
    chosen = choose(bench, args)
    units = args.units
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
    return chosen, measures.derive(bench.measures, results)


def logged(bench, chosen):
    """One line about each access log that should have a line for each request, and whether they
    all have."""
    lines, whole = [], True
    for proxy in chosen:
        if not hasattr(proxy, "logged"):
            continue
        asked, end = bench.asked.get(proxy.name, 0), time.monotonic() + LOG_PATIENCE_S
        while (seen := proxy.logged()) < asked and time.monotonic() < end:
            time.sleep(0.2)
        whole = whole and seen >= asked
        lines.append(f"- access log of {proxy.title}: {seen:,} lines, {asked:,} requests"
                     f"{'' if seen >= asked else ': LINES ARE MISSING'}")
    return lines, whole


def show(bench, args, chosen, results):
    known = bench.measures
    columns = {p.name: p.title for p in chosen}
    peers = [p.name for p in chosen if p.peer]
    found = versions(chosen)
    logs, met_logs = logged(bench, chosen)
    text = "\n".join([report.table(known, results, columns, peers), "",
                      f"Medians of {args.rounds} rounds, TCP segments: "
                      f"{args.segment or 'as loopback has them'}. Half the distance of the quartiles:", "",
                      report.spreads(known, results, columns), "",
                      *logs,
                      *[f"- {what}: {' '.join(version.split())}" for what, version in found.items()],
                      ""])
    verdicts = {}
    for unit, samples in results.items():
        medians = {p: report.median(samples.get(p)) for p in columns}
        ratio, target, met = report.judge(known[unit], samples, peers)
        verdicts[unit] = {"medians": medians, "ratio": ratio, "target": target, "met": met,
                          "samples": samples}
    raw = json.dumps({"mode": args.mode, "units": verdicts, "versions": found, "rounds": args.rounds,
                      "scale": args.scale, "segment": args.segment}, indent=2)
    (bench.out / "table.md").write_text(text)
    (bench.out / "results.json").write_text(raw + "\n")
    print(raw if args.json else text)
    print(f"configurations and logs: {bench.out}", file=sys.stderr)
    return met_logs and all(v["met"] is not False for v in verdicts.values())


def main():
    args = arguments()
    open_many()
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
