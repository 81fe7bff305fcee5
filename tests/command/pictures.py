"""Records the pictures of the README and of docs/command.md from real runs: make pictures.

Nodes run on the hosts of a private network. `watch` and `doctor` run on a pseudo terminal, whose screen is drawn by rich;
the page of `web` is a screenshot of headless Chromium.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "interop"), str(HERE.parent / "networks"), str(HERE)]

import pyte  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from commands import CASTER, ROOT, Lan  # noqa: E402

PICTURES = ROOT / "docs/pictures"
PLAYWRIGHT = ROOT / "target/node-tools/playwright-core-1.65.1/node_modules/playwright-core"
COLUMNS, LINES = 96, 24

# Rich's own has a font of another server.
FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def colour(name: str) -> str | None:
    """A colour of the terminal as rich names it."""
    if name == "default":
        return None
    return f"#{name}" if len(name) == 6 and all(c in "0123456789abcdef" for c in name) else name.replace("brown", "yellow")


def record(screen: pyte.Screen, rows: int) -> Text:
    text = Text(no_wrap=True)
    for row in range(rows):
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            style = [word for word, on in (("bold", cell.bold), ("reverse", cell.reverse), ("underline", cell.underscore)) if on]
            style += [found for found in [colour(cell.fg)] if found]
            style += [f"on {found}" for found in [colour(cell.bg)] if found]
            text.append(cell.data or " ", " ".join(style))
        text.append("\n")
    return text


def run(lan: Lan, command: list[str], seconds: float, lines: int = LINES) -> pyte.Screen:
    """Runs a command of host 0 on a terminal until it ends, or for a time."""
    screen = pyte.Screen(COLUMNS, lines)
    stream = pyte.ByteStream(screen)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, COLUMNS, 0, 0))
    whole = [*lan.hosts[0].prefix, "env", "TERM=xterm-256color", "XDG_CONFIG_HOME=/nonexistent", str(CASTER), *command]
    process = subprocess.Popen(whole, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        if select.select([master], [], [], left)[0]:
            try:
                stream.feed(os.read(master, 65536))
            except OSError:  # The command has ended.
                break
    process.kill()
    process.wait()
    os.close(master)
    return screen


def save(name: str, screen: pyte.Screen, title: str) -> None:
    used = max(row for row in range(screen.lines) if screen.display[row].strip()) + 1
    with open(os.devnull, "w") as nowhere:
        console = Console(width=COLUMNS, record=True, file=nowhere, force_terminal=True)
        console.print(record(screen, used), end="")
        console.save_svg(str(PICTURES / name), title=title, code_format=FORMAT, unique_id=name.partition(".")[0])


def nodes(lan: Lan) -> None:
    for host, name, kind, port in [
        (1, "web-1", "http", 8080),
        (2, "web-2", "http", 8080),
        (2, "cache", "redis", 6379),
        (3, "db", "db", 5432),
        (3, "camera-7", "rtsp", 554),
        (4, "camera-9", "rtsp", 554),
    ]:
        lan.start(host, "up", "--id", name, "--meta", f"type={kind}", "--meta", f"port={port}")


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with Lan(5) as lan:
        nodes(lan)
        dying = lan.start(4, "up", "--id", "display", "--meta", "type=kiosk")
        time.sleep(4)
        web = lan.start(0, "web", "--port", "9464")
        assert web.stderr is not None and web.stderr.readline() == "http://127.0.0.1:9464/\n"
        time.sleep(1)
        dying.terminate()
        save("watch.svg", run(lan, ["watch"], 6), "caster watch")
        chromium = shutil.which("chromium")
        assert chromium, "it needs chromium"
        lan.run(
            0, "node", str(HERE / "browser/page.mjs"), str(PLAYWRIGHT), chromium, "picture",
            "http://127.0.0.1:9464/", str(PICTURES / "web.png"),
        )
    with Lan(3) as lan:
        lan.start(1, "up", "--id", "web-1", "--meta", "type=http")
        lan.start(2, "up", "--id", "db", "--meta", "type=db", "-o", "heartbeat=3000")
        lan.netfilter(2, "drop", "eth0")
        time.sleep(2)
        save("doctor.svg", run(lan, ["doctor", "--time", "5s"], 40, 40), "caster doctor")


main()
