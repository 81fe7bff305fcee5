"""Faults of real nodes and networks in the lab, and their measurements."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from hublab import HubLab
from lab import Host, NamespaceLab
from peers import ORIGINALS, Cast, Event, Peer

LONG = os.environ.get("LAB_LONG") == "1"
SEED = int(os.environ.get("LAB_SEED", "0")) or random.randrange(1, 1_000_000)

DEFAULTS = {"heartbeat": 1000, "timeout": 2000}
QUICK = {"heartbeat": 250, "timeout": 500}
"""The same four times as fast, for more heartbeats a minute."""

OLD, NEW = "original-0.10.48", "original-20"
MS = 1e6
"""In nanoseconds, which is what all times in events are in."""


# Mutual visibility.


def present(peer: Peer) -> set[str]:
    """The ids that are up for a peer; up and down of each must alternate."""
    up: set[str] = set()
    for event in list(peer.events):
        if event["ev"] == "ready":
            up.clear()
        elif event["ev"] == "up":
            assert event["id"] not in up, f"{peer}: {event['id']} is up twice"
            up.add(event["id"])
        elif event["ev"] == "down":
            assert event["id"] in up, f"{peer}: {event['id']} is down twice"
            up.remove(event["id"])
    return up


def meet(peers: Iterable[Peer]) -> None:
    """Waits until they all see each other."""
    peers = list(peers)
    everybody = {str(peer.id) for peer in peers}
    for peer in peers:
        others = everybody - {peer.id}
        peer.wait_until(lambda: present(peer) >= others, f"to see {sorted(others)}")


def reunion(peers: list[Peer], marks: dict[Peer, int], since: int) -> list[float]:
    """How long after a time every peer took to see every other again, in ms.

    0 for pairs that did not declare each other down.
    """
    meet(peers)
    times = []
    for peer, other in permutations(peers, 2):
        ups = peer.seen("up", marks[peer], id=other.id)
        times.append(max(0.0, (ups[-1]["t"] - since) / MS) if ups else 0.0)
    return times


def downs(
    peer: Peer, about: Iterable[Peer], since: int, until: int | None = None
) -> list[Event]:
    ids = {other.id for other in about}
    events = peer.events[since:until]
    return [event for event in events if event["ev"] == "down" and event["id"] in ids]


def ours(peers: Iterable[Peer]) -> list[Peer]:
    return [peer for peer in peers if peer.kind not in ORIGINALS]


def theirs(peers: Iterable[Peer]) -> list[Peer]:
    return [peer for peer in peers if peer.kind in ORIGINALS]


def marks(peers: Iterable[Peer]) -> dict[Peer, int]:
    return {peer: peer.mark() for peer in peers}


# Labs and groups.


@contextmanager
def bridge(hosts: int) -> Iterator[tuple[NamespaceLab, Cast]]:
    lab = NamespaceLab(hosts)
    try:
        with Cast(lab) as cast:
            yield lab, cast
    finally:
        lab.close()


@contextmanager
def hub(hosts: int, salt: int = 0) -> Iterator[tuple[HubLab, Cast]]:
    lab = HubLab(hosts, SEED + salt)
    try:
        with Cast(lab) as cast:
            yield lab, cast
    finally:
        lab.close()


@dataclass
class Group:
    """Some peers on one port, the first of them on the first host and so on."""

    name: str
    kinds: tuple[str, ...]
    port: int
    timing: dict[str, int]
    peers: list[Peer] = field(default_factory=list)

    def start(self, cast: Cast, hosts: list[Host]) -> None:
        self.peers = [
            cast.start(kind, host, id=f"{self.port}.{n}", port=self.port, **self.timing)
            for n, (kind, host) in enumerate(zip(self.kinds, hosts), start=1)
        ]

    def wait_ready(self) -> None:
        for peer in self.peers:
            peer.wait_ready()
        meet(self.peers)


Wanted = tuple[str, tuple[str, ...], dict[str, int]]


def groups(first_port: int, *wanted: Wanted) -> list[Group]:
    """One beside the other, two ports apart: the port after a group is that of its data."""
    return [
        Group(name, kinds, port, timing)
        for port, (name, kinds, timing) in zip(range(first_port, 65536, 2), wanted)
    ]


def start_groups(cast: Cast, hosts: list[Host], all_groups: list[Group]) -> None:
    for group in all_groups:
        group.start(cast, hosts)
    for group in all_groups:
        group.wait_ready()


# Discovery and leaves.


@dataclass
class Arrivals:
    """Samples in ms of a newcomer and of the existing nodes."""

    newcomer: list[float] = field(default_factory=list)
    incumbents: list[float] = field(default_factory=list)
    goodbyes: list[float] = field(default_factory=list)


def arrivals(
    cast: Cast,
    hosts: list[Host],
    kinds: tuple[str, ...],
    times: int,
    pauses: tuple[float, float] = (0.02, 0.06),
    goodbyes: bool = True,
) -> Arrivals:
    """A node comes and goes many times while the others stay."""
    draw = random.Random(SEED)
    incumbents = [
        cast.start(kind, host, id=f"there{n}", **DEFAULTS)
        for n, (kind, host) in enumerate(zip(kinds, hosts[1:], strict=True))
    ]
    for peer in incumbents:
        peer.wait_ready()
    meet(incumbents)
    newcomer = cast.start("rust", hosts[0], id="newcomer", **DEFAULTS)
    result = Arrivals()
    there = {peer: 0 for peer in incumbents}
    here = 0
    for number in range(times):
        if number:
            time.sleep(draw.uniform(*pauses))
            here, there = newcomer.mark(), marks(incumbents)
            newcomer.tell("up")
        ready = newcomer.wait_for(lambda event: event["ev"] == "ready", "up", here)
        for peer in incumbents:
            seen = newcomer.wait_for(is_up(peer), f"to discover {peer}", here)
            result.newcomer.append((seen["t"] - ready["began"]) / MS)
            seen = peer.wait_for(is_up(newcomer), "the newcomer", there[peer])
            result.incumbents.append((seen["t"] - ready["began"]) / MS)
        time.sleep(draw.uniform(*pauses))
        here, there = newcomer.mark(), marks(incumbents)
        newcomer.tell("down")
        gone = newcomer.wait_for(lambda event: event["ev"] == "gone", "down", here)
        for peer in incumbents if goodbyes else ():
            seen = peer.wait_down(newcomer, there[peer])
            assert seen.get("reason") in (None, "goodbye"), seen
            result.goodbyes.append((seen["t"] - gone["began"]) / MS)
    return result


def is_up(other: Peer):
    return lambda event: event["ev"] == "up" and event["id"] == other.id


def discovery_on_a_bridge(times: int) -> Arrivals:
    with bridge(2) as (lab, cast):
        return arrivals(cast, lab.hosts, ("rust",), times)


def discovery_on_loopback(times: int) -> Arrivals:
    with bridge(1) as (lab, cast):
        loopback = Host("127.0.0.1", lab.hosts[0].prefix)
        return arrivals(cast, [loopback] * 2, ("rust",), times)


def discovery_in_a_group_of_ten(times: int) -> Arrivals:
    with bridge(10) as (lab, cast):
        return arrivals(cast, lab.hosts, ("rust",) * 9, times)


def discovery_by_originals(times: int) -> Arrivals:
    with bridge(3) as (lab, cast):
        return arrivals(cast, lab.hosts, (OLD, NEW), times, (0.1, 0.3))


def discovery_at_loss(loss: int, times: int) -> Arrivals:
    with hub(2, loss) as (lab, cast):
        lab.tell(f"loss {loss}")
        return arrivals(cast, lab.hosts, ("rust",), times, goodbyes=False)


# Crashes.


def crashes(rounds: int) -> list[float]:
    """Kills a process of each group in each round.

    How long it takes to see that, in ms.
    """
    draw = random.Random(SEED)
    samples: list[float] = []
    with bridge(5) as (lab, cast):
        some = groups(17000, *[("4", ("rust",) * 4, DEFAULTS)] * 8)
        some += groups(17100, *[("2", ("rust",) * 2, DEFAULTS)] * 4)
        start_groups(cast, lab.hosts, some)
        time.sleep(1.2)
        for _ in range(rounds):
            killed = {}
            for group in some:
                if len(group.peers) < 2:
                    continue
                victim = group.peers.pop(draw.randrange(len(group.peers)))
                time.sleep(draw.uniform(0, 0.15))
                watching = marks(group.peers)
                killed[victim.id] = (time.monotonic_ns(), victim, watching)
                victim.crash()
            for at, victim, watching in killed.values():
                for peer, mark in watching.items():
                    down = peer.wait_down(victim, mark)
                    assert down["reason"] == "timeout", down
                    samples.append((down["t"] - at) / MS)
        for group in some:
            meet(group.peers)
            for peer in group.peers:
                assert not downs(peer, group.peers, 0), peer.story
    return samples


# A process that is stopped.


def pause(seconds: float) -> list[float]:
    """Stops a node of each group; how long until all see all again, in ms."""
    samples = []
    with bridge(5) as (lab, cast):
        some = groups(
            17000,
            ("2", ("rust",) * 2, DEFAULTS),
            ("3", ("rust",) * 3, DEFAULTS),
            ("5", ("rust",) * 5, DEFAULTS),
            ("3+2", ("rust",) * 3 + (OLD, NEW), DEFAULTS),
        )
        start_groups(cast, lab.hosts, some)
        time.sleep(1.5)
        before = {group.port: marks(group.peers) for group in some}
        for group in some:
            group.peers[0].pause()
        time.sleep(seconds)
        resumed = time.monotonic_ns()
        for group in some:
            group.peers[0].resume()
        # Longer than the failure detector takes.
        time.sleep(4.0)
        for group in some:
            stopped, *others = group.peers
            mark = before[group.port]
            wrong = downs(stopped, others, mark[stopped])
            assert not wrong, f"{stopped} was stopped and blames {wrong}"
            for peer in ours(others):
                wrong = downs(peer, [it for it in others if it is not peer], mark[peer])
                assert not wrong, f"{peer} blames {wrong}"
            samples += reunion(ours(group.peers), mark, resumed)
    return samples


# A network that fails.


@dataclass
class Outage:
    """The outcome of a fault and its repair, times in ms."""

    reunion: list[float] = field(default_factory=list)
    reunion_with_originals: list[float] = field(default_factory=list)
    isolated: list[float] = field(default_factory=list)
    rejoined: list[float] = field(default_factory=list)
    blamed: list[Event] = field(default_factory=list)
    """The peers that the isolated host declared down."""


def outage(kind: str, seconds: float = 5.0) -> Outage:
    """Cuts off host 3, or parts the network, and repairs it again."""
    result = Outage()
    with hub(6, sum(map(ord, kind))) as (lab, cast):
        pure, mixed = some = groups(
            17000,
            ("5", ("rust",) * 5, DEFAULTS),
            ("5+1", ("rust",) * 5 + (OLD,), DEFAULTS),
        )
        if kind == "interface":
            # A node that hears no peer any more blames its interface, not the peer. If
            # only the cable is cut, the two cases cannot be distinguished.
            some += groups(17100, ("2", ("rust",) * 2, DEFAULTS))
        start_groups(cast, lab.hosts, [pure, mixed])
        start_groups(cast, lab.hosts[2:], some[2:])
        time.sleep(2.5)
        before = {peer: peer.mark() for group in some for peer in group.peers}
        began = time.monotonic_ns()
        match kind:
            case "interface":
                lab.link(3, "down")
            case "cable":
                lab.tell("cut 3")
            case "partition":
                lab.tell("part 1,2/3,4,5,6")
        time.sleep(seconds)
        if kind == "interface":
            lab.link(3, "up")
        else:
            lab.tell("heal")
        repaired = time.monotonic_ns()
        result.reunion = reunion(pure.peers, before, repaired)
        result.reunion_with_originals = reunion(mixed.peers, before, repaired)
        # Longer than the failure detector takes.
        time.sleep(4.0)
        for group in some:
            meet(group.peers)
            for peer in ours(group.peers):
                isolated = peer.seen("isolated", before[peer])
                rejoined = peer.seen("rejoined", before[peer])
                if peer.host is not lab.hosts[2] or kind == "partition":
                    assert not isolated, peer.story
                    continue
                assert isolated, f"{peer} does not notice\n{peer.story}"
                assert rejoined, f"{peer} does not notice the repair\n{peer.story}"
                result.isolated.append((isolated[0]["t"] - began) / MS)
                result.rejoined.append((rejoined[-1]["t"] - repaired) / MS)
                result.blamed += downs(peer, group.peers, before[peer])
    return result


# Loss.


@dataclass(frozen=True)
class Weather:
    name: str
    commands: tuple[str, ...]
    lossy_in_bursts: bool = False
    lethal: bool = False
    """Not for originals, which end at the first corrupt datagram."""


WEATHERS = (
    Weather("no loss", ()),
    Weather("10 % loss", ("loss 10",)),
    Weather("20 % loss", ("loss 20",)),
    Weather("30 % loss", ("loss 30",)),
    Weather("bursts 1 s in 20 s", ("bursts 1000 20000",), lossy_in_bursts=True),
    Weather(
        "10 % loss and all else",
        ("loss 10", "duplicate 5", "delay 0 10", "reorder 5 50", "corrupt 2"),
        lethal=True,
    ),
)


NEAR = 2e9
"""Within this number of ns a down is attributed to a starved node or hub."""


@dataclass
class FalseDowns:
    """Number of downs in groups while all nodes were alive.

    Those in a group of which a node was starved just then do not count: it was in
    fact silent, on its own cable, for longer than a heartbeat and a half, because
    the machine had no time for it, and could not corroborate others either. Nor do
    those near a time at which the hub carried nothing.
    """

    group: str
    count: int
    story: str
    row: dict[str, Any]
    """Text for the table, including the downs that do not count."""


def false_downs(weather: Weather, seconds: float) -> list[FalseDowns]:
    """Groups without any fault but those of the network."""
    result = []
    with hub(10, sum(map(ord, weather.name))) as (lab, cast):
        wanted: list[Wanted] = [("2", ("rust",) * 2, QUICK)] * 3
        wanted += [("3", ("rust",) * 3, QUICK)] * 2
        wanted += [("5", ("rust",) * 5, QUICK), ("10", ("rust",) * 10, QUICK)]
        wanted += [("5, defaults", ("rust",) * 5, DEFAULTS)]
        if not weather.lethal:
            wanted += [("3+2", ("rust",) * 3 + (OLD, NEW), QUICK)]
        some = groups(17000, *wanted)
        start_groups(cast, lab.hosts, some)
        time.sleep(2.0)  # the announcements are over, the intervals are known
        for command in weather.commands:
            lab.tell(command)
        before = {peer: peer.mark() for group in some for peer in group.peers}
        (said, _), began = lab.said(), time.monotonic()
        time.sleep(seconds)
        (now, silences), took = lab.said(), time.monotonic() - began
        after = {peer: peer.mark() for peer in before}
        cast.check_alive()
        for name in dict.fromkeys(group.name for group in some):
            alike = [group for group in some if group.name == name]
            sent = sum(
                now[host][group.port] - said[host][group.port]
                for group in alike
                for host in now
            )
            nodes = sum(len(group.peers) for group in alike)
            row: dict[str, Any] = {
                "network": weather.name,
                "group": name,
                "groups": len(alike),
            }
            row |= {"H/T": "/".join(map(str, alike[0].timing.values()))}
            ordered = sum(len(group.peers) * (len(group.peers) - 1) for group in alike)
            row |= {"pair-minutes": f"{ordered * took / 60:.0f}"}
            row |= {"packets/node/s": f"{sent / nodes / took:.2f}"}
            starved: dict[Peer, list[int]] = {
                peer: [] for it in alike for peer in it.peers
            }
            for group in alike:
                limit = 1.5 * group.timing["heartbeat"] / 1000
                for silence in silences:
                    if silence.host == 0:
                        for peer in group.peers:
                            starved[peer].append(silence.ended)
                    elif silence.port == group.port and silence.seconds > limit:
                        starved[group.peers[silence.host - 1]].append(silence.ended)
            row |= {"starved": sum(map(len, starved.values()))}
            wrong: list[Event] = []
            for column, observers, subjects in (
                ("of Caster by Caster", ours, ours),
                ("originals by Caster", ours, theirs),
                ("Caster by originals", theirs, ours),
                ("originals by originals", theirs, theirs),
            ):
                pairs = [
                    (peer, other)
                    for group in alike
                    for peer in observers(group.peers)
                    for other in subjects(group.peers)
                ]
                found = {
                    (peer, other): downs(peer, [other], before[peer], after[peer])
                    for peer, other in pairs
                }
                if found:
                    row[column] = sum(map(len, found.values()))
                if observers is subjects is ours:
                    wrong = [
                        event
                        for pair, events in found.items()
                        for event in events
                        if not any(
                            abs(event["t"] - ended) < NEAR
                            for group in alike
                            if pair[0] in group.peers
                            for peer in group.peers
                            for ended in starved[peer]
                        )
                    ]
            result.append(FalseDowns(name, len(wrong), str(wrong[:5]), row))
        lab.tell("loss 0")
        lab.tell("bursts 0 0")
        for group in some:
            meet(ours(group.peers))
    return result
