"""nginx as a backend, with a configuration of its own."""

import pathlib
import socket
import subprocess

from support.wait import wait_until

_CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    client_max_body_size 0;
    server {{
        listen {listen};
        {tls}
        root {folder}/www;
        location = /hello {{ return 200 "hello from nginx\\n"; }}
        location = /shown {{ return 200 "$ssl_client_verify $ssl_client_s_dn $ssl_protocol\\n"; }}
        location = /busy {{ return 503; }}
        location = /reused {{ return 200 "$ssl_session_reused\\n"; }}
        location = /slow {{ proxy_pass http://127.0.0.1:9; }}
    }}
}}
"""


class Nginx:
    """Serves `folder`/www on `port` or on the unix socket `path`; by TLS where `leaf` is given,
    with the settings `tls`.
    /hello answers "hello from nginx"; /shown says what certificate it was shown; /busy is always 503; /reused says
    "r" where the TLS session was resumed; /slow waits for the whole body of a request, and fails then."""

    def __init__(self, folder, port=None, path=None, leaf=None, tls=""):
        self.folder = pathlib.Path(folder)
        self.www = self.folder / "www"
        self.www.mkdir(parents=True)
        for parent in (self.folder, self.www):
            parent.chmod(0o755)
        self._family = socket.AF_UNIX if path else socket.AF_INET
        self._where = path or ("127.0.0.1", port)
        self.address = f"unix:{path}" if path else f"127.0.0.1:{port}"
        listen = self.address + (" ssl" if leaf else "")
        if leaf:
            tls += f"ssl_certificate {leaf.cert}; ssl_certificate_key {leaf.key};"
        conf = self.folder / "nginx.conf"
        conf.write_text(_CONFIG.format(folder=self.folder, listen=listen, tls=tls))
        self._argv = ["nginx", "-p", str(self.folder), "-c", str(conf),
                      "-e", str(self.folder / "error.log")]
        self._start()

    def _start(self):
        with open(self.folder / "stderr", "wb") as err:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=err,
                                             stderr=err)
        wait_until(self._listens, "nginx to listen")

    def restart(self):
        """Stops it, and starts it again."""
        self.close()
        self._start()

    def asked(self, path):
        """How many requests for `path` it has on record."""
        text = (self.folder / "access.log").read_text()
        return text.count(f'"GET {path} HTTP')

    def _listens(self):
        assert self._process.poll() is None, (self.folder / "stderr").read_text()
        with socket.socket(self._family) as s:
            return s.connect_ex(self._where) == 0

    def close(self):
        """Stops it."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
