"""How figures are written in tables and charts."""

from __future__ import annotations


def figure(value: float) -> str:
    """Three significant digits."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
