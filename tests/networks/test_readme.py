"""The table of README.md names each test of this folder, and no other."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_the_table_has_each_test() -> None:
    here = [it for it in HERE.glob("test_*.py") if it.name != Path(__file__).name]
    tests = {name for it in here for name in re.findall(r"^def (test_\w+)", it.read_text(), re.MULTILINE)}
    named = set(re.findall(r"`(test_\w+)`", (HERE / "README.md").read_text()))
    assert named == tests
