"""Load for HTTP/2: h2load (nghttp2), which asks a fixed number of times and says what came. Its own
CPU time is nobody's: what is measured is the proxy's."""

import re
import shutil

PROGRAM = "h2load"
# Of streams and connections, as powers of two: no body here fills them.
WINDOW_BITS = ("-w", "24", "-W", "26")
PATIENCE = "20s"
_WANTED = {"TLS Protocol": "TLSv1.3", "Cipher": "TLS_AES_128_GCM_SHA256",
           "Server Temp Key": "X25519", "Application protocol": "h2"}
_DATA = re.compile(r"traffic: .* \((\d+)\) data$", re.MULTILINE)
_REQUESTS = re.compile(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded")


def found():
    """Whether it is installed."""
    return shutil.which(PROGRAM) is not None


def command(port, connections, streams, body, units):
    """None of `connections` goes without a request."""
    return [PROGRAM, "-t", "1", "-n", str(units), "-c", str(min(connections, units)),
            "-m", str(streams), *WINDOW_BITS, "-N", PATIENCE, "--npn-list=h2", "--groups=X25519",
            "--tls13-ciphers=TLS_AES_128_GCM_SHA256", f"--connect-to=127.0.0.1:{port}",
            f"https://bench.test/{body}"]


def read(output, units, body):
    """What it did: units and bytes of bodies, or the words for what was not as it should be."""
    requests, data = _REQUESTS.search(output), _DATA.search(output)
    if requests is None or data is None:
        return None, "it did not come to its end"
    if {int(n) for n in requests.groups()} != {units}:
        return None, requests.group(0)
    if int(data.group(1)) != units * body:
        return None, f"{data.group(1)} bytes of bodies came, not {units * body}"
    for what, wanted in _WANTED.items():
        said = re.search(rf"^{what}: (\S+)", output, re.MULTILINE)
        if said is None or said.group(1) != wanted:
            return None, f"{what} is {said.group(1) if said else 'not said'}, not {wanted}"
    return {"units": units, "bytes": int(data.group(1))}, ""
