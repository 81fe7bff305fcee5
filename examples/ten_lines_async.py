"""The same as ten_lines.py with asyncio."""

import asyncio

import caster


async def main():
    async with caster.Node(meta={"type": "greeter"}, address="127.0.0.1") as node:
        peer = await node.wait_for(lambda n: n.meta["type"] == "greeter", timeout=10)
        print("found", peer.id, "at", peer.address)
        node.send("hello")
        async for event in node.events(timeout=3):
            if isinstance(event, caster.Message):
                print(event.node.id, "says", event.message)


asyncio.run(main())
