"""Commands that take more than a second show that they work: on a terminal only, and on standard error."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

from commands import CASTER, DEADLINE, Lan


class OnTerminal:
    """A command whose standard error is a terminal, and whose standard output is a pipe."""

    def __init__(self, lan: Lan, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [*lan.hosts[0].prefix, "env", "TERM=xterm-256color", str(CASTER), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)

    def end(self) -> tuple[str, str]:
        """Standard output and standard error, when the command has ended."""
        assert self.process.stdout is not None
        text, ends = b"", time.monotonic() + DEADLINE
        try:
            while select.select([self.master], [], [], max(0.0, ends - time.monotonic()))[0]:
                text += os.read(self.master, 65536)
        except OSError:  # The other end is closed.
            pass
        out = self.process.stdout.read().decode()
        self.process.wait(DEADLINE)
        os.close(self.master)
        return out, text.decode()


def test_progress_is_for_terminals(lan: Lan, tmp_path: Path) -> None:
    lan.start(1, "up", "--id", "web", "--meta", "type=http")
    file = str(tmp_path / "recording")
    commands = {
        "Listening, 1 nodes, ": ("ls", "--wait", "3s", "--format", "csv"),
        "Waiting, 0 nodes, ": ("wait", "--where", "type=db", "--timeout", "3s"),
        "Waiting for the node, ": ("info", "db", "--wait", "3s"),
        "Listening, ": ("doctor", "--json"),
        " datagrams, ": ("record", file, "--time", "3s"),
    }
    ended = {part: running.end() for part, running in [(part, OnTerminal(lan, *it)) for part, it in commands.items()]}
    for part, (out, err) in ended.items():
        assert part in err and "\x1b[2K" in err, (part, err)
        assert part not in out and "\x1b" not in out, (part, out)
        # It is gone at the end.
        last = err.rpartition("\x1b[2K")[2]
        assert part not in last, (part, err)
    assert " of 3.0s" in ended["Listening, 1 nodes, "][1]
    assert ended["Listening, 1 nodes, "][0].splitlines()[1].startswith("web,10.77.0.2,eth0")
    for arguments in (("ls", "--wait", "1500ms"), ("wait", "--where", "type=db", "--timeout", "1500ms")):
        done = lan.caster(0, *arguments)
        assert "\x1b" not in done.stderr and "Listening" not in done.stderr and "Waiting" not in done.stderr, done.stderr
