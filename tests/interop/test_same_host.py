"""Programs of one host: they share the port, and each message arrives once.

Originals on 0.8 and 0.10 share their port. They hear every group and interface
that any program on the host has joined, and do not suppress duplicates.
"""

from __future__ import annotations

import pytest

from lab import Lab
from peers import OURS, Cast, Peer, meet

TIMING = {"heartbeat": 250, "timeout": 900}


def one_host(lab: Lab, ours: str, other: str) -> None:
    """Two programs of one host and one of another hear each message once."""
    with Cast(lab) as cast:
        host = lab.hosts[0]
        a = cast.start(ours, host, id="a", **TIMING)
        b = cast.start(other, host, id="b", **TIMING)
        c = cast.start(ours, lab.hosts[1], id="c", **TIMING)
        everybody = [a, b, c]
        meet(everybody)
        for number in range(10):
            for peer in everybody:
                peer.tell(f"send {number}")
        for peer in everybody:
            peer.tell('send "the last"')
        for peer in everybody:
            for sender in everybody:
                if sender is not peer:
                    check_heard_once(peer, sender)
        cast.check_alive()


def check_heard_once(peer: Peer, sender: Peer) -> None:
    """The last message has come, and all before it, in order and once each.

    An original gives no zero to its program.
    """
    peer.wait_for(
        lambda event: event.get("message") == "the last" and event["id"] == sender.id,
        f"the last message of {sender}",
    )
    heard = [event["message"] for event in peer.seen("message", id=sender.id)]
    first = 1 if "original" in peer.kind else 0
    assert heard == [*range(first, 10), "the last"], f"{peer} heard {sender}: {heard}"


def same_host_id(kinds: tuple[str, ...]) -> str:
    return "+".join(kinds)


@pytest.mark.parametrize("play", [one_host], ids=lambda play: play.__name__)
@pytest.mark.parametrize(
    "kinds",
    [
        (ours, other)
        for ours in OURS
        for other in (ours, "original-0.8.28", "original-0.10.48")
    ],
    ids=same_host_id,
)
def test_each_message_arrives_once(play, kinds, stage) -> None:
    stage.require_isolation("an original has no interface to itself on loopback")
    stage.outcome(play, kinds)
