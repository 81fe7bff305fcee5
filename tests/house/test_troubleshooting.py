"""docs/troubleshooting.md has an entry for every hint, log record of the network, error code and counter.

The names come from the code of the core. If this test fails after a change there, the page needs a row.
"""

from __future__ import annotations

import pathlib
import re
from typing import Dict, Iterator, List, Set, Tuple

import pytest
from test_texts import rust_strings

ROOT = pathlib.Path(__file__).parents[2]
CORE = ROOT / "caster-core" / "src"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()

TEXTS_OF: Dict[str, List[Tuple[str, str]]] = {
    "rejected": [("protocol/foreign.rs", "note")],
    "push_hint": [("driver/hints.rs", "text")],
}
"""Functions that tell a hint whose text another function returns: that function and its file."""


def functions(code: str) -> Iterator[Tuple[str, str]]:
    """Name and body of each function of a Rust file that rustfmt has formatted, without its tests."""
    code = re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", code)[0]
    for match in re.finditer(r"^( *)(?:pub(?:\([^)]*\))? )?(?:const )?fn (\w+).*?^\1\}", code, re.M | re.S):
        yield match[2], match[0]


def sources() -> Iterator[Tuple[pathlib.Path, str]]:
    for path in sorted(CORE.rglob("*.rs")):
        if "tests" not in path.parts and path.name not in ("tests.rs", "fuzzing.rs"):
            yield path, path.read_text()


def sentences(body: str) -> Set[str]:
    """The strings of a function that are told to people, with `…` for values."""
    told = set()
    for text in rust_strings(body):
        text = " ".join(re.sub(r"\{[^{}]*\}", "…", text).split())
        if len(re.findall(r"[a-zA-Z]{2,}", text)) >= 3:
            told.add(text)
    return told


def hints() -> Dict[str, Set[str]]:
    """The texts of hints by the function that tells them."""
    found: Dict[str, Set[str]] = {}
    for path, code in sources():
        for name, body in functions(code):
            # A pattern of a match has an arrow or an equals sign behind it.
            if re.search(r"Event::Hint\((?!\w+\)\s*(?:=>|=|\|))(?!_\))", body):
                texts = sentences(body)
                for file, provider in TEXTS_OF.get(name, []):
                    of_file = dict(functions((CORE / file).read_text()))
                    texts |= sentences(of_file[provider])
                found[f"{path.relative_to(CORE)}: {name}"] = texts
    return found


def records() -> Set[str]:
    """The warnings and errors that the driver writes to the log."""
    found = set()
    for _, code in sources():
        for match in re.finditer(r"\b(?:warn|error)!\((.*?)\);", code, re.S):
            found |= sentences(match[1])
    return found


def codes() -> List[str]:
    return re.findall(r'^ {4}\w+ = \d+, "([A-Z_]+)"', (CORE / "error.rs").read_text(), re.M)


def counters() -> Set[str]:
    code = (CORE / "stats.rs").read_text()
    listed = set(re.findall(r'^ {16}(?:\w+, )+"(\w+)";', code, re.M))
    body = dict(functions(code))["to_json"]
    return listed | set(re.findall(r'"(\w+)\\":[{[]', body))


def test_the_code_is_read() -> None:
    """Codes that exist for certain are found: an empty list is not taken for a complete page."""
    assert {"NOT_UP", "FORKED", "INVALID_OPTION"} <= set(codes()) and len(codes()) >= 18
    wanted = {"received", "accepted", "dropped", "foreign", "sendErrors", "copy", "notJson"}
    assert wanted <= counters(), wanted - counters()
    texts = set().union(*hints().values())
    assert "own heartbeats do not come back" in texts
    assert "it sends without a digest: is the option hash off there?" in texts
    assert any(text.startswith("getifaddrs failed") for text in records())


@pytest.mark.parametrize("place", sorted(hints()))
def test_every_hint_has_an_entry(place: str) -> None:
    texts = hints()[place]
    assert texts, f"{place} tells a hint whose text is not found; add its source to TEXTS_OF"
    missing = [text for text in texts if f"| `{text}` |" not in PAGE]
    assert not missing, f"docs/troubleshooting.md has no row for {missing}"


def test_every_record_of_the_log_has_an_entry() -> None:
    missing = [text for text in records() if f"| `{text}` |" not in PAGE]
    assert not missing, f"docs/troubleshooting.md has no row for {missing}"


@pytest.mark.parametrize("name", [*codes(), *sorted(counters())])
def test_every_error_code_and_counter_has_an_entry(name: str) -> None:
    assert f"| `{name}` |" in PAGE, f"docs/troubleshooting.md has no row for {name}"


def test_every_entry_is_still_in_the_code() -> None:
    rows = set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.M))
    known = {*codes(), *counters(), *records(), *set().union(*hints().values())}
    assert rows <= known, f"docs/troubleshooting.md has rows without code: {rows - known}"
