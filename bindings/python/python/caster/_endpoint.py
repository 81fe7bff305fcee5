"""`Endpoint`: events, callbacks, middleware written in Python, and closing at exit.

The threads of the core never run Python. They fill a queue of events, which one of these drains in
batches: a daemon thread of this package that runs the callbacks (the dispatcher), a thread that waits
for the next event, or an event loop. Messages that are suspended at a middleware written in Python
come separately; a daemon thread or the event loop runs the middleware.

Modules that take long to import (threading, logging, json, asyncio) are imported when they are
needed.
"""

from __future__ import annotations

import atexit
import os
from _thread import allocate_lock, get_ident
from _weakref import ref
from time import monotonic

from . import _green, _log
from ._caster import Down, ErrorEvent, Handle, Stage, Transit, Up, Update
from ._caster import end as end_outside
from ._convert import from_json, from_payload, to_payload
from ._green import is_green, pause
from ._watcher import Watcher
from .errors import ArgumentError, Error, MiddlewareError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Thread
    from types import TracebackType
    from typing import Any, Callable, Deque, Dict, List, Optional, Set, Tuple, Type, Union

    from ._types import Attachment, Callback, Payload, Simulation


BATCH = 256
"""The largest number of events that are taken at once."""
_POLL = 0.1
"""How often a thread of this package checks whether it should stop, in seconds."""
JOIN = 0.5
"""How long `down` waits for a running callback, in seconds."""

_live: Set[ref[Endpoint]] = set()
"""All open endpoints."""


def log(level: str, text: str, *args: object, **more: Any) -> None:
    """Writes to the logger `caster`."""
    import logging

    getattr(logging.getLogger("caster"), level)(text, *args, **more)


def _daemon(name: str, target: Callable[..., None], *arguments: object) -> Thread:
    """Starts a thread. Where the system gives none, this raises RuntimeError."""
    import threading

    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


def _dispatch(session: Session, handle: Handle, endpoint_ref: ref[Endpoint]) -> None:
    """Runs the callbacks of an endpoint until the session is over or the endpoint is dropped."""
    while True:
        interrupts = handle.interrupts
        if session.is_over:
            return
        batch: Optional[List[Any]] = []
        try:
            if is_green():
                pause(0)
                batch = _green.take(handle, BATCH, _POLL)
            else:
                batch = handle.take(BATCH, None, True, interrupts)
        except Exception:
            log("exception", "events were lost")
        endpoint = endpoint_ref()
        if endpoint is None or not endpoint.dispatched(batch, session):
            return
        del endpoint


def _follow(session: Session, handle: Handle, endpoint_ref: ref[Endpoint]) -> None:
    """Runs the middleware of an endpoint until the session is over or the endpoint is dropped."""
    while True:
        interrupts = handle.interrupts
        if session.is_over:
            return
        if is_green():
            pause(0)
            transits = _green.take_transits(handle, BATCH)
        else:
            transits = handle.take_transits(BATCH, None, interrupts)
        endpoint = endpoint_ref()
        if endpoint is None or transits is None or not endpoint.followed(transits, session):
            return
        del endpoint


class Session:
    """The time from `open` to `close`. It is checked before each callback, so reading it is cheap."""

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


class Leaving:
    """The end of a `with` block. An error of it does not replace an exception of the block."""

    __slots__ = ("_error",)

    def __init__(self, error: Optional[BaseException]) -> None:
        self._error = error

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> bool:
        if self._error is None or not isinstance(error, Error):
            return False
        log("error", "while leaving: %s", error)
        return True


