"""An interface gets another address, as from DHCP: the peers use it within a second."""

from __future__ import annotations

import statistics
import time

import pytest

from conftest import Net
from peers import Cast, Peer

MIXES = [("python", "node"), ("node", "c"), ("c", "rust"), ("rust", "python")]
DEFAULTS = {"heartbeat": 1000, "timeout": 2000}
PROMISE, SLACK = 1.0, 0.5
"""Seconds in which a new address is used, and for the test itself. On a busy machine one round may take longer."""


def move(net: Net, old: str, new: str) -> float:
    """Gives the first host another address; returns when that was done."""
    lines = [
        # In this order: the second address of a network goes with the first.
        f"ip -n h1 addr del {old}/24 dev eth0",
        f"ip -n h1 addr add {new}/24 dev eth0",
        "ip -n h1 route replace 224.0.0.0/4 dev eth0",
    ]
    net.middle("sh", "-ec", "\n".join(lines))
    return time.monotonic()


def wait_for_address(peer: Peer, other: Peer, address: str, since: int) -> float:
    """Waits until another address of a peer is told; returns when it was."""
    peer.wait_for(
        lambda event: event["ev"] == "update" and event["id"] == other.id and event["address"] == address,
        f"the address {address}",
        since,
    )
    return time.monotonic()


@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_a_new_address_is_told_within_a_second(net: Net, mix: tuple[str, str]) -> None:
    took = []
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", **DEFAULTS)
        b = cast.start(mix[1], net.hosts[1], id="b", **DEFAULTS)
        a.wait_up(b)
        b.wait_up(a)
        time.sleep(2)
        old = "10.77.0.1"
        for number in range(4):
            new = f"10.77.0.{100 + number}"
            # In different phases of the heartbeat.
            time.sleep(0.3 * number)
            mark = b.mark()
            moved = move(net, old, new)
            took.append(round(wait_for_address(b, a, new, mark) - moved, 3))
            mark = b.mark()
            texts = [f"{number}.{n}" for n in range(10)]
            for text in texts:
                a.send(text)
            b.wait_messages(a, texts, mark)
            mark = a.mark()
            b.send(number)
            a.wait_messages(b, [number], mark)
            old = new
        assert a.seen("down") == b.seen("down") == []
        assert statistics.median(took) <= PROMISE + SLACK, took


@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_an_address_that_is_away_for_a_moment(net: Net, mix: tuple[str, str]) -> None:
    """A client of DHCP removes the old address first and has none for a while."""
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", **DEFAULTS)
        b = cast.start(mix[1], net.hosts[1], id="b", **DEFAULTS)
        a.wait_up(b)
        b.wait_up(a)
        took, start = [], b.mark()
        for number in range(3):
            mark, new = b.mark(), f"10.77.0.{90 + number}"
            net.middle("sh", "-ec", "ip -n h1 addr flush dev eth0 scope global")
            time.sleep(0.7)
            lines = [f"ip -n h1 addr add {new}/24 dev eth0", "ip -n h1 route replace 224.0.0.0/4 dev eth0"]
            net.middle("sh", "-ec", "\n".join(lines))
            back = time.monotonic()
            took.append(round(wait_for_address(b, a, new, mark) - back, 3))
        assert statistics.median(took) <= PROMISE + SLACK, took
        assert b.seen("down", start) == []
        mark = b.mark()
        a.send("hello")
        b.wait_messages(a, ["hello"], mark)
