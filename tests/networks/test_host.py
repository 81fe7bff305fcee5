"""Hosts that are set up so that nodes hear nothing: a firewall, names of interfaces, a misspelt option."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conftest import Net
from peers import OURS, Cast, Peer, meet

FAST = {"heartbeat": 500, "timeout": 5000}
NETFILTER = str(Path(__file__).with_name("netfilter.py"))


def hints(peer: Peer, part: str) -> list[str]:
    return [event["text"] for event in peer.seen("hint") if part in event["text"]]


def wait_for_hint(peer: Peer, part: str) -> str:
    found = peer.wait_for(lambda event: event["ev"] == "hint" and part in event["text"], f"the hint {part!r}")
    return str(found["text"])


def all_talk(peers: list[Peer]) -> None:
    meet(peers)
    marks = {peer: peer.mark() for peer in peers}
    for peer in peers:
        peer.send(f"of {peer.id}")
    for peer in peers:
        for other in peers:
            if peer is not other:
                # Exactly once: what the loopback interface carries twice is suppressed.
                peer.wait_messages(other, [f"of {other.id}"], marks[peer])


def test_a_firewall_that_permits_loopback_only(net: Net) -> None:
    """The usual default of ufw and firewalld: what arrives by the LAN is dropped, own copies included."""
    here, there = net.hosts
    net.run(here, sys.executable, NETFILTER, "drop", "eth0")
    with Cast(net.lab) as cast:
        peers = [cast.start(kind, here, id=kind, **FAST) for kind in OURS]
        far = cast.start("c", there, id="far", **FAST)
        far.wait_ready()
        all_talk(peers)
        for peer in peers:
            wait_for_hint(peer, "nodes of this host meet by the loopback interface")
            assert len(hints(peer, "nodes of this host meet")) == 1
            assert peer.seen("up", id="far") == peer.seen("down") == []


@pytest.mark.parametrize("name", ["br-lan", "docker0"])
def test_a_lan_with_the_name_of_a_container_network(net: Net, name: str) -> None:
    """As on a router with OpenWrt, whose only LAN is `br-lan`."""
    for host in net.hosts:
        net.run(host, "sh", "-ec", f"ip link set eth0 down; ip link set eth0 name {name}; ip link set {name} up")
    with Cast(net.lab) as cast:
        peers = [cast.start(kind, host, id=f"{kind} {host.address}", **FAST) for kind in OURS for host in net.hosts]
        all_talk(peers)
        for peer in peers:
            text = wait_for_hint(peer, "interfaces of containers are used")
            assert name in text and len(hints(peer, "interfaces of containers")) == 1, peer.story


@pytest.mark.parametrize("kind", OURS)
def test_a_misspelt_interface_is_told_with_the_names_that_exist(net: Net, kind: str) -> None:
    with Cast(net.lab) as cast:
        peer = cast.start(kind, net.hosts[0], id="a", interfaces=["eht0"], **FAST)
        text = wait_for_hint(peer, "matches no interface")
        assert all(name in text for name in ('"eht0"', "eth0", "lo")), text
        assert {it["name"]: it["joined"] for it in peer.stats()["interfaces"]} == {"lo": True, "eth0": False}
