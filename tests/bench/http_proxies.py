"""The proxies side by side in HTTP modes: one worker each, one TLS listener (ECDSA P-256), kept
connections to the backend, a line for each request in a file, X-Forwarded-For and -Proto set. What
would close a connection that is used long, or write a body to disk, is off: some have that. For
HTTP/2 each keeps as many idle connections to the backend as there are streams, and more."""

import os

from proxies import HAProxy, Nginx, Proxy, Sallyport, USER

KEPT = 512


class _Logging:
    """Has an access log at `access`."""
    keys = ("ecdsa",)

    @property
    def access(self):
        return self.folder / "access.log"

    def logged(self):
        """Its lines so far."""
        lines = 0
        with open(self.access, "rb") as f:
            while block := f.read(1 << 20):
                lines += block.count(b"\n")
        return lines


class HttpSallyport(_Logging, Sallyport):
    access_log, mode = True, "http"


class HttpNginx(_Logging, Nginx):
    kept = 64

    def config(self):
        proxying = ("\t\tlocation / {\n\t\t\tproxy_pass http://backend;\n"
                    "\t\t\tproxy_http_version 1.1;\n"
                    '\t\t\tproxy_set_header Connection "";\n'
                    "\t\t\tproxy_set_header Host $host;\n"
                    "\t\t\tproxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
                    "\t\t\tproxy_set_header X-Forwarded-Proto $scheme;\n"
                    "\t\t\tproxy_max_temp_file_size 0;\n\t\t}\n")
        temporary = "".join(f"\t{what}_temp_path {self.folder}/{what};\n"
                            for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return (f"{self.main()}http {{\n\taccess_log {self.access};\n{temporary}"
                "\ttcp_nodelay on;\n\tkeepalive_requests 1000000000;\n\tkeepalive_timeout 10m;\n"
                f"\tupstream backend {{\n\t\tserver 127.0.0.1:{self.bench.backend_port};\n"
                f"\t\tkeepalive {self.kept};\n\t\tkeepalive_requests 1000000000;\n\t}}\n"
                f"{self.servers(proxying)}}}\n")


class HttpHAProxy(_Logging, HAProxy):
    # Its own way to a file: standard output, which `Program` sends there.
    log_to = "\tlog stdout format raw local0 info\n"
    defaults = ("\tmode http\n\tlog global\n\toption httplog\n\toption forwardfor\n"
                "\thttp-reuse always\n\ttimeout http-keep-alive 10m\n")
    at_backend = "\thttp-request set-header X-Forwarded-Proto https\n"

    @property
    def access(self):
        return self.log


class Nghttpx(_Logging, Proxy):
    name, title, file = "nghttpx", "nghttpx", "nghttpx.conf"
    version_flags, version_pattern = ["--version"], r"nghttp2/(\S+)"
    protocols = "http/1.1"

    def command(self, config):
        return [self.program, f"--conf={config}"]

    def config(self):
        (port,), out = self.ports.values(), self.bench.out
        lines = [f"frontend=127.0.0.1,{port}", f"backend=127.0.0.1,{self.bench.backend_port}",
                 f"private-key-file={out}/ecdsa.key", f"certificate-file={out}/ecdsa.crt",
                 "workers=1", "no-ocsp=yes", f"npn-list={self.protocols}", "backlog=4096",
                 "tls-min-proto-version=TLSv1.3", "tls13-ciphers=TLS_AES_128_GCM_SHA256",
                 "ecdh-curves=X25519", "add-x-forwarded-for=yes",
                 "frontend-keep-alive-timeout=10m", f"accesslog-file={self.access}",
                 f"errorlog-file={self.folder}/error.log"]
        if os.geteuid() == 0:
            lines.append(f"user={USER}")
        return "\n".join(lines) + "\n"


class Http2Sallyport(HttpSallyport):
    of_pool = {"connections": {"idle": KEPT}}


class Http2Nginx(HttpNginx):
    at_listen, kept = " http2", KEPT


class Http2HAProxy(HttpHAProxy):
    at_bind = " alpn h2,http/1.1"


class Http2Nghttpx(Nghttpx):
    protocols = "h2,http/1.1"


HTTP = {kind.name: kind for kind in (HttpSallyport, HttpNginx, HttpHAProxy, Nghttpx)}
HTTP2 = {kind.name: kind for kind in (Http2Sallyport, Http2Nginx, Http2HAProxy, Http2Nghttpx)}
