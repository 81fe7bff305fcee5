"""What nodes and casters have in common: events, middleware written in Python, a clean end.

The threads of the core never run Python. They fill a queue; it is drained, many events at a time,
by the one who wants the events: a daemon thread of this package that runs the callbacks (the
dispatcher), the thread that asks for the next event, or an event loop. Messages that need a
middleware written in Python come through the same queue. If there are such, and nobody wants
events, the dispatcher runs for them alone and keeps the events for whoever comes later.

Modules that take long to import (threading, logging, json, asyncio) are imported when they are
needed.
"""

from __future__ import annotations

import atexit
import os
from _thread import allocate_lock, get_ident
from _weakref import ref
from time import monotonic

from . import _log
from ._caster import Datagram, ErrorEvent, Handle, Message, Stage, Transit, Up, Update
from ._caster import end as end_outside
from ._convert import from_json, from_payload, to_payload
from .errors import ArgumentError, Error, MiddlewareError, StateError, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from threading import Thread
    from types import TracebackType
    from typing import (
        Any,
        Callable,
        Deque,
        Dict,
        Generic,
        Iterable,
        List,
        Optional,
        Set,
        Tuple,
        Type,
        TypeVar,
        Union,
    )

    from ._aio import AsyncEvents, Attachment
    from ._convert import Payload
    from .testing import Network

    EventT = TypeVar("EventT")
    Callback = Callable[[Any], object]

    class Typed(Generic[EventT]):
        """Generic for type checkers; the module typing takes long to import."""

else:
    EventT = None

    class Typed:
        """Generic for type checkers; the module typing takes long to import."""

        __slots__ = ()

        def __class_getitem__(cls, item):
            return cls


BATCH = 256
"""How many events are taken at once."""
MAX_KEPT = 16384
"""How many events are kept for a program that does not ask for any."""
_POLL = 0.1
"""How long the dispatcher waits before it looks whether it should stop, in seconds."""
JOIN = 0.5
"""How long `down` waits for a callback that is running, in seconds."""

_live: Set[ref[Endpoint]] = set()
"""Everything that is up."""


def log(level: str, text: str, *args: object, **more: Any) -> None:
    """Writes to the logger `caster`."""
    import logging

    getattr(logging.getLogger("caster"), level)(text, *args, **more)


class Session:
    """A time during which callbacks run; looked at before each, so it has to cost little."""

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


