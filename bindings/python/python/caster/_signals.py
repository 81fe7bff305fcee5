"""`leave_on_signals`: the opt-in for programs that are ended by a signal."""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Optional


def leave_on_signals(*numbers: int) -> None:
    """Makes these signals end the program as `sys.exit` does, so that all nodes leave.

        caster.leave_on_signals()

    Without arguments it is SIGTERM, by which service managers and container runtimes end a program.
    `with` and `finally` blocks run, and the exit status is 128 plus the number of the signal.
    SIGINT needs no handler: it raises KeyboardInterrupt, which does the same. A signal that the
    program handles or ignores already is left as it is.

    Raises ValueError outside of the main thread, where Python allows no signal handlers, and for a signal
    that cannot be handled.
    """
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"leave_on_signals takes signals, as in signal.SIGTERM, not {number!r}")
    for number in numbers or (signal.SIGTERM,):
        if signal.getsignal(number) is signal.SIG_DFL:
            try:
                signal.signal(number, _exit)
            except OSError:
                raise ValueError(f"{signal.Signals(number).name} cannot be handled") from None


def _exit(number: int, frame: Optional[FrameType]) -> None:
    sys.exit(128 + number)
