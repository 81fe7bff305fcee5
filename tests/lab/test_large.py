"""Messages of 60 kB on a network that loses packets."""

from __future__ import annotations

import time

import pytest

import figures
import lab
from obstacles import obstacle, skip
from scenarios import DEFAULTS, LONG, downs, hub, marks, meet

PORT = 17000
HOSTS = 10 if LONG else 2
ROUNDS = 6000 if LONG else 60
"""So many messages from each of two nodes, one each 100 ms: ten minutes in the long form."""

PAUSE = 0.1
TEXT = "x" * 60_000
SETTLE = 3.0
"""Longer than the second in which missing pieces are asked for."""


@pytest.mark.parametrize(("loss", "share"), [(1, 0.999), (10, 0.95)])
def test_large_messages_arrive_whole_or_are_counted(loss: int, share: float) -> None:
    if not lab.detect().isolated:
        skip(f"the lab needs network namespaces: {lab.detect().reason}")
    reason = obstacle(("rust",))
    if reason is not None:
        skip(reason)
    with hub(HOSTS, loss) as (network, cast):
        # The hub carries frames, and a virtual cable leaves the cutting of datagrams to its far end.
        for number in range(1, HOSTS + 1):
            network.ip(number, "link", "set", "eth0", "gso_max_segs", "1")
        peers = [
            cast.start("rust", host, id=f"large{n}", port=PORT, **DEFAULTS)
            for n, host in enumerate(network.hosts)
        ]
        for peer in peers:
            peer.wait_ready()
        meet(peers)
        time.sleep(1.0)
        network.tell(f"loss {loss}")
        before = marks(peers)
        senders = peers[:2]
        for number in range(ROUNDS):
            for peer in senders:
                peer.send([number, TEXT])
            time.sleep(PAUSE)
        network.tell("loss 0")
        time.sleep(SETTLE)
        sent = arrived = 0
        for peer in peers:
            for sender in senders:
                if sender is peer:
                    continue
                heard = [
                    event["message"]
                    for event in peer.seen("message", before[peer], id=sender.id)
                ]
                assert all(text == TEXT for _, text in heard), "whole or not at all"
                numbers = [number for number, _ in heard]
                assert len(set(numbers)) == len(numbers), "each once"
                sent += ROUNDS
                arrived += len(numbers)
            others = [other for other in peers if other is not peer]
            assert not downs(peer, others, before[peer]), peer.story
        stats = {peer: peer.stats() for peer in peers}
        incomplete = sum(counted["incomplete"] for counted in stats.values())
        repairs = sum(stats[peer]["repairsSent"] for peer in senders)
        figures.add(
            "Messages of 60 kB",
            **{"loss": f"{loss} %", "nodes": HOSTS, "sent": sent, "arrived": arrived},
            **{"incomplete": incomplete, "repairs": repairs, "false downs": 0},
        )
        assert arrived >= share * sent, f"{arrived} of {sent}"
        # All pieces of a message are lost rarely; every other failure is counted by its receiver.
        assert incomplete >= sent - arrived, f"{sent - arrived} lost, {incomplete} counted"
        assert repairs > 0 and all(stats[peer]["oversized"] == 0 for peer in peers)