class Endpoint:
    """A handle of the core, with everything that is done in Python for it."""

    def __init__(
        self, handle: Handle, names: Tuple[str, ...], network: Optional[Network] = None
    ) -> None:
        from collections import deque

        self.handle = handle
        self.network = network
        self.names = names
        self.now: Callable[[], float] = handle.now if handle.is_virtual else monotonic
        self.callbacks: Dict[str, Tuple[Callback, ...]] = {}
        self.stages: Dict[int, Any] = {}
        self.ready: Deque[Any] = deque()
        self.lost = 0
        self.pulls = False
        self.limit = BATCH
        self.watchers: Tuple[Watcher, ...] = ()
        self.attachment: Optional[Attachment] = None
        self._token = 0
        self._beat_failing = False
        self._lock = allocate_lock()
        self._dispatcher: Optional[Tuple[Thread, Session]] = None
        self.session = Session()

    # Up and down.

    def open(self, attachment: Optional[Attachment] = None) -> None:
        if not self.handle.is_virtual:
            _log.start(thread=attachment is None)
        self.handle.open()
        self.attachment = attachment
        self.session = Session()
        _live.add(ref(self, _live.discard))
        if self.stages:
            # The first heartbeat goes out before anything that is sent next.
            self.pump(BATCH, 0)
        self.serve()

    def close(self, join: float = JOIN, said_goodbye: bool = False) -> None:
        """Takes it down and waits, for up to `join` seconds, for a callback that is running."""
        try:
            if self.stages and not said_goodbye and "up" in self.names and self.handle.is_open:
                # No heartbeat that waits for its middleware may follow the goodbye.
                self._stop_dispatcher(join)
                self.say_goodbye()
        finally:
            try:
                self.handle.close()
            finally:
                if not self.handle.is_open:
                    self._closed(join)

    def _closed(self, join: float) -> None:
        _live.discard(ref(self))
        self.session.is_over = True
        self._stop_dispatcher(join)
        if self.attachment is not None:
            self.attachment.closed()
        if self.callbacks:
            # What waited for the callbacks is not for those of the next session.
            self.ready.clear()
            while self.handle.take(BATCH, 0):
                pass

    def say_goodbye(self) -> None:
        self.walk(self.handle.say_goodbye())

    # Taking events from the core.

    def pump(self, limit: int, timeout: Optional[float]) -> bool:
        """Takes in up to `limit` events, the first within `timeout` seconds.

        False if there are none and none will come.
        """
        if self.network is not None:
            return self.network._pump(self, limit, timeout)
        batch = self.handle.take(limit, timeout)
        if batch:
            self.take_in(batch)
        return batch is not None

    def take_in(self, batch: List[Any]) -> None:
        if self.stages:
            batch = [event for event in batch if not self._is_passed_on(event)]
        if len(self.ready) + len(batch) > MAX_KEPT:
            # As in the core: messages are lost, the newest first; the rest never is.
            kept = [event for event in batch if not isinstance(event, (Message, Datagram))]
            self.lost += len(batch) - len(kept)
            batch = kept
        self.ready.extend(batch)
        if self.watchers:
            for event in batch:
                if isinstance(event, (Up, Update)):
                    for watcher in self.watchers:
                        watcher.look(self.handle.peer(event.node.id))

    def _is_passed_on(self, event: Any) -> bool:
        if isinstance(event, Transit):
            self._pass_on(event)
            return True
        return False

    def pop(self) -> Any:
        """The next event that has been taken in, or None."""
        try:
            return self.ready.popleft()
        except IndexError:
            if not self.lost:
                return None
        lost, self.lost = self.lost, 0
        text = f"{lost} messages were lost: the program took its events too slowly"
        return ErrorEvent(Error(text, "LAGGED"))

    def pull(self) -> None:
        """From now on the caller drains the queue."""
        self.handle.check()
        if self.callbacks:
            text = "there are callbacks, which get the events; remove them with off first"
            raise StateError(text, "EVENTS_TAKEN")
        if not self.pulls:
            self.pulls = True
            self._stop_dispatcher(JOIN)

    def next_event(self, timeout: Optional[float]) -> Any:
        deadline = self.deadline(timeout)
        while True:
            event = self.pop()
            if event is not None:
                return event
            left = None if deadline is None else max(0.0, deadline - self.now())
            if not self.pump(self.limit, left):
                return None
            if left is not None and left <= 1e-6 and not self.ready:
                return None

    def deadline(self, timeout: Optional[float]) -> Optional[float]:
        if timeout is None:
            return None
        if timeout != timeout:
            text = "a timeout is a number of seconds or None, not NaN"
            raise ArgumentError(text, "INVALID_ARGUMENT")
        return self.now() + timeout

    # Waiting for a node without taking events from those who want them.

    def watch(self, watcher: Watcher) -> None:
        with self._lock:
            self.watchers = (*self.watchers, watcher)
        for peer in self.handle.nodes().values():
            watcher.look(peer)

    def unwatch(self, watcher: Watcher) -> None:
        with self._lock:
            self.watchers = tuple(other for other in self.watchers if other is not watcher)

    def wait_for(self, watcher: Watcher, timeout: Optional[float]) -> Any:
        deadline = self.deadline(timeout)
        self.check_up()
        self.watch(watcher)
        try:
            while not watcher.done:
                left = _POLL if deadline is None else min(_POLL, deadline - self.now())
                if left <= 1e-6:
                    raise waited_in_vain(timeout)
                dispatcher = self._dispatcher
                if dispatcher is not None and dispatcher[0].ident != get_ident():
                    watcher.wait(left)
                    if not self.handle.is_open:
                        self.check_up()
                elif not self.pump(self.limit, left):
                    self.check_up()
            return watcher.result()
        finally:
            self.unwatch(watcher)

    def check_up(self) -> None:
        if not self.handle.is_open:
            raise StateError("Node is not up", "NOT_UP")

    # Callbacks.

    def on(self, name: str, callback: Optional[Callback]) -> Any:
        self.handle.check()
        self._check_name(name)
        if callback is None:
            return lambda function: self.on(name, function)
        if not callable(callback):
            text = f"a callback has to be callable, not {callback!r}"
            raise ArgumentError(text, "INVALID_ARGUMENT")
        with self._lock:
            self.callbacks[name] = (*self.callbacks.get(name, ()), callback)
        if self.handle.is_open:
            self.serve()
        return callback

    def off(self, name: str, callback: Callback) -> None:
        self.handle.check()
        self._check_name(name)
        with self._lock:
            callbacks = [kept for kept in self.callbacks.get(name, ()) if kept != callback]
            if callbacks:
                self.callbacks[name] = tuple(callbacks)
            else:
                self.callbacks.pop(name, None)

    def _check_name(self, name: str) -> None:
        if name not in self.names:
            text = f"there is no event {name!r}; there are {', '.join(self.names)}"
            raise ArgumentError(text, "INVALID_ARGUMENT")

    def needs_serving(self) -> bool:
        """Whether events have to be taken though nobody asks for them."""
        return bool(self.callbacks or (self.stages and not self.pulls))

    def serve(self) -> None:
        """Sees to it that callbacks and middleware run."""
        if self.attachment is not None:
            self.attachment.serve()
            return
        if self.network is not None:
            self.network._serve(self)
            return
        with self._lock:
            if self._dispatcher is not None or not self.needs_serving():
                return
            import threading

            session = Session()
            thread = threading.Thread(
                target=self._dispatch, args=(session,), name="caster-events", daemon=True
            )
            self._dispatcher = (thread, session)
            thread.start()

    def _stop_dispatcher(self, join: float) -> None:
        """Ends the dispatcher, and waits a little for a callback that is running."""
        with self._lock:
            running, self._dispatcher = self._dispatcher, None
        if running is None:
            return
        thread, session = running
        session.is_over = True
        if thread.ident != get_ident():
            thread.join(join)

    def _dispatch(self, session: Session) -> None:
        while not session.is_over:
            try:
                more = self.pump(BATCH, _POLL)
            except Exception:
                log("exception", "events were lost")
                continue
            self.deliver(session)
            if not more:
                return

    def deliver(self, session: Session) -> None:
        """Calls the callbacks with what has been taken in."""
        popleft = self.ready.popleft
        while self.callbacks:
            try:
                event = popleft()
            except IndexError:
                event = self.pop()  # How many were lost, if any were.
                if event is None:
                    return
            for callback in self.callbacks.get(event.name, ()):
                if session.is_over:
                    return
                try:
                    result = callback(event)
                    if result is not None:
                        self._take_result(callback, result)
                except BaseException as error:
                    if self.attachment is not None and not isinstance(error, Exception):
                        raise  # It is for the loop.
                    text = "the callback %r for %r failed"
                    log("exception", text, callback, event.name)

    def _take_result(self, callback: Callback, result: object) -> None:
        if self.attachment is not None:
            self.attachment.take_result(callback, result)
            return
        from types import CoroutineType

        if isinstance(result, CoroutineType):
            result.close()
            text = "a coroutine function needs an event loop: use `async with`"
            raise TypeError(text)

    # Middleware.

    def use(self, middleware: Tuple[Any, ...]) -> None:
        for stage in middleware:
            if isinstance(stage, Stage):
                self.handle.use_stage(stage)
            else:
                self._use_python(stage)
        if self.handle.is_open:
            self.serve()

    def _use_python(self, stage: Any) -> None:
        name = getattr(stage, "name", "")
        if not isinstance(name, str):
            text = f"the name of a middleware has to be a string, not {name!r}"
            raise MiddlewareError(text, "MIDDLEWARE")
        tx, rx = (callable(getattr(stage, way, None)) for way in ("tx", "rx"))
        with self._lock:
            token, self._token = self._token, self._token + 1
        self.stages[token] = stage
        try:
            self.handle.use_host_stage(name, token, tx, rx)
        except Error:
            del self.stages[token]
            raise

    def walk(self, progress: Union[int, Transit]) -> int:
        """Takes a message through the middleware written in Python, to its end.

        Returns the number of bytes on the wire.
        """
        while isinstance(progress, Transit):
            stage = self.stages[progress.token]
            try:
                payload = _run(stage, progress)
            except Exception as error:
                text = f"middleware {stage.name}: {error}"
                self.handle.fail(progress, text)
                raise MiddlewareError(text, "MIDDLEWARE") from error
            progress = self.handle.resume(progress, payload)
        return progress

    def _pass_on(self, transit: Transit) -> None:
        """Does `walk` for an incoming message, or for a heartbeat, which nobody waits for."""
        outgoing = transit.outgoing
        try:
            self.walk(transit)
        except StateError:
            pass  # It is down by now.
        except Error as error:
            if not outgoing:
                log("debug", "an incoming message was dropped: %s", error)
            elif not self._beat_failing:
                self._beat_failing = True
                log("warning", "%s", error)
                self.ready.append(ErrorEvent(error))
        else:
            if outgoing:
                self._beat_failing = False


