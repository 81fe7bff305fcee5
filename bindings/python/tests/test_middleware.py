"""Casters and middleware, the built-in ones and those written in Python."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest
from conftest import PATIENCE, Network, eventually, next_of

import caster
from caster import middleware


class Reverse:
    """Works on bytes."""

    def __init__(self, name: str = "reverse") -> None:
        self.name = name
        self.remotes: list[caster.Remote] = []
        self.threads: set[str] = set()

    def tx(self, message: bytes) -> bytes:
        self.threads.add(threading.current_thread().name)
        return message[::-1]

    def rx(self, message: bytes, remote: caster.Remote) -> bytes:
        self.remotes.append(remote)
        return message[::-1]


class Wrap:
    """Works on JSON values."""

    name = "wrap"

    def tx(self, message: Any) -> Any:
        return {"wrapped": message}

    def rx(self, message: Any, remote: caster.Remote) -> Any:
        return message["wrapped"]


class Stamp:
    """Has only one of the two."""

    name = "stamp"

    def tx(self, message: bytes) -> bytearray:
        return bytearray(b"stamp:" + message)


class Broken:
    name = "broken"

    def __init__(self) -> None:
        self.works = False

    def tx(self, message: bytes) -> bytes:
        if not self.works:
            raise LookupError("no key")
        return message

    def rx(self, message: bytes, remote: caster.Remote) -> bytes:
        return message


def test_a_caster_sends_bytes_and_tells_where_they_came_from(network: Network) -> None:
    a, b = network.caster(), network.caster()
    assert a.is_bound and a.middleware == ()
    payloads = [b"\x00\xff raw", bytes(60_000), b""]
    assert [a.send(payload) for payload in payloads] == [6, 60_000, 0]
    for payload in payloads:
        event = next_of(b, caster.Datagram)
        assert event.message == payload
        assert (event.remote.address, event.remote.family) == ("127.0.0.1", "IPv4")
        assert (event.remote.size, event.remote.port) == (len(payload), network.port)
    for bytes_like in (bytearray(b"abc"), memoryview(b"abc")):
        a.send(bytes_like)
        assert next_of(b, caster.Datagram).message == b"abc"
    a.send("é")
    assert next_of(b, caster.Datagram).message == "é".encode()
    with pytest.raises(caster.MiddlewareError, match="json"):
        a.send({"needs": "json"})
    a.close()
    with pytest.raises(caster.StateError, match="not bound"):
        a.send(b"")
    with pytest.raises(caster.StateError, match="not bound"):
        a.close()
    a.bind()
    with pytest.raises(caster.StateError, match="already bound"):
        a.bind()
    assert repr(a) == f"<caster.Caster on {network.multicast} port {network.port}>"


@pytest.mark.parametrize(
    "pipeline",
    [
        lambda: [middleware.json()],
        lambda: [middleware.json(), middleware.hash()],
        lambda: [middleware.json(), middleware.hash(secret="sécret €", algorithm="SHA256")],
        lambda: [middleware.json(), middleware.hash(secret=b"\xff\x00", era="binary")],
        lambda: [middleware.json(), middleware.crypto()],
        lambda: [middleware.json(), middleware.hash(), middleware.crypto(key="k", algorithm="aes-128-ctr")],
        lambda: [Wrap(), middleware.json(), Reverse(), middleware.hash(), Reverse("again")],
    ],
)
def test_values_go_through_the_pipeline_and_back(network: Network, pipeline: Any) -> None:
    a, b = network.caster(*pipeline()), network.caster(*pipeline())
    assert a.middleware == b.middleware
    for value in ({"é": ["€", "😀", 1.5, None]}, "text", 0, None):
        a.send(value)
        assert next_of(b, caster.Datagram).message == value
    other = network.caster(middleware.hash(secret="another"))
    other.send(b"x" * 64)
    a.send("the end")
    heard = next_of(b, caster.Datagram).message
    if len(pipeline()) > 1:
        assert heard == "the end"
        assert b.stats()["dropped"] != a.stats()["dropped"] or sum(b.stats()["dropped"].values())


def test_nodes_with_different_secrets_do_not_meet(network: Network) -> None:
    text, raw = network.node(hash_secret="ÿ\x01"), network.node(hash_secret=b"\xff\x01")
    other = network.node(hash_secret="other", id="other")
    with text, raw, other:
        next_of(text, caster.Up, raw.id)
        next_of(raw, caster.Up, text.id)
        eventually(lambda: other.stats()["dropped"]["hash"] > 1)
        assert not other.nodes and "other" not in text.nodes


def test_unknown_algorithms_are_refused() -> None:
    with pytest.raises(caster.OptionError, match="sha1, md5"):
        middleware.hash(algorithm="nope")
    with pytest.raises(caster.OptionError, match="aes-128-cbc"):
        middleware.crypto(algorithm="nope")
    with pytest.raises(caster.OptionError, match="auto, binary or utf8"):
        middleware.hash(era="nope")
    with pytest.raises(TypeError, match="str or bytes"):
        middleware.hash(secret=5)  # type: ignore[arg-type]
    assert repr(middleware.json()) == "<caster.middleware.json>"


def test_bad_middleware_is_refused(network: Network) -> None:
    node = network.node()
    with pytest.raises(caster.MiddlewareError, match="as in json"):
        node.use(object())
    with pytest.raises(caster.MiddlewareError, match="already in use"):
        node.use(Reverse(), Reverse())
    with pytest.raises(caster.MiddlewareError, match="no functionality"):
        node.use(type("Nothing", (), {"name": "nothing"})())
    with pytest.raises(caster.MiddlewareError, match="not 5"):
        node.use(type("Nothing", (), {"name": 5})())
    assert node.middleware == ("json", "hash", "reverse")


def test_nodes_with_middleware_of_their_own(network: Network) -> None:
    a, b = network.node(id="a", meta={"x": 1}), network.node(id="b")
    stranger = network.node(id="stranger")
    mine = Reverse()
    a.use(mine)
    b.use(Reverse())
    with stranger, b:
        with a:
            event = next_of(b, caster.Up)
            assert (event.node.id, event.node.meta) == ("a", {"x": 1})
            a.send("é😀")
            assert next_of(b, caster.Message).message == "é😀"
            a.set_meta(2)
            assert next_of(b, caster.Update).node.meta == 2
            assert threading.current_thread().name in mine.threads, "send runs tx itself"
            eventually(lambda: mine.remotes)
            assert mine.remotes[0].address == "127.0.0.1"
        assert next_of(b, caster.Down).reason == "goodbye"
        assert not stranger.nodes and "stranger" not in b.nodes
        assert stranger.stats()["dropped"]["hash"] > 0


def threads_of_middleware() -> int:
    return [thread.name for thread in threading.enumerate()].count("caster-middleware")


def test_middleware_runs_even_if_nobody_takes_events(network: Network) -> None:
    quiet, watcher = network.node(id="quiet"), network.node(id="watcher")
    quiet.use(Reverse())
    watcher.use(Reverse())
    with quiet, watcher:
        eventually(lambda: "watcher" in quiet.nodes and "quiet" in watcher.nodes)
        watcher.send(1)
        # More than a timeout later it still sends heartbeats.
        eventually(lambda: quiet.stats()["sent"] > 10)
        assert "quiet" in watcher.nodes
        assert threads_of_middleware() == 2
        # A late taker gets all events.
        assert next_of(quiet, caster.Up).node.id == "watcher"
        assert next_of(quiet, caster.Message).message == 1
    eventually(lambda: threads_of_middleware() == 0)


def test_events_that_are_not_taken_are_bounded_by_the_options(network: Network) -> None:
    """With middleware, callbacks removed again and `wait_for`, which all look at events."""
    sender = network.node(id="sender")
    slow = network.node(id="slow", max_events=300)
    for node in (sender, slow):
        node.use(Reverse())
    slow.off("message", slow.on("message", lambda event: None))
    with sender, slow:
        slow.wait_for(lambda n: n.id == "sender", timeout=PATIENCE)
        for first in range(0, 2000, 100):  # Suspended messages have the same bounds.
            sender.send_batch(range(first, first + 100))
            eventually(lambda: slow.stats()["accepted"] >= first + 100)
        time.sleep(0.3)  # The last is counted before it is lost.
        with pytest.raises(caster.TimeoutError):
            slow.wait_for(lambda n: n.id == "late", timeout=0.3)
        assert slow.stats()["eventsLost"] >= 2000 - 300 - 256
        with network.node(id="other") as other:
            other.use(Reverse())
            assert slow.wait_for(lambda n: n.id == "other", timeout=PATIENCE).id == "other"
        events = list(slow.events(timeout=0.5))
        numbers = [event.message for event in events if isinstance(event, caster.Message)]
        assert numbers == list(range(len(numbers))), "the newest are dropped"
        lagged = [event for event in events if isinstance(event, caster.ErrorEvent)]
        assert [event.error.code for event in lagged if isinstance(event.error, caster.Error)] == ["LAGGED"]


def test_middleware_with_callbacks(network: Network) -> None:
    a, b = network.caster(middleware.json(), Reverse()), network.caster(middleware.json())
    b.use(Reverse())
    heard: list[Any] = []

    @b.on("message")
    def note(event: caster.Datagram) -> None:
        heard.append((event.message, event.remote.address))

    a.send({"n": 1})
    a.send("two")
    eventually(lambda: len(heard) == 2)
    assert heard == [({"n": 1}, "127.0.0.1"), ("two", "127.0.0.1")]


def test_two_functions_are_a_middleware(network: Network) -> None:
    reverse = middleware.functions("reverse", lambda m: m[::-1], lambda m, remote: m[::-1])
    shout = middleware.functions("shout", tx=bytes.upper)
    assert isinstance(shout, middleware.Functions)
    a, b = network.caster(reverse, shout), network.caster(reverse)
    assert a.middleware == ("reverse", "shout") and "shout" in repr(shout)
    a.send(b"abc")
    assert next_of(b, caster.Datagram).message == b"ABC"
    with pytest.raises(caster.MiddlewareError, match="no functionality"):
        a.use(middleware.functions("nothing"))


def test_one_direction_is_enough(network: Network) -> None:
    a, b = network.caster(Stamp()), network.caster()
    a.send(b"letter")
    assert next_of(b, caster.Datagram).message == b"stamp:letter"


def test_an_exception_drops_the_message(network: Network) -> None:
    class Picky:
        name = "picky"

        def rx(self, message: bytes, remote: caster.Remote) -> Any:
            if message == b"none":
                return None
            if message == b"set":
                return {1, 2}
            if message != b"good":
                raise ValueError("not good")
            return message

    a, b = network.caster(), network.caster(Picky())
    for message in (b"bad", b"none", b"set", b"good"):
        a.send(message)
    assert next_of(b, caster.Datagram).message == b"good"
    stats = b.stats()
    assert stats["dropped"]["middleware"] == 3
    assert (stats["received"], stats["accepted"]) == (4, 1)


def test_a_failing_tx_raises_in_send_and_is_reported_once_for_heartbeats(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken()
    node = network.node(id="a")
    node.use(broken)
    with network.node(id="b") as other:
        with caplog.at_level(logging.WARNING, "caster"):
            node.up()
            with pytest.raises(caster.MiddlewareError, match="middleware broken: no key") as caught:
                node.send(1)
            assert isinstance(caught.value.__cause__, LookupError)
            event = next_of(node, caster.ErrorEvent)
            assert isinstance(event.error, caster.MiddlewareError)
            assert [e for e in node.events(timeout=0.5) if isinstance(e, caster.ErrorEvent)] == []
            broken.works = True
            end = time.monotonic() + PATIENCE
            while "a" not in other.nodes:
                assert time.monotonic() < end
                node.next_event(timeout=0.05)
            broken.works = False
            with pytest.raises(caster.MiddlewareError, match="no key"):
                node.down()
            assert not node.is_up, "it is down all the same"
    # A hint that no peer is heard may come beside it.
    told = [record.getMessage() for record in caplog.records]
    logged = [text for text in told if "no peer was heard" not in text]
    assert logged == ["middleware broken: no key"], "once until it works again"


def test_errors_that_nobody_listens_to_are_logged(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    node = network.node()
    node.use(Broken())
    node.on("up", lambda event: None)
    with caplog.at_level(logging.WARNING, "caster"):
        node.up()
        eventually(lambda: "middleware broken: no key" in caplog.text)
        with pytest.raises(caster.MiddlewareError):
            node.down()


def test_middleware_can_be_added_while_it_runs(network: Network) -> None:
    a, b = network.caster(), network.caster()
    a.use(Reverse())
    b.use(Reverse())
    a.send(b"abc")
    assert next_of(b, caster.Datagram).message == b"abc"


@pytest.mark.parametrize("style", ["with", "async with"])
def test_a_failure_while_leaving_does_not_replace_the_exception_of_the_program(
    network: Network, style: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        name = "broken"
        fails = False

        def tx(self, message: bytes) -> bytes:
            if self.fails:
                raise ValueError("of the middleware")
            return message

    broken = Broken()

    def blocking() -> None:
        with node:
            broken.fails = True
            raise LookupError("of the program")

    async def with_asyncio() -> None:
        async with node:
            broken.fails = True
            raise LookupError("of the program")

    node = network.node()
    node.use(broken)
    with pytest.raises(LookupError, match="of the program"):
        blocking() if style == "with" else asyncio.run(with_asyncio())
    assert not node.is_up
    assert "of the middleware" in caplog.text
