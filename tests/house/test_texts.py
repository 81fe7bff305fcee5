"""No binding repeats a text of the core: error texts stand once, in caster-core.

The strings of the core that are sentences are compared with those of the bindings. Placeholders are
equal whether or not they have names, so `message {index}: {}`, `message {place}: {error}` and
`message ${at}: ${text}` are the same text. Comments and docstrings do not count; tests do not either.
"""

from __future__ import annotations

import ast
import pathlib
import re
from typing import Dict, Iterator, List, Tuple

import pytest

ROOT = pathlib.Path(__file__).parents[2]
CORE = ROOT / "caster-core" / "src"
BINDINGS = {
    "ffi": ["caster-ffi/src/**/*.rs", "include/caster.hpp"],
    "python": ["bindings/python/src/**/*.rs", "bindings/python/python/**/*.py"],
    "node": ["bindings/node/src/**/*.rs", "bindings/node/lib/**/*.js"],
}

REPEATED = {
    "ffi": {"middleware has no functionality"},
}
"""Texts that are still repeated. This list gets shorter only: a text that a binding no longer has is
taken out of it."""

RUST = re.compile(
    r"""
      //[^\n]*                                  # a comment
    | /\*.*?\*/
    | b?r(?P<hashes>\#*)"(?P<raw>.*?)"(?P=hashes)
    | b?c?"(?P<text>(?:[^"\\]|\\.)*)"
    | '(?:[^'\\]|\\.[^']*)'                     # a character; lifetimes do not match
    """,
    re.VERBOSE | re.DOTALL,
)
SCRIPT = re.compile(
    r"""
      //[^\n]*
    | /\*.*?\*/
    | '(?P<single>(?:[^'\\\n]|\\.)*)'
    | "(?P<double>(?:[^"\\\n]|\\.)*)"
    | `(?P<template>(?:[^`\\]|\\.)*)`
    """,
    re.VERBOSE | re.DOTALL,
)
NOT_TOLD = re.compile(
    r"(?:\.expect(?:_err)?|panic!|unreachable!|assert\w*!|debug_assert\w*!|write!|writeln!|info!|debug!|trace!)\($"
    r"|(?:reason|feature|path|target_os)\s*=\s*$|#\[\w+\s*=\s*$"
)
"""Code before a string that is not a text for users: a panic, an attribute."""


