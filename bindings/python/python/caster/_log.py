"""Brings the log records of the core to the logger `caster`.

A daemon thread waits for records without the GIL; in the asyncio style the event loop watches a
descriptor. Either starts when the first node or caster opens.
"""

from __future__ import annotations

import os
import sys

from . import _caster
from ._green import is_green, wait_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger
    from typing import Optional

_WARNING = 30

_thread_of: Optional[int] = None
"""The id of the process that runs the thread."""


def _logger() -> Logger:
    import logging

    return logging.getLogger("caster")


def start(thread: bool) -> None:
    """Starts to bring records of the level that the logger has now."""
    global _thread_of
    # A program that has not imported logging has not set a level either.
    level = _logger().getEffectiveLevel() if "logging" in sys.modules else _WARNING
    _caster.log_start(level)
    if thread and _thread_of != os.getpid():
        import threading

        _thread_of = os.getpid()
        try:
            threading.Thread(target=_follow, name="caster-log", daemon=True).start()
        except RuntimeError:  # The system gives no thread.
            _thread_of = None
            raise


def _follow() -> None:
    while True:
        if is_green():
            wait_readable(_caster.log_fileno(), None)
            bring()
        elif not bring(wait=True):
            return


def bring(wait: bool = False) -> bool:
    """Brings all queued records. Returns whether there were any."""
    records = _caster.log_take(wait)
    for level, text in records:
        _logger().log(level, "%s", text)
    return bool(records)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_caster.log_after_fork)
