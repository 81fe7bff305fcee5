"""A switch that forwards multicast only to the hosts that have joined, and forgets them: IGMP snooping.

Without a querier no host is asked to join again, so a group outside of 224.0.0.x falls silent after
minutes. Nodes join again when the interfaces are listed and the last time was 120 s ago: after 150 s at the latest.

With CASTER_LONG in the environment the switch forgets after its default of 260 s, and six minutes are watched.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from conftest import Net, hosts
from peers import OURS, Cast, meet

GROUP = "239.7.7.7"
OPTIONS = {"multicast": GROUP, "heartbeat": 500, "timeout": 5000}
IGMP = str(Path(__file__).with_name("igmp.py"))

LONG = "CASTER_LONG" in os.environ
FORGET_AFTER, DURATION = (260, 360) if LONG else (155, 180)
"""Seconds after which the bridge forgets a membership, 260 by default, and the length of the test."""


def snoop(net: Net) -> None:
    """Makes the bridge a switch with snooping that has seen a querier once, and will see none again."""
    settings = {
        "mcast_snooping": 1,
        "mcast_querier": 0,
        # In hundredths of a second. Until a querier is forgotten the bridge drops what has not been joined;
        # afterwards it would forward everything.
        "mcast_querier_interval": 100 * 3600,
        "mcast_membership_interval": 100 * FORGET_AFTER,
    }
    words = [word for name, value in settings.items() for word in (name, str(value))]
    net.middle("ip", "link", "set", "br0", "type", "bridge", *words)
    # Its port gets all groups from now on, as that of a router.
    querier = net.hosts[2]
    net.run(querier, sys.executable, IGMP, "query", querier.address)


class Control:
    """A program on a host of its own that joins once."""

    def __init__(self, net: Net) -> None:
        host = net.hosts[3]
        self.process = net.start(host, sys.executable, IGMP, "listen", host.address, GROUP)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"
        self.last = time.monotonic()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for _ in self.process.stdout or ():
            self.last = time.monotonic()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.longest
@pytest.mark.timeout(DURATION + 120)
@hosts(4)
def test_a_switch_that_forgets(net: Net) -> None:
    snoop(net)
    control = Control(net)
    with Cast(net.lab) as cast:
        # Several on each host: the kernel reports the first one that joins and the last that leaves.
        peers = [cast.start(kind, host, id=f"{kind} {host.address}", **OPTIONS)
                 for kind in OURS for host in net.hosts[:2]]  # fmt: skip
        meet(peers)
        start = time.monotonic()
        assert start - control.last < 3, "the control hears the group at first"
        while (passed := time.monotonic() - start) < DURATION:
            marks = {peer: peer.mark() for peer in peers}
            text = f"after {passed:.0f} s"
            for peer in peers:
                peer.send(text)
            for peer in peers:
                for other in peers:
                    if peer is not other:
                        peer.wait_messages(other, [text], marks[peer])
            time.sleep(5)
        for peer in peers:
            assert peer.seen("down") == [], peer.story
        assert time.monotonic() - control.last > 5, "the switch has not forgotten the control"
    control.end()
