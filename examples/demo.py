#!/usr/bin/env python3
"""Runs the hello programs of all languages together and shows what each of them sees.

Usage: demo.py NAME=COMMAND ...     (`make demo` builds everything and calls this)

All traffic stays on the loopback interface. One program leaves and one is killed; the others must report
both. The exit status is 0 only if every program reported all events.
"""

import json
import os
import queue
import random
import shlex
import signal
import subprocess
import sys
import threading
import time

SECONDS = 9.0  # the programs end by themselves after 10
LEAVES_AT, KILLED_AT = 4.0, 5.0
COLOURS = {"c": 36, "c++": 34, "python": 33, "node.js": 32, "rust": 35}
COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def colour(code: int, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOURED else text


class Program:
    """One running example and the events that it has reported."""

    def __init__(self, name: str, command: str, network: dict) -> None:
        options = json.dumps({"id": f"{name}-program", "heartbeat": 500, **network})
        self.name = name
        self.up: dict[str, str] = {}
        self.down: dict[str, str] = {}
        self.heard: dict[str, int] = {}
        self.complaints: list[str] = []
        self.process = subprocess.Popen(
            [*shlex.split(command), options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def read(self, lines: "queue.Queue[tuple[Program, str]]") -> None:
        for line in self.process.stdout:
            lines.put((self, line.rstrip("\n")))

    def note(self, line: str) -> "tuple[str, str] | None":
        """Records a line of output. Returns a sentence and a colour to print, or None."""
        word, peer, detail = [*line.split(" ", 2), "", "", ""][:3]
        if word == "up":
            self.up[peer] = detail
            return f"found {peer} with metadata {detail}", 32
        if word == "down":
            self.down[peer] = detail
            return f"lost  {peer}: {'it left' if detail == 'goodbye' else 'it timed out'}", 31
        if word == "update":
            return f"      {peer} changed: {detail}", 33
        if word == "message":
            self.heard[peer] = self.heard.get(peer, 0) + 1
            # Only the first message of each peer is printed.
            return (f"heard {peer} say {detail}", 0) if self.heard[peer] == 1 else None
        if word == "settled":
            return None
        self.complaints.append(line)
        return line, 31


def main() -> int:
    network = {
        "address": "127.0.0.1",
        "multicast": f"239.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}",
        "port": random.randint(22000, 32000),
    }
    print(f"\nGroup {network['multicast']}, port {network['port']}, loopback only.\n", flush=True)
    lines: "queue.Queue[tuple[Program, str]]" = queue.Queue()
    programs = []
    for argument in sys.argv[1:]:
        name, _, command = argument.partition("=")
        programs.append(Program(name, command, network))
        threading.Thread(target=programs[-1].read, args=(lines,), daemon=True).start()
    leaver = next(program for program in programs if program.name == "python")
    victim = next(program for program in programs if program.name == "c")
    try:
        watch(programs, leaver, victim, lines)
    finally:
        for program in programs:
            program.process.kill()
            program.process.wait()
    return summary(programs, leaver, victim)


def watch(programs, leaver, victim, lines) -> None:
    """Prints the reports of the programs. Asks one program to leave and kills another."""
    start = time.monotonic()
    plan = [
        (LEAVES_AT, leaver, signal.SIGTERM, "is asked to leave"),
        (KILLED_AT, victim, signal.SIGKILL, "is killed"),
    ]
    while (elapsed := time.monotonic() - start) < SECONDS:
        if plan and elapsed >= plan[0][0]:
            _, program, number, action = plan.pop(0)
            show(elapsed, program.name, colour(1, f"*** {action} ***"))
            program.process.send_signal(number)
        try:
            program, line = lines.get(timeout=0.05)
        except queue.Empty:
            continue
        if noted := program.note(line):
            show(elapsed, program.name, colour(noted[1], noted[0]) if noted[1] else noted[0])


def show(elapsed: float, name: str, text: str) -> None:
    label = colour(COLOURS.get(name, 37), f"{name:>8}")
    print(f"{elapsed:5.2f} s  {label}  {text}", flush=True)


def summary(programs, leaver, victim) -> int:
    """Prints the table at the end. Returns 0 if every remaining program reported all events."""
    print(f"\n{'program':>8}  {'found':>5}  {'heard':>5}  {'leave seen':>10}  {'crash seen':>10}")
    failed = []
    for program in programs:
        others = {f"{other.name}-program" for other in programs if other is not program}
        leave = program.down.get(f"{leaver.name}-program") == "goodbye"
        crash = program.down.get(f"{victim.name}-program") == "timeout"
        cells = ["(left)" if program is leaver else "yes" if leave else "NO"]
        cells.append("(killed)" if program is victim else "(gone)" if program is leaver else "yes" if crash else "NO")
        heard = sum(program.heard.values())
        print(f"{program.name:>8}  {len(program.up):>5}  {heard:>5}  {cells[0]:>10}  {cells[1]:>10}")
        right = set(program.up) == others == set(program.heard) and not program.complaints
        if not right or "NO" in cells:
            failed.append(program.name)
    if failed:
        print(colour(31, f"\nEvents are missing: {', '.join(failed)}"))
        return 1
    print(colour(32, "\nAll programs found and heard each other, and reported the leave and the crash."))
    return 0


if __name__ == "__main__":
    sys.exit(main())
