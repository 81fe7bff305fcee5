"""Networks that fail in ways that a failure detector can take for death, and the reverse."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import wire
from arena import DEFAULTS
from lab import Host
from peers import Cast, Peer, meet
from scenarios import bridge, hub

BEAT = DEFAULTS["heartbeat"] / 1000
ON_LIVING_HOSTS = 2.7
"""Seconds after which killed processes on living hosts are down."""
MARGIN = 1.0
"""For a busy machine, in seconds."""

Play = Callable[["Report"], None]
PLAYS: list[Play] = []


@dataclass
class Report:
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)


def play(function: Play) -> Play:
    PLAYS.append(function)
    return function


def start(cast: Cast, host: Host, id: str, **options) -> Peer:
    return cast.start("rust", host, **DEFAULTS | {"id": id} | options)


def group(cast: Cast, hosts: list[Host], **options) -> list[Peer]:
    """One node on each host, which know each other for some heartbeats."""
    peers = [
        start(cast, host, f"n{number}", **options)
        for number, host in enumerate(hosts, start=1)
    ]
    meet(peers)
    time.sleep(4.5 * BEAT)
    return peers


def quiet(peers: list[Peer], marks: dict[Peer, int], *kinds: str) -> None:
    """No peer was told anything of these kinds since."""
    for peer in peers:
        told = [it for it in peer.events[marks[peer] :] if it["ev"] in kinds]
        assert not told, f"{peer} was told {told}\n{peer.story}"


def marks(peers: list[Peer]) -> dict[Peer, int]:
    return {peer: peer.mark() for peer in peers}


@play
def all_others_are_killed_at_once(report: Report) -> None:
    with bridge(3) as (lab, cast):
        first, *others = group(cast, lab.hosts)
        since, at = first.mark(), time.monotonic_ns()
        for other in others:
            other.crash()
        took = [(first.wait_down(it, since)["t"] - at) / 1e9 for it in others]
        report.note(f"down after {max(took):.2f} s")
        assert max(took) <= ON_LIVING_HOSTS + MARGIN


@play
def a_process_of_the_same_host_is_killed(report: Report) -> None:
    with bridge(1) as (lab, cast):
        host = lab.hosts[0]
        here, other = group(cast, [host, host])
        since, at = here.mark(), time.monotonic_ns()
        other.crash()
        took = (here.wait_down(other, since)["t"] - at) / 1e6
        report.note(f"down after {took:.1f} ms; the goal is 50 ms")
        assert took <= 500


def plain_sender(cast: Cast, host: Host) -> tuple[Peer, Callable[[], None]]:
    """An original without a socket on the port: its host refuses what is sent to it."""
    sender = cast.start("attacker", host, group=wire.GROUP, port=wire.PORT)
    sender.wait_ready()
    data = wire.heartbeat("original").hex()
    order = json.dumps({"hex": data, "to": [wire.GROUP, wire.PORT]})
    return sender, lambda: sender.tell(order)


def beat_with_one_lost(beat: Callable[[], None], beats: int, lost: int) -> None:
    for number in range(beats):
        if number != lost:
            beat()
        time.sleep(BEAT)


@play
def an_original_whose_host_refuses_loses_a_beat(report: Report) -> None:
    with bridge(2) as (lab, cast):
        peers = [start(cast, lab.hosts[0], "n1")]
        _, beat = plain_sender(cast, lab.hosts[1])
        beat_with_one_lost(beat, 12, lost=7)
        ups = peers[0].seen("up", id="original")
        downs = peers[0].seen("down", id="original")
        assert (len(ups), len(downs)) == (1, 0), peers[0].story


@play
def an_original_behind_a_firewall_that_rejects_loses_a_beat(report: Report) -> None:
    """It has the port open. Unicast to it is refused on the way."""
    with hub(2) as (lab, cast):
        lab.tell("reject 2")
        node = start(cast, lab.hosts[0], "n1")
        raw = cast.start("raw", lab.hosts[1], group=wire.GROUP, port=wire.PORT)
        raw.wait_ready()
        data = wire.heartbeat("original").hex()
        beat_with_one_lost(lambda: raw.tell(f"send {data}"), 12, lost=7)
        ups = node.seen("up", id="original")
        downs = node.seen("down", id="original")
        report.note(f"refused {lab.tell('stat').get('rejected', 0)}")
        assert (len(ups), len(downs)) == (1, 0), node.story


@play
def hidden_nodes_that_spoke_once_do_not_isolate(report: Report) -> None:
    with bridge(4) as (lab, cast):
        node = start(cast, lab.hosts[0], "n1")
        node.wait_ready()
        time.sleep(3 * BEAT)
        hidden = [
            start(cast, host, f"hidden{number}", expose=False)
            for number, host in enumerate(lab.hosts[1:])
        ]
        for peer in hidden:
            peer.wait_ready()
            peer.send("once")
            node.wait_up(peer)
        at, since = time.monotonic_ns(), {node: 0}
        for peer in hidden:
            # No peer can say whether they live: they leave the table, and soon.
            node.wait_down(peer, 0)
        report.note(f"down after {(time.monotonic_ns() - at) / 1e9:.1f} s")
        quiet([node], since, "isolated", "rejoined")


@play
def one_direction_is_cut(report: Report) -> None:
    """Host 1 does not hear host 2. All else is heard: the others corroborate."""
    with hub(5) as (lab, cast):
        peers = group(cast, lab.hosts)
        since = marks(peers)
        lab.tell("cut 2 1")
        time.sleep(20)
        quiet(peers, since, "down", "isolated", "rejoined")


def one_way_cuts(hosts: int) -> set[tuple[int, int]]:
    """One direction of half of the pairs. Between the two of a pair at least two others remain: the word of
    a single member counts for five timeouts only (docs/wire.md)."""
    everyone = range(1, hosts + 1)
    pairs = list(itertools.combinations(everyone, 2))[1::2]
    cuts = {pair if number % 2 else pair[::-1] for number, pair in enumerate(pairs)}
    for a, b in sorted(cuts):
        between = [it for it in everyone if it not in (a, b)]
        if sum((a, it) not in cuts and (it, b) not in cuts for it in between) < 2:
            cuts.discard((a, b))
    return cuts


@play
def one_direction_of_half_of_the_pairs_is_cut(report: Report) -> None:
    with hub(6) as (lab, cast):
        peers = group(cast, lab.hosts)
        since = marks(peers)
        cuts = one_way_cuts(6)
        report.note(f"{len(cuts)} of 15 pairs")
        for a, b in cuts:
            lab.tell(f"cut {a} {b}")
        time.sleep(30)
        quiet(peers, since, "down", "isolated", "rejoined")


@play
def half_of_the_hosts_begin_to_reject(report: Report) -> None:
    """No node dies: a refusal is no death."""
    with hub(6) as (lab, cast):
        peers = group(cast, lab.hosts)
        since = marks(peers)
        lab.tell("loss 10")
        for host in (4, 5, 6):
            lab.tell(f"reject {host}")
        time.sleep(25)
        report.note(f"refused {lab.tell('stat').get('rejected', 0)}")
        quiet(peers, since, "down", "isolated", "rejoined")


@play
def a_seed_that_refuses_never_shows(report: Report) -> None:
    with bridge(3) as (lab, cast):
        seeds = [it.address for it in lab.hosts[1:]]
        node = start(cast, lab.hosts[0], "n1", seeds=seeds)
        other = start(cast, lab.hosts[2], "n2")
        meet([node, other])
        for number in range(60):
            node.send(number)
            time.sleep(0.05)
        other.wait_messages(node, list(range(60)))
        node.down()
        assert len(node.seen("sent")) == 60
        assert not node.seen("error"), node.story


@play
def a_link_that_comes_back_is_told_once(report: Report) -> None:
    with hub(4) as (lab, cast):
        peers = group(cast, lab.hosts)
        since = marks(peers)
        lab.tell("cut 1")
        time.sleep(6)
        lab.tell("heal")
        time.sleep(8)
        first = peers[0]
        for kind in ("isolated", "rejoined"):
            assert len(first.seen(kind, since[first])) == 1, first.story
        quiet([first], since, "down")


@play
def an_address_that_changes_is_an_update(report: Report) -> None:
    """As DHCP does it: the new address at once, and no death."""
    with hub(3) as (lab, cast):
        first, second, third = peers = group(cast, lab.hosts)
        since = marks(peers)
        at = time.monotonic_ns()
        lab.ip(2, "addr", "del", "10.77.0.2/24", "dev", "eth0")
        lab.ip(2, "addr", "add", "10.77.0.222/24", "dev", "eth0")
        lab.ip(2, "route", "replace", "224.0.0.0/4", "dev", "eth0")
        update = first.wait_for(
            lambda event: event["ev"] == "update" and event["address"] == "10.77.0.222",
            "the new address",
            since[first],
        )
        report.note(f"told after {(update['t'] - at) / 1e9:.2f} s; the goal is 1 s")
        assert update["t"] - at < (1 + 2 * MARGIN) * 1e9
        time.sleep(3)
        quiet([first, third], since, "down", "conflict", "isolated")
