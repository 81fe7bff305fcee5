"""Messages of 60 kB and metadata of 8 KB on a network that loses packets."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

import figures
import lab
from hublab import HubLab
from obstacles import obstacle, skip
from peers import ORIGINALS, Cast, Peer
from scenarios import DEFAULTS, LONG, NEW, downs, hub, marks, meet, ours

PORT = 17000
HOSTS = 10 if LONG else 2
SECONDS = 600 if LONG else 5
"""Two nodes send all this time."""

TEXT = "x" * 60_000
PADDING = "m" * 8_000
META_EVERY = 1.0
SETTLE = 2.0
"""Longer than the second in which missing pieces are asked for."""


@pytest.fixture(autouse=True)
def needs() -> None:
    if not lab.detect().isolated:
        skip(f"the lab needs network namespaces: {lab.detect().reason}")
    reason = obstacle(("rust", NEW))
    if reason is not None:
        skip(reason)


@dataclass
class Outcome:
    """Of the messages that two nodes sent to all others."""

    sent: int = 0
    arrived: int = 0
    downs: list[Any] = field(default_factory=list)
    """Of Caster nodes by Caster nodes, while all were alive."""
    stats: dict[Peer, dict[str, Any]] = field(default_factory=dict)
    overflowed: int = 0
    """Frames for which the hub had no room."""

    def sum(self, name: str) -> int:
        return sum(int(counted[name]) for counted in self.stats.values())

    def row(self, loss: int, **more: Any) -> None:
        figures.add(
            "Messages of 60 kB, metadata of 8 KB",
            **{"loss": f"{loss} %", **more, "sent": self.sent, "arrived": self.arrived},
            **{"share": f"{self.arrived / self.sent:.2%}", "incomplete": self.sum("incomplete")},
            **{"repairs": self.sum("repairsSent"), "NACKs": self.sum("nacksSent")},
            **{"kernel drops": self.sum("kernelDrops"), "hub drops": self.overflowed},
            **{"false downs": len(self.downs)},
        )


def start(network: HubLab, cast: Cast, kinds: list[str]) -> list[Peer]:
    # The hub carries frames, and a virtual cable leaves the cutting of datagrams to its far end.
    for number in range(1, len(kinds) + 1):
        network.ip(number, "link", "set", "eth0", "gso_max_segs", "1")
    # Heartbeats of an original are full ones, and have to fit into a packet.
    meta = {kind: None if kind in ORIGINALS else meta_of(0) for kind in kinds}
    peers = [
        cast.start(kind, host, id=f"large{n}", port=PORT, meta=meta[kind], **DEFAULTS)
        for n, (kind, host) in enumerate(zip(kinds, network.hosts, strict=True))
    ]
    for peer in peers:
        peer.wait_ready()
    meet(peers)
    time.sleep(1.0)
    return peers


def meta_of(number: int) -> list[Any]:
    return [number, PADDING]


def last_meta(peer: Peer, other: Peer) -> Any:
    events = [event for event in peer.events if event["ev"] in ("up", "update")]
    return next(event["meta"] for event in reversed(events) if event["id"] == other.id)


def share_text(peer: Peer, since: int) -> int:
    """Lets the events of a peer share the text, which is the same in all: ten minutes of it are gigabytes."""
    until = peer.mark()
    for event in peer.events[since:until]:
        if event["ev"] == "message" and event["message"][1] == TEXT:
            event["message"][1] = TEXT
    return until


def talk(network: HubLab, peers: list[Peer], loss: int, rate: float) -> Outcome:
    """Two nodes send so many messages a second each; the metadata of all Caster nodes changes."""
    result, before = Outcome(), marks(peers)
    own, senders = ours(peers), ours(peers)[:2]
    network.tell(f"loss {loss}")
    rounds, metas, kept = int(SECONDS * rate), 0, dict(before)
    began = time.monotonic()
    for number in range(rounds):
        for peer in senders:
            peer.send([number, TEXT])
        if time.monotonic() >= began + metas * META_EVERY:
            metas += 1
            for peer in own:
                kept[peer] = share_text(peer, kept[peer])
                peer.tell(f"meta {json.dumps(meta_of(metas))}")
        time.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
    network.tell("loss 0")
    time.sleep(SETTLE)
    for peer in own:
        for sender in senders:
            if sender is peer:
                continue
            heard = [event["message"] for event in peer.seen("message", before[peer], id=sender.id)]
            assert all(text == TEXT for _, text in heard), "whole or not at all"
            numbers = [number for number, _ in heard]
            assert len(set(numbers)) == len(numbers), "each once"
            result.sent += rounds
            result.arrived += len(numbers)
        result.downs += downs(peer, [other for other in own if other is not peer], before[peer])
        for other in own:
            if other is not peer:
                peer.wait_until(
                    lambda other=other, peer=peer: last_meta(peer, other) == meta_of(metas),  # type: ignore[misc]
                    f"the last metadata of {other}",
                )
    result.stats = {peer: peer.stats() for peer in own}
    result.overflowed = network.tell("stat")["overflowed"]
    return result


# In the short form one of a hundred may be lost: a process that does not run for a second has lost what it has missed.
@pytest.mark.parametrize(("loss", "share"), [(1, 0.999 if LONG else 0.99), (10, 0.95)])
def test_large_messages_arrive_whole_or_are_counted(loss: int, share: float) -> None:
    with hub(HOSTS, loss) as (network, cast):
        peers = start(network, cast, ["rust"] * HOSTS)
        result = talk(network, peers, loss, rate=10)
    result.row(loss, nodes=HOSTS, originals=0)
    assert not result.downs
    assert result.arrived >= share * result.sent, f"{result.arrived} of {result.sent}"
    # All pieces of a message are lost rarely; every other failure is counted by its receiver.
    lost = result.sent - result.arrived
    assert result.sum("incomplete") >= lost, f"{lost} lost, {result.sum('incomplete')} counted"
    assert result.sum("repairsSent") > 0 and result.sum("nacksSent") > 0
    assert result.sum("oversized") == 0 and result.sum("reassemblyFailures") == 0


def test_an_original_in_sight_costs_messages_and_no_peer() -> None:
    """Large datagrams are IP fragments then, and those that miss one fill the memory of the hosts."""
    loss = 1
    with hub(HOSTS + 1, loss) as (network, cast):
        peers = start(network, cast, ["rust"] * HOSTS + [NEW])
        before = marks(ours(peers))
        result = talk(network, peers, loss, rate=10 if LONG else 50)
        blamed = [event for peer, mark in before.items() for event in downs(peer, peers[-1:], mark)]
    result.row(loss, nodes=HOSTS, originals=1)
    assert not result.downs and not blamed
    assert result.arrived < 0.9 * result.sent, "one lost fragment loses the message"
    for peer, counted in result.stats.items():
        assert counted["reassemblyFailures"] > 0, f"the failures at {peer} are counted"
        assert counted["oversized"] > 0 or peer not in ours(peers)[:2]
    hints = [event["text"] for event in peers[0].seen("hint")]
    assert sum("IP fragments" in text for text in hints) == 1, hints
