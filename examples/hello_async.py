"""Finds other nodes with asyncio and prints their events. Argument: options as a JSON object."""

import asyncio
import json
import signal
import sys

import caster

options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}


async def greet(node):
    while True:
        node.send("hello from asyncio")
        await asyncio.sleep(1)


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    async with caster.Node({"meta": {"lang": "python"}, **options}) as node:
        greeting = asyncio.ensure_future(greet(node))
        try:
            async for event in node.events():
                if isinstance(event, (caster.Up, caster.Update)):
                    print(event.name, event.node.id, json.dumps(event.node.meta), flush=True)
                elif isinstance(event, caster.Down):
                    print("down", event.node.id, event.reason, flush=True)
                elif isinstance(event, caster.Message):
                    print("message", event.node.id, json.dumps(event.message), flush=True)
        finally:
            greeting.cancel()


try:
    asyncio.run(main())
except (KeyboardInterrupt, asyncio.CancelledError):
    pass  # the node has left the group
