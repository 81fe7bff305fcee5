"""Datagrams that no peer should send, each with the counter that it increments."""

from __future__ import annotations

import random
from dataclasses import dataclass

import vectors
import wire

FOREIGN_SECRET = "another secret"
DEEP = 30_000


@dataclass(frozen=True)
class Hostile:
    """A datagram, the reason for which a Caster peer drops it, and its effect on originals."""

    name: str
    datagram: bytes
    reason: str
    lethal: bool = False


def garbage(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def unverifiable() -> list[Hostile]:
    """Datagrams whose digest is missing, cut or wrong."""
    valid = wire.heartbeat("cut", {"some": "metadata"})
    foreign_key = vectors.made("node_tx/heartbeat/crypto_key")
    return [
        Hostile("an empty datagram", b"", "truncated"),
        Hostile("three stray bytes", garbage(3), "truncated", lethal=True),
        Hostile("a byte less than a digest", garbage(19), "truncated", lethal=True),
        Hostile("garbage", garbage(100), "hash", lethal=True),
        Hostile("much garbage", garbage(wire.MAX_DATAGRAM), "hash", lethal=True),
        Hostile("half a digest", valid[:10], "truncated", lethal=True),
        Hostile("a digest and nothing else", valid[:20], "hash", lethal=True),
        Hostile("a byte too few", valid[:-1], "hash", lethal=True),
        Hostile("a byte too many", valid + b" ", "hash", lethal=True),
        Hostile("no digest", valid[20:], "hash", lethal=True),
        Hostile(
            "a foreign secret",
            wire.heartbeat("foreign", secret=FOREIGN_SECRET),
            "hash",
            lethal=True,
        ),
        Hostile(
            "a leave under a foreign secret",
            wire.goodbye("fellow", secret=FOREIGN_SECRET),
            "hash",
            lethal=True,
        ),
        Hostile("a foreign key", foreign_key, "hash", lethal=True),
        *(
            Hostile(f"garbage {seed}", garbage(20 + 31 * seed, seed), "hash")
            for seed in range(40)
        ),
    ]


def verifiable() -> list[Hostile]:
    """Datagrams with a valid digest around something odd."""
    sealed = [
        ("null", b"null", "notAnObject"),
        ("an array", b"[]", "notAnObject"),
        ("an array of an object", b'[{"id":"a"}]', "notAnObject"),
        ("a number", b"5", "notAnObject"),
        ("a string", b'"id"', "notAnObject"),
        ("true", b"true", "notAnObject"),
        ("nothing", b"", "notJson"),
        ("bytes", bytes(range(128, 160)), "notJson"),
        ("half an object", b'{"id":"half"', "notJson"),
        ("no id", b'{"meta":1}', "noId"),
        ("an inherited id", b'{"__proto__":{"id":"heir"}}', "noId"),
        ("an object as id", b'{"id":{"toString":1}}', "badId"),
        ("an empty object as id", b'{"id":{}}', "badId"),
        ("an array as id", b'{"id":["a"]}', "badId"),
        ("an id of 256 bytes", b'{"id":"' + b"x" * 256 + b'"}', "badId"),
        ("deep metadata", b'{"id":"deep","meta":%s}' % nested(DEEP), "tooDeep"),
        ("a deep message", b'{"id":"deep","message":%s}' % nested(DEEP), "tooDeep"),
        ("a deep unknown key", b'{"id":"deep","else":%s}' % nested(DEEP), "tooDeep"),
    ]
    lethal = ("null", "an object as id")
    return [
        Hostile(name, wire.seal(payload), reason, name in lethal)
        for name, payload, reason in sealed
    ]


def undecryptable() -> list[Hostile]:
    """For a node with the default key: datagrams it cannot decrypt or verify."""
    valid = vectors.made("node_tx/down/crypto")
    no_digest = vectors.made("node_tx/heartbeat/crypto_1_no_hash")
    return [
        Hostile("an empty datagram", b"", "decrypt"),
        Hostile("a block less a byte", garbage(15), "decrypt", lethal=True),
        Hostile("a plain heartbeat", wire.heartbeat("plain"), "decrypt", lethal=True),
        Hostile("a byte too few", valid[:-1], "decrypt", lethal=True),
        Hostile("a block too few", valid[:-16], "decrypt", lethal=True),
        Hostile("a byte too many", valid + b"\0", "decrypt", lethal=True),
        Hostile(
            "a foreign key",
            vectors.made("node_tx/heartbeat/crypto_key"),
            "decrypt",
            lethal=True,
        ),
        Hostile("the right key, no digest", no_digest, "hash", lethal=True),
        *(
            Hostile(f"garbage {seed}", garbage(33 + 32 * seed, seed), "decrypt")
            for seed in range(20)
        ),
    ]


MAGIC_IDS = ("hasOwnProperty", "__proto__", "constructor", "toString", "valueOf")
"""Strings like any other, unless looked up in a JavaScript object."""
