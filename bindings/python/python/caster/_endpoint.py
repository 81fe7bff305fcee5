"""What nodes and casters have in common: events, middleware written in Python, a clean end.

The threads of the core never run Python. They fill a queue; it is drained by the one who wants
the events: a daemon thread of this package that runs the callbacks (the dispatcher), or the
thread that calls `next_event`. Messages that need a middleware written in Python come through
the same queue. If there are such, and nobody wants events, the dispatcher runs for them alone
and keeps the events for whoever comes later.
"""

from __future__ import annotations

import atexit
import itertools
import json
import logging
import os
import threading
import time
import weakref
from collections import deque
from typing import (
    Any,
    Callable,
    ClassVar,
    Deque,
    Dict,
    Generic,
    Iterator,
    Optional,
    Set,
    Tuple,
    TypeVar,
    Union,
    cast,
)

from ._caster import Handle, Stage, Transit
from ._convert import (
    Payload,
    from_payload,
    lagged,
    to_events,
    to_payload,
    to_remote,
)
from .errors import ArgumentError, Error, MiddlewareError, StateError
from .events import ErrorEvent, Hint

EventT = TypeVar("EventT")
Callback = Callable[[Any], object]

_log = logging.getLogger("caster")

_BATCH = 256
"""How many events the dispatcher takes at once."""
_MAX_KEPT = 16384
"""How many events are kept for a program that has not asked for any yet."""
_POLL = 0.1
"""How long the dispatcher waits before it looks whether it should stop, in seconds."""
_JOIN = 0.5
"""How long `down` waits for a callback that is running, in seconds."""

_live: Set[weakref.ref[Endpoint[Any]]] = set()
"""Everything that is up."""


