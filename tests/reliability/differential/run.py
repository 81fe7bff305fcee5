#!/usr/bin/env python3
"""Compares us with the original, datagram by datagram: what is rejected, which node is up, which message came.

    run.py LIBCASTER [COUNT]        COUNT datagrams (10,000) on each runtime of the original

The exceptions are listed in EXCEPTIONS, each with its reason. Anything else that differs is a failure.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Any, Callable

import generate
import ours

ROOT = pathlib.Path(__file__).parents[3]
INTEROP = ROOT / "target/interop"
RUNTIMES = {"0.8.28": "binary", "4": "binary", "20": "utf8"}
SEED = 17


def inner(datagram: bytes) -> Any:
    """The JSON behind the digest, or None."""
    try:
        return json.loads(datagram[20:].decode("utf8", "replace"))
    except (ValueError, RecursionError):
        return None


def member(datagram: bytes, name: str) -> Any:
    said = inner(datagram)
    return said.get(name) if isinstance(said, dict) else None


def is_falsy(value: Any) -> bool:
    return value is None or value is False or value == 0 or value == ""


def plain(value: Any, old: bool) -> Any:
    """The value as JavaScript has it and a UTF-8 file can hold it. `old`: as V8 of Node.js 0.8 reads it."""
    if isinstance(value, str):
        return value.encode("utf16", "surrogatepass").decode("utf16", "replace")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
        return None if number in (float("inf"), float("-inf")) else number
    if isinstance(value, list):
        return [plain(item, old) for item in value]
    if isinstance(value, dict):
        items = ((plain(key, old), plain(item, old)) for key, item in value.items())
        return {key: item for key, item in items if not (old and key == "__proto__")}
    return value


def has_only_falsy_message_more(datagram: bytes, theirs: Any, our: Any) -> bool:
    return bool(our) and our[:-1] == theirs and our[-1][0] == "message" and is_falsy(our[-1][1])


def merged(value: Any) -> Any:
    """With one replacement character in place of several."""
    if isinstance(value, str):
        return re.sub("\ufffd+", "\ufffd", value)
    if isinstance(value, list):
        return [merged(item) for item in value]
    if isinstance(value, dict):
        return {merged(key): merged(item) for key, item in value.items()}
    return value


def is_utf8(datagram: bytes) -> bool:
    try:
        datagram[20:].decode("utf8")
        return True
    except UnicodeDecodeError:
        return False


EXCEPTIONS: list[tuple[str, Callable[[bytes, Any, Any], bool]]] = [
    ("a message that is null, false, 0 or \"\" is delivered: the original forgets it", has_only_falsy_message_more),
    (
        "an id that is an object or an array is refused: the original takes its text, as \"[object Object]\", or dies",
        lambda datagram, theirs, our: isinstance(member(datagram, "id"), (dict, list)) and our == [],
    ),
    (
        "a leave of a peer that is not up is ignored with its message: the original delivers that without a node",
        lambda datagram, theirs, our: not is_falsy(member(datagram, "suicide"))
        and our == []
        and [kind for kind, *_ in theirs] == ["message"],
    ),
    (
        "null in place of an object is refused: the original dies",
        lambda datagram, theirs, our: theirs == "dies" and our == [] and inner(datagram) is None,
    ),
    (
        "bytes that are no UTF-8: one replacement character each, as Node.js 0.8 and 4 have it; newer ones have fewer",
        lambda datagram, theirs, our: not is_utf8(datagram) and merged(theirs) == merged(our),
    ),
]
"""The differences that are meant, each with the reason."""


def reason(datagram: bytes, theirs: Any, our: Any) -> str | None:
    """Why the two may differ, or None. A falsy message may come on top of another reason."""
    without = our[:-1] if our and our[-1][0] == "message" and is_falsy(our[-1][1]) else our
    for name, applies in EXCEPTIONS:
        if applies(datagram, theirs, our) or applies(datagram, theirs, without):
            return name
    return None


def main() -> int:
    lib = ours.load(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    subprocess.run(["sh", str(ROOT / "tests/interop/runtimes.sh")], check=True)
    failed = 0
    for version, era in RUNTIMES.items():
        datagrams = generate.datagrams(SEED, count, era)
        with tempfile.TemporaryDirectory() as folder:
            given, got = pathlib.Path(folder, "datagrams"), pathlib.Path(folder, "results")
            given.write_bytes(b"".join(base64.b64encode(data) + b"\n" for data in datagrams))
            node = INTEROP / "runtimes" / version / "node"
            original = INTEROP / "original/node_modules/caster"
            subprocess.run(
                [str(node), str(pathlib.Path(__file__).with_name("original.js")), str(given), str(got)],
                env={**os.environ, "CASTER_ORIGINAL": str(original)}, check=True, stderr=subprocess.DEVNULL,
            )
            results = got.read_bytes().decode("utf8", "surrogatepass").split("\n")[:-1]
            assert len(results) == count
        theirs = [json.loads(line) for line in results]
        receiver = ours.Receiver(lib)
        tally: Counter[str] = Counter()
        for datagram, their in zip(datagrams, theirs):
            old = version.startswith("0.")
            our, their = plain(receiver.hear(datagram), old), plain(their, old)
            if our == their:
                tally["same: rejected" if our == [["reject"]] else "same: accepted" if our else "same: ignored"] += 1
                continue
            why = reason(datagram, their, our)
            if why is None:
                failed += 1
                if failed <= int(os.environ.get("SHOW", "10")):
                    print(f"{version}: {datagram[20:]!r}\n    original {their}\n    ours     {our}")
            tally[why or "DIFFERENT"] += 1
        print(f"original on Node.js {version}, {count} datagrams:")
        for name, number in sorted(tally.items()):
            print(f"  {number:7} {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
