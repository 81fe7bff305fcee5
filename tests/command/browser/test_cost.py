"""`caster watch` in a group of a thousand nodes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

import pyte

from commands import CASTER
from pages import HERE, VARIABLES

PORT = 23499
SETTLE, MEASURE = 15.0, 30.0


def read(terminal: int, screen: pyte.Screen, seconds: float) -> None:
    """Draws the output of a time."""
    stream = pyte.ByteStream(screen)
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            stream.feed(os.read(terminal, 65536))


def processor_time(pid: int) -> float:
    """The time that a process has had, in seconds."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_watch_takes_little_of_the_processor() -> None:
    crowd = subprocess.Popen([sys.executable, str(HERE / "crowd.py"), str(PORT)])
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [str(CASTER), "watch", "--port", str(PORT), "--range", "host", "-o", "maxNewNodes=5000"]
    variables = VARIABLES | {"TERM": "xterm-256color"}
    watch = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=variables)
    try:
        screen = pyte.Screen(80, 24)
        read(master, screen, SETTLE)
        assert " 1000 nodes " in screen.display[0], screen.display
        before = processor_time(watch.pid)
        read(master, screen, MEASURE)
        share = (processor_time(watch.pid) - before) / MEASURE
        print(f"{share:.2%} of a processor")
        # 0.8 % on a machine of 2026 that did other work; here a slow one has to pass as well.
        assert share < 0.03
        assert watch.poll() is None and crowd.poll() is None
    finally:
        for process in (watch, crowd):
            process.kill()
            process.wait()
        os.close(master)
        os.close(slave)
