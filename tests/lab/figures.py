"""Measurements as tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from peers import TARGET

FILE = TARGET / "lab/table.md"

_head: list[str] = []
_tables: dict[str, list[dict[str, Any]]] = {}


def head(line: str) -> None:
    """A line above the tables."""
    _head.append(line)


def add(title: str, **row: Any) -> None:
    """A row of the table with this title; the names are the columns."""
    _tables.setdefault(title, []).append(row)


def percentile(samples: Iterable[float], percent: float) -> float:
    """The smallest sample that at least this share does not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def ms(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def latency(what: str, samples: list[float], goal: str = "") -> None:
    """A row about samples in milliseconds."""
    add(
        "Latency in ms",
        what=what,
        n=len(samples),
        p50=ms(percentile(samples, 50)),
        p99=ms(percentile(samples, 99)),
        max=ms(max(samples)),
        goal=goal,
    )


def table() -> str:
    """All of it, nothing if there is no table."""
    tables = [render(title, rows) for title, rows in sorted(_tables.items())]
    return "\n\n".join(_head + tables) if tables else ""


def render(title: str, rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns] + [[str(row.get(name, "")) for name in columns] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([f"## {title}", "", *lines])


def write(text: str) -> None:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text + "\n")
