"""A group with an accident every half minute: each second, each node's table is compared with the truth.

CASTER_LONG=1 runs for twenty minutes. Accidents of one length fit into the period with the time that nodes have to notice.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import time
from pathlib import Path

import lab
from obstacles import skip
from peers import Cast, Peer, meet

OPTIONS = {"port": 23770, "heartbeat": 500, "timeout": 2000}
SECONDS = 1200 if os.environ.get("CASTER_LONG") else 60
PERIOD = 30
"""Seconds from one accident to the next."""
LASTS = 12
"""Seconds from an accident to its end."""
NOTICED = 7
"""Seconds after which a table has to be right: three timeouts, and one more for a machine with other work."""
KINDS = ("c", "c", "rust", "c", "rust", "c", "rust", "c")
STEADY = 2
"""So many of the first nodes have no accident: their memory and descriptors are watched."""
GROWTH = 256
"""KiB that a node may have more at the end than after a third: the memory of a node is constant."""


class Group:
    """The nodes, and since when the truth about each is what it is."""

    def __init__(self, network: lab.NamespaceLab, cast: Cast) -> None:
        self.network = network
        self.cast = cast
        self.lives = 0
        self.nodes = [self.start(place) for place in range(len(KINDS))]
        meet(self.nodes)
        self.reached = [True] * len(KINDS)
        self.since = [time.monotonic()] * len(KINDS)

    def start(self, place: int) -> Peer:
        """The node of a place; each life has an id of its own."""
        self.lives += 1
        return self.cast.start(KINDS[place], self.network.hosts[place], id=f"{place} life {self.lives}", **OPTIONS)

    def cable(self, place: int, state: str) -> None:
        command = ["ip", "link", "set", f"v{place + 1}", state]
        subprocess.run([*self.network.middle, *command], check=True, timeout=20)

    def begin(self, accident: str, place: int) -> None:
        node = self.nodes[place]
        if accident == "crash":
            node.crash()
        elif accident == "leave":
            node.end_input()
        elif accident == "pause":
            node.pause()
        else:
            self.cable(place, "down")
        self.now_is(place, False)

    def end(self, accident: str, place: int) -> None:
        if accident in ("crash", "leave"):
            self.nodes[place].wait_ended()
            self.nodes[place] = self.start(place)
        elif accident == "pause":
            self.nodes[place].resume()
        else:
            self.cable(place, "up")
        self.now_is(place, True)

    def now_is(self, place: int, reached: bool) -> None:
        self.reached[place] = reached
        self.since[place] = time.monotonic()

    def wrong(self) -> tuple[int, list[str]]:
        """How many entries were compared, and which of them are wrong."""
        compared, found = 0, []
        settled = [time.monotonic() - since > NOTICED for since in self.since]
        for place, node in enumerate(self.nodes):
            if not (self.reached[place] and settled[place]):
                continue
            told = {entry["id"] for entry in node.ask("nodes")}
            for other, peer in enumerate(self.nodes):
                if other == place or not settled[other]:
                    continue
                compared += 1
                if (peer.id in told) != self.reached[other]:
                    found.append(f"{node}: {peer} is {'not ' * (not self.reached[other])}there, its table has {sorted(told)}")
            strangers = told - {peer.id for peer in self.nodes}
            if all(settled) and strangers:
                found.append(f"{node}: {sorted(strangers)} are not there")
        return compared, found


def resources(peer: Peer) -> tuple[int, int]:
    """KiB of memory, and open descriptors."""
    process = Path(f"/proc/{peer._process.pid}")
    (resident,) = re.findall(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
    return int(resident), len(list((process / "fd").iterdir()))


def test_tables_are_the_truth_each_second() -> None:
    if not lab.detect().isolated:
        skip(f"it needs network namespaces: {lab.detect().reason}")
    seed = int(os.environ.get("CASTER_SEED", "1"))
    draw = random.Random(seed)
    network = lab.NamespaceLab(len(KINDS))
    compared, seconds, accidents = 0, 0, 0
    wrong: list[str] = []
    seen: list[list[tuple[int, int]]] = [[] for _ in range(STEADY)]
    current: tuple[str, int] | None = None
    try:
        with Cast(network) as cast:
            group = Group(network, cast)
            begin = time.monotonic()
            while (passed := time.monotonic() - begin) < SECONDS:
                if current is None and passed % PERIOD < LASTS:
                    current = (draw.choice(("crash", "leave", "pause", "cable")), draw.randrange(STEADY, len(KINDS)))
                    group.begin(*current)
                    accidents += 1
                elif current is not None and passed % PERIOD >= LASTS:
                    group.end(*current)
                    current = None
                number, found = group.wrong()
                compared += number
                wrong += [f"{passed:.0f} s, accident {current}: {it}" for it in found]
                for place in range(STEADY):
                    seen[place].append(resources(group.nodes[place]))
                seconds += 1
                time.sleep(max(0.0, begin + int(passed) + 1 - time.monotonic()))
            downs = [len(node.seen("down")) for node in group.nodes[:STEADY]]
    finally:
        network.close()
    third = seconds // 3
    memory = [(of[third][0], of[-1][0]) for of in seen]
    descriptors = [sorted({count for _, count in of[third:]}) for of in seen]
    figures = {
        "seed": seed,
        "seconds": seconds,
        "accidents": accidents,
        "entries": compared,
        "wrong": len(wrong),
        "downs": downs,
        "KiB after a third and at the end": memory,
        "descriptors": descriptors,
    }
    print(json.dumps(figures))
    assert not wrong, "\n".join([str(figures), *wrong[:20]])
    assert compared > seconds, figures
    assert all(last - first <= GROWTH for first, last in memory), figures
    assert all(len(counts) == 1 for counts in descriptors), figures
