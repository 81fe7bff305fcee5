"""Hosts with many interfaces: each is joined, although the system limits the groups of a socket."""

from __future__ import annotations

import time

import pytest

import lab
from conftest import Net
from peers import OURS, Cast, Peer, meet

FAST = {"heartbeat": 500, "timeout": 3000}
MANY = 25


@pytest.fixture
def cables(net: Net) -> list[lab.Host]:
    """Hosts with 25 cables between them, each a network of its own."""
    lines = []
    for n in range(MANY):
        lines.append(f"ip link add c{n} netns h1 type veth peer name c{n} netns h2")
        for host in (1, 2):
            lines.append(f"ip -n h{host} addr add 10.90.{n}.{host}/24 dev c{n}")
            lines.append(f"ip -n h{host} link set c{n} up")
    # Only the cables connect them.
    lines += ["ip -n h1 link set eth0 down", "ip -n h2 link set eth0 down"]
    net.middle("sh", "-ec", "\n".join(lines))
    return net.hosts


def joined(peer: Peer) -> dict[str, bool]:
    return {it["name"]: it["joined"] for it in peer.stats()["interfaces"]}


@pytest.mark.parametrize("pause", [0, 0.1], ids=["at once", "one after another"])
def test_each_of_many_interfaces_is_joined(net: Net, cables: list[lab.Host], pause: float) -> None:
    with Cast(net.lab) as cast:
        pairs = [("python", cables[0]), ("node", cables[1]), ("c", cables[0]), ("rust", cables[1])]
        peers = [cast.start(kind, host, id=kind, **FAST) for kind, host in pairs]
        meet(peers)
        for peer in peers:
            assert peer.seen("error") == [], peer.story
            names = joined(peer)
            assert all(names[f"c{n}"] for n in range(MANY)) and names["lo"], names
        # The last ones alone: they were joined, and not only listed.
        lines = "".join(f"link set c{n} down\\n" for n in range(MANY - 1))
        if pause:
            net.middle("sh", "-ec", f"printf '{lines}' | while read -r line; do ip -n h1 $line; sleep {pause}; done")
        else:
            net.middle("sh", "-ec", f"printf '{lines}' | ip -n h1 -batch -")
        time.sleep(1)  # They notice it.
        for sender in peers:
            reaches(sender, [peer for peer in peers if peer is not sender])


def reaches(sender: Peer, others: list[Peer]) -> None:
    """A message arrives at each of them. One that is sent while interfaces go may be lost."""
    marks = {peer: peer.mark() for peer in others}
    for number in range(50):
        sender.send(number)
        time.sleep(0.2)
        if all(peer.seen("message", mark, id=sender.id) for peer, mark in marks.items()):
            return
    raise AssertionError(f"{sender} does not reach all others: {[peer.story for peer in others]}")


def test_groups_that_others_have_joined_are_not_heard(net: Net, cables: list[lab.Host]) -> None:
    """With more sockets for memberships the system passes every group that is joined on the host."""
    ours, theirs = {"multicast": "239.1.1.1"}, {"multicast": "239.1.1.2"}
    with Cast(net.lab) as cast:
        peers = [cast.start(kind, cables[0], id=kind, **ours, **FAST) for kind in OURS]
        strangers = [cast.start("c", host, id=f"stranger {host.address}", **theirs, **FAST) for host in cables]
        meet(strangers)
        meet(peers)
        strangers[1].send("hello")
        strangers[0].wait_messages(strangers[1], ["hello"])
        for peer in peers:
            assert {event["id"] for event in peer.seen("up")} == set(OURS) - {peer.id}
            # They were not dropped after they had been read, either.
            cable = next(it for it in peer.stats()["interfaces"] if it["name"] == "c0")
            assert cable["received"] == cable["echoes"] > 0, cable


@pytest.mark.parametrize("kind", OURS)
def test_an_interface_that_cannot_be_joined_is_told(net: Net, kind: str) -> None:
    host = net.hosts[0]
    net.run(host, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/igmp_max_memberships")
    with Cast(net.lab) as cast:
        peer = cast.start(kind, host, id="a", **FAST)
        peer.wait_for(
            lambda event: event["ev"] == "error"
            and "cannot join 224.0.0.42 on " in event["text"]
            and "net.ipv4.igmp_max_memberships allows 0" in event["text"],
            "the error that names interface and limit",
        )
        assert joined(peer) == {"lo": False, "eth0": False}
        net.run(host, "sh", "-c", "echo 20 >/proc/sys/net/ipv4/igmp_max_memberships")
        peer.wait_until(lambda: joined(peer)["eth0"], "it joins once it can")
