"""`Watcher`: waits for peers that satisfy a predicate."""

from __future__ import annotations

from _thread import allocate_lock

from ._green import is_green, pause
from .errors import ArgumentError, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional


_PAUSE = 0.02
"""How long a green thread waits before it looks again, in seconds."""


def _is_of_call(error: BaseException) -> bool:
    """Whether a function written in Python raised this before its first line: it takes other arguments."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


class Watcher:
    """Waits for a peer that satisfies a predicate, or for `count` such peers that are up at once.

    Without a predicate any peer does.
    """

    def __init__(
        self,
        peer: Callable[[str], Any],
        predicate: Optional[Callable[[Any], object]],
        count: Optional[int] = None,
    ) -> None:
        """`peer` gives the peer with an id that is up, or None."""
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            text = f"count: {count!r} is not accepted; give a whole number from 1, or None"
            raise ArgumentError(text, "INVALID_ARGUMENT")
        if predicate is not None and not callable(predicate):
            text = f"a predicate is a function of one peer, or None, not {predicate!r}"
            raise ArgumentError(text, "INVALID_ARGUMENT")
        self.done = False
        self.on_done: Optional[Callable[[], None]] = None
        self._peer = peer
        self._predicate = predicate
        self._count = count
        self._found: Dict[str, Any] = {}
        self._error: Optional[BaseException] = None
        self._unfit = ""
        self._lock = allocate_lock()
        self._waiting = allocate_lock()
        self._waiting.acquire()

    def look(self, id: str) -> None:
        """Applies the predicate to the peer with this id, or forgets it if it is gone."""
        if self.done:
            return
        peer = self._peer(id)
        fits = peer is not None and self._fits(peer)
        with self._lock:
            if self.done:
                return
            if fits:
                self._found[id] = peer
            else:
                self._found.pop(id, None)
            if self._error is None and not self._is_enough():
                return
            self.done = True
        if self._waiting.locked():
            self._waiting.release()
        if self.on_done is not None:
            self.on_done()

    def _is_enough(self) -> bool:
        if self._count is None:
            return bool(self._found)
        if len(self._found) >= self._count:
            # One may have left between the look at it and the event of another.
            self._found = {id: peer for id, peer in self._found.items() if self._peer(id) is not None}
        return len(self._found) >= self._count

    def _fits(self, peer: Any) -> bool:
        """LookupError, TypeError and AttributeError of the predicate are false."""
        try:
            return self._predicate is None or bool(self._predicate(peer))
        except (LookupError, TypeError, AttributeError) as error:
            # The metadata lacks what the predicate reads, unless the call itself failed.
            if hasattr(self._predicate, "__code__") and _is_of_call(error):
                self._error = error
            self._unfit = f"; the predicate raised {type(error).__name__} for {peer.id}: {error}"
            return False
        except BaseException as error:
            self._error = error
            return False

    def wait(self, timeout: float) -> None:
        """Waits on this thread, for up to `timeout` seconds."""
        if is_green():
            pause(min(timeout, _PAUSE))
        elif self._waiting.acquire(timeout=timeout):
            self._waiting.release()

    def result(self) -> Any:
        """The peer, or the list of peers; raises an exception of the predicate."""
        if self._error is not None:
            raise self._error
        found = list(self._found.values())
        return found[0] if self._count is None else found[: self._count]

    def timed_out(self, timeout: Optional[float]) -> TimeoutError:
        """The exception for a wait that ended too early."""
        text = f"no matching node was found within {timeout} seconds{self._unfit}"
        if self._count is not None:
            text = f"{len(self._found)} of {self._count} matching nodes were found within {timeout} seconds"
        return TimeoutError(text, "TIMED_OUT")
