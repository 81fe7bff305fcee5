"""Runs the plays of the tests in several labs at once.

A test which takes the fixture `stage` is parametrised with a `play`, a function
of a lab and of kinds of peers, and with the `kinds`.  When the first such test
comes up, the plays of all of them start in a pool of workers, each with its own
lab; every test then only waits for the outcome of its own.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

pytest.register_assert_rewrite("peers")

import lab  # noqa: E402
from obstacles import Kinds, obstacle, skip  # noqa: E402

Play = Callable[..., None]
OUTCOME_DEADLINE = 600.0


def pytest_report_header() -> str:
    return f"interop: {lab.detect()}"


class Stage:
    """A pool of labs, and the outcomes of the plays run in them."""

    def __init__(self, plays: Iterable[tuple[Play, Kinds]]) -> None:
        network = lab.detect()
        self._make_lab = network.lab
        self._labs: queue.SimpleQueue[lab.Lab] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(network.workers)
        self._outcomes: dict[tuple[Play, Kinds], Future[None]] = {}
        for play in plays:
            self._outcomes[play] = self._pool.submit(self._run, *play)

    def _run(self, play: Play, kinds: Kinds) -> None:
        try:
            here = self._labs.get_nowait()
        except queue.Empty:
            here = self._make_lab()
        try:
            play(here, *kinds)
        finally:
            self._labs.put(here)

    def require_isolation(self, why: str) -> None:
        """Skips a test that requires isolated hosts."""
        if not lab.detect().isolated:
            skip(f"{why}; {lab.detect().reason}")

    def outcome(self, play: Play, kinds: Kinds) -> None:
        """Waits for the end of a play; raises its exception."""
        reason = obstacle(kinds)
        if reason is not None:
            skip(reason)
        self._outcomes[play, kinds].result(OUTCOME_DEADLINE)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        while not self._labs.empty():
            self._labs.get().close()


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    wanted: dict[tuple[Play, Kinds], None] = {}  # a set that keeps its order
    for item in request.session.items:
        if "stage" in getattr(item, "fixturenames", ()):
            params = item.callspec.params  # type: ignore[attr-defined]
            if obstacle(params["kinds"]) is None:
                wanted[params["play"], params["kinds"]] = None
    running = Stage(wanted)
    yield running
    running.close()
