"""Nodes that hear no peer: what the hint says after five intervals, and that each hint is told once."""

from __future__ import annotations

import time

import pytest

import wire
from conftest import Net
from peers import OURS, Cast, Peer

FAST = {"heartbeat": 200, "timeout": 1000}
JOINED = "the group was joined at 127.0.0.1, {}"
ECHO, NO_ECHO = "own heartbeats come back", "own heartbeats do not come back"
NOBODY = "no other sender was heard on this port"
FOREIGN = "senders on this port that could not be understood: 1"
OTHERS = "other senders were heard on this port, and none is a peer"

LARGE = wire.to_json({"id": "large", "meta": "x" * 9000})
ASKS = wire.to_json({"caster": {"b": 1, "a": 1}})

PLAIN = {"hash": False}

# The options, what another host sends, to which of the ports of the group, and what is known.
CASES = {
    "nobody": ({}, b"", 0, ECHO, NOBODY),
    "no echo": ({"loopback": False}, b"", 0, NO_ECHO, NOBODY),
    "text": (PLAIN, b"temperature 21.5", 0, ECHO, FOREIGN),
    "another object": (PLAIN, b'{"temperature":21.5}', 0, ECHO, FOREIGN),
    "no digest": ({}, b"temperature 21.5", 0, ECHO, FOREIGN),
    "too large": (PLAIN, LARGE, 0, ECHO, OTHERS),
    "asks": (PLAIN, ASKS, 0, ECHO, OTHERS),
    # The data port may be the port of another group.
    "another group": (PLAIN, b"temperature 21.5", 1, ECHO, NOBODY),
}


def alone(peer: Peer) -> list[str]:
    return [it["text"] for it in peer.seen("hint") if "no peer was heard" in it["text"]]


@pytest.mark.parametrize("case", CASES)
def test_who_hears_no_peer_says_once_what_is_known(net: Net, case: str) -> None:
    """Each kind of peer in a group of its own, with a program of another host that sends what no peer sends."""
    options, said, at, *known = CASES[case]
    here, there = net.hosts
    with Cast(net.lab) as cast:
        peers = []
        for number, kind in enumerate(OURS):
            port = 23000 + 10 * number
            if said:
                beat = {"beat": said.hex(), "interval": 0.1}
                cast.start("raw", there, group=wire.GROUP, port=port + at, **beat).wait_ready()
            peers.append(cast.start(kind, here, id=kind, port=port, **FAST, **options))
        for peer in peers:
            peer.wait_until(lambda: alone(peer), "to say that it is alone")
        time.sleep(8 * FAST["heartbeat"] / 1000)
        expected = "; ".join([JOINED.format(here.address), *known])
        for peer in peers:
            assert alone(peer) == [f"no peer was heard in 5 intervals: {expected}"], peer.story
            foreign = {there.address} if FOREIGN in known else set()
            # Of each of its heartbeats, ten a second: told once as well.
            large = [it for it in peer.seen("hint") if "maxMeta" in it["text"]]
            assert len(large) == (said == LARGE), peer.story
            stats = peer.stats()
            assert set(stats["foreign"]) == foreign, stats
            assert (stats["dropped"]["badPiece"] > 0) == (at == 1), stats


def test_who_hears_a_peer_does_not_say_it_is_alone(net: Net) -> None:
    here, there = net.hosts
    with Cast(net.lab) as cast:
        far = cast.start("rust", there, id="far", **FAST)
        peers = [cast.start(kind, here, id=kind, **FAST) for kind in OURS]
        for peer in peers:
            peer.wait_up(far)
        time.sleep(8 * FAST["heartbeat"] / 1000)
        assert [alone(peer) for peer in peers] == [[]] * len(peers)
