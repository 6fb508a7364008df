#!/usr/bin/env python3
"""svg.py TRACE.json [FROM_US TO_US] > PICTURE.svg: a trace that go_trace_start has written, as a picture.

One row per P with what it ran, one per goroutine with what it waited for (grey) and its regions (outlined), arrows
from who woke somebody to who ran then.
"""

import html
import json
import sys

WIDTH, LEFT, ROW, GAP = 1000, 190, 26, 8
COLOURS = ["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#e15759", "#76b7b2", "#edc948", "#9c755f"]


def main(path, begin=None, end=None):
    with open(path, encoding="utf-8") as f:
        events = json.load(f)["traceEvents"]
    slices = [e for e in events if e["ph"] == "X"]
    begin = float(begin) if begin else min(e["ts"] for e in slices)
    end = float(end) if end else max(e["ts"] + e["dur"] for e in slices)
    inside = [e for e in slices if e["ts"] < end and e["ts"] + e["dur"] > begin]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events
             if e["ph"] == "M" and e["name"] == "thread_name"}
    for e in slices:  # by the name that it gave itself
        if e["pid"] == 1 and " " in e["name"]:
            names[2, e["args"]["g"]] = e["name"]
    rows = sorted({(e["pid"], e["tid"]) for e in inside} | {(2, e["args"]["g"]) for e in inside if e["pid"] == 1})
    at = {row: 34 + i * (ROW + GAP) + (14 if row[0] == 2 else 0) for i, row in enumerate(rows)}
    height = 34 + len(rows) * (ROW + GAP) + 20

    def x(ts):
        return LEFT + (min(max(ts, begin), end) - begin) / (end - begin) * (WIDTH - LEFT - 10)

    def box(row, start, stop, style, label):
        w = max(x(stop) - x(start), 0.6)
        out.append(f'<rect x="{x(start):.1f}" y="{at[row]}" width="{w:.1f}" height="{ROW}" {style}>'
                   f"<title>{html.escape(label)}: {start:.1f} to {stop:.1f} us</title></rect>")
        if w > 6.2 * len(label):
            out.append(f'<text x="{x(start) + 3:.1f}" y="{at[row] + 17}">{html.escape(label)}</text>')

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
           f'height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
           '<defs><marker id="a" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="5" markerHeight="5" '
           'orient="auto"><path d="M0,0 L6,3 L0,6 z" fill="#c00"/></marker></defs>']
    for i in range(6):
        ts = begin + (end - begin) * i / 5
        out.append(f'<line x1="{x(ts):.1f}" y1="24" x2="{x(ts):.1f}" y2="{height - 14}" stroke="#ddd"/>'
                   f'<text x="{x(ts):.1f}" y="18" text-anchor="middle">{ts - begin:.0f} us</text>')
    for row in rows:
        out.append(f'<text x="4" y="{at[row] + 17}">{html.escape(names.get(row, str(row)).split("@")[0])}</text>')
    for e in inside:
        stop = e["ts"] + e["dur"]
        if e["pid"] == 1:
            colour = COLOURS[e["args"]["g"] % len(COLOURS)]
            box((1, e["tid"]), e["ts"], stop, f'fill="{colour}" fill-opacity="0.75"', e["name"])
            box((2, e["args"]["g"]), e["ts"], stop, f'fill="{colour}"', f"P{e['tid']}")
        else:
            box((2, e["tid"]), e["ts"], stop, 'fill="#e4e4e4"', e["name"])
    for track in {(e["pid"], e["tid"]) for e in events if e["ph"] in "BE"} & set(rows):
        stack = []
        for e in sorted((e for e in events if e["ph"] in "BE" and (e["pid"], e["tid"]) == track),
                        key=lambda e: e["ts"]):
            if e["ph"] == "B":
                stack.append(e)
            elif stack:
                b = stack.pop()
                if b["ts"] < end and e["ts"] > begin and not stack:
                    box(track, b["ts"], e["ts"], 'fill="none" stroke="#333" stroke-dasharray="3,2"', "")
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    for f in (e for e in events if e["ph"] == "f" and begin <= e["ts"] <= end):
        s = starts.get(f["id"])
        if s and (s["pid"], s["tid"]) in at and (f["pid"], f["tid"]) in at and s["ts"] >= begin:
            y1, y2 = at[s["pid"], s["tid"]] + ROW, at[f["pid"], f["tid"]] + ROW
            mid = max(y1, y2) + 12
            out.append(f'<path d="M{x(s["ts"]):.1f},{y1} Q{(x(s["ts"]) + x(f["ts"])) / 2:.1f},{mid} '
                       f'{x(f["ts"]):.1f},{y2}" fill="none" stroke="#c00" stroke-width="0.8" marker-end="url(#a)"/>')
    out.append("</svg>")
    print("\n".join(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
