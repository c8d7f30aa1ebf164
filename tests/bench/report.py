"""The table: medians, ratio to the best peer of the same run, verdict on each target."""

import statistics

from units import OWN


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
    if unit.target is None:
        return ratio, "", None
    seen = median(samples.get("sallyport", [])) if unit.target.of == OWN else ratio
    return ratio, unit.target.words, None if seen is None else seen <= unit.target.most


def _cell(value, unit):
    if value is None:
        return ""
    return f"{value * unit.scale:,.{unit.decimals}f}"


def table(units, results, columns, peers):
    """`results`: name of a unit -> proxy -> raw samples. `columns`: proxy -> title. Markdown."""
    head = ["CPU time per", "", *columns.values(), "ratio to best peer", "target", ""]
    rows = [head, ["---", "---", *["--:"] * (len(columns) + 1), "---", "---"]]
    for name, samples in results.items():
        unit, medians = units[name], {p: median(samples.get(p)) for p in columns}
        ratio, target, met = judge(unit, samples, peers)
        rows.append([unit.title, unit.measure, *[_cell(medians[p], unit) for p in columns],
                     "" if ratio is None else f"{ratio:.2f}", target,
                     {None: "", True: "pass", False: "FAIL"}[met]])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def spreads(units, results, columns):
    """One line a unit: how far the rounds lie apart."""
    lines = []
    for name, samples in results.items():
        parts = [f"{title} {100 * s:.1f} %" for p, title in columns.items()
                 if (s := spread(samples.get(p, []))) is not None]
        if parts:
            lines.append(f"- {units[name].title}: " + ", ".join(parts))
    return "\n".join(lines)
