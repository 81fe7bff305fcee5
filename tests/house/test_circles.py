"""The modules of the bindings import each other in one direction. The core has caster-core/tests/layers.rs."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RUST = r"\bcrate::(?:(\w+)|\{([^;]*)\};)"
PYTHON = r"^(?:from \.(\w*) import (.+)|import caster\.(\w+))"
NODE = r"\brequire\('\./([\w-]+)'\)"


def circle(imports: dict[str, Iterable[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter({name: set(of) & imports.keys() - {name} for name, of in imports.items()}).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def imports_of(text: str, pattern: str) -> set[str]:
    """The names after the keyword of an import; of Python only those that run when the module is loaded."""
    groups = (group for found in re.finditer(pattern, text, re.MULTILINE) for group in found.groups() if group)
    return {name for group in groups for name in re.findall(r"[\w-]+", group)}


@pytest.mark.parametrize(
    ("folder", "suffix", "pattern"),
    [
        ("bindings/python/src", ".rs", RUST),
        ("bindings/node/src", ".rs", RUST),
        ("bindings/python/python/caster", ".py", PYTHON),
        ("bindings/node/lib", ".js", NODE),
    ],
)
def test_no_circle(folder: str, suffix: str, pattern: str) -> None:
    files = sorted((ROOT / folder).glob(f"*{suffix}"))
    assert len(files) > 5
    # The face of a folder is no module that others may import.
    faces = {"lib", "__init__", "index"}
    texts = {file.stem: file.read_text() for file in files if file.stem not in faces}
    assert circle({name: imports_of(text, pattern) for name, text in texts.items()}) == []


def test_circles_are_found() -> None:
    assert circle({"a": ["b"], "b": ["c"], "c": []}) == []
    assert set(circle({"a": ["b"], "b": ["c"], "c": ["a"]})) == {"a", "b", "c"}
    assert imports_of("use crate::c::D;\ncrate::e::f();", RUST) == {"c", "e"}
    assert imports_of("use crate::{a, b::{C, D}};", RUST) >= {"a", "b"}
    assert imports_of("from . import a, b\nfrom ._c import D\nif X:\n    from ._e import F", PYTHON) >= {"a", "b", "_c"}
    assert imports_of("const { a } = require('./b-c');\nrequire('node:fs');", NODE) == {"b-c"}
