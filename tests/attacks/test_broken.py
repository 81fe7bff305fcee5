"""Broken networks, with real processes on a bridge or on the hub of tests/lab."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from broken import PLAYS, Play, Report
from test_attacks import OUTCOME_DEADLINE, SEEN, needs_namespaces

AT_ONCE = 4


def perform(play: Play) -> None:
    report, outcome = Report(), "FAILS"
    try:
        play(report)
        outcome = "holds"
    finally:
        figures = "; ".join(report.notes)
        SEEN.append(f"{outcome} {play.__name__}" + (f": {figures}" if figures else ""))


@pytest.fixture(scope="session")
def broken(request) -> Iterator[dict[Play, Future[None]]]:
    needs_namespaces()
    pool = ThreadPoolExecutor(AT_ONCE)
    wanted = [
        item.callspec.params["play"]
        for item in request.session.items
        if "broken" in getattr(item, "fixturenames", ())
    ]
    running = {play: pool.submit(perform, play) for play in wanted}
    try:
        yield running
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_broken_network(play: Play, broken) -> None:
    broken[play].result(OUTCOME_DEADLINE)
