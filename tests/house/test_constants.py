"""docs/wire.md names each constant of the protocol with its value and where it comes from."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = ROOT / "caster-core/src/protocol"

INTERNAL = {
    "budget::ROWS",
    "budget::WIDTH",
    "engine::AROUND_MESSAGE",
    "envelope::KNOWN_KEYS",
    "envelope::MAX_ESCAPED",
    "envelope::NOTHING",
    "index::BLANK",
    "index::FILLED",
    "index::PLACES",
    "known_sources::BITS",
    "membership::FIRST_LOOK",
    "membership::MAX_EARLY",
    "pieces::FIRST",
    "pieces::JSON",
    "pieces::LAST",
    "pieces::MESSAGES",
    "pieces::METADATA",
    "pieces::RANGE",
    "pieces::STREAMS",
    "pieces::VERSION",
}
"""Sizes of tables, and names of values that the format has anyway."""

DECLARED = re.compile(r"^(?:pub(?:\(\w+\))? )?const (\w+): [^=]+ = ([^;]+);", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+::\w+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def in_words(value: str) -> str:
    """A value as the table has it."""
    if value.startswith("["):
        return ", ".join(in_words(one) for one in re.findall(r"Duration::\w+\(\d+\)", value))
    value = value.strip().replace("_", "")
    if time := re.fullmatch(r"Duration::from(millis|secs)\((\d+)\)", value):
        return f"{int(time[2]):,} {'ms' if time[1] == 'millis' else 's'}"
    if size := re.fullmatch(r"(\d+) << 20", value):
        return f"{size[1]} MiB"
    if re.fullmatch(r"\d+", value):
        return f"{int(value):,}"
    return value.removesuffix(".0")


def declared() -> dict[str, str]:
    found = {}
    for file in PROTOCOL.rglob("*.rs"):
        # Sealed frames have a section of their own.
        if file.stem not in ("sealed", "tests"):
            code = file.read_text().split("#[cfg(test)]")[0]
            # A folder is one module, so that constants can move between its files.
            module = file.stem if file.parent == PROTOCOL else file.parent.name
            found |= {f"{module}::{name}": value for name, value in DECLARED.findall(code)}
    return found


def test_each_constant_of_the_protocol_has_its_value_and_its_reason() -> None:
    constants = declared()
    assert len(constants) > 100
    assert set(constants) >= INTERNAL
    wanted = {name: in_words(it) for name, it in constants.items() if name not in INTERNAL}
    rows = ROW.findall((ROOT / "docs/wire.md").read_text())
    assert {name: value.strip() for name, value, _ in rows} == wanted
    assert all(len(reason.split()) > 1 for *_, reason in rows)
