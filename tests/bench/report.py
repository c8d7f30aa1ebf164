"""The table: medians, ratio to the best peer of the same run, verdict on each target."""

import statistics

# name: (title, unit, scale of the raw figure, decimals)
UNITS = {
    "full-ecdsa": ("full handshake, ECDSA P-256", "us", 1e-3, 0),
    "full-rsa": ("full handshake, RSA-2048", "us", 1e-3, 0),
    "resumed": ("resumed handshake", "us", 1e-3, 0),
    "bytes": ("GB relayed to the client", "ms", 1e-6, 0),
    "idle": ("idle connection, user space", "bytes", 1, 0),
}
RATIO_TARGETS = {"full-ecdsa": 0.90, "resumed": 0.80, "bytes": 0.75}
IDLE_TARGET = 5 * 1024


def median(samples):
    return statistics.median(samples) if samples else None


def spread(samples):
    """Half the distance of the quartiles, relative to the median."""
    if len(samples) < 4:
        return None
    low, _, high = statistics.quantiles(samples, n=4)
    return (high - low) / 2 / statistics.median(samples)


def ratio_to_best(samples, peers):
    """Median over the rounds of own to peer's, for the peer where it is greatest. Rounds are
    paired: what disturbs one disturbs both."""
    own = samples.get("sallyport", [])
    ratios = [median([a / b for a, b in zip(own, samples[p])]) for p in peers if samples.get(p)]
    return max(ratios) if own and ratios else None


def judge(unit, samples, peers):
    """Ratio to the best peer, the target in words, whether it is met (None: no target)."""
    ratio = ratio_to_best(samples, peers)
    if unit == "idle":
        own = median(samples.get("sallyport", []))
        return ratio, f"<= {IDLE_TARGET}", None if own is None else own <= IDLE_TARGET
    if unit in RATIO_TARGETS:
        target = RATIO_TARGETS[unit]
        return ratio, f"ratio <= {target:.2f}", None if ratio is None else ratio <= target
    return ratio, "", None


def _cell(value, unit):
    if value is None:
        return ""
    _, _, scale, decimals = UNITS[unit]
    return f"{value * scale:,.{decimals}f}"


def table(results, columns, peers):
    """`results`: unit -> proxy -> raw samples. `columns`: proxy -> title. Markdown."""
    head = ["CPU time per", "", *columns.values(), "ratio to best peer", "target", ""]
    rows = [head, ["---", "---", *["--:"] * (len(columns) + 1), "---", "---"]]
    for unit, samples in results.items():
        medians = {p: median(samples.get(p)) for p in columns}
        ratio, target, met = judge(unit, samples, peers)
        rows.append([UNITS[unit][0], UNITS[unit][1], *[_cell(medians[p], unit) for p in columns],
                     "" if ratio is None else f"{ratio:.2f}", target,
                     {None: "", True: "pass", False: "FAIL"}[met]])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def spreads(results, columns):
    """One line a unit: how far the rounds lie apart."""
    lines = []
    for unit, samples in results.items():
        parts = [f"{title} {100 * s:.1f} %" for p, title in columns.items()
                 if (s := spread(samples.get(p, []))) is not None]
        if parts:
            lines.append(f"- {UNITS[unit][0]}: " + ", ".join(parts))
    return "\n".join(lines)
