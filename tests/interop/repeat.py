"""Something that happens beside a test."""

from __future__ import annotations

import threading
from collections.abc import Callable

from peers import DEADLINE


class Repeat:
    """Does something at an interval, in a thread, until the block ends."""

    def __init__(self, what: Callable[[], None], every: float) -> None:
        self._what = what
        self._every = every
        self._end = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._end.wait(self._every):
                self._what()
        except BaseException as failure:
            self._failure = failure

    def __enter__(self) -> Repeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(DEADLINE)
        if self._failure is not None:
            raise self._failure
