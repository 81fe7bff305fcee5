"""Ten hosts of ten programs each, without multicast between the hosts: one seed is enough."""

from __future__ import annotations

import subprocess
import time

import pytest

import figures
import lab
from lab import NamespaceLab
from obstacles import obstacle, skip
from peers import Cast, Peer
from scenarios import LONG, MS, downs, marks, present

PORT = 17000
HOSTS, PROGRAMS = 10, 10
TIMING = {"heartbeat": 1000, "timeout": 10_000}
"""A hundred processes starve each other on a small machine."""

GOAL = 5000.0
"""In ms, from the moment that the last one is up."""
DEADLINE = 90.0
"""In s, on a busy machine."""
WATCH = 60.0 if LONG else 5.0


def without_multicast(network: NamespaceLab) -> None:
    """The bridge forwards no multicast."""
    for number in range(1, HOSTS + 1):
        flood = ["type", "bridge_slave", "mcast_flood", "off"]
        subprocess.run([*network.middle, "ip", "link", "set", f"v{number}", *flood], check=True)


def only_the_port_of_the_group(network: NamespaceLab) -> None:
    """As a firewall does that has opened no other port."""
    for host in network.hosts:
        for rule in (
            "add pref 100 lookup local",
            "del pref 0",
            f"add pref 10 iif eth0 ipproto udp dport {PORT + 1}-65534 blackhole",
        ):
            subprocess.run([*host.prefix, "ip", "rule", *rule.split()], check=True)


@pytest.mark.parametrize("ports", ["all ports", "the group's port only"])
def test_one_seed_brings_a_hundred_programs_together(ports: str) -> None:
    if not lab.detect().isolated:
        skip(f"the lab needs network namespaces: {lab.detect().reason}")
    reason = obstacle(("rust",))
    if reason is not None:
        skip(reason)
    network = NamespaceLab(HOSTS)
    try:
        without_multicast(network)
        if ports != "all ports":
            only_the_port_of_the_group(network)
        with Cast(network) as cast:
            seeds = [f"{network.hosts[0].address}:{PORT}"]
            peers = [
                cast.start("rust", host, id=f"{at}.{n}", port=PORT, seeds=seeds, **TIMING)
                for n in range(PROGRAMS)
                for at, host in enumerate(network.hosts)
            ]
            for peer in peers:
                peer.wait_ready()
            last = max(peer.seen("ready")[0]["t"] for peer in peers)
            everybody = {str(peer.id) for peer in peers}
            end = time.monotonic() + DEADLINE
            for peer in peers:
                while not present(peer) >= everybody - {peer.id}:
                    missing = sorted(everybody - present(peer) - {peer.id})
                    assert time.monotonic() < end, f"{peer} does not know {missing}"
                    time.sleep(0.05)
            met = [(event["t"] - last) / MS for peer in peers for event in peer.seen("up")]
            figures.latency(f"{len(peers)} programs, one seed, {ports}: a pair meets", met, f"{GOAL:.0f}")
            before = marks(peers)
            peers[-1].send("to all")
            for peer in peers[:-1]:
                # On a busy host a copy that is handed on may come later than copies are remembered.
                peer.wait_until(
                    lambda peer=peer: peer.seen("message", before[peer], id=peers[-1].id),  # type: ignore[misc]
                    "the message to all",
                )
            time.sleep(WATCH)
            wrong: list[tuple[Peer, list]] = [
                (peer, found) for peer in peers if (found := downs(peer, peers, 0))
            ]
            assert not wrong, wrong
    finally:
        network.close()
