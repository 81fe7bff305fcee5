"""The asyncio style, on every kind of loop there is."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import weakref
from typing import Any, Callable, Coroutine, Iterator

import pytest
from conftest import PATIENCE, Network, descriptors, eventually, next_of

import caster
from caster.testing import Network as VirtualNetwork

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class WithoutReaders(asyncio.SelectorEventLoop):
    """A loop like that of Windows, which cannot watch descriptors."""

    ready = False  # It needs a reader for itself.

    def __init__(self) -> None:
        super().__init__()
        self.ready = True

    def add_reader(self, *arguments: Any) -> None:
        if self.ready:
            raise NotImplementedError
        super().add_reader(*arguments)


def new_uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


@pytest.fixture(params=["selector", "uvloop", "without readers"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on a new loop of each kind, which has to be clean afterwards."""
    kinds: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "selector": asyncio.SelectorEventLoop,
        "uvloop": new_uvloop,
        "without readers": WithoutReaders,
    }
    loop = kinds[request.param]()
    loop.set_debug(True)
    complaints: list[Any] = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return loop.run_until_complete(asyncio.wait_for(coroutine, PATIENCE * 2))

    yield run
    pending = asyncio.all_tasks(loop)
    loop.run_until_complete(asyncio.sleep(0))
    if request.param == "selector":
        # Only the loop's own pipe to itself.
        assert len(loop._selector.get_map()) == 1  # type: ignore[attr-defined]
    loop.close()
    assert complaints == [] and not pending


def test_discovery_messages_and_a_clean_end(network: Network, run: Run) -> None:
    async def main() -> None:
        async with network.node(id="a", meta={"type": "db"}) as a, network.node(id="b") as b:
            assert isinstance(a, caster.AsyncNode) and a.is_up and repr(a) == "<caster.AsyncNode a>"
            found = await b.wait_for(lambda n: n.meta["type"] == "db", timeout=PATIENCE)
            assert [peer.id for peer in await b.wait_for(count=1)] == [found.id]
            assert (found.id, found.meta) == ("a", {"type": "db"})
            assert b.nodes["a"] == b.find(type="db")[0]
            a.send({"n": 1})
            kinds = []
            async for event in b.events(timeout=PATIENCE):
                kinds.append(event.name)
                if isinstance(event, caster.Message):
                    assert event.message == {"n": 1}
                    break
            assert kinds in (["up", "message"], ["up", "settled", "message"]), "nothing is taken away"
            await a.down()
            async for event in b.events(timeout=PATIENCE):
                if not isinstance(event, caster.Settled):
                    break
            assert isinstance(event, caster.Down) and event.reason == "goodbye"
        assert not b.is_up
        assert isinstance(b.events(), caster.AsyncEvents)
        assert [event async for event in b.events()] == [], "it is down"

    run(main())


def test_a_plain_node_can_be_iterated_too(network: Network, run: Run) -> None:
    async def main() -> None:
        node = network.node()
        node.up()
        with network.node(id="other"):
            async for event in node.events(timeout=PATIENCE):
                assert isinstance(event, caster.Up)
                break
        node.down()

    run(main())


def test_no_thread_is_used(network: Network) -> None:
    async def main() -> None:
        before = set(threading.enumerate())
        async with network.node() as node, network.node(id="other"):
            await node.wait_for(timeout=PATIENCE)
            node.on("message", print)
            assert await other_event() is None
            assert set(threading.enumerate()) <= before

    async def other_event() -> None:
        await asyncio.sleep(0.05)

    asyncio.run(main())


