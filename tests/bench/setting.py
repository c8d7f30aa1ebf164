"""Where a run takes place: programs, CPUs, output folder, the backend's port. What all runs share."""

import pathlib
import resource
import subprocess
import tempfile

import proxies
from process import Program

ROOT = pathlib.Path(__file__).resolve().parents[2]


def add_arguments(parser):
    """Those of every run."""
    build = ROOT / "build/release"
    parser.add_argument("--sallyport", default=str(build / "sallyport"), help="the binary")
    parser.add_argument("--load", default=str(build / "tests/bench_load"), help="bench_load")
    parser.add_argument("--out", help="output folder; default: a new one in the temporary folder")
    parser.add_argument("--proxy-cpu", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--load-cpu", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a target is missed")


def open_many():
    """Lets the run have as many descriptors as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Setting:
    def __init__(self, args, prefix):
        self.args = args
        self.proxy_cpu, self.load_cpu = args.proxy_cpu, args.load_cpu
        self.out = pathlib.Path(args.out or tempfile.mkdtemp(prefix=prefix)).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.out.chmod(0o755)
        self.backend_port = proxies.free_port()
        self.load_log = self.out / "load.log"

    def load(self, words, **more):
        """bench_load with these words."""
        return Program([self.args.load, *words], self.load_cpu, self.load_log, **more)

    def try_one(self, proxy, key):
        """Whether a request gets through."""
        words = ["full", str(proxy.ports[key]), "--units", "1"] + ["--plain"] * proxy.plain
        return subprocess.run([self.args.load, *words], check=False,
                              capture_output=True).returncode == 0
