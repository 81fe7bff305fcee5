"""A flood of new ids and of junk: memory is bounded, peers stay up, newcomers are seen, and each datagram is counted.

CASTER_LONG=1 sends for a minute, and up to a million ids.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import lab
from obstacles import skip
from peers import Cast, Peer, matches, meet, processor_time

HERE = Path(__file__).parent
PORT = 23760
OPTIONS = {"port": PORT, "heartbeat": 500, "timeout": 10_000}
SECONDS = 60 if os.environ.get("CASTER_LONG") else 8
IDS = 1_000_000
MEMORY = 64 << 10
"""How many KiB a flood may take."""


def most_memory(peer: Peer) -> int:
    """The most KiB that a peer has had."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{peer._process.pid}/status").read_text())
    return int(found)


def test_a_flood_of_ids_and_junk() -> None:
    if not lab.detect().isolated:
        skip(f"it needs network namespaces: {lab.detect().reason}")
    network = lab.NamespaceLab(4)
    try:
        with Cast(network) as cast:
            victim = cast.start("c", network.hosts[0], id="victim", **OPTIONS)
            friend = cast.start("c", network.hosts[1], id="friend", **OPTIONS)
            meet([victim, friend])
            before, used = most_memory(victim), processor_time(victim)
            command = [*network.hosts[3].prefix, sys.executable, HERE / "flooder.py", str(PORT), str(SECONDS), str(IDS)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flooder:
                time.sleep(SECONDS / 3)
                newcomer = cast.start("c", network.hosts[2], id="newcomer", **OPTIONS)
                told, _ = flooder.communicate(timeout=SECONDS + 120)
            sent = json.loads(told)
            victim.wait_up(newcomer)
            friend.wait_up(newcomer)
            grown, used = most_memory(victim) - before, processor_time(victim) - used
            victim.send("still here")
            friend.wait_for(lambda event: matches(event, "message", {"id": "victim"}), "the message of the victim")
            stats = victim.stats()
            figures = (
                f"{sent['ids']} ids and {sent['junk']} junk datagrams in {SECONDS} s; received {stats['received']}, "
                f"dropped by the system {stats['kernelDrops']}; {grown} KiB; {used:.1f} s of a processor"
            )
            print(figures)
            assert grown <= MEMORY, figures
            # Drops of the system on the way to the socket have no counter.
            assert stats["received"] + stats["kernelDrops"] > 0.9 * (sent["ids"] + sent["junk"]), figures
            for peer, other in ((victim, friend), (friend, victim)):
                assert not peer.seen("down", id=other.id), (figures, str(peer))
            # The heartbeats of the flood are accepted up to the limits, and refused by name beyond.
            counted = {why: count for why, count in stats["dropped"].items() if count}
            assert counted.get("hash", 0) > 0 and len(counted) > 1, (figures, counted)
    finally:
        network.close()