def test_timeouts(network: Network, run: Run) -> None:
    async def main() -> None:
        async with network.node(heartbeat=60_000) as node:
            assert await node.next_event(timeout=PATIENCE) == caster.Settled()
            assert await node.next_event(timeout=0) is None
            assert await node.next_event(timeout=-1) is None
            assert await node.next_event(timeout=0.05) is None
            assert [event async for event in node.events(timeout=0.05)] == []
            with pytest.raises(caster.TimeoutError, match="0.05 seconds"):
                await node.wait_for(timeout=0.05)
            with pytest.raises(caster.ArgumentError, match="NaN"):
                await node.next_event(timeout=float("nan"))
            async with network.node(id="other") as other:
                await node.wait_for(timeout=PATIENCE)
                for number in range(3):
                    other.send(number)
                await asyncio.sleep(0.2)
                # Events queued when the time is over still come.
                names = [event.name async for event in node.events(timeout=0)]
                assert names == ["up", "message", "message", "message"]

    run(main())


def test_a_cancelled_wait_leaves_nothing_behind(network: Network, run: Run) -> None:
    async def main() -> None:
        async with network.node(heartbeat=60_000) as node:
            assert await node.next_event(timeout=PATIENCE) == caster.Settled()
            loop = asyncio.get_running_loop()
            attachment = node._endpoint.attachment
            assert attachment is not None
            for wait in (node.next_event, node.wait_for):
                task = loop.create_task(wait())
                await asyncio.sleep(0.01)
                assert attachment._reading
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert not attachment._waiters and node._endpoint.watchers == ()
            if attachment._thread is not None:
                thread = attachment._thread
                while thread.is_alive():
                    await asyncio.sleep(0.01)
            assert not attachment._reading
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(node.next_event(), 0.02)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(node.events().__anext__(), 0.02)
            # No event was lost on the way.
            async with network.node(id="other"):
                event = await node.next_event(timeout=PATIENCE)
                assert isinstance(event, caster.Up)

    run(main())


def test_many_events_cost_one_wake(network: Network) -> None:
    async def main() -> None:
        async with network.node() as node, network.node(id="other") as other:
            await node.wait_for(timeout=PATIENCE)
            attachment = node._endpoint.attachment
            assert attachment is not None
            wakes = 0
            readable = attachment._readable

            def counting() -> None:
                nonlocal wakes
                wakes += 1
                readable()

            attachment._readable = counting  # type: ignore[method-assign]
            attachment._stop()
            for number in range(2000):
                other.send(number)
            while node._endpoint.handle.waiting < 2000:
                await asyncio.sleep(0.01)
            numbers = []
            async for event in node.events(timeout=PATIENCE):
                if isinstance(event, caster.Message):
                    numbers.append(event.message)
                    if len(numbers) == 2000:
                        break
            assert numbers == list(range(2000))
            assert wakes < 20

    asyncio.run(main())


def test_a_flood_does_not_starve_other_tasks(network: Network) -> None:
    async def main() -> None:
        turns = 0

        async def other_task() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with network.node() as node, network.node(id="other") as other:
            await node.wait_for(timeout=PATIENCE)
            for number in range(3000):
                other.send(number)
            task = asyncio.create_task(other_task())
            count = 0
            async for event in node.events(timeout=PATIENCE):
                count += isinstance(event, caster.Message)
                if count == 3000:
                    break
            task.cancel()
            assert turns >= 5

    asyncio.run(main())


def test_two_waiters_get_each_event_once(network: Network, run: Run) -> None:
    async def main() -> None:
        async with network.node() as node, network.node(id="other") as other:
            await node.wait_for(timeout=PATIENCE)
            heard: list[Any] = []

            async def listen() -> None:
                async for event in node.events():
                    if isinstance(event, caster.Message):
                        heard.append(event.message)

            tasks = [asyncio.ensure_future(listen()) for _ in range(2)]
            for number in range(100):
                other.send(number)
                await asyncio.sleep(0)
            while len(heard) < 100:
                await asyncio.sleep(0.01)
            assert sorted(heard) == list(range(100))
            await node.down()
            await asyncio.gather(*tasks)

    run(main())


