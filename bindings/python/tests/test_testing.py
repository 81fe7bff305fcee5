"""The network in memory with a clock of its own."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import caster
from caster.testing import Network


def test_hours_pass_in_no_time() -> None:
    start = time.monotonic()
    network = Network(seed=1)
    a, b = network.node(id="a"), network.node(id="b", meta={"type": "db"})
    before = threading.active_count()
    with a, b:
        assert a.wait_for(lambda n: n.meta["type"] == "db", timeout=5).id == "b"
        network.advance(3600)
        assert 3600 <= network.now < 3606 and "3600" in repr(network)
        assert set(a.nodes) == {"b"} and a.stats()["received"] > 3000
        assert threading.active_count() == before
    assert time.monotonic() - start < 20


def test_what_is_unplugged_is_down_and_comes_back() -> None:
    network = Network()
    with network.node(id="a") as a, network.node(id="b") as b:
        a.wait_for(timeout=5)
        network.unplug(b)
        names = [event.name for event in a.events(timeout=10)]
        assert names == ["up", "settled", "down"] and not a.nodes
        network.plug("b")
        assert a.wait_for(timeout=5).id == "b"
        with pytest.raises(caster.ArgumentError, match="nobody"):
            network.plug("nobody")
        with pytest.raises(caster.ArgumentError):
            network.unplug("nobody")


def test_a_wait_takes_virtual_time_only() -> None:
    network = Network()
    with network.node() as node:
        assert node.next_event() == caster.Settled()
        hint = node.next_event()
        assert isinstance(hint, caster.Hint) and "no peer was heard" in hint.text
        start = network.now
        assert node.next_event(timeout=100) is None
        assert network.now == pytest.approx(start + 100)
        with pytest.raises(caster.TimeoutError):
            node.wait_for(timeout=50)
        assert network.now == pytest.approx(start + 150)
        assert list(node.events(timeout=10)) == []
        assert node.next_event() is None, "nothing in a whole day"


def test_callbacks_run_inside_of_advance() -> None:
    network = Network()
    heard: list[tuple[float, Any]] = []
    b = network.node(id="b")

    @b.on("message")
    def note(event: caster.Message) -> None:
        heard.append((network.now, event.message))
        assert threading.current_thread() is threading.main_thread()
        if event.message == 1:
            b.send("answer")

    with network.node(id="a") as a, b:
        network.advance(1)
        a.send(1)
        assert heard == []
        network.advance(1)
        assert [message for _, message in heard] == [1] and 1 < heard[0][0] < 1.02
        messages = [e for e in a.events(timeout=1) if isinstance(e, caster.Message)]
        assert [(e.node.id, e.message) for e in messages] == [("b", "answer")]
        a.send(2)
        a.next_event(timeout=1)
        assert [message for _, message in heard] == [1, 2], "and inside of waits"


def test_middleware_in_python_works() -> None:
    class Reverse:
        name = "reverse"

        def tx(self, message: bytes) -> bytes:
            return message[::-1]

        def rx(self, message: bytes, remote: caster.Remote) -> bytes:
            return message[::-1]

    network = Network()
    a, b = network.node(id="a"), network.node(id="b")
    a.use(Reverse())
    b.use(Reverse())
    with a, b:
        network.advance(10)
        assert set(a.nodes) == {"b"} and set(b.nodes) == {"a"}
        a.send(1)
        assert [e.name for e in b.events(timeout=1)] == ["up", "settled", "message"]


def course(seed: int) -> list[Any]:
    network = Network(seed)
    network.set_loss(0.5)
    network.set_delay(0.2)
    network.set_duplicates(0.1)
    nodes = [network.node(id=f"n{number}") for number in range(5)]
    for node in nodes:
        node.up()
    for turn in range(20):
        nodes[turn % 5].send(turn)
        network.advance(0.5)
    return [list(node.events(timeout=0)) for node in nodes]


def test_the_same_seed_gives_the_same_course() -> None:
    assert course(7) == course(7)
    assert course(7) != course(8)


def test_wrong_arguments() -> None:
    network = Network()
    for wrong in (
        lambda: network.advance(-1),
        lambda: network.advance(float("nan")),
        lambda: network.set_loss(1.5),
        lambda: network.set_duplicates(-0.1),
        lambda: network.set_delay(-1),
    ):
        with pytest.raises(ValueError, match="give "):
            wrong()
    with pytest.raises(caster.OptionError, match="did you mean"):
        network.node(heartbaet=5)  # type: ignore[call-arg]


def test_casters() -> None:
    network = Network()
    with network.caster(port=1234) as a, network.caster(port=1234) as b:
        a.send(b"x")
        event = b.next_event(timeout=1)
        assert event == caster.Datagram(b"x", caster.Remote("10.0.0.1", 1234, "IPv4", 1))


def test_a_wait_for_several_nodes() -> None:
    network = Network()
    with network.node(id="a") as a, network.node(id="b") as b, network.node(id="c", meta=1) as c:
        assert sorted(peer.id for peer in a.wait_for(count=2, timeout=5)) == ["b", "c"]
        assert [peer.id for peer in a.wait_for(lambda n: n.meta == 1, count=1)] == ["c"]
        with pytest.raises(caster.TimeoutError, match="2 of 3 matching nodes"):
            a.wait_for(count=3, timeout=5)
        for wrong in (0, -1, 2.0, True, "3"):
            with pytest.raises(caster.ArgumentError, match="give a whole number from 1"):
                a.wait_for(count=wrong)  # type: ignore[call-overload]
        assert c.is_up and b.is_up


def test_a_node_that_is_gone_does_not_count() -> None:
    network = Network()
    with network.node(id="a") as a:
        b, later = network.node(id="b"), network.node(id="c")

        @b.on("message")
        def leave(event: caster.Message) -> None:
            b.down()
            later.up()

        with b:
            a.wait_for(timeout=5)
            a.send("leave")
            with pytest.raises(caster.TimeoutError, match="1 of 2 matching nodes"):
                a.wait_for(count=2, timeout=5)
            assert list(a.nodes) == ["c"]
    network.close()


def test_a_network_closes_its_nodes() -> None:
    with Network() as network:
        a, b = network.node(), network.caster()
        a.up()
        b.bind()
        network.node().up()
    assert not a.is_up and not b.is_bound
    network.close()


def test_the_plugin_for_pytest(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_it.py").write_text(PLUGIN)
    flags = ["-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags], stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout


PLUGIN = """
import pytest
kept = []

def test_a_service(caster_network):
    database = caster_network.node(meta={"type": "db"})
    service = caster_network.node()
    kept.append(service)
    with database:
        service.up()
        assert service.wait_for(lambda n: n.meta["type"] == "db", timeout=5)

def test_the_next_one_has_another_network(caster_network):
    assert not kept[0].is_up
    assert caster_network.now == 0

@pytest.mark.parametrize("caster_network", [1, 2], indirect=True)
def test_seeds(caster_network):
    with caster_network.node(id="a") as a, caster_network.node(id="b"):
        assert a.wait_for(timeout=5)
"""
