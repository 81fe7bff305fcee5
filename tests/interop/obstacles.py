"""What cannot be run here, and what becomes of the test then."""

from __future__ import annotations

import os

import pytest

import lab
from peers import ORIGINALS, Unavailable, command

Kinds = tuple[str, ...]


def skip(reason: str) -> None:
    """Skips a test; on CI, where everything has to be there, fails it."""
    if os.environ.get("CI"):
        pytest.fail(f"would be skipped: {reason}", pytrace=False)
    pytest.skip(reason)


def obstacle(kinds: Kinds) -> str | None:
    """Why these kinds of peers cannot meet here, if they cannot."""
    network = lab.detect()
    for kind in kinds:
        if kind in ORIGINALS and not network.isolated:
            return f"{kind} needs network namespaces: {network.reason}"
        try:
            command(kind)
        except Unavailable as error:
            return f"no {kind} peer: {error}"
    return None
