"""Tables of results: as text, Markdown, CSV and SVG."""

import csv
import math


def number(value):
    """Three or four significant digits, no exponent."""
    if value is None:
        return ""
    if value >= 1000:
        return "{:,.0f}".format(value)
    return "%.*f" % (1 if value >= 10 else 2, value)


def text(header, rows):
    """A table with columns padded; the first is left-aligned."""
    widths = [max(len(r[i]) for r in [header] + rows) for i in range(len(header))]

    def line(cells):
        padded = [
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(header), line(["-" * w for w in widths])] + [line(r) for r in rows])


def markdown(header, rows):
    rule = [":--"] + ["--:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule] + rows)


def write_csv(path, header, rows):
    with open(path, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


# ---- the plot: one line per benchmark, ratios on a logarithmic axis --------

LEFT, RIGHT, TOP, STEP = 150, 60, 70, 34
WIDTH = 860
INK, FAINT, MET, MISSED, NONE = "#24292f", "#d0d7de", "#1a7f37", "#bc4c00", "#57606a"


class _Axis:
    """A logarithmic axis that holds all of the values and 1."""

    def __init__(self, values):
        values = [v for v in values if v and v > 0] + [1.0]
        self.low = math.floor(math.log10(min(values)) * 4 - 0.2) / 4
        self.high = math.ceil(math.log10(max(values)) * 4 + 0.2) / 4

    def x(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self):
        steps = [d * 10.0**e for e in range(-4, 4) for d in (1, 2, 5)]
        return [t for t in steps if self.low <= math.log10(t) <= self.high]


def _text(x, y, content, anchor="start", size=12, color=INK, weight="normal"):
    return (
        '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" fill="%s" font-weight="%s">%s</text>'
        % (x, y, anchor, size, color, weight, content)
    )


def _line(x1, y1, x2, y2, color, width=1.0, dash=""):
    dashed = ' stroke-dasharray="%s"' % dash if dash else ""
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.1f"%s/>' % (
        x1,
        y1,
        x2,
        y2,
        color,
        width,
        dashed,
    )


def _frame(axis, bottom):
    parts = []
    for t in axis.ticks():
        strong = t == 1
        parts.append(
            _line(
                axis.x(t),
                TOP - 8,
                axis.x(t),
                bottom,
                INK if strong else FAINT,
                1.2 if strong else 1,
            )
        )
        parts.append(
            _text(
                axis.x(t),
                bottom + 18,
                "%g" % t,
                "middle",
                11,
                weight="bold" if strong else "normal",
            )
        )
    return parts


def _mark(axis, y, row):
    """The spread as a line, the median as a dot (hollow: several Ps), the target as a tick."""
    color = NONE if row["met"] is None else MET if row["met"] else MISSED
    parts = [_line(axis.x(row["low"]), y, axis.x(row["high"]), y, color, 2)]
    if row["target"]:
        x = axis.x(row["target"])
        parts.append(_line(x, y - 6, x, y + 6, INK, 3))
    fill = color if row["procs"] == 1 else "#ffffff"
    parts.append(
        '<circle cx="%.1f" cy="%.1f" r="4.5" fill="%s" stroke="%s" stroke-width="2"/>'
        % (axis.x(row["ratio"]), y, fill, color)
    )
    return parts


def _legend():
    y, parts = 46, []
    for x, fill, label in ((LEFT, MET, "1 P"), (LEFT + 50, "#ffffff", "more Ps")):
        parts.append(
            '<circle cx="%d" cy="%d" r="4.5" fill="%s" stroke="%s" stroke-width="2"/>'
            % (x, y - 4, fill, MET)
        )
        parts.append(_text(x + 10, y, label, size=11))
    parts += [
        _line(LEFT + 130, y - 10, LEFT + 130, y + 2, INK, 3),
        _text(LEFT + 138, y, "target", size=11),
    ]
    for x, color, label in ((190, MET, "met"), (230, MISSED, "missed"), (290, NONE, "no target")):
        parts.append(_text(LEFT + x, y, label, size=11, color=color, weight="bold"))
    parts.append(
        _text(LEFT + 360, y, "dot: median of the ratios, line: smallest to largest", size=11)
    )
    return parts


def svg(title, rows):
    """rows: dicts with label, procs, ratio, low, high, target, met (True, False or None)."""
    labels = list(dict.fromkeys(r["label"] for r in rows))
    axis = _Axis([r[k] for r in rows for k in ("ratio", "low", "high", "target")])
    bottom = TOP + STEP * len(labels)
    parts = [_text(20, 24, title, size=14, weight="bold")] + _legend() + _frame(axis, bottom)
    for i, label in enumerate(labels):
        middle = TOP + STEP * i + STEP / 2
        parts.append(_text(LEFT - 14, middle + 4, label, "end"))
        mine = [r for r in rows if r["label"] == label]
        for k, row in enumerate(mine):
            parts += _mark(axis, middle + (k - (len(mine) - 1) / 2) * 13, row)
    parts.append(
        _text(
            (LEFT + WIDTH - RIGHT) / 2,
            bottom + 38,
            "golib ÷ Go (left of 1: golib is better)",
            "middle",
        )
    )
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif">'
        % (WIDTH, bottom + 56)
    )
    background = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return "\n".join([head, background] + parts + ["</svg>"]) + "\n"
