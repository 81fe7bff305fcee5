"""Every public name has a test: the functions of C, the names of Python and their members, the exports of Node.js.

The names come from the sources that declare them, so a new name fails here until a test uses it. Whether the test
is a good one is not checked.
"""

from __future__ import annotations

import ast
import pathlib
import re
from typing import Iterable, Iterator, List, Set, Tuple

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PYTHON = ROOT / "bindings" / "python" / "python" / "caster"
NODE = ROOT / "bindings" / "node"

TESTS = {
    "c": ["tests/c/*.[ch]"],
    "python": ["bindings/python/tests/*.py", "tests/interop/peers/*.py", "tests/networks/*.py"],
    "node": ["bindings/node/test/**/*.*s", "tests/interop/peers/*.js", "tests/networks/*.py"],
}


def words(language: str) -> Set[str]:
    """The words of all tests of a language. Strings count: option names are strings."""
    found: Set[str] = set()
    for pattern in TESTS[language]:
        for file in ROOT.glob(pattern):
            found.update(re.findall(r"[A-Za-z_$][\w$]*", file.read_text(encoding="utf-8")))
    return found


def c_names() -> Iterator[str]:
    text = (ROOT / "include" / "caster.h").read_text(encoding="utf-8")
    yield from sorted(set(re.findall(r"\b(caster_[a-z0-9_]+)\(", text)))


def is_public(name: str) -> bool:
    return not name.startswith("_")


def members(tree: ast.AST) -> Iterator[Tuple[str, ast.ClassDef]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            yield node.name, node


def defined(body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def python_names() -> Iterator[str]:
    """The names of `import caster`, and the public members of each public class, those of the native module included."""
    names: Set[str] = set()
    exported: Set[str] = set()
    for node in ast.walk(ast.parse((PYTHON / "__init__.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            exported.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            exported.add(node.name)
    names.update(name for name in exported if is_public(name) and name not in ("annotations",))
    public_modules = {"errors.py", "middleware.py", "testing.py"}
    # The keys of options and counters, in generated files, are tested from the tables of the core.
    files = [file for file in PYTHON.glob("*.py") if file.name not in ("options.py", "_stats.py")]
    for file in [*files, PYTHON / "_caster.pyi"]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if file.name in public_modules:
            names.update(name for name in defined(tree.body) if is_public(name) and name.isidentifier())
        for name, node in members(tree):
            if name in exported or file.name in public_modules:
                names.update(member for member in defined(node.body) if is_public(member))
    yield from sorted(names - {"TYPE_CHECKING"})


def node_names() -> Iterator[str]:
    """Exported values, not types, of the declarations, and the members of exported classes."""
    names: Set[str] = set()
    for file in ("index.d.ts", "testing.d.ts"):
        text = (NODE / file).read_text(encoding="utf-8")
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
        names.update(
            re.findall(r"export (?:declare |abstract )*(?:class|function|const) (\w+)", text)
        )
        for body in re.findall(r"\bclass \w+[^{]*\{(.*?)\n\}", text, flags=re.DOTALL):
            found = re.findall(r"^  (?:static |readonly |get |set )*([a-z]\w*)\??[<(:]", body, flags=re.MULTILINE)
            names.update(name for name in found if name != "constructor")
    yield from sorted(names)


NAMES = {"c": c_names, "python": python_names, "node": node_names}
EXPECTED_AT_LEAST = {"c": 100, "python": 80, "node": 35}


@pytest.mark.parametrize("language", NAMES)
def test_every_public_name_has_a_test(language: str) -> None:
    names: List[str] = list(NAMES[language]())
    assert len(names) >= EXPECTED_AT_LEAST[language], f"the list of names is not read right: {names}"
    tested = words(language)
    missing = [name for name in names if name not in tested]
    assert missing == [], f"{language}: no test uses {', '.join(missing)}"


def test_a_name_without_a_test_is_found() -> None:
    assert "caster_node_up" in words("c") and "caster_node_invented" not in words("c")
