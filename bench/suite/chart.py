"""Charts as SVG by matplotlib: bars from zero, or points over decades where the axis is logarithmic.

    chart.py FOLDER < charts.json

The input is a JSON list of {"name", "title", "note", "rows", "logarithmic"}, a row being [label, figure,
kind]. Runs in the virtual environment of the benchmarks. The same figures give the same files.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import matplotlib
from figures import figure

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator  # noqa: E402

COLOURS = {"ours": "#1a7f5a", "original": "#c9603a", "peer": "#8c959f", "limit": "#57606a"}
INK, QUIET, GRID = "#24292f", "#57606a", "#d0d7de"

# matplotlib writes colors as inline styles.
DARK = f"""<style>@media(prefers-color-scheme:dark){{
text{{fill:#e6edf3 !important}}
[style*="stroke: {GRID}"]{{stroke:#30363d !important}}
[style*="fill: {COLOURS["ours"]}"]{{fill:#3fb98a !important}}
[style*="fill: {COLOURS["original"]}"]{{fill:#e08a66 !important}}
}}</style>"""

WIDTH, ROW, ENDS, DPI = 7.2, 0.25, 1.15, 72

matplotlib.rcParams.update({
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": "caster",
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": INK,
})


def draw(title: str, note: str, rows: list[tuple[str, float, str]], logarithmic: bool) -> str:
    rows = sorted(rows, key=lambda row: row[1], reverse=True)
    height = ENDS + ROW * len(rows)
    chart, axes = pyplot.subplots(figsize=(WIDTH, height))
    chart.subplots_adjust(left=0.27, right=0.9, bottom=0.4 / height, top=1 - 0.65 / height)
    chart.text(0.01, 1 - 0.2 / height, title, fontsize=11, weight="bold", va="center")
    chart.text(0.01, 1 - 0.43 / height, note, fontsize=9.5, color=QUIET, va="center")
    values = [value for _, value, _ in rows]
    places = range(len(rows))
    for place, (_, value, kind) in zip(places, rows):
        style = {"facecolor": "none", "edgecolor": COLOURS[kind]} if kind == "limit" else {"color": COLOURS[kind]}
        if logarithmic:
            axes.scatter([value], [place], s=48, zorder=3, **style)
        else:
            axes.barh([place], [value], height=0.68, zorder=3, **style)
        axes.annotate(
            figure(value), (value, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9, zorder=4
        )
    axes.set_yticks(places, [label for label, _, _ in rows], fontsize=9.5)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.tick_params(axis="both", length=0)
    axes.tick_params(axis="x", labelsize=9)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 1.6, max(values) * 1.8)
        axes.xaxis.set_major_locator(LogLocator(base=10, numticks=20))
        axes.xaxis.set_minor_locator(LogLocator(base=10, subs=range(2, 10), numticks=20))
        few_decades = max(values) / min(values) < 1000
        axes.xaxis.set_minor_formatter(lambda value, _: figure(value) if few_decades and f"{value:e}"[0] in "25" else "")
        axes.tick_params(axis="x", which="minor", length=2, labelsize=8, labelcolor=QUIET)
        axes.grid(axis="x", which="minor", color=GRID, linewidth=0.3, zorder=0)
    else:
        axes.set_xlim(0, max(values) * 1.05)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: figure(value)))
    axes.grid(axis="x", which="major", color=GRID, linewidth=0.9, zorder=0)
    axes.set_frame_on(False)
    out = io.StringIO()
    chart.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Title": title})
    pyplot.close(chart)
    return out.getvalue().replace("<defs>", f"{DARK}\n <defs>", 1)


def main() -> None:
    folder = Path(sys.argv[1])
    for it in json.load(sys.stdin):
        svg = draw(it["title"], it["note"], it["rows"], it["logarithmic"])
        lines = (line.rstrip() for line in svg.splitlines())
        (folder / f"{it['name']}.svg").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
