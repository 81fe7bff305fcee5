"""The interpreter ends with open nodes, in every style: they leave, and it neither hangs nor aborts.

CASTER_EXITS says how often, 40 times each if it is not set; with a hundred nodes it is a fifth of that.
"""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List

import pytest
from conftest import PATIENCE, Network, finish

import caster

EXITS = int(os.environ.get("CASTER_EXITS", "40"))
AT_ONCE = 8

STYLES: Dict[str, str] = {
    # Two threads wait for events when the main one ends; messages flow.
    "sync": """
import threading
node = caster.Node(options, id=name, self=True)
node.up()
for _ in range(2):
    threading.Thread(target=lambda: [e for e in node.events()], daemon=True).start()
for n in range(100):
    node.send(n)
""",
    # Callbacks are running, and more wait.
    "callbacks": """
nodes = [caster.Node(options, id=f"{name}{-n or ''}", self=True) for n in range(2)]
for node in nodes:
    node.on("message", lambda event: time.sleep(0.01))
    node.up()
for n in range(100):
    nodes[0].send(n)
time.sleep(0.02)
""",
    # Every other one of a hundred nodes has a callback, and a thread sends.
    "many": """
import threading
options.update(heartbeat=1000, timeout=10_000)
nodes = [caster.Node(options, id=f"{name}{-n or ''}", self=True) for n in range(100)]
for node in nodes[1::2]:
    node.on("message", lambda event: None)
for node in nodes:
    node.up()
def send():
    while True:
        try:
            nodes[0].send(1)
        except caster.StateError:
            break  # It is down.
        time.sleep(0.001)
threading.Thread(target=send, daemon=True).start()
time.sleep(int(name.split("-")[1]) % 7 / 1000)
""",
    # The loop has ended with open nodes, and a task is unfinished.
    "asyncio": """
import asyncio
async def main():
    node = caster.AsyncNode(options, id=name, self=True)
    await node.up()
    other = caster.AsyncNode(options, self=True)
    other.on("message", lambda event: None)
    await other.up()
    for n in range(100):
        node.send(n)
    asyncio.ensure_future(node.wait_for(lambda n: False))
    async for event in node.events():
        if isinstance(event, caster.Message):
            return node, other
kept = asyncio.run(main(), debug=False)  # Else it complains of slow machines.
""",
}


@pytest.mark.parametrize("style", STYLES)
def test_exits_with_live_nodes(network: Network, style: str) -> None:
    exits, at_once, nodes = (EXITS // 5, 2, 100) if style == "many" else (EXITS, AT_ONCE, 1)
    ends: Dict[str, List[str]] = {}
    with network.node(id="watcher", max_events=1_000_000) as watcher:
        for start in range(0, exits, at_once):
            programs = [f"{style}-{number}" for number in range(start, min(start + at_once, exits))]
            processes = [network.script(f"name = {name!r}{STYLES[style]}") for name in programs]
            for process in processes:
                assert finish(process) == ""
            waiting = {f"{name}{-node or ''}" for name in programs for node in range(nodes)}
            for event in watcher.events(timeout=PATIENCE):
                if isinstance(event, caster.Down):
                    ends.setdefault(event.node.id, []).append(event.reason)
                    waiting.discard(event.node.id)
                    if not waiting:
                        break
            assert not waiting
    assert {name: reasons for name, reasons in ends.items() if reasons != ["goodbye"]} == {}


def test_ctrl_c_and_sigterm_in_asyncio(network: Network) -> None:
    import signal

    code = """
import asyncio
async def main():
    async with caster.Node(options, id="interrupted") as node:
        print("ready", flush=True)
        async for event in node.events():
            pass
try:
    asyncio.run(main(), debug=False)
except KeyboardInterrupt:
    print("interrupted")
"""
    with network.node(id="watcher") as watcher:
        process = network.script(code)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert finish(process) == "interrupted\n"
        reasons: Any = [e.reason for e in watcher.events(timeout=1) if isinstance(e, caster.Down)]
        assert reasons == ["goodbye"]


def test_ctrl_c_ends_the_wait_for_a_node(network: Network) -> None:
    import signal

    for callback in ("", 'node.on("message", print)\n    '):
        process = network.script(
            f"""
with caster.Node(options) as node:
    {callback}try:
        print("ready", flush=True)
        node.wait_for(lambda n: False, timeout=60)
    except KeyboardInterrupt:
        print("interrupted", node.is_up)
"""
        )
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(0.2)  # Any moment is right; most should be inside the wait.
        process.send_signal(signal.SIGINT)
        assert finish(process) == "interrupted True\n"
