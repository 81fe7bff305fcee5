"""`Attachment`: connects an endpoint with an asyncio event loop.

The loop watches the descriptor of the event queue only while a task waits, callbacks are
registered, or middleware written in Python has to run. Each wake-up takes a batch of events. Loops
that cannot watch descriptors (such as that of Windows) need a thread.
"""

from __future__ import annotations

import asyncio
import os
from _weakref import ref
from types import CoroutineType

from . import _log
from ._caster import log_fileno
from ._endpoint import BATCH, JOIN, Endpoint, log
from .errors import StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Thread
    from typing import Any, Callable, List, Optional, Set

    from ._caster import Transit
    from ._watcher import Watcher

_POLL = 0.1
"""How often a thread that takes events for a loop checks whether it should stop, in seconds."""
_STEP = 0.01
"""How far a virtual clock advances in one iteration of the loop, in seconds."""


class Readers:
    """The descriptors that an event loop watches for an endpoint; -1 stands for none.

    They are duplicates: the endpoint may be dropped on another thread than that of the loop, and the
    numbers of its descriptors are used again before the loop has stopped to watch them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.events = -1
        self.wake = -1
        self.log = -1

    def end(self) -> None:
        """Stops watching all of them."""
        had_log = self.log >= 0
        fds, self.events, self.wake, self.log = (self.events, self.wake, self.log), -1, -1, -1
        for fd in fds:
            if fd >= 0:
                if not self.loop.is_closed():
                    self.loop.remove_reader(fd)
                os.close(fd)
        if had_log:
            _log.bring()

    def dropped(self, _: object) -> None:
        """Called before the endpoint is dropped, which closes its descriptors."""
        if self.loop.is_closed():
            self.end()
        else:
            _call(self.loop, self.end)


class Attachment:
    """Connects an endpoint with the running event loop. It does not keep the endpoint alive."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.loop = asyncio.get_running_loop()
        self._fds = Readers(self.loop)
        self._endpoint_ref = ref(endpoint, self._fds.dropped)
        self._waiters: Set[asyncio.Future[None]] = set()
        self._tasks: Set[asyncio.Task[Any]] = set()
        self._reading = False
        self._thread: Optional[Thread] = None
        self._closings: Set[asyncio.Future[None]] = set()

    @property
    def _endpoint(self) -> Endpoint:
        endpoint = self._endpoint_ref()
        if endpoint is None:
            raise ReferenceError("the node or caster has been dropped")
        return endpoint

    # Watching the descriptor.

    def _start(self) -> None:
        if self._reading:
            return
        self._reading = True
        if self._thread is not None:
            return
        self._fds.events = os.dup(self._endpoint.handle.fileno())
        try:
            self.loop.add_reader(self._fds.events, self._readable)
        except NotImplementedError:
            import threading

            os.close(self._fds.events)
            self._fds.events = -1
            thread = threading.Thread(target=self._follow, name="caster-events", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # The system gives no thread.
                self._reading = False
                raise
            self._thread = thread

    def _stop(self) -> None:
        self._reading = False
        fd, self._fds.events = self._fds.events, -1
        if fd >= 0:
            self.loop.remove_reader(fd)
            os.close(fd)

    def _is_wanted(self) -> bool:
        endpoint = self._endpoint_ref()
        if endpoint is None:
            return False
        wanted = self._waiters or endpoint.watchers or endpoint.callbacks
        return bool(wanted) and endpoint.room() > 0

    def _readable(self) -> None:
        if not self._is_wanted():
            self._stop()
            return
        try:
            batch = self._endpoint.handle.take(self._endpoint.room(), 0, False)
        except Exception as error:
            log("error", "events were lost: %s", error)
            self._stop()
            return
        self._arrived(batch)

    def _arrived(self, batch: Optional[List[Any]]) -> None:
        endpoint = self._endpoint
        if batch:
            endpoint.take_in(batch)
        if endpoint.callbacks:
            endpoint.deliver()
        if endpoint.ready or batch is None:
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _follow(self) -> None:
        """Takes events on a thread, for loops that cannot watch descriptors."""
        from threading import Semaphore

        endpoint = self._endpoint  # It lives as long as the thread.

        turn = Semaphore(0)

        def hand_over(batch: Optional[List[Any]]) -> None:
            try:
                self._arrived(batch)
            finally:
                turn.release()

        while not self.loop.is_closed():
            if not self._is_wanted():
                break
            batch = endpoint.handle.take(endpoint.room(), _POLL, False)
            if batch is None or batch:
                try:
                    self.loop.call_soon_threadsafe(hand_over, batch)
                except RuntimeError:  # The loop has been closed.
                    endpoint.take_in(batch or [])
                    break
                while not turn.acquire(timeout=_POLL) and not self.loop.is_closed():
                    pass
            if batch is None:
                break
        self._thread = None
        self._reading = False
        if not self.loop.is_closed() and self._is_wanted() and endpoint.handle.is_open:
            # A waiter arrived while this thread was stopping.
            self.loop.call_soon_threadsafe(self._start)

    # Suspended messages, and leaving.

    def _watch_wake(self) -> None:
        """Runs middleware when the core has suspended a message; notices when it has closed."""
        if self._fds.wake >= 0:
            return
        fd = os.dup(self._endpoint.handle.wake_fileno())
        try:
            self.loop.add_reader(fd, self._woken)
        except NotImplementedError:
            os.close(fd)
            fd = -1
        self._fds.wake = fd
        if fd >= 0:
            self._woken()
        else:
            self._endpoint.run_on_thread(self._hand_over)

    def _woken(self) -> None:
        endpoint = self._endpoint_ref()
        if endpoint is None:
            self._fds.end()
            return
        endpoint.handle.clear_wake()
        endpoint.run_middleware(0)
        if endpoint.ready:
            self._wake()
        if endpoint.handle.is_closed:
            for closing in self._closings:
                _set(closing)

    def _hand_over(self, transit: Transit) -> None:
        self.loop.call_soon_threadsafe(self._endpoint.pass_on, transit)

    async def leave(self) -> None:
        """Announces the departure and waits until the core has closed."""
        handle = self._endpoint.handle
        handle.start_close()
        self._watch_wake()
        if self._fds.wake < 0:
            while not handle.is_closed:
                await asyncio.sleep(_STEP)
            return
        closing = self.loop.create_future()
        self._closings.add(closing)
        try:
            if not handle.is_closed:
                await closing
        finally:
            self._closings.discard(closing)

    # Waiting.

    async def wait(self, left: Optional[float], watcher: Optional[Watcher] = None) -> None:
        """Waits until events have been taken in or the watcher is done, for up to `left` seconds."""
        endpoint = self._endpoint
        if endpoint.simulation is not None:
            return await self._wait_virtually(left, watcher)
        if not endpoint.handle.is_open and not endpoint.handle.waiting:
            return
        waiter = self.loop.create_future()
        self._waiters.add(waiter)
        timer = None
        try:
            self._start()
            if watcher is not None:
                watcher.on_done = lambda: self._call(_set, waiter)
            if left is not None:
                timer = self.loop.call_later(left, _set, waiter)
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            self._waiters.discard(waiter)

    def relax(self) -> None:
        """Stops watching the descriptor if no other wait, callback or middleware needs it."""
        if not self._is_wanted():
            self._stop()

    async def _wait_virtually(self, left: Optional[float], watcher: Optional[Watcher]) -> None:
        endpoint = self._endpoint
        until = None if left is None else endpoint.now() + left
        while True:
            left = _STEP if until is None else min(_STEP, until - endpoint.now())
            more = endpoint.pump(BATCH, max(0.0, left))
            await asyncio.sleep(0)
            if watcher.done if watcher is not None else endpoint.ready:
                return
            if not more or left <= 1e-6:
                return

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        _call(self.loop, function, *arguments)

    # Callbacks.

    def serve(self) -> None:
        """Makes callbacks and middleware run."""
        simulation = self._endpoint.simulation
        if not self._endpoint.needs_serving():
            return
        if simulation is not None:
            simulation.serve(self._endpoint)
        else:
            self._call(self._serve)

    def _serve(self) -> None:
        if self._endpoint.stages:
            self._watch_wake()
        if self._endpoint.callbacks:
            self._start()

    def take_result(self, callback: object, result: object) -> None:
        """Runs the coroutine that a callback has returned as a task."""
        if not isinstance(result, CoroutineType):
            return
        task = self.loop.create_task(result)
        self._tasks.add(task)

        def ended(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                log("error", "the callback %r failed", callback, exc_info=task.exception())

        task.add_done_callback(ended)

    async def finish_tasks(self) -> None:
        """Waits for running callbacks for a moment, then cancels them."""
        others = self._tasks - {asyncio.current_task()}
        if others:
            _, late = await asyncio.wait(others, timeout=JOIN)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=JOIN)

    # The log, and closing.

    def follow_log(self) -> None:
        """Makes the loop bring log records."""
        self._fds.log = os.dup(log_fileno())
        try:
            self.loop.add_reader(self._fds.log, _log.bring)
        except NotImplementedError:
            os.close(self._fds.log)
            self._fds.log = -1
            _log.start(thread=True)

    def closed(self) -> None:
        self._call(self._on_closed)

    def _on_closed(self) -> None:
        self._reading = False
        self._fds.end()
        self._wake()


def _call(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object
) -> None:
    """Calls a function on a loop: at once if this is the thread of the loop."""
    try:
        if asyncio.get_running_loop() is loop:
            function(*arguments)
            return
    except RuntimeError:
        pass
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        pass  # The loop has been closed; its waits have ended with it.


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def attach(endpoint: Endpoint) -> Attachment:
    """Returns the connection of an endpoint with the running loop."""
    loop = asyncio.get_running_loop()
    attachment = endpoint.attachment
    if isinstance(attachment, Attachment):
        if attachment.loop is loop:
            return attachment
        if endpoint.handle.is_open and not attachment.loop.is_closed():
            text = "another event loop takes the events of this"
            raise StateError(text, "EVENTS_TAKEN")
    attachment = endpoint.attachment = Attachment(endpoint)
    return attachment


def open_on_loop(endpoint: Endpoint) -> None:
    """Opens the endpoint; the running loop takes its events and brings the log."""
    attachment = attach(endpoint)
    endpoint.open(attachment)
    if endpoint.simulation is None:
        attachment.follow_log()


async def next_event(endpoint: Endpoint, timeout: Optional[float]) -> Any:
    endpoint.check_opened()
    deadline = endpoint.deadline(timeout)
    attachment = attach(endpoint)
    found = False
    try:
        while True:
            event = endpoint.pop()
            if event is not None:
                found = True
                return event
            left = None if deadline is None else deadline - endpoint.now()
            if left is not None and left <= 1e-6:
                # Events that are queued are returned even if no time is left.
                found = endpoint.pump(endpoint.limit, 0) and bool(endpoint.ready)
                return endpoint.pop()
            if not endpoint.handle.is_open and not endpoint.handle.waiting:
                return None
            await attachment.wait(left)
    finally:
        if not found:
            attachment.relax()
