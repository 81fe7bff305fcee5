"""Programs that fork while a node is up, and programs with green threads: their peers notice nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Net
from peers import ROOT, Cast, matches

sys.path.append(str(ROOT / "bindings" / "python" / "tests"))

from green import PATCH  # noqa: E402

OPTIONS = {"heartbeat": 250, "timeout": 20_000}
"""The timeout is longer than the test: a `down` comes from a leave."""

FORK = """
import caster, os, sys
with caster.Node(id="parent", heartbeat=250, timeout=20000) as node:
    child = os.fork()
    if child == 0:
        {child}
    status = os.waitpid(child, 0)[1]
    print("child", os.waitstatus_to_exitcode(status), flush=True)
    sys.stdin.readline()
"""
CHILDREN = {
    "exit": "sys.exit(7)",
    "exception": "raise LookupError('of the child')",
    "code": """
        try:
            node.send("of the child")
        except caster.StateError as error:
            sys.exit(7 if error.code == "FORKED" else 1)""",
}
STATUS = {"exit": 7, "exception": 1, "code": 7}


def compiled(folder: Path) -> str:
    source, program, release = Path(__file__).with_name("fork.c"), folder / "fork", ROOT / "target/release"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}"]
    libraries = [f"-L{release}", "-lcaster", f"-Wl,-rpath,{release}"]
    subprocess.run(
        [os.environ.get("CC", "cc"), *flags, source, "-o", program, *libraries], check=True, timeout=120
    )
    return str(program)


def watched(net: Net, command: list[str], status: int) -> str:
    """Runs a program on a host with a watcher on the other one; returns what it wrote to its error output."""
    with Cast(net.lab) as cast:
        watcher = cast.start("node", net.hosts[0], id="watcher", **OPTIONS)
        watcher.wait_ready()
        process = net.start(net.hosts[1], *command)
        assert process.stdin is not None and process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line == f"child {status}\n", process.communicate("\n", timeout=20)
            watcher.wait_for(lambda event: matches(event, "up", {"id": "parent"}), "the parent")
            # The end of the child was no leave of the parent.
            mark = watcher.mark()
            watcher.send("still there?")
            assert watcher.seen("down") == []
            _, told = process.communicate("\n", timeout=20)
            assert process.returncode == 0, told
            watcher.wait_for(lambda event: matches(event, "down", {"id": "parent"}), "its leave", mark)
            return told
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_of_python_keeps_its_end(net: Net, child: str) -> None:
    told = watched(net, [sys.executable, "-W", "ignore", "-c", FORK.format(child=CHILDREN[child])], STATUS[child])
    assert "FORKED" not in told and ("of the child" in told) == (child == "exception"), told


def test_a_child_of_c_does_not_hang(net: Net, tmp_path: Path) -> None:
    assert watched(net, [compiled(tmp_path)], 7) == ""


GREEN = """
import caster
ticks = []
def tick():
    while True:
        ticks.append(1)
        sleep(0.01)
spawn(tick)
with caster.Node(id="green", heartbeat=250, timeout=20000) as node:
    assert node.wait_for(lambda peer: peer.id == "peer", timeout=20).id == "peer"
    for event in node.events(timeout=20):
        if isinstance(event, caster.Message):
            node.send(event.message)
            break
    before = len(ticks)
    list(node.events(timeout=0.3))
    assert len(ticks) > before, "other greenlets run during a wait"
"""


@pytest.mark.parametrize("kind", ["node", "c"])
@pytest.mark.parametrize("library", PATCH)
def test_a_program_with_green_threads(net: Net, library: str, kind: str) -> None:
    patch = "import warnings; warnings.simplefilter('ignore')\n" + PATCH[library]
    with Cast(net.lab) as cast:
        peer = cast.start(kind, net.hosts[0], id="peer", **OPTIONS)
        peer.wait_ready()
        process = net.start(net.hosts[1], sys.executable, "-c", patch + GREEN)
        try:
            peer.wait_for(lambda event: matches(event, "up", {"id": "green"}), "the green one")
            peer.send("hello")
            echo = {"id": "green", "message": "hello"}
            peer.wait_for(lambda event: matches(event, "message", echo), "its answer")
            peer.wait_for(lambda event: matches(event, "down", {"id": "green"}), "its leave")
            _, told = process.communicate(timeout=20)
            assert process.returncode == 0, told
        finally:
            process.kill()
            process.communicate()
