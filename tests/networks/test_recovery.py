"""Calls of the system that fail for some seconds, and callbacks that raise in an event that a timer tells. Afterwards
everything goes on: the same node, and another one of the same process."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lab
import peers
from conftest import Net
from peers import OURS, Cast, processor_time
from test_sandbox import BUSY, FAST, errors, talk

NO_MEMORY = os.strerror(errno.ENOMEM)
SOURCE = Path(__file__).with_name("failing.c")


def failing(host: lab.Host, folder: Path, waiting: bool) -> tuple[lab.Host, Path]:
    """The host, for programs whose calls fail while the file exists."""
    library, fault = folder / "failing.so", folder / "fault"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", *(["-DWAITING"] if waiting else [])]
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, *flags, SOURCE, "-o", library, "-ldl"], check=True, timeout=60)
    prefix = (*host.prefix, "env", f"LD_PRELOAD={library}", f"FAILING_WHILE={fault}")
    return dataclasses.replace(host, prefix=prefix), fault


@pytest.mark.parametrize("another", [False, True], ids=["the same node", "another node"])
@pytest.mark.parametrize("kind", OURS)
def test_calls_that_fail_for_some_time(net: Net, kind: str, another: bool, tmp_path: Path) -> None:
    # Node.js itself ends when it cannot wait.
    host, fault = failing(net.hosts[0], tmp_path, waiting=kind != "node")
    with Cast(net.lab) as cast:
        a = cast.start(kind, host, id="a", **FAST)
        b = cast.start("c", net.hosts[1], id="b", **FAST)
        talk(a, b)
        fault.touch()
        a.wait_until(lambda: errors(a, NO_MEMORY), "an error")
        before, start, failed = processor_time(a), time.monotonic(), a.stats()
        b.wait_until(lambda: b.seen("down", id="a"), "that a is down")
        # It asks for b by unicast, and sends to the group afterwards.
        a.wait_until(lambda: a.seen("isolated"), "to be isolated")
        time.sleep(4 * FAST["heartbeat"] / 1000)
        stats = a.stats()
        assert stats["sendErrors"] > failed["sendErrors"] and stats["receiveErrors"] > 0, stats
        assert (processor_time(a) - before) / (time.monotonic() - start) < BUSY
        # Errors within a second are one event: of waiting, receiving and sending.
        assert len(errors(a, NO_MEMORY)) <= 3 and len(errors(a, "cannot send")) <= 1, a.story
        marks = a.mark(), b.mark()
        if another:
            a.down()
            a.tell("up")
            a.wait_for(lambda event: event["ev"] == "ready", "to be up again", marks[0])
        fault.unlink()
        # The node was isolated, and has taken no peer for dead.
        a.wait_for(lambda event: event["ev"] == ("up" if another else "rejoined"), "to be back", marks[0])
        b.wait_for(lambda event: event["ev"] == "up", "that a is back", marks[1])
        for peer, other, mark in ((a, b, marks[1]), (b, a, marks[0])):
            peer.send("again")
            other.wait_messages(peer, ["again"], mark)


PYTHON = """
import caster, sys, threading
node = caster.Node(id="a", heartbeat=250, timeout=1000)
@node.on("down")
def down(event):
    print(f"down {event.node.id}", flush=True)
    raise LookupError("of the program")
node.up()
print("ready", flush=True)
sys.stdin.read()
"""

NODE = """
const caster = require(ROOT + '/bindings/node');
process.on('uncaughtException', (error) => { if (error.message !== 'of the program') throw error; });
const node = new caster.Node({ id: 'a', heartbeat: 250, timeout: 1000 });
node.on('down', ({ id }) => { console.log('down ' + id); throw new Error('of the program'); });
node.up().then(() => console.log('ready'));
"""


@pytest.mark.parametrize("kind", ["python", "node"])
def test_a_callback_that_raises_stops_no_timer(net: Net, kind: str) -> None:
    """A peer falls silent, and a timer tells that it is down: three times in a row."""
    text = PYTHON if kind == "python" else NODE.replace("ROOT", json.dumps(str(peers.ROOT)))
    program = [sys.executable, "-c"] if kind == "python" else [peers.found_program("node"), "-e"]
    process = net.start(net.hosts[0], *program, text)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        with Cast(net.lab) as cast:
            b = cast.start("c", net.hosts[1], id="b", **FAST)
            b.wait_until(lambda: b.seen("up", id="a"), "to discover it")
            for number in range(3):
                brief = cast.start("c", net.hosts[1], id=f"brief {number}", **FAST)
                brief.wait_until(lambda: brief.seen("up", id="a"), "to discover it")  # noqa: B023
                brief.crash()
                assert process.stdout.readline() == f"down brief {number}\n"
            time.sleep(2 * FAST["timeout"] / 1000)
            assert not b.seen("down", id="a"), b.story
    finally:
        process.kill()
        process.communicate()
