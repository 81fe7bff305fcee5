"""Datagrams for the comparison with the original: valid ones, and the same broken in one place."""

from __future__ import annotations

import hashlib
import json
import random

SECRET = b'9ve2cND;d3"Vs'

WORDS = ["a", "node", "x" * 40, "grün", "日本", "😀", "\u0000", "\u2028", '"', "\\", "/", " ", "__proto__", "constructor",
         "hasOwnProperty", "1", "0", "null", "\u007f", "\ufeff", "é", "\ud800"]
NUMBERS = ["0", "-0", "1", "-1", "1.5", "1e3", "1E-7", "1e400", "-1e400", "9007199254740993", "123456789012345678901234567890",
           "0.1", "1e21", "5e-324"]
BROKEN = ["01", "+1", "1.", ".5", "NaN", "Infinity", "undefined", "'a'", "{a:1}", "[1,]", '{"a":1,}', "tru", "\"\t\"", '"\\x41"',
          '"\\u12"', "[1", "{", "}", "", " ", "//", "/**/1", "\ufeff{}"]


def string(rng: random.Random) -> str:
    """A JSON string, with or without escapes."""
    word = "".join(rng.choice(WORDS) for _ in range(rng.choice([1, 1, 1, 2, 3])))
    if rng.random() < 0.5 or "\ud800" in word:
        return json.dumps(word)
    return json.dumps(word, ensure_ascii=False)


def value(rng: random.Random, depth: int = 0) -> str:
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return "null"
    if kind == 1:
        return rng.choice(["true", "false"])
    if kind == 2:
        return rng.choice(NUMBERS)
    if kind <= 5:
        return string(rng)
    pad = rng.choice(["", "", " ", "\n\t"])
    if kind == 6:
        return "[" + pad + ("," + pad).join(value(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    members = (string(rng) + pad + ":" + value(rng, depth + 1) for _ in range(rng.randrange(4)))
    return "{" + pad + ("," + pad).join(members) + pad + "}"


def envelope(rng: random.Random) -> str:
    """A message as a node sends it, or nearly."""
    members = []
    chance = rng.random()
    if chance < 0.9:
        members.append(('"id"', string(rng) if chance < 0.75 else value(rng)))
    if rng.random() < 0.6:
        members.append(('"meta"', value(rng)))
    if rng.random() < 0.5:
        members.append(('"message"', value(rng)))
    if rng.random() < 0.15:
        members.append(('"suicide"', rng.choice(["true", "true", "false", "1", "0", "null", '""', '"a"', "[]"])))
    if rng.random() < 0.1:
        members.append((string(rng), value(rng)))
    if rng.random() < 0.05 and members:
        members.append(rng.choice(members))
    rng.shuffle(members)
    pad = rng.choice(["", "", "", " ", "\r\n"])
    return pad + "{" + pad + ("," + pad).join(f"{key}{pad}:{pad}{text}" for key, text in members) + pad + "}" + pad


def content(rng: random.Random) -> bytes:
    chance = rng.random()
    if chance < 0.75:
        text = envelope(rng)
    elif chance < 0.85:
        text = value(rng)
    else:
        text = rng.choice(BROKEN) if rng.random() < 0.5 else '{"id":"a","message":' + rng.choice(BROKEN) + "}"
    data = text.encode("utf8", "surrogatepass")
    if rng.random() < 0.1 and data:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    return data


def sealed(data: bytes, era: str) -> bytes:
    hashed = data.decode("latin-1").encode("utf8") if era == "utf8" else data
    return hashlib.sha1(SECRET + hashed).digest() + data


def datagram(rng: random.Random, era: str) -> bytes:
    data = sealed(content(rng), era)
    chance = rng.random()
    if chance < 0.85:
        return data
    if chance < 0.88:
        return data[: rng.randrange(len(data))]
    if chance < 0.91:
        return data + bytes([rng.randrange(256)])
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def datagrams(seed: int, count: int, era: str) -> list[bytes]:
    rng = random.Random(f"{seed} {era}")
    return [datagram(rng, era) for _ in range(count)]
