"""A link that goes and comes back: one pair of `isolated` and `rejoined`, and no peer down."""

from __future__ import annotations

import time

import pytest

from conftest import Net, hosts
from peers import OURS, Cast, Peer

FAST = {"heartbeat": 300, "timeout": 1500}
FLAPS = 3
AWAY = 4.0
"""More than two timeouts, and fewer than the ten for which transitions are withheld."""

LINKS = {
    "cable": ("link set v1 down", "link set v1 up"),
    "interface": ("-n h1 link set eth0 down", "-n h1 link set eth0 up"),
}


def told(peer: Peer, kind: str) -> int:
    return len(peer.seen(kind))


@hosts(3)
@pytest.mark.parametrize("link", LINKS)
def test_a_link_that_flaps_is_told_as_one_pair_each_time(net: Net, link: str) -> None:
    down, up = LINKS[link]
    here, *there = net.hosts
    with Cast(net.lab) as cast:
        groups = []
        for number, kind in enumerate(OURS):
            options = FAST | {"port": 23000 + 10 * number}
            near = cast.start(kind, here, id=kind, **options)
            groups.append((near, [cast.start("rust", it, id=f"far {it.address}", **options) for it in there]))
        for near, far in groups:
            for other in far:
                near.wait_up(other)
                other.wait_up(near)
        time.sleep(2)
        for flap in range(1, FLAPS + 1):
            net.middle("ip", *down.split())
            for near, _ in groups:
                near.wait_until(lambda: told(near, "isolated") == flap, f"to be isolated {flap} times")
            time.sleep(AWAY)
            net.middle("ip", *up.split())
            for near, _ in groups:
                near.wait_until(lambda: told(near, "rejoined") == flap, f"to have rejoined {flap} times")
            time.sleep(4)
            for near, far in groups:
                assert (told(near, "isolated"), told(near, "rejoined"), told(near, "down")) == (flap, flap, 0), near.story
                for other in far:
                    # The far nodes hear each other: no link of theirs has flapped.
                    assert told(other, "isolated") == told(other, "rejoined") == 0, other.story
                    assert other.id not in [it["id"] for it in other.seen("down")], other.story
                    assert told(other, "up") == 1 + 1 + told(other, "down"), other.story