class Endpoint(Generic[EventT]):
    """The common part of `caster.Node` and `caster.Caster`."""

    _EVENTS: ClassVar[Tuple[str, ...]]

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._callbacks: Dict[str, Tuple[Callback, ...]] = {}
        self._stages: Dict[int, Any] = {}
        self._tokens = itertools.count()
        self._ready: Deque[EventT] = deque()
        self._lost = 0
        self._pulls = False
        self._beat_failing = False
        self._lock = threading.Lock()
        self._dispatcher: Optional[Tuple[threading.Thread, threading.Event]] = None

    # Up and down.

    def _open(self) -> None:
        self._handle.open()
        _live.add(weakref.ref(self, _live.discard))
        if self._stages:
            # The first heartbeat goes out before anything that is sent next.
            self._pump(_BATCH, 0)
        self._start_dispatcher()

    def _close(self, join: float = _JOIN) -> None:
        try:
            self._handle.close()
        finally:
            if not self._handle.is_open:
                _live.discard(weakref.ref(self))
                self._stop_dispatcher(join)
                if self._callbacks:
                    self._discard()

    def _discard(self) -> None:
        """What waited for the callbacks is not for those of the next session."""
        self._ready.clear()
        while self._handle.take(_BATCH, 0):
            pass

    # Events.

    def next_event(self, timeout: Optional[float] = None) -> Optional[EventT]:
        """Returns the next event, and waits for it for up to `timeout` seconds.

        Without a timeout it waits for as long as it takes. None if no event came in time, or
        if none will come because this is down and all events have been taken. Ctrl-C ends the
        wait. May be called from several threads; each event goes to one of them.

        Raises `caster.StateError` if there are callbacks: they get the events.
        """
        self._pull()
        deadline = _deadline(timeout)
        while True:
            if self._lost:
                lost, self._lost = self._lost, 0
                return cast(EventT, lagged(lost))
            try:
                return self._ready.popleft()
            except IndexError:
                pass
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._pump(1, left):
                return None
            if left == 0 and not self._ready:
                return None

    def events(self, timeout: Optional[float] = None) -> Iterator[EventT]:
        """Iterates over the events, for `timeout` seconds or until this is down.

        Raises `caster.StateError` if there are callbacks: they get the events.
        """
        self._pull()
        return self._events(_deadline(timeout))

    def _events(self, deadline: Optional[float]) -> Iterator[EventT]:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            event = self.next_event(left)
            if event is None:
                return
            yield event
            if left == 0:
                return

    def fileno(self) -> int:
        """A file descriptor that is readable while there are events, for event loops.

        When it is, call `next_event(timeout=0)`. It belongs to this object: do not read from
        it and do not close it.

        Raises `caster.StateError` if there are callbacks: they get the events.
        """
        self._pull()
        return self._handle.fileno()

    def _pull(self) -> None:
        """From now on the caller drains the queue."""
        self._handle.check()
        if self._callbacks:
            text = "there are callbacks, which get the events; remove them with off first"
            raise StateError(text, "EVENTS_TAKEN")
        self._pulls = True
        self._stop_dispatcher()

    def _on(self, name: str, callback: Optional[Callback]) -> Any:
        self._handle.check()
        self._check_name(name)
        if callback is None:
            return lambda callback: self._on(name, callback)
        if not callable(callback):
            text = f"a callback has to be callable, not {callback!r}"
            raise ArgumentError(text, "INVALID_ARGUMENT")
        with self._lock:
            callbacks = self._callbacks.get(name, ())
            self._callbacks[name] = (*callbacks, callback)
        if self._handle.is_open:
            self._start_dispatcher()
        return callback

    def off(self, name: str, callback: Callable[[Any], object]) -> None:
        """Removes a callback; nothing happens if it is not there."""
        self._handle.check()
        self._check_name(name)
        with self._lock:
            callbacks = [kept for kept in self._callbacks.get(name, ()) if kept != callback]
            if callbacks:
                self._callbacks[name] = tuple(callbacks)
            else:
                self._callbacks.pop(name, None)

    def _check_name(self, name: str) -> None:
        if name not in self._EVENTS:
            known = ", ".join(self._EVENTS)
            text = f"there is no event {name!r}; there are {known}"
            raise ArgumentError(text, "INVALID_ARGUMENT")

    # Taking events from the core.

    def _pump(self, limit: int, timeout: Optional[float]) -> bool:
        """Takes in up to `limit` events, the first within `timeout` seconds.

        False if there are none and none will come.
        """
        batch = self._handle.take(limit, timeout)
        for raw in batch or ():
            if raw[0] == "stage":
                self._pass_on(raw[1])
            else:
                for event in to_events(raw):
                    self._keep(cast(EventT, event))
        return batch is not None

    def _keep(self, event: EventT) -> None:
        if len(self._ready) >= _MAX_KEPT:
            self._ready.popleft()
            self._lost += 1
        self._ready.append(event)

    # Callbacks.

    def _start_dispatcher(self) -> None:
        """Starts the dispatcher if there is something for it to do."""
        with self._lock:
            if self._dispatcher is not None:
                return
            if not self._callbacks and (self._pulls or not self._stages):
                return
            stop = threading.Event()
            thread = threading.Thread(
                target=self._dispatch, args=(stop,), name="caster-events", daemon=True
            )
            self._dispatcher = (thread, stop)
            thread.start()

    def _stop_dispatcher(self, join: float = _JOIN) -> None:
        """Ends the dispatcher, and waits a little for a callback that is running."""
        with self._lock:
            running, self._dispatcher = self._dispatcher, None
        if running is None:
            return
        thread, stop = running
        stop.set()
        if thread is not threading.current_thread():
            thread.join(join)

    def _dispatch(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                more = self._pump(_BATCH, _POLL)
            except Exception:
                _log.exception("events were lost")
                continue
            self._deliver(stop)
            if not more:
                return

    def _deliver(self, stop: threading.Event) -> None:
        while self._callbacks and self._ready:
            event: Any = self._ready.popleft()
            callbacks = self._callbacks.get(event.name, ())
            if not callbacks and isinstance(event, ErrorEvent):
                _log.warning("%s", event.error)
            elif isinstance(event, Hint):
                _log.info("%s", event.text)
            for callback in callbacks:
                if stop.is_set():
                    return
                try:
                    callback(event)
                except BaseException:
                    _log.exception("the callback %r for %r failed", callback, event.name)

    # Middleware.

    def use(self, *middleware: Any) -> None:
        """Adds middleware next to the wire: one of `caster.middleware`, or an object of yours.

        `tx` runs after, and `rx` before, those that are there.

        Raises `caster.MiddlewareError` if one has no name, a name that is in use, or neither
        `tx` nor `rx`; those before it are added.
        """
        for stage in middleware:
            if isinstance(stage, Stage):
                self._handle.use_stage(stage)
            else:
                self._use_python(stage)
        if self._handle.is_open:
            self._start_dispatcher()

    def _use_python(self, stage: Any) -> None:
        name = getattr(stage, "name", "")
        if not isinstance(name, str):
            text = f"the name of a middleware has to be a string, not {name!r}"
            raise MiddlewareError(text, "MIDDLEWARE")
        tx, rx = (callable(getattr(stage, way, None)) for way in ("tx", "rx"))
        token = next(self._tokens)
        self._stages[token] = stage
        try:
            self._handle.use_host_stage(name, token, tx, rx)
        except Error:
            del self._stages[token]
            raise

    @property
    def middleware(self) -> Tuple[str, ...]:
        """The names of the middleware, from the program to the wire."""
        return tuple(self._handle.stage_names)

    def _walk(self, progress: Union[int, Transit]) -> int:
        """Takes a message through the middleware written in Python, to its end.

        Returns the number of bytes on the wire.
        """
        while isinstance(progress, Transit):
            stage = self._stages[progress.token]
            try:
                payload = _run(stage, progress)
            except Exception as error:
                text = f"middleware {stage.name}: {error}"
                self._handle.fail(progress, text)
                raise MiddlewareError(text, "MIDDLEWARE") from error
            progress = self._handle.resume(progress, payload)
        return progress

    def _pass_on(self, transit: Transit) -> None:
        """Does `_walk` for an incoming message, or for a heartbeat, which nobody waits for."""
        outgoing = transit.outgoing
        try:
            self._walk(transit)
        except StateError:
            pass  # It is down by now.
        except Error as error:
            if not outgoing:
                _log.debug("an incoming message was dropped: %s", error)
            elif not self._beat_failing:
                self._beat_failing = True
                self._keep(cast(EventT, ErrorEvent(error)))
        else:
            if outgoing:
                self._beat_failing = False

    # Counters.

    def stats(self) -> Dict[str, Any]:
        """What was counted since this was made.

        `received`, `accepted`, `dropped` (a dict by reason), `sent`, `sendErrors`, `eventsLost`
        and `errorsSuppressed`. Of nodes also `nodes`, `suspects`, `probesSent`, `vouchesSent`,
        `answersMerged` and
        `foreign` (a dict by address: datagrams that could not be understood). When nothing is on
        its way, `received` is `accepted` plus everything in `dropped`.
        """
        return cast(Dict[str, Any], json.loads(self._handle.stats_json()))

    @property
    def multicast(self) -> str:
        """The multicast group."""
        return self._handle.multicast

    @property
    def address(self) -> str:
        """The local address given in the options."""
        return self._handle.address

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._handle.port


def _run(stage: Any, transit: Transit) -> Payload:
    """Runs one middleware on a message."""
    message = from_payload(transit.message)
    remote = transit.remote
    if remote is None:
        result = stage.tx(message)
    else:
        result = stage.rx(message, to_remote(remote))
    if result is None and isinstance(message, bytes):
        # Far more often a forgotten return than JSON's null.
        raise TypeError("it returned None; return the message, or raise to drop it")
    return to_payload(result)


def _deadline(timeout: Optional[float]) -> Optional[float]:
    if timeout is None:
        return None
    if timeout != timeout:
        text = "a timeout is a number of seconds or None, not NaN"
        raise ArgumentError(text, "INVALID_ARGUMENT")
    return time.monotonic() + timeout


def _end_all() -> None:
    """Takes down everything that is up, at the exit of the interpreter."""
    end = time.monotonic() + _JOIN
    for ref in list(_live):
        endpoint = ref()
        if endpoint is not None:
            try:
                endpoint._close(max(0.0, end - time.monotonic()))
            except Exception as error:
                _log.debug("at exit: %s", error)


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    # What is up belongs to the parent.
    os.register_at_fork(after_in_child=_live.clear)
