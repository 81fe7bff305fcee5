"""Shared by the Python programs of the benchmarks: arguments, clocks, and the protocol with
bench.py (bench/README.md). Standard library only."""

import json
import os
import resource
import sys
import threading
import time

STARTED = time.monotonic_ns()
WARM_UP = 200
HEAD = b'{"id":"bench","message":"'


class Arguments:
    """`ROLE name=value ...`"""

    def __init__(self, argv=None):
        argv = sys.argv[1:] if argv is None else argv
        self.role = argv[0]
        self._values = dict(arg.split("=", 1) for arg in argv[1:])

    def text(self, name, otherwise=""):
        return self._values.get(name, otherwise)

    def number(self, name, otherwise):
        return type(otherwise)(self._values.get(name, otherwise))


def tell(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def cpu_us():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return int((use.ru_utime + use.ru_stime) * 1e6)


class Tally:
    """Counts what was received."""

    def __init__(self):
        self.messages = self.ups = self.downs = self.first = self.last = 0

    def message(self, *_):
        if not self.messages:
            self.first = time.monotonic_ns()
        self.messages += 1
        if not self.messages & 15:
            self.last = time.monotonic_ns()


def serve(tally):
    """Says `ready`, then answers lines on standard input, on a thread of its own, and ends the
    process at their end."""
    before = cpu_us()

    def report(event):
        tell(ev=event, **vars(tally), cpu_us=cpu_us() - before)

    def listen():
        for _ in sys.stdin:
            report("report")
        report("done")
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    tell(ev="ready")


def on_end(leave):
    """Calls `leave` when standard input ends, says `gone` and ends the process."""

    def listen():
        sys.stdin.read()
        began = time.monotonic_ns()
        leave()
        tell(ev="gone", began=began)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()


def send(arguments, one):
    """Calls `one(sequence)` for as long as it is to last."""
    sent, cpu, start = 0, cpu_us(), time.monotonic_ns()
    end = start + int(arguments.number("seconds", 1.0) * 1e9)
    while time.monotonic_ns() < end:
        for _ in range(16):
            one(sent)
            sent += 1
    seconds = (time.monotonic_ns() - start) / 1e9
    tell(ev="done", sent=sent, errors=0, seconds=seconds, cpu_us=cpu_us() - cpu)


def ping(arguments, one, wait):
    """`one(sequence)` sends, `wait(deadline)` returns the next number that came back, or None."""
    tell(ev="ready")
    took, lost = [], 0
    for sequence in range(arguments.number("count", 2000) + WARM_UP):
        start = time.monotonic_ns()
        one(sequence)
        while True:
            heard = wait(0.2)
            if heard is None:
                lost += 1
                break
            if heard == sequence:
                if sequence >= WARM_UP:
                    took.append(time.monotonic_ns() - start)
                break
    took.sort()
    at = lambda part: took[len(took) * part // 100] / 1e3 if took else 0.0  # noqa: E731
    tell(ev="done", count=len(took), lost=lost, p50_us=at(50), p99_us=at(99))


def raw(tag, sequence, size):
    """The payload of the raw stack."""
    return (b"%c%08d" % (ord(tag), sequence)).ljust(size, b"x")