def rust_strings(code: str) -> Iterator[str]:
    """The strings of a Rust file, without those of its tests."""
    code = re.split(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*(?:mod|pub mod)\s+\w+\s*\{", code)[0]
    for match in RUST.finditer(code):
        text = match["raw"] if match["raw"] is not None else match["text"]
        if text is None or NOT_TOLD.search(code[max(0, match.start() - 40) : match.start()].rstrip()):
            continue
        # A line that goes on.
        yield re.sub(r"\\\n\s*", "", text)


def python_strings(code: str) -> Iterator[str]:
    """The strings of a Python file, without docstrings."""
    tree = ast.parse(code)
    inside = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(node.value)
        if isinstance(node, ast.JoinedStr):
            inside.update(node.values)
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield "".join(map(str, parts))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside:
            yield node.value


def script_strings(code: str) -> Iterator[str]:
    """The strings of a JavaScript or C++ file; strings joined by + are one."""
    end, joined = 0, ""
    for match in SCRIPT.finditer(code):
        text = next((text for text in match.groupdict().values() if text is not None), None)
        if text is None:
            continue
        if joined and re.fullmatch(r"\s*\+?\s*", code[end : match.start()]):
            joined += text
        else:
            if joined:
                yield joined
            joined = text
        end = match.end()
    if joined:
        yield joined


def normal(text: str) -> str:
    """The text with every placeholder alike, in small letters and with single spaces."""
    text = text.replace("{{", "(").replace("}}", ")")
    text = re.sub(r"\$?\{[^{}]*\}|%[sdr]", "{}", text)
    return re.sub(r"\s+", " ", text.replace('\\"', '"').replace("\\'", "'")).strip().lower()


def words(text: str) -> int:
    return len(re.findall(r"\b[a-z']{2,}", text)) if " " in text else 0


def pieces(text: str) -> List[str]:
    """The parts by which a text is recognised: all of it if it has at least three words, and each part
    between placeholders that has at least four."""
    whole = normal(text)
    parts = [part.strip(" :;,.()\"'") for part in whole.split("{}")]
    found = [whole] if words(whole) >= 3 or whole == "message {}: {}" else []
    return list(dict.fromkeys([*found, *(part for part in parts if words(part) >= 4)]))


def core_texts() -> Dict[str, str]:
    """The recognisable pieces of the core's texts, and where each stands."""
    found: Dict[str, str] = {}
    for path in sorted(CORE.rglob("*.rs")):
        name = str(path.relative_to(CORE))
        if "tests" in path.parts or path.name in ("simulation.rs", "vectors.rs", "tests.rs"):
            continue
        for text in rust_strings(path.read_text()):
            for piece in pieces(text):
                found.setdefault(piece, name)
    return found


def strings_of(path: pathlib.Path) -> Iterator[str]:
    read = {".rs": rust_strings, ".py": python_strings}.get(path.suffix, script_strings)
    return read(path.read_text())


def repeated(texts: Iterator[str], core: Dict[str, str]) -> List[Tuple[str, str]]:
    """The texts of which a piece is the core's, and that piece."""
    found = []
    for text in texts:
        own = normal(text)
        for piece in core:
            if piece in own and re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", own):
                found.append((text, piece))
                break
    return found


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_binding_has_no_text_of_the_core(binding: str) -> None:
    core = core_texts()
    paths = [path for pattern in BINDINGS[binding] for path in sorted(ROOT.glob(pattern))]
    assert len(paths) > 5
    found = [
        f"{path.relative_to(ROOT)}: {text!r} is in caster-core/src/{core[piece]}: {piece!r}"
        for path in paths
        for text, piece in repeated(strings_of(path), core)
        if piece not in REPEATED.get(binding, ())
    ]
    assert found == [], "\n".join(found)


def test_the_texts_of_the_core_are_found() -> None:
    core = core_texts()
    assert len(core) > 100
    for text in ("node is not up", "caster is not bound", "message {}: {}", "hash does not match"):
        assert text in core, text


@pytest.mark.parametrize(
    "read, code",
    [
        (rust_strings, 'return Err(Error::new(ErrorCode::NotUp, "Node is not up"));'),
        (rust_strings, 'let text = format!("message {at}: {}", error.message());'),
        (rust_strings, 'let text = "the Node is \\\n    not up";'),
        (rust_strings, 'let text = r#"Node is not up"#;'),
        (python_strings, 'raise StateError("Node is not up", "NOT_UP")'),
        (python_strings, 'text = f"message {place}: {error}"'),
        (script_strings, "throw new Error('Node is not up');"),
        (script_strings, "throw new Error('Node is ' +\n  'not up');"),
        (script_strings, "const text = `message ${at}: ${error.message}`;"),
    ],
)
def test_a_repeated_text_is_found(read: object, code: str) -> None:
    assert callable(read)
    assert len(repeated(read(code), core_texts())) == 1


@pytest.mark.parametrize(
    "read, code",
    [
        (rust_strings, '/// "Node is not up"\nfn f() {} // "Node is not up"'),
        (rust_strings, '#[cfg(test)]\nmod tests {\n  const TEXT: &str = "Node is not up";\n}'),
        (rust_strings, 'let up = up.expect("Node is not up");'),
        (python_strings, 'def f():\n    """Node is not up"""'),
        (python_strings, '"""Node is not up"""\nx = 1  # "Node is not up"'),
        (script_strings, "// 'Node is not up'\n/* \"Node is not up\" */ const up = 'is up';"),
    ],
)
def test_comments_and_tests_do_not_count(read: object, code: str) -> None:
    assert callable(read)
    assert repeated(read(code), core_texts()) == []