class Watcher:
    """Waits for a node of which something is true."""

    def __init__(self, predicate: Optional[Callable[[Any], object]]) -> None:
        self.done = False
        self.on_done: Optional[Callable[[], None]] = None
        self._predicate = predicate
        self._peer: Any = None
        self._error: Optional[BaseException] = None
        self._waiting = allocate_lock()
        self._waiting.acquire()

    def look(self, peer: Any) -> None:
        if self.done or peer is None:
            return
        try:
            if self._predicate is not None and not self._predicate(peer):
                return
        except (LookupError, TypeError, AttributeError):
            return  # Its metadata does not have what the predicate looks at.
        except BaseException as error:
            self._error = error
        self._peer = peer
        self.done = True
        if self._waiting.locked():
            self._waiting.release()
        if self.on_done is not None:
            self.on_done()

    def wait(self, timeout: float) -> None:
        if self._waiting.acquire(timeout=timeout):
            self._waiting.release()

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._peer


def waited_in_vain(timeout: Optional[float]) -> TimeoutError:
    text = f"no node that was waited for came within {timeout} seconds"
    return TimeoutError(text, "TIMED_OUT")


def _run(stage: Any, transit: Transit) -> Payload:
    """Runs one middleware on a message."""
    message = from_payload(transit.message)
    remote = transit.remote
    if remote is None:
        result = stage.tx(message)
    else:
        result = stage.rx(message, remote)
    if result is None and isinstance(message, bytes):
        # Far more often a forgotten return than JSON's null.
        raise TypeError("it returned None; return the message, or raise to drop it")
    return to_payload(result)


