"""`caster watch` on a terminal, and as lines."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from commands import CASTER, DEADLINE, Lan

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
"""The sequences that turn the other screen on and off."""


class Screen:
    """The command on a pseudo terminal of 80 by 24."""

    def __init__(self, lan: Lan, *arguments: str) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(master)
        self.process = subprocess.Popen(
            [*lan.hosts[0].prefix, "env", "TERM=xterm-256color", str(CASTER), "watch", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self.master = master
        self.text = ""

    def wait_for(self, part: str) -> None:
        """Reads until the output has this part."""
        ends = time.monotonic() + DEADLINE
        while part not in self.text:
            left = ends - time.monotonic()
            assert left > 0, f"{part!r} does not come: {self.text[-4000:]!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode(errors="replace")
                except OSError:  # The other end is closed.
                    assert part in self.text, f"it ended before {part!r}: {self.text[-4000:]!r}"

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())


@contextlib.contextmanager
def watching(lan: Lan, *arguments: str) -> Iterator[Screen]:
    screen = Screen(lan, *arguments)
    try:
        yield screen
    finally:
        screen.process.kill()
        screen.process.wait()
        os.close(screen.master)


@pytest.mark.parametrize("end", ["q", "\x03", "SIGTERM"])
def test_the_table_shows_nodes_and_gives_the_terminal_back(lan: Lan, end: str) -> None:
    lan.start(1, "up", "--id", "the-node", "--meta", "type=http")
    with watching(lan) as screen:
        screen.wait_for(ENTER)
        screen.wait_for("the-node")
        screen.wait_for("type=http")
        screen.press("?")
        screen.wait_for("PageDown")
        screen.press("\x1b")
        time.sleep(0.5)
        assert LEAVE not in screen.text
        if end == "SIGTERM":
            screen.process.send_signal(signal.SIGTERM)
        else:
            screen.press(end)
        screen.wait_for(LEAVE)
        assert screen.process.wait(DEADLINE) == 0
        assert termios.tcgetattr(screen.master)[3] == screen.before[3], "echo and lines are on again"


def test_lines_where_there_is_no_terminal(lan: Lan) -> None:
    watch = lan.start(0, "watch", "--where", "type=http")
    node = lan.start(1, "up", "--id", "a\x1b[2Jb", "--meta", "type=http")
    lan.start(1, "up", "--id", "other", "--meta", "type=db")
    assert watch.stdout is not None
    up = watch.stdout.readline()
    assert up[19:] == "Z up a\\u{1b}[2Jb 10.77.0.2 type=http\n"
    node.send_signal(signal.SIGTERM)
    down = watch.stdout.readline()
    assert down[19:] == "Z down a\\u{1b}[2Jb 10.77.0.2 goodbye\n"
    watch.send_signal(signal.SIGTERM)
    assert watch.communicate(timeout=DEADLINE)[0] == "" and watch.returncode == 0
