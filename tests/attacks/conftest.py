"""Finds the harness of the interop tests; prints the table of what was seen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))
sys.path.insert(0, str(HERE.parent / "interop"))
sys.path.insert(0, str(HERE.parent / "vectors"))
pytest.register_assert_rewrite("peers", "arena", "insider", "rows", "rows_sealed", "broken")

import lab  # noqa: E402
from test_attacks import SEEN  # noqa: E402


def pytest_report_header() -> str:
    return f"attacks: {lab.detect()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SEEN:
        terminalreporter.write_sep("-", "the attacks and what came of them")
        for line in SEEN:
            terminalreporter.write_line(line)
