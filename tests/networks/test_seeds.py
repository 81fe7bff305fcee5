"""One seed is enough to find all: beyond routers, behind source NAT, and with the own address among the seeds."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import pytest

from conftest import Net, hosts
from peers import Cast, Peer, meet

FAST = {"heartbeat": 250, "timeout": 1500}
MIXES = [("python", "node", "c"), ("node", "c", "python"), ("c", "rust", "node"), ("rust", "python", "rust")]
"""The languages of the one with the seed, of the seed, and of the one that the seed knows by multicast."""


def all_hear_each_other(peers: list[Peer]) -> None:
    mark = {peer: peer.mark() for peer in peers}
    for peer in peers:
        peer.send(f"of {peer.id}")
    for peer in peers:
        for other in peers:
            if peer is not other:
                peer.wait_messages(other, [f"of {other.id}"], mark[peer])


@hosts(4)
@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_a_seed_introduces_those_it_knows_by_multicast(net: Net, mix: tuple[str, str, str]) -> None:
    addresses = net.route([0, 1], [2, 3])
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", seeds=[addresses[2]], **FAST)
        beside = cast.start("c", net.hosts[1], id="beside", **FAST)
        b = cast.start(mix[1], net.hosts[2], id="b", **FAST)
        c = cast.start(mix[2], net.hosts[3], id="c", **FAST)
        peers = [a, b, c, beside]
        meet(peers)
        all_hear_each_other(peers)
        # The seed may leave; the others stay.
        mark = {peer: peer.mark() for peer in peers}
        b.down()
        for peer in (a, c, beside):
            peer.wait_down(b, mark[peer])
        all_hear_each_other([a, c])
        assert a.seen("down", mark[a], id="c") == c.seen("down", mark[c], id="a") == []


@hosts(4)
@pytest.mark.parametrize("mix", MIXES[:2], ids="+".join)
def test_a_seed_introduces_those_it_knows_with_keys(net: Net, mix: tuple[str, str, str]) -> None:
    addresses = net.route([0, 1], [2, 3])
    keys = FAST | {"keys": [secrets.token_hex(32)], "port": 22_402}
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", seeds=[addresses[2]], **keys)
        b = cast.start(mix[1], net.hosts[2], id="b", **keys)
        c = cast.start(mix[2], net.hosts[3], id="c", **keys)
        peers = [a, b, c]
        meet(peers)
        all_hear_each_other(peers)


@hosts(4)
@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_behind_source_nat(net: Net, mix: tuple[str, str, str]) -> None:
    """Two hosts behind a router that gives what leaves its own address; nothing is forwarded to them."""
    addresses = net.route([0, 1], [2, 3])
    net.middle(sys.executable, str(Path(__file__).with_name("netfilter.py")), "masquerade", "lan1")
    for host in (2, 3):
        # The addresses behind the router are unknown here.
        net.run(net.hosts[host], "ip", "route", "replace", "unreachable", "10.80.0.0/24")
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", seeds=[addresses[2]], **FAST)
        b = cast.start(mix[1], net.hosts[2], id="b", **FAST)
        c = cast.start(mix[2], net.hosts[3], id="c", **FAST)
        peers = [a, b, c]
        meet(peers)
        all_hear_each_other(peers)
        router = "10.81.0.254"
        assert b.seen("up", id="a")[0]["address"].startswith(router)
        # A second one behind the same router: the other port tells the two apart.
        d = cast.start(mix[0], net.hosts[1], id="d", seeds=[addresses[2]], **FAST)
        meet([*peers, d])
        all_hear_each_other([*peers, d])


@pytest.mark.parametrize("own", ["10.77.0.1", "10.77.0.1:10101"])
def test_the_own_address_among_the_seeds(net: Net, own: str) -> None:
    with Cast(net.lab) as cast:
        peers = [
            cast.start(kind, net.hosts[0], id=f"{kind} {itself}", self=itself, seeds=[own], **FAST)
            for kind in ("python", "node", "c", "rust")
            for itself in (False, True)
        ]
        far = cast.start("c", net.hosts[1], id="far", **FAST)
        meet([*peers, far])
        mark = {peer: peer.mark() for peer in peers}
        far.send("hello")
        for peer in peers:
            peer.wait_messages(far, ["hello"], mark[peer])
            peer.send(f"of {peer.id}")
        for peer in peers:
            for other in peers:
                # With `self` a node hears itself, once, as it does without seeds.
                if other is not peer or peer.id.endswith("True"):
                    peer.wait_messages(other, [f"of {other.id}"], mark[peer])
            is_self = peer.id.endswith("True")
            assert len(peer.seen("up", id=peer.id)) == int(is_self), peer.story
            assert peer.seen("down") == peer.seen("conflict") == [], peer.story
