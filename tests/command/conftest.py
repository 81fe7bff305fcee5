"""Finds the harness of the interop tests; the fixture `lan` makes networks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "interop"), str(TESTS / "networks")]
pytest.register_assert_rewrite("peers")

import lab  # noqa: E402
from commands import Lan  # noqa: E402
from obstacles import skip  # noqa: E402


def pytest_report_header() -> str:
    return f"command: {lab.detect()}"


@pytest.fixture
def lan(request: pytest.FixtureRequest) -> Iterator[Lan]:
    """Two hosts on a LAN, or as many as the test has as its parameter."""
    if not lab.detect().isolated:
        skip(f"it needs network namespaces: {lab.detect().reason}")
    with Lan(getattr(request, "param", 2)) as here:
        yield here
