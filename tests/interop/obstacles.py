"""Tests that cannot run on this system: they are skipped, or fail on CI."""

from __future__ import annotations

import os

import pytest

import lab
from peers import ORIGINALS, Unavailable, command

Kinds = tuple[str, ...]


def skip(reason: str) -> None:
    """Skips a test; with `CI` set, fails it."""
    if os.environ.get("CI"):
        pytest.fail(f"would be skipped: {reason}", pytrace=False)
    pytest.skip(reason)


def obstacle(kinds: Kinds) -> str | None:
    """The reason for which these kinds of peers cannot meet here, or None."""
    network = lab.detect()
    for kind in kinds:
        if kind in ORIGINALS and not network.isolated:
            return f"{kind} needs network namespaces: {network.reason}"
        try:
            command(kind)
        except Unavailable as error:
            return f"no {kind} peer: {error}"
    return None
