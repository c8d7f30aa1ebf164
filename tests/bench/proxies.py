"""The proxies side by side in TCP mode, and what all modes share: one worker each, two TLS
listeners (ECDSA P-256 and RSA-2048), one backend, logs off, all else as each comes. Their
configurations are written to the output folder."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

from process import Program

KEYS = ("ecdsa", "rsa")
USER = "nobody"


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_certificates(folder):
    """A self-signed certificate for each kind of key: NAME.pem (both), NAME.crt, NAME.key."""
    kinds = {"ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
             "rsa": ["-newkey", "rsa:2048"]}
    for name, how in kinds.items():
        crt, key = folder / f"{name}.crt", folder / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "30", *how, "-sha256",
                        "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test",
                        "-keyout", key, "-out", crt], check=True, capture_output=True)
        pem = folder / f"{name}.pem"
        pem.touch(mode=0o600)
        pem.write_text(crt.read_text() + key.read_text())


def _output(*command):
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


class Proxy:
    """What all have. `title` heads its column; `peer`: Sallyport is compared with it; `keys`: of
    its listeners."""
    peer = True
    plain = False
    keys = KEYS

    def __init__(self, program, bench):
        self.program = program
        self.bench = bench
        self.folder = bench.out / self.name
        self.folder.mkdir(mode=0o755, exist_ok=True)
        self.ports = {key: free_port() for key in self.keys}
        self.log = self.folder / "output.log"

    def start(self):
        """Starts it and waits until it serves."""
        config = self.folder / self.file
        config.write_text(self.config())
        started = Program(self.command(config), self.bench.proxy_cpu, self.log)
        end = time.monotonic() + 20
        while True:
            answers = [self.bench.try_one(self, key) for key in self.keys]
            if all(answers):
                return started
            if not started.running() or time.monotonic() > end:
                started.stop()
                raise RuntimeError(f"{self.name} does not serve; see {self.log}")
            time.sleep(0.1)

    def version(self):
        return re.search(self.version_pattern, _output(self.program, *self.version_flags)).group(1)


class Sallyport(Proxy):
    name, title, file, peer = "sallyport", "Sallyport", "sallyport.json", False
    version_flags, version_pattern = ["version"], r"(?s)\s*(.*\S)"
    access_log, mode, of_pool, isolation = False, "tcp", {}, True

    def command(self, config):
        return [self.program, "run", "-c", config]

    def config(self):
        return json.dumps({
            "listeners": [
                {"name": key, "address": f"127.0.0.1:{self.ports[key]}", "mode": self.mode,
                 "tls": {"certificates": [str(self.bench.out / f"{key}.pem")],
                         "min_version": "1.3", "groups": ["X25519"]},
                 "pool": "backend"} for key in self.keys],
            "pools": {"backend": {"servers": [f"127.0.0.1:{self.bench.backend_port}"],
                                  **self.of_pool}},
            "workers": 1,
            "key_isolation": self.isolation,
            "log": {"access": {"path": str(self.folder / "access.log")} if self.access_log
                    else False},
            "admin": {"address": f"unix:{self.folder}/admin.sock"},
        }, indent=2) + "\n"


class SallyportLogging(Sallyport):
    name, title, access_log = "sallyport-log", "Sallyport, access log on", True


class SallyportOneProcess(Sallyport):
    name, title, isolation = "sallyport-joined", "Sallyport, key_isolation off", False


class Nginx(Proxy):
    name, title, file = "nginx", "nginx", "nginx.conf"
    at_listen = ""
    version_flags, version_pattern = ["-v"], r"nginx/(\S+)"

    def command(self, config):
        return [self.program, "-p", self.folder, "-c", config]

    def tls(self, key):
        out = self.bench.out
        return (f" ssl{self.at_listen};\n"
                f"\t\tssl_certificate {out}/{key}.crt;\n"
                f"\t\tssl_certificate_key {out}/{key}.key;\n"
                "\t\tssl_protocols TLSv1.3;\n"
                "\t\tssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n"
                "\t\tssl_ecdh_curve X25519;\n"
                "\t\tssl_session_tickets on;\n")

    def servers(self, proxying):
        return "".join(
            f"\tserver {{\n\t\tlisten 127.0.0.1:{self.ports[key]} backlog=4096{self.tls(key)}"
            f"{proxying}\t}}\n" for key in self.keys)

    def main(self):
        user = f"user {USER} nogroup;\n" if os.geteuid() == 0 else ""
        return (f"{user}daemon off;\nworker_processes 1;\n"
                f"error_log {self.folder}/error.log;\npid {self.folder}/nginx.pid;\n"
                "events {\n\tworker_connections 9000;\n}\n")

    def config(self):
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        servers = self.servers(f"\t\tproxy_pass 127.0.0.1:{self.bench.backend_port};\n")
        load = f"load_module {module};\n" if pathlib.Path(module).exists() else ""
        return (f"{load}{self.main()}"
                f"stream {{\n\taccess_log off;\n\ttcp_nodelay on;\n{servers}}}\n")


class NginxPlain(Nginx):
    name, title, peer, plain = "nginx-plain", "nginx without TLS", False, True

    def tls(self, key):
        return ";\n"


class HAProxy(Proxy):
    name, title, file = "haproxy", "HAProxy", "haproxy.cfg"
    version_flags, version_pattern = ["-v"], r"version (\S+)"

    def command(self, config):
        return [self.program, "-db", "-f", config]

    log_to, defaults, at_bind, at_backend = "", "\tmode tcp\n", "", ""

    def config(self):
        user = f"\tuser {USER}\n\tgroup nogroup\n" if os.geteuid() == 0 else ""
        fronts = "".join(
            f"frontend {key}\n\tbind 127.0.0.1:{self.ports[key]} backlog 4096 ssl "
            f"crt {self.bench.out}/{key}.pem ssl-min-ver TLSv1.3 "
            f"ciphersuites TLS_AES_128_GCM_SHA256 curves X25519{self.at_bind}\n"
            "\tdefault_backend all\n"
            for key in self.keys)
        return (f"global\n\tnbthread 1\n\tmaxconn 8000\n{self.log_to}{user}"
                f"defaults\n{self.defaults}\ttimeout connect 5s\n\ttimeout client 10m\n"
                f"\ttimeout server 10m\n{fronts}"
                f"backend all\n{self.at_backend}\tserver one 127.0.0.1:{self.bench.backend_port}\n")


class Hitch(Proxy):
    name, title, file = "hitch", "hitch", "hitch.conf"
    version_flags, version_pattern = ["--version"], r"hitch (\S+)"

    def command(self, config):
        return [self.program, f"--config={config}"]

    def config(self):
        user = f'user = "{USER}"\ngroup = "nogroup"\n' if os.geteuid() == 0 else ""
        fronts = "".join(
            f'frontend = {{\n\thost = "127.0.0.1"\n\tport = "{self.ports[key]}"\n'
            f'\tpem-file = "{self.bench.out}/{key}.pem"\n}}\n' for key in KEYS)
        return (f'{fronts}backend = "[127.0.0.1]:{self.bench.backend_port}"\n{user}'
                'workers = 1\ndaemon = off\nbacklog = 4096\nlog-level = 0\nsyslog = off\n'
                'tls-protos = TLSv1.3\nciphersuites = "TLS_AES_128_GCM_SHA256"\n'
                'ecdh-curve = "X25519"\nocsp-dir = ""\n')


TCP = {kind.name: kind for kind in
       (Sallyport, Nginx, HAProxy, Hitch, SallyportLogging, SallyportOneProcess, NginxPlain)}
_PROGRAMS = {"nginx-plain": "nginx"}


def find(name, sallyport):
    """The program of a proxy, or None."""
    if name.startswith("sallyport"):
        return sallyport if os.access(sallyport, os.X_OK) else None
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which(_PROGRAMS.get(name, name), path=path)