def test_callbacks_run_on_the_loop(
    network: Network, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        plain = network.node(id="b")
        where: list[threading.Thread] = []
        heard: list[Any] = []
        release = asyncio.Event()

        @plain.on("up")
        def up(event: caster.Up) -> None:
            where.append(threading.current_thread())

        @plain.on("message")
        async def message(event: caster.Message) -> None:
            heard.append(event.message)
            if event.message == "fail":
                raise LookupError("this failed")
            if event.message == "long":
                await release.wait()

        async with plain as b, network.node(id="a") as a:
            assert await b.wait_for(timeout=PATIENCE)
            with pytest.raises(caster.StateError, match="callbacks"):
                b.events()
            for word in ("one", "fail", "long"):
                a.send(word)
            while len(heard) < 3:
                await asyncio.sleep(0.01)
        assert where == [threading.current_thread()]
        assert heard == ["one", "fail", "long"]

    with caplog.at_level(logging.ERROR, "caster"):
        run(main())
    assert "this failed" in caplog.text


def test_a_coroutine_function_needs_a_loop(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    async def up(event: caster.Up) -> None: ...

    with caplog.at_level(logging.ERROR, "caster"):
        node = network.node()
        node.on("up", up)
        with node, network.node():
            eventually(lambda: "use `async with`" in caplog.text)


def test_middleware_in_python_runs_on_the_loop(network: Network, run: Run) -> None:
    class Reverse:
        name = "reverse"

        def tx(self, message: bytes) -> bytes:
            return message[::-1]

        def rx(self, message: bytes, remote: caster.Remote) -> bytes:
            return message[::-1]

    async def main() -> None:
        a, b = network.node(id="a"), network.node(id="b")
        a.use(Reverse())
        b.use(Reverse())
        async with a, b as node:
            # Heartbeats pass the middleware although events are not taken.
            while not (a.nodes and b.nodes):
                await asyncio.sleep(0.01)
            a.send("é")
            async for event in node.events(timeout=PATIENCE):
                if isinstance(event, caster.Message):
                    assert event.message == "é"
                    break
            await asyncio.sleep(0.5)
            assert a.nodes, "its heartbeats go on"

    run(main())


def test_casters(network: Network, run: Run) -> None:
    async def main() -> None:
        async with caster.Caster(network.options) as a, caster.AsyncCaster(network.options) as b:
            assert isinstance(a, caster.AsyncCaster) and a.is_bound
            a.send(b"bytes")
            event = await b.next_event(timeout=PATIENCE)
            assert isinstance(event, caster.Datagram) and event.message == b"bytes"
            async for event in a.events(timeout=PATIENCE):
                assert isinstance(event, caster.Datagram)
                break
        assert not b.is_bound
        with pytest.raises(caster.StateError, match="not bound"):
            await b.close()

    run(main())


def test_down_ends_waits(network: Network, run: Run) -> None:
    async def main() -> None:
        async with network.node() as node:
            waits = [
                asyncio.ensure_future(node.next_event()),
                asyncio.ensure_future(node.wait_for(lambda n: False)),
            ]
            await asyncio.sleep(0.01)
            await node.down()
            event, error = await asyncio.gather(*waits, return_exceptions=True)
            assert event is None and isinstance(error, caster.StateError)
            with pytest.raises(caster.StateError, match="not up"):
                await node.down()
            with pytest.raises(caster.StateError, match="not up"):
                await node.wait_for()
            await node.up()
            with pytest.raises(caster.StateError, match="already up"):
                await node.up()

    run(main())


def test_another_loop_may_take_over_when_one_has_ended(network: Network) -> None:
    node = network.node()
    node.up()

    async def wait() -> None:
        assert [event async for event in node.events(timeout=0.02)] == []

    asyncio.run(wait())
    asyncio.run(wait())

    async def both() -> None:
        await wait()
        errors: list[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(wait())
            except caster.StateError as error:
                errors.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.sleep(0.1)
        thread.join(PATIENCE)
        assert "another event loop" in str(errors[0])

    asyncio.run(both())


def test_up_and_down_leave_no_descriptor(network: Network, run: Run) -> None:
    nodes = network.node(), network.node(id="b")

    async def cycle() -> None:
        async with nodes[0] as a, nodes[1]:
            await a.wait_for(timeout=PATIENCE)

    for node in nodes:
        node._endpoint.handle.fileno()  # It is made once, when it is needed.
    run(cycle())
    before = descriptors()
    for _ in range(5):
        run(cycle())
    eventually(lambda: descriptors() <= before)


def test_the_log_comes_through_the_loop(
    network: Network, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with network.node(id="a"), network.node(hash_secret="another"):
            while "cannot be understood" not in caplog.text:
                await asyncio.sleep(0.01)

    with caplog.at_level(logging.INFO, "caster"):
        run(main())
        eventually(lambda: "a: closed" in caplog.text)


def test_virtual_time_passes_while_tasks_wait() -> None:
    network = VirtualNetwork(seed=3)
    heard: list[Any] = []

    async def main() -> None:
        a, b = network.node(id="a"), network.node(id="b", meta={"type": "db"})

        @b.on("message")
        async def note(event: caster.Message) -> None:
            heard.append(event.message)

        async with a as node, b:
            assert (await node.wait_for(lambda n: n.meta["type"] == "db", timeout=5)).id == "b"
            node.send(1)
            with pytest.raises(TimeoutError):
                await node.wait_for(lambda n: n.id == "c", timeout=60)
            assert network.now >= 60 and heard == [1]
            network.unplug(b)
            events = [event.name async for event in node.events(timeout=30)]
            assert events == ["up", "settled", "down"]

    asyncio.run(main())

def test_with_without_async_says_so(network: Network, run: Run) -> None:
    async def main() -> None:
        with pytest.raises(caster.StateError):
            await caster.AsyncNode(address="127.0.0.1").next_event()
        async with network.node() as node:
            with pytest.raises(TypeError, match="a caster.AsyncNode needs `async with`, not `with`"):
                with node:
                    pass

    run(main())


if sys.version_info >= (3, 11):

    def test_asyncio_timeout(network: Network, run: Run) -> None:
        async def main() -> None:
            async with network.node() as node:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        async for _ in node.events():
                            pass

        run(main())


@pytest.mark.parametrize("end", ["cancelled", "timed out", "found"])
def test_a_wait_keeps_no_descriptors(network: Network, end: str) -> None:
    """Not even until the garbage collector runs."""

    async def once() -> None:
        async with caster.Node(network.node_options) as node:
            if end == "found":
                await node.wait_for(timeout=PATIENCE)
            elif end == "timed out":
                with pytest.raises(caster.TimeoutError):
                    await node.wait_for(lambda n: False, timeout=0.05)
            else:
                task = asyncio.ensure_future(node.wait_for(lambda n: False))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    async def main() -> None:
        await once()
        # The thread of the core closes its sockets just after the node is down: those of the first
        # one may still be counted here.
        before = descriptors()
        for _ in range(5):
            await once()
        eventually(lambda: descriptors() <= before)

    gc.collect()
    gc.disable()
    try:
        with network.node(id="other"):
            asyncio.run(main())
    finally:
        gc.enable()


def test_a_dropped_node_with_a_callback_is_collected(network: Network) -> None:
    async def main() -> None:
        node = caster.AsyncNode(network.node_options, id="dropped")
        node.on("up", lambda event: node.send("hello"))
        await node.up()
        await asyncio.sleep(0.2)
        reference = weakref.ref(node)
        del node
        gc.collect()
        assert reference() is None
        await asyncio.sleep(0.1)

    before = descriptors()
    with network.node(id="watcher") as watcher:
        asyncio.run(main())
        assert next_of(watcher, caster.Down).reason == "goodbye"
    eventually(lambda: descriptors() <= before)
