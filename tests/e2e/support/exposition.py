"""A strict reader of the Prometheus text format: what a scraper would refuse fails the test."""

import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{((?:{_LABEL})(?:,{_LABEL})*)\}})? (\S+)$")
_HEAD = re.compile(rf"# (HELP|TYPE) ({_NAME}) (.*)$")
_TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


class Metrics:
    """One scrape. Samples are found by name and by those labels that are given."""

    def __init__(self, text):
        self.types = {}
        self.samples = {}  # (name, frozenset of label pairs) to value
        self._helped = set()
        self._closed = set()  # families that another one has followed
        self._family = None
        assert text.endswith("\n"), "the last line has no end"
        for line in text.splitlines():
            self._line(line)
        self._check_histograms()

    def _enter(self, family, line):
        """A family's lines stand together."""
        if family == self._family:
            return
        assert family not in self._closed, f"family is in two places: {line}"
        self._closed.add(self._family)
        self._family = family

    def _line(self, line):
        if line.startswith("#"):
            head = _HEAD.match(line)
            assert head, f"neither HELP nor TYPE: {line}"
            kind, name, rest = head.groups()
            self._enter(name, line)
            if kind == "HELP":
                assert name not in self._helped, f"a second HELP: {line}"
                self._helped.add(name)
            else:
                assert name not in self.types, f"a second TYPE: {line}"
                assert rest in _TYPES, f"no such type: {line}"
                self.types[name] = rest
            return
        sample = _SAMPLE.match(line)
        assert sample, f"not a sample: {line}"
        name, labels, value = sample.group(1), sample.group(2) or "", sample.group(7)
        family = self._family_of(name)
        self._enter(family, line)
        pairs = re.findall(_LABEL, labels)
        assert len({k for k, _ in pairs}) == len(pairs), f"a label twice: {line}"
        key = (name, frozenset(pairs))
        assert key not in self.samples, f"a sample twice: {line}"
        self.samples[key] = float(value)
        if self.types[family] == "counter":
            assert name.endswith("_total") and self.samples[key] >= 0, line

    def _family_of(self, name):
        if name in self.types:
            return name
        for suffix in ("_bucket", "_sum", "_count"):
            stem = name[: -len(suffix)]
            if name.endswith(suffix) and self.types.get(stem) in ("histogram", "summary"):
                return stem
        raise AssertionError(f"{name} has no TYPE before it")

    def _check_histograms(self):
        series = {}
        for (name, labels), value in self.samples.items():
            stem = name.removesuffix("_bucket")
            if self.types.get(stem) == "histogram" and name != stem:
                le = dict(labels)["le"]
                rest = frozenset(pair for pair in labels if pair[0] != "le")
                series.setdefault((stem, rest), []).append((float(le), value))
        for (stem, rest), buckets in series.items():
            buckets.sort()
            counts = [count for _, count in buckets]
            assert counts == sorted(counts), f"{stem}: buckets are not cumulative"
            assert buckets[-1][0] == float("inf"), f"{stem}: no +Inf"
            assert self.samples[(stem + "_count", rest)] == counts[-1], f"{stem}: count differs"
            assert (stem + "_sum", rest) in self.samples, f"{stem}: no sum"

    def get(self, name, **labels):
        """Sum of the samples with that name (`sallyport_` may be left out) and those labels."""
        if not name.startswith("sallyport_"):
            name = "sallyport_" + name
        wanted = set(labels.items())
        return sum(value for (n, has), value in self.samples.items()
                   if n == name and wanted <= has)