class Events(Typed[EventT]):
    """The events of a node or caster, for `for` and for `async for`.

    It ends when the time given is over, after what waits then, or when the node is down and all
    has been taken.
    """

    def __init__(self, endpoint: Endpoint, timeout: Optional[float]) -> None:
        endpoint.pull()
        self._endpoint = endpoint
        self._timeout = timeout
        self._deadline = endpoint.deadline(timeout)
        self._rest: Optional[int] = None

    def __iter__(self) -> Events[EventT]:
        return self

    def __next__(self) -> EventT:
        endpoint = self._endpoint
        left = None
        if self._deadline is not None:
            left = max(0.0, self._deadline - endpoint.now())
            if not left:
                if self._rest is None:
                    self._rest = len(endpoint.ready) + endpoint.handle.waiting
                if self._rest == 0:
                    raise StopIteration
                self._rest -= 1
        event: Optional[EventT] = endpoint.pop()
        if event is None:
            event = endpoint.next_event(left)
            if event is None:
                raise StopIteration
        return event

    def __aiter__(self) -> AsyncEvents[EventT]:
        from ._aio import AsyncEvents

        return AsyncEvents(self._endpoint, self._timeout)


class Common(Typed[EventT]):
    """What nodes and casters have in common, in both styles."""

    _endpoint: Endpoint

    def fileno(self) -> int:
        """A file descriptor that is readable while there are events, for other event loops.

        When it is, take what `events(timeout=0)` gives. It belongs to this object: do not read
        from it and do not close it.

        Raises `caster.StateError` if there are callbacks: they get the events.
        """
        self._endpoint.pull()
        # Nothing may be taken out of the queue that is not given to the program.
        self._endpoint.limit = 1
        return self._endpoint.handle.fileno()

    def off(self, name: str, callback: Callable[[Any], object]) -> None:
        """Removes a callback; nothing happens if it is not there."""
        self._endpoint.off(name, callback)

    def use(self, *middleware: Any) -> None:
        """Adds middleware next to the wire: one of `caster.middleware`, or an object of yours.

        `tx` runs after, and `rx` before, those that are there.

        Raises `caster.MiddlewareError` if one has no name, a name that is in use, or neither
        `tx` nor `rx`; those before it are added.
        """
        self._endpoint.use(middleware)

    @property
    def middleware(self) -> Tuple[str, ...]:
        """The names of the middleware, from the program to the wire."""
        return tuple(self._endpoint.handle.stage_names)

    def stats(self) -> Dict[str, Any]:
        """What was counted since this was made.

        `received`, `accepted`, `dropped` (a dict by reason), `sent`, `sendErrors`, `eventsLost`
        and `errorsSuppressed`. Of nodes also `nodes`, `suspects`, `probesSent`, `vouchesSent`,
        `answersMerged` and `foreign` (a dict by address: datagrams that could not be understood).
        When nothing is on its way, `received` is `accepted` plus everything in `dropped`.
        """
        stats: Dict[str, Any] = from_json(self._endpoint.handle.stats_json())
        return stats

    @property
    def multicast(self) -> str:
        """The multicast group."""
        return self._endpoint.handle.multicast

    @property
    def address(self) -> str:
        """The local address given in the options."""
        return self._endpoint.handle.address

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._endpoint.handle.port


def _end_all() -> None:
    """Takes down everything that is up, at the exit of the interpreter."""
    end = monotonic() + JOIN
    for reference in list(_live):
        endpoint = reference()
        if endpoint is not None:
            try:
                endpoint.close(max(0.0, end - monotonic()))
            except Exception as error:
                log("debug", "at exit: %s", error)
    _log.bring()
    end_outside(JOIN)


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    # What is up belongs to the parent.
    os.register_at_fork(after_in_child=_live.clear)
