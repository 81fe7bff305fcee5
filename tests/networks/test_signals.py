"""A program that a signal ends leaves, with the opt-in of its language; also as the first process of a container."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Net
from peers import ROOT, Cast, matches

OPTIONS = {"id": "ends", "heartbeat": 250, "timeout": 20_000}
"""The timeout is longer than the test: a `down` comes from a leave."""

PYTHON = """
import caster, time
caster.leave_on_signals()
node = caster.Node({options})
node.up()
print("ready", flush=True)
{wait}
"""
WAITS = {
    "python": "while True: time.sleep(60)",
    "python-events": "for event in node.events(): pass",
    "python-callbacks": "node.on('up', print)\nwhile True: time.sleep(60)",
}
ASYNCIO = """
import caster, asyncio
caster.leave_on_signals()
async def main():
    async with caster.Node({options}) as node:
        print("ready", flush=True)
        async for event in node.events():
            pass
asyncio.run(main())
"""
NODE = """
const caster = require({package});
caster.leaveOnSignals();
caster.createNode({options}).up(() => console.log('ready'));
"""


def program(kind: str, folder: Path) -> list[str]:
    options = json.dumps({**OPTIONS, "self": False})
    literal = repr({**OPTIONS, "self": False})
    if kind in WAITS:
        return [sys.executable, "-c", PYTHON.format(options=literal, wait=WAITS[kind])]
    if kind == "asyncio":
        return [sys.executable, "-c", ASYNCIO.format(options=literal)]
    if kind == "node":
        node = shutil.which("node")
        assert node is not None
        package = json.dumps(str(ROOT / "bindings/node"))
        return [node, "-e", NODE.format(package=package, options=options)]
    return [str(compiled(folder)), options]


def compiled(folder: Path) -> Path:
    """The recipe for C of docs/signals.md."""
    page = (ROOT / "docs/signals.md").read_text()
    found = re.search(r"<!-- recipe: signals\.c -->\n```c\n(.*?)```", page, re.S)
    assert found is not None
    source, release = folder / "signals.c", ROOT / "target/release"
    source.write_text("#define _POSIX_C_SOURCE 200809L\n" + found[1])
    subprocess.run(
        [
            *(os.environ.get("CC", "cc"), "-std=c99", "-Wall", "-Wextra", "-Werror"),
            *(f"-I{ROOT / 'include'}", str(source), f"-L{release}", "-lcaster"),
            *(f"-Wl,-rpath,{release}", "-o", str(folder / "signals")),
        ],
        check=True,
        timeout=120,
    )
    return folder / "signals"


STATUS = {"node": -1, "c": 0}
"""Exit status: -1 stands for the signal itself, 128 plus its number is the default."""


@pytest.mark.parametrize(
    "kind, number",
    [
        *((kind, signal.SIGTERM) for kind in [*WAITS, "asyncio", "node", "c"]),
        ("node", signal.SIGINT),
        ("c", signal.SIGINT),
    ],
)
def test_a_signal_makes_it_leave(net: Net, tmp_path: Path, kind: str, number: int) -> None:
    with Cast(net.lab) as cast:
        watcher = cast.start("c", net.hosts[0], **{**OPTIONS, "id": "watcher"})
        watcher.wait_ready()
        process = net.start(net.hosts[1], *program(kind, tmp_path))
        try:
            watcher.wait_for(lambda event: matches(event, "up", {"id": "ends"}), "it is up")
            os.kill(process.pid, number)  # nsenter has become the program
            down = watcher.wait_for(lambda event: event["ev"] == "down", "it leaves")
            assert down["reason"] == "goodbye"
            process.wait(20)
            expected = {-1: -number, 0: 0}[STATUS[kind]] if kind in STATUS else 128 + number
            assert process.returncode == expected, process.stderr.read()  # type: ignore[union-attr]
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("kind", ["python", "node"])
def test_the_first_process_of_a_container_leaves(net: Net, tmp_path: Path, kind: str) -> None:
    with Cast(net.lab) as cast:
        watcher = cast.start("c", net.hosts[0], **{**OPTIONS, "id": "watcher"})
        watcher.wait_ready()
        command = ["unshare", "--pid", "--fork", "--kill-child", *program(kind, tmp_path)]
        process = net.start(net.hosts[1], *command)
        try:
            watcher.wait_for(lambda event: matches(event, "up", {"id": "ends"}), "it is up")
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            os.kill(int(children), signal.SIGTERM)
            down = watcher.wait_for(lambda event: event["ev"] == "down", "it leaves")
            assert down["reason"] == "goodbye"
            assert process.wait(20) == 128 + signal.SIGTERM
        finally:
            process.kill()
            process.communicate()
