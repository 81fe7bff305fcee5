"""Bar charts as SVG: small, the same for the same figures, legible on light and dark pages."""

from __future__ import annotations

import math
from html import escape

STYLE = """
text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-weight:600;font-size:15px}.n{fill:#57606a}
.ours{fill:#1a7f5a}.original{fill:#c9603a}.peer{fill:#8c959f}.limit{fill:none;stroke:#8c959f;stroke-dasharray:3 2}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.n{fill:#9198a1}.ours{fill:#3fb98a}.original{fill:#e08a66}.peer{fill:#6e7681}}
"""

WIDTH, LABELS, FIGURES, ROW, TOP = 720, 190, 90, 24, 58


def figure(value: float) -> str:
    """Three digits that count."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def bars(title: str, note: str, rows: list[tuple[str, float, str]], logarithmic: bool = False) -> str:
    """`rows` are label, figure and kind ("ours", "original", "peer" or "limit")."""
    rows = sorted(rows, key=lambda row: row[1])
    height = TOP + ROW * len(rows) + 8
    room = WIDTH - LABELS - FIGURES
    largest = max(value for _, value, _ in rows)
    smallest = min(value for _, value, _ in rows)

    def length(value: float) -> float:
        if not logarithmic:
            return room * value / largest
        floor = 10 ** math.floor(math.log10(smallest) - 0.3)
        return room * math.log(value / floor) / math.log(largest / floor)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE.strip()}</style>",
        f'<text class="t" x="0" y="18">{escape(title)}</text>',
        f'<text class="n" x="0" y="38">{escape(note)}</text>',
    ]
    for index, (label, value, kind) in enumerate(rows):
        y = TOP + ROW * index
        width = max(1.5, length(value))
        out.append(f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>')
        out.append(f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{width:.1f}" height="17" rx="2"/>')
        out.append(f'<text class="n" x="{LABELS + width + 7:.1f}" y="{y + 13}">{figure(value)}</text>')
    return "\n".join([*out, "</svg>", ""])