class Endpoint:
    """A handle of the core, with its callbacks, its middleware and the events taken from it."""

    def __init__(
        self,
        handle: Handle,
        names: Tuple[str, ...],
        simulation: Optional[Simulation] = None,
        encode: Optional[Callable[[Any], str]] = None,
    ) -> None:
        from collections import deque

        self.handle = handle
        self.simulation = simulation
        self.names = names
        self.encode = encode
        self.callbacks: Dict[str, Tuple[Callback, ...]] = {}
        self.stages: Dict[int, Any] = {}
        self.ready: Deque[Any] = deque()
        self.limit = BATCH
        self.watchers: Tuple[Watcher, ...] = ()
        self.attachment: Optional[Attachment] = None
        self._token = 0
        self._heartbeat_fails = False
        self._lock = allocate_lock()
        self._dispatcher: Optional[Tuple[Thread, Session]] = None
        self._middleware: Optional[Thread] = None
        self._suspended: List[Transit] = []
        self.session = Session()
        self.was_opened = False

    def now(self) -> float:
        """The clock of timeouts, in seconds."""
        return monotonic() if self.simulation is None else self.simulation.now

    # Up and down.

    def is_open(self) -> bool:
        """Whether it is open; in a forked child nothing of the parent's is."""
        try:
            return self.handle.is_open
        except StateError as error:
            if error.code != "FORKED":
                raise
            return False

    def open(self, attachment: Optional[Attachment] = None) -> None:
        if self.simulation is None:
            _log.start(thread=attachment is None)
        self.handle.open()
        self.was_opened = True
        self.attachment = attachment
        self.session = Session()
        _live.add(ref(self, _live.discard))
        try:
            if self.stages:
                # The first heartbeat goes out before anything that is sent next.
                self.run_middleware(0)
            self.serve()
        except BaseException:
            # The system gives no thread, for instance: callbacks would never run.
            self.close()
            raise

    def close(self, join: float = JOIN) -> None:
        """Closes the endpoint and waits for a running callback for up to `join` seconds."""
        failed: Optional[Error] = None
        try:
            if self.stages and self.handle.is_open:
                failed = self._leave(join)
                if not self.handle.is_closed:
                    self.handle.close()
            else:
                self.handle.close()
        finally:
            if not self.handle.is_open:
                self.finish_close(join)
        if failed is not None:
            raise failed

    def _leave(self, join: float) -> Optional[Error]:
        """Closes and passes the announcements through the middleware; returns the first error."""
        failed: Optional[Error] = None
        self.session.is_over = True
        self._join_middleware(join)
        self.handle.start_close()
        wait = None if self.simulation is None else 0
        suspended, self._suspended = self._suspended, []
        while True:
            for transit in suspended:
                outgoing = transit.outgoing
                try:
                    self.pass_through(transit)
                except Error as error:
                    if outgoing and failed is None and not isinstance(error, StateError):
                        failed = error
            suspended = self.handle.take_transits(BATCH, wait) or []
            if not suspended:
                return failed

    def finish_close(self, join: float = 0.0) -> None:
        """Ends callbacks and middleware after the handle has been closed."""
        _live.discard(ref(self))
        self.session.is_over = True
        self._stop_dispatcher(join)
        self._join_middleware(join)
        if self.attachment is not None:
            self.attachment.closed()
        if self.callbacks:
            # The callbacks of the next session do not get the events of this one.
            self.ready.clear()
            while self.handle.take(BATCH, 0):
                pass

    # Taking events from the core.

    def pump(self, limit: int, timeout: Optional[float]) -> bool:
        """Takes in up to `limit` events and waits for the first for up to `timeout` seconds.

        Returns whether events may still come.
        """
        if self.simulation is not None:
            return self.simulation.pump(self, limit, timeout)
        take = _green.take if is_green() else Handle.take
        batch = take(self.handle, limit, timeout)
        if batch:
            self.take_in(batch)
        return batch is not None

    def take_in(self, batch: List[Any]) -> None:
        self.ready.extend(batch)
        if self.watchers:
            for event in batch:
                if isinstance(event, (Up, Update, Down)):
                    for watcher in self.watchers:
                        watcher.look(event.node.id)

    def room(self) -> int:
        """How many events may be taken in before some of those taken in are used.

        All others stay in the queue of the core, which is bounded by `maxEvents` and
        `maxEventBytes`.
        """
        return max(0, self.limit - len(self.ready))

    def pop(self) -> Any:
        """Returns the next event that has been taken in, or None."""
        try:
            return self.ready.popleft()
        except IndexError:
            return None

    def pull(self) -> None:
        """Makes the caller drain the queue from now on."""
        self.handle.check()
        if self.callbacks:
            text = "there are callbacks, which get the events; remove them with off first"
            raise StateError(text, "EVENTS_TAKEN")
        if self._dispatcher is not None:
            self._stop_dispatcher(JOIN)

    def check_opened(self) -> None:
        """An event can only come after the first `open`: a wait before it would have no end."""
        if not self.was_opened:
            self.handle.check_open()

    def next_event(self, timeout: Optional[float]) -> Any:
        self.check_opened()
        deadline = self.deadline(timeout)
        while True:
            event = self.pop()
            if event is not None:
                return event
            left = None if deadline is None else max(0.0, deadline - self.now())
            # A middleware that fails adds an event, of which the core does not know.
            wait = left if not self.stages else _POLL if left is None else min(left, _POLL)
            if not self.pump(self.limit, wait) and not self.ready:
                return None
            if left is not None and left <= 1e-6 and not self.ready:
                return None

    def deadline(self, timeout: Optional[float]) -> Optional[float]:
        if timeout is None:
            return None
        if isinstance(timeout, bool) or not hasattr(timeout, "__float__"):
            raise TypeError(f"a timeout is a number of seconds or None, not {timeout!r}")
        if timeout != timeout:
            text = "a timeout is a number of seconds or None, not NaN"
            raise ArgumentError(text, "INVALID_ARGUMENT")
        return self.now() + float(timeout)

    def queued(self) -> int:
        """The number of events that have been taken in or wait in the core."""
        return len(self.ready) + self.handle.waiting

    def has_ready(self) -> bool:
        return bool(self.ready)

    # Waiting for a node; events are kept for their takers.

    def watch(self, watcher: Watcher) -> None:
        with self._lock:
            self.watchers = (*self.watchers, watcher)
        self.look(watcher)

    def look(self, watcher: Watcher) -> None:
        for id in self.handle.nodes():
            watcher.look(id)

    def unwatch(self, watcher: Watcher) -> None:
        with self._lock:
            self.watchers = tuple(other for other in self.watchers if other is not watcher)

    def wait_for(self, watcher: Watcher, timeout: Optional[float]) -> Any:
        deadline = self.deadline(timeout)
        self.handle.check_up()
        self.watch(watcher)
        try:
            while not watcher.done:
                left = _POLL if deadline is None else min(_POLL, deadline - self.now())
                if left <= 1e-6:
                    raise watcher.timed_out(timeout)
                dispatcher = self._dispatcher
                if dispatcher is not None and dispatcher[0].ident != get_ident():
                    watcher.wait(left)
                    self.handle.check_up()
                elif self.room() == 0:
                    watcher.wait(left)
                    self.handle.check_up()
                    self.look(watcher)
                elif not self.pump(self.room(), left):
                    self.handle.check_up()
            return watcher.result()
        finally:
            self.unwatch(watcher)

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
        if not self.callbacks:
            self.handle.interrupt()  # The dispatcher ends.

    def _check_name(self, name: str) -> None:
        if name not in self.names:
            text = f"there is no event {name!r}; there are {', '.join(self.names)}"
            raise ArgumentError(text, "INVALID_ARGUMENT")

    def needs_serving(self) -> bool:
        """Whether callbacks or middleware written in Python have to run."""
        return bool(self.callbacks or self.stages)

    def serve(self) -> None:
        """Makes callbacks and middleware run."""
        if self.attachment is not None:
            self.attachment.serve()
        elif self.simulation is not None:
            self.simulation.serve(self)
        else:
            with self._lock:
                if self.callbacks and self._dispatcher is None:
                    session = Session()
                    self._dispatcher = (self._daemon("caster-events", _dispatch, session), session)
                if self.stages and self._middleware is None:
                    self._middleware = self._daemon("caster-middleware", _follow, self.session)

    def _daemon(self, name: str, target: Callable[..., None], session: Session) -> Thread:
        """Starts a thread that does not refer to this while it waits, and ends with this."""
        handle = self.handle
        return _daemon(name, target, session, handle, ref(self, lambda _: handle.interrupt()))

    def _stop_dispatcher(self, join: float) -> None:
        """Ends the dispatcher and waits for a running callback for up to `join` seconds."""
        with self._lock:
            running, self._dispatcher = self._dispatcher, None
        if running is None:
            return
        thread, session = running
        session.is_over = True
        self.handle.interrupt()
        if thread.ident != get_ident():
            thread.join(join)

    def _join_middleware(self, join: float) -> None:
        """Waits for the thread of the middleware, whose session is over."""
        with self._lock:
            thread, self._middleware = self._middleware, None
        self.handle.interrupt()
        if thread is not None and thread.ident != get_ident():
            thread.join(join)

    def dispatched(self, batch: Optional[List[Any]], session: Session) -> bool:
        """Calls the callbacks with these events. Returns whether to wait for more."""
        if batch:
            self.take_in(batch)
        self.deliver(session)
        with self._lock:
            if batch is not None and self.callbacks and not session.is_over:
                return True
            # Without callbacks events stay in the queue of the core.
            if self._dispatcher is not None and self._dispatcher[1] is session:
                self._dispatcher = None
            return False

    def followed(self, transits: List[Transit], session: Session) -> bool:
        """Runs the middleware on these messages. Returns whether to wait for more."""
        if session.is_over:
            self._suspended.extend(transits)  # They belong to `_leave`.
            return False
        for transit in transits:
            self.pass_on(transit)
        return True

    def run_on_thread(self, hand_over: Callable[[Transit], None]) -> None:
        """Hands suspended messages over from a thread, for loops that cannot watch descriptors."""

        def follow(session: Session) -> None:
            while not session.is_over:
                transits = self.handle.take_transits(BATCH, _POLL)
                for transit in transits or ():
                    try:
                        hand_over(transit)
                    except RuntimeError:  # The loop has been closed.
                        return
                if transits is None:
                    return

        with self._lock:
            if self._middleware is None:
                self._middleware = _daemon("caster-middleware", follow, self.session)

    def run_middleware(self, timeout: float) -> bool:
        """Takes suspended messages and passes them on; False if none will come."""
        transits = self.handle.take_transits(BATCH, timeout)
        for transit in transits or ():
            self.pass_on(transit)
        return transits is not None

    def deliver(self, session: Optional[Session] = None) -> None:
        """Calls the callbacks with the events that have been taken in."""
        if session is None:
            session = self.session
        popleft = self.ready.popleft
        while self.callbacks:
            try:
                event = popleft()
            except IndexError:
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
                        raise  # The loop handles it.
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
        if not hasattr(stage, "name"):
            text = "a middleware is one of caster.middleware, as in json(), or an object with a name and tx or rx"
            raise MiddlewareError(f"{text}, not {stage!r}", "MIDDLEWARE")
        name = stage.name
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

    def send(self, payload: Payload) -> int:
        sent = self.handle.send(payload)
        return sent if isinstance(sent, int) else self.pass_through(sent)

    def send_batch(self, payloads: List[Payload]) -> int:
        if self.stages:
            return sum(map(self.send, payloads))
        return self.handle.send_batch(payloads)

    def pass_through(self, progress: Union[int, Transit]) -> int:
        """Passes a message through the middleware written in Python, to its end.

        Returns the number of bytes on the wire.
        """
        while isinstance(progress, Transit):
            stage = self.stages[progress.token]
            try:
                payload = _run(stage, progress, self.encode)
            except Exception as error:
                text = f"middleware {stage.name}: {error}"
                self.handle.fail(progress, text)
                raise MiddlewareError(text, "MIDDLEWARE") from error
            progress = self.handle.resume(progress, payload)
        return progress

    def pass_on(self, transit: Transit) -> None:
        """Passes on an incoming message or a heartbeat; errors are logged."""
        outgoing = transit.outgoing
        try:
            self.pass_through(transit)
        except StateError:
            pass  # It has been closed.
        except Error as error:
            if not outgoing:
                log("debug", "an incoming message was dropped: %s", error)
            elif not self._heartbeat_fails:
                self._heartbeat_fails = True
                log("warning", "%s", error)
                self.ready.append(ErrorEvent(error))
                self.handle.interrupt()  # The dispatcher looks at it.
        else:
            if outgoing:
                self._heartbeat_fails = False


def _run(stage: Any, transit: Transit, encode: Optional[Callable[[Any], str]]) -> Payload:
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
    return to_payload(result, encode=encode)


def _end_all() -> None:
    """Closes all open endpoints, at the exit of the interpreter."""
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
    # Open endpoints belong to the parent.
    os.register_at_fork(after_in_child=_live.clear)
