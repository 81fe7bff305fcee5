"""Finds the harness of the interop tests; prints the tables of measurements."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "interop"))
pytest.register_assert_rewrite("peers", "scenarios")

import figures  # noqa: E402
import lab  # noqa: E402


def pytest_report_header() -> str:
    return f"lab: {lab.detect()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table = figures.table()
    if table:
        figures.write(table)
        terminalreporter.write_sep("-", "what was measured")
        terminalreporter.write_line(table)
