"""The golden vectors, datagrams made by the original itself."""

from __future__ import annotations

import base64
import functools
import json
from typing import Any

from peers import ROOT


@functools.cache
def cases() -> dict[str, dict[str, Any]]:
    """All the cases by name."""
    path = ROOT / "tests/vectors/vectors.json"
    return {case["name"]: case for case in json.loads(path.read_text())["cases"]}


def made(name: str) -> bytes:
    """The datagram of a `node_tx` case on which all the runtimes agree."""
    (result,) = cases()[name]["results"]
    return base64.b64decode(result["wire_base64"])


def heard(name: str, step: int = 0) -> bytes:
    """A datagram given to the receiver in a `node_rx` case."""
    return base64.b64decode(cases()[name]["steps"][step]["wire_base64"])
