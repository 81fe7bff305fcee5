"""No import circle: neither among the modules of the package nor among those of the extension.

Every import counts: those inside of functions, and those for type checkers only.
"""

from __future__ import annotations

import ast
import pathlib
import re
from typing import Dict, List, Optional, Set

import caster

PACKAGE = pathlib.Path(caster.__file__).parent
EXTENSION = pathlib.Path(__file__).parents[1] / "src"

Graph = Dict[str, Set[str]]


def python_graph(sources: Dict[str, str]) -> Graph:
    """Which modules of one package each of them imports; the key is the name of the module."""
    graph: Graph = {}
    for name, source in sources.items():
        targets: Set[str] = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                first = node.module.split(".")[0] if node.module else None
                # `from . import x` imports a module of that name, or a name of the package.
                names = [first] if first else [alias.name for alias in node.names]
                targets.update(each if each in sources else "__init__" for each in names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                parts = node.module.split(".")
                if parts[0] == "caster":
                    targets.add(parts[1] if len(parts) > 1 else "__init__")
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    parts = alias.name.split(".")
                    if parts[0] == "caster":
                        targets.add(parts[1] if len(parts) > 1 else "__init__")
        graph[name] = targets & set(sources)
    return graph


def rust_graph(sources: Dict[str, str]) -> Graph:
    """Which modules of one crate each of them names; the key is the name of the module."""
    graph: Graph = {}
    for name, source in sources.items():
        code = re.sub(r"//[^\n]*", "", source)
        targets = set(re.findall(r"\b(?:crate|super)::(\w+)", code))
        for group in re.findall(r"\b(?:crate|super)::\{([^;]*)\}", code):
            targets.update(re.findall(r"\w+", group))
        graph[name] = targets & set(sources)
    return graph


def circle(graph: Graph) -> Optional[List[str]]:
    """A path through the graph that ends where it began; None if there is no such path."""
    done: Set[str] = set()

    def follow(name: str, path: List[str]) -> Optional[List[str]]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for target in sorted(graph[name]):
            found = follow(target, [*path, name])
            if found:
                return found
        done.add(name)
        return None

    for name in sorted(graph):
        found = follow(name, [])
        if found:
            return found
    return None


def read(paths: List[pathlib.Path]) -> Dict[str, str]:
    return {path.stem: path.read_text() for path in paths}


def test_the_package_has_no_import_circle() -> None:
    graph = python_graph(read([*PACKAGE.glob("*.py"), *PACKAGE.glob("*.pyi")]))
    assert len(graph) > 10 and "_endpoint" in graph["_common"] and "_aio" in graph["_node"]
    assert circle(graph) is None


def test_the_extension_has_no_import_circle() -> None:
    graph = rust_graph(read(list(EXTENSION.glob("*.rs"))))
    assert len(graph) > 5 and "convert" in graph["handle"] and "handle" in graph["lib"]
    assert circle(graph) is None


def test_a_circle_is_found() -> None:
    late = {
        "__init__": "from . import a",
        "a": "from .b import B",
        "b": "from __future__ import annotations\ndef f():\n    from . import c",
        "c": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from .a import A",
    }
    assert circle(python_graph(late)) == ["a", "b", "c", "a"]
    assert circle(python_graph({**late, "c": "import a"})) is None, "this is no module of the package"
    assert circle(python_graph({**late, "c": "import caster.a"})) == ["a", "b", "c", "a"]
    assert circle(python_graph({**late, "c": "from . import name"})) == ["__init__", "a", "b", "c", "__init__"]
    rust = {
        "lib": "mod a; mod b; use super::a::A;",
        "a": "use crate::{\n    b::B,\n    c::C,\n};",
        "b": "// use crate::a::A\nfn f() {}",
        "c": "fn f() { crate::a::g() }",
    }
    assert circle(rust_graph(rust)) == ["a", "c", "a"]
    assert circle(rust_graph({**rust, "c": "// crate::a::g()"})) is None
