"""The cost of one datagram: a group its bandwidth, a node its time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import wire
from arena import ATTACKER, DEFAULTS, HOSTS, Arena, Attacker, Envelope, Place, processor_time
from peers import Cast, Peer
from test_attacks import SEEN, needs_namespaces

NODES = 100
WINDOW = 5.0
"""Over so many seconds a datagram's cost is counted."""
BEYOND_THE_USUAL = 20

SIZE = 60_000
TIMES = 150
DEARER = 2.0
"""A byte of any datagram costs at most so many times that of a plain heartbeat."""


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    needs_namespaces()
    arena = Arena()
    try:
        yield arena
    finally:
        arena.close()


# In a group of a hundred.


class Hundred:
    def __init__(self, arena: Arena, cast: Cast) -> None:
        self.arena = arena
        self.port = 21000
        self.attacker = Attacker(cast, arena.lab.hosts[ATTACKER - 1], self.port, True)
        self.peers: list[Peer] = []
        for number in range(NODES):
            host = arena.lab.hosts[number % (HOSTS - 1)]
            options = DEFAULTS | {"id": f"n{number}", "port": self.port}
            self.peers.append(cast.start("rust", host, **options))
            time.sleep(0.01)
        for peer in self.peers:
            peer.wait_ready()
            peer.wait_until(
                lambda: len(peer.seen("up")) >= NODES - 1, "to see all the others"
            )
        time.sleep(5)

    def sent(self) -> int:
        counted = self.arena.tap.read()
        return sum(
            it.datagrams
            for it in counted
            if it.address.startswith("224.") and it.port == self.port and it.host != 4
        )

    def window(self) -> int:
        before = self.sent()
        time.sleep(WINDOW)
        return self.sent() - before

    def place(self, peer: Peer) -> tuple[Place, Envelope]:
        heard = self.attacker.heard(peer.host)
        return [(p, e) for p, _, e in heard if e["id"] == peer.id and "meta" in e][-1]


def single_datagrams(group: Hundred) -> Iterator[tuple[str, Envelope, Place | None]]:
    """Each kind of statement once, from the place at which it costs most."""
    member = group.peers[7]
    place, beat = group.place(member)
    other, _ = group.place(group.peers[8])
    caster = beat["caster"]
    incarnation = {"b": caster["b"]}
    stranger: Envelope = {"id": "once", "meta": None}
    yield "a plain heartbeat of a new id", stranger, None
    yield "a heartbeat of a new id", stranger | {"id": "two", "caster": {"b": 1, "h": 1000}}, None
    yield "a message of a new id", {"id": "three", "message": 1}, None
    yield "a leave without proof", {"id": member.id, "suicide": True, "caster": incarnation}, place
    yield "a leave from elsewhere", {"id": member.id, "suicide": True, "caster": incarnation}, None
    names = [f"n{number}" for number in range(32)]
    probe = {"b": 5, "h": 1000, "p": names}
    yield "a probe for 32 members", stranger | {"id": "four", "caster": probe}, None
    heard = {"b": 6, "h": 1000, "v": [[name, 0] for name in names]}
    yield "a corroboration of 32", stranger | {"id": "five", "caster": heard}, None
    listed = {"b": 7, "h": 1000, "k": [f"10.77.0.{100 + n}:30100" for n in range(32)]}
    yield "an address list", stranger | {"id": "six", "caster": listed}, None
    restart = beat | {"caster": caster | {"b": 99, "n": 0}}
    yield "a restart from elsewhere", restart, None
    moved = beat | {"caster": caster | {"n": caster.get("n", 0) + 1}}
    yield "a heartbeat from elsewhere", moved, other
    yield "a capability", beat | {"caster": caster | {"c": 15}}, None


def test_one_datagram_in_a_group_of_a_hundred(arena: Arena) -> None:
    with Cast(arena.lab) as cast:
        group = Hundred(arena, cast)
        usual = max(group.window() for _ in range(3))
        SEEN.append(f"      a group of {NODES}: {usual} datagrams in {WINDOW:.0f} s")
        dear = []
        for what, envelope, source in single_datagrams(group):
            data = wire.seal(wire.to_json(envelope))
            group.attacker.send(data, (wire.GROUP, group.port), source)
            beyond = group.window() - usual
            outcome = "holds" if beyond <= BEYOND_THE_USUAL else "FAILS"
            SEEN.append(f"{outcome} {what}: {beyond:+} datagrams in {WINDOW:.0f} s")
            if beyond > BEYOND_THE_USUAL:
                dear.append((what, beyond))
            # Until what it has caused is over.
            time.sleep(3)
        assert not dear, dear


# The time of one node.


def filled(start: str, entry: str, end: str, size: int = SIZE) -> bytes:
    """A payload of this size, of as many entries as that takes."""
    count = (size - len(start) - len(end)) // (len(entry) + 1)
    return (start + ",".join([entry] * count) + end).encode()


NESTED = "[" * 400 + "]" * 400
LONG = {
    "probes": filled('{"id":"x","caster":{"b":1,"p":[', '"a"', "]}}"),
    "corroborations": filled('{"id":"x","caster":{"b":1,"v":[', '["a",1]', "]}}"),
    "addresses": filled('{"id":"x","caster":{"b":1,"k":[', '"10.0.0.1:10101"', "]}}"),
    "escapes": filled('{"id":"x","caster":{"b":1,"p":[', '"\\u0061\\u0062"', "]}}"),
    "nesting": filled('{"id":"x","caster":{"b":1,"z":[', NESTED, "]}}"),
    "unknown keys": filled('{"id":"x","caster":{"b":1,', '"z":1', "}}"),
}
PLAIN_SIZE = 8_000
PLAIN = filled('{"id":"x","meta":[', '{"unit":"C","value":21.5,"ok":true}', "]}", PLAIN_SIZE)
"""A heartbeat with ordinary metadata, nearly as much as is accepted by default."""


def cost(arena: Arena, attacker: Attacker, node: Peer, port: int, payload: bytes) -> float:
    """Nanoseconds of processor time that a byte takes the node."""
    data = wire.seal(payload)
    received = node.stats()["received"]
    before = processor_time(node)
    to = (node.host.address, port)
    attacker.send(data, to, times=TIMES, pause=0.002)
    time.sleep(0.2)
    spent = processor_time(node) - before
    came = node.stats()["received"] - received
    assert came >= TIMES * 0.9, f"{came} of {TIMES} came"
    return spent / came / len(data)


def test_a_byte_of_a_long_extension_is_no_dearer(arena: Arena) -> None:
    with Cast(arena.lab) as cast:
        port = 21001
        attacker = Attacker(cast, arena.lab.hosts[ATTACKER - 1], port, True)
        node = cast.start("rust", arena.lab.hosts[0], **DEFAULTS | {"id": "V", "port": port})
        node.wait_ready()

        def least(payload: bytes) -> float:
            return min(cost(arena, attacker, node, port, payload) for _ in range(3))

        plain = least(PLAIN)
        SEEN.append(f"      a byte of a plain heartbeat: {plain:.2f} ns")
        dear = []
        for name, payload in LONG.items():
            ratio = least(payload) / plain
            outcome = "holds" if ratio <= DEARER else "FAILS"
            SEEN.append(f"{outcome} a byte of {name}: {ratio:.2f} ×")
            if ratio > DEARER:
                dear.append((name, ratio))
        assert not dear, dear
