"""`Watcher`: waits for a peer that satisfies a predicate."""

from __future__ import annotations

from _thread import allocate_lock

from ._green import is_green, pause
from .errors import TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional


_PAUSE = 0.02
"""How long a green thread waits before it looks again, in seconds."""


class Watcher:
    """Waits for a peer that satisfies a predicate; without a predicate any peer does."""

    def __init__(self, predicate: Optional[Callable[[Any], object]]) -> None:
        self.done = False
        self.on_done: Optional[Callable[[], None]] = None
        self._predicate = predicate
        self._peer: Any = None
        self._error: Optional[BaseException] = None
        self._waiting = allocate_lock()
        self._waiting.acquire()

    def look(self, peer: Any) -> None:
        """Applies the predicate to a peer. LookupError, TypeError and AttributeError are false."""
        if self.done or peer is None:
            return
        try:
            if self._predicate is not None and not self._predicate(peer):
                return
        except (LookupError, TypeError, AttributeError):
            return  # The metadata lacks what the predicate reads.
        except BaseException as error:
            self._error = error
        self._peer = peer
        self.done = True
        if self._waiting.locked():
            self._waiting.release()
        if self.on_done is not None:
            self.on_done()

    def wait(self, timeout: float) -> None:
        """Waits on this thread, for up to `timeout` seconds."""
        if is_green():
            pause(min(timeout, _PAUSE))
        elif self._waiting.acquire(timeout=timeout):
            self._waiting.release()

    def result(self) -> Any:
        """The peer, or raises what the predicate raised."""
        if self._error is not None:
            raise self._error
        return self._peer


def timed_out(timeout: Optional[float]) -> TimeoutError:
    """The exception for a wait that ended without a peer."""
    return TimeoutError(f"no matching node was found within {timeout} seconds", "TIMED_OUT")
