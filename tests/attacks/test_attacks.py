"""The attack table, with real processes in network namespaces.

Every row plays at the same time as some others, each with a group and processes of its
own; a test waits for the outcome of its row.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

import lab
import rows_sealed  # noqa: F401  its rows are in the table
from arena import Arena, DEFAULT, MODES, SEALED, SIGNED, Scene
from obstacles import obstacle, skip
from peers import Cast
from rows import ROWS, Row

AT_ONCE = 12
SHORT = os.environ.get("CASTER_ATTACKS") == "short"
"""All rows in the default mode, in the others one row of each statement, and those about keys."""
OUTCOME_DEADLINE = 900.0

SEEN: list[str] = []
"""The lines of the table."""


def needs_namespaces() -> None:
    if not lab.detect().isolated:
        skip(f"attacks need network namespaces: {lab.detect().reason}")
    reason = obstacle(("rust",))
    if reason is not None:
        skip(reason)


def perform(arena: Arena, row: Row, mode: str) -> None:
    what = f"{mode:7} {row.statement:20} {row.speaker:9} {row.play.__name__}"
    outcome = "FAILS"
    with arena.innocent() as innocent, Cast(arena.lab) as cast:
        scene = Scene(arena, mode, cast, innocent)
        try:
            row.play(scene)
            outcome = "holds"
        finally:
            figures = "; ".join(scene.notes)
            SEEN.append(f"{outcome} {what}" + (f": {figures}" if figures else ""))


@pytest.fixture(scope="session")
def outcomes(request) -> Iterator[dict[tuple[str, str], Future[None]]]:
    needs_namespaces()
    arena = Arena()
    pool = ThreadPoolExecutor(AT_ONCE)
    wanted = [
        item.callspec.params
        for item in request.session.items
        if "outcomes" in getattr(item, "fixturenames", ())
    ]
    running = {
        (it["row"].name, it["mode"]): pool.submit(perform, arena, it["row"], it["mode"])
        for it in wanted
    }
    try:
        yield running
    finally:
        pool.shutdown(cancel_futures=True)
        arena.close()


def rows_of(mode: str) -> Iterator[Row]:
    statements = set()
    for row in ROWS:
        if mode not in row.modes:
            continue
        is_first = row.statement not in statements
        statements.add(row.statement)
        if not SHORT or mode == DEFAULT or is_first or (mode in (SEALED, SIGNED) and row.is_of_keys):
            yield row


TABLE = [
    pytest.param(row, mode, id=f"{mode}-{row.name}") for mode in MODES for row in rows_of(mode)
]


@pytest.mark.parametrize("row, mode", TABLE)
def test_attack(row: Row, mode: str, outcomes) -> None:
    outcomes[row.name, mode].result(OUTCOME_DEADLINE)


def test_the_names_of_the_rows_differ() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
