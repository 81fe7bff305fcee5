"""Every piece of code in the documentation compiles.

Programs that the pages quote from examples/ run in tests/interop, the doctests of docs/python.md and the
programs of the npm README in the tests of their packages.  Here each fenced block of every page is checked
with the means of its language.
"""

from __future__ import annotations

import ast
import configparser
import doctest
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
import tomllib

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "target" / "snippets"

FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)

NO_PROGRAMS = {
    ("CONTRIBUTING.md", "rust"): "pairs of bad and good style, of types that do not exist",
    ("docs/migrating.md", "diff"): "a change of a package file",
    ("docs/c-api.md", "cmake"): "tests/packaging runs the whole project",
    ("docs/signals.md", "dockerfile"): "has no syntax check without a daemon",
}

C_PROGRAM = """
#include <caster.h>
#include <stdio.h>
int f(caster_node_t *node, caster_node_t *a, caster_node_t *b, caster_options_t *options,
      caster_options_t *options_of_a, caster_options_t *options_of_b, caster_nodes_t *nodes,
      caster_event_t *event, int stopped, const unsigned char *key) {
    {
%s
    }
    return 0;
}
"""
"""Around a snippet that is no program; it may declare these names again."""


class Snippet(NamedTuple):
    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def snippets() -> list[Snippet]:
    pages = subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True).split()
    found = []
    for page in pages:
        text = (ROOT / page).read_text()
        for block in FENCE.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            found.append(Snippet(page, line, block[1], block[2]))
    return found


ALL = snippets()


def run(*command: object, text: str | None = None) -> None:
    done = subprocess.run(
        [str(part) for part in command], input=text, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{text}"


def check_c(code: str, compiler: str = "cc", standard: str = "-std=c11") -> None:
    if "int main" not in code:
        code = C_PROGRAM % code
    language = "c++" if compiler == "c++" else "c"
    flags = ["-D_GNU_SOURCE", "-Wall", "-Werror", "-Wno-unused", "-fsyntax-only", "-Iinclude"]
    run(compiler, standard, *flags, "-x", language, "-", text=code)


def check_cpp(code: str) -> None:
    check_c(code, "c++", "-std=c++17")


def public_names() -> set[str]:
    tree = ast.parse((ROOT / "bindings/python/python/caster/__init__.py").read_text())
    names = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names | {"testing"}


def check_python(code: str) -> None:
    if ">>>" in code:
        code = "".join(example.source for example in doctest.DocTestParser().get_examples(code))
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "caster"
        ):
            assert node.attr in public_names(), f"caster.{node.attr} does not exist"


def check_js(code: str) -> None:
    for part in re.split(r"^// (?:before|after).*$", code, flags=re.MULTILINE):
        # Explicit resource management came with Node.js 24.
        module = part.replace("await using ", "const ")
        name = WORK / "snippet.mjs"
        name.write_text(module)
        run("node", "--check", name)


def check_rust(code: str) -> None:
    folder = WORK / "rust"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "snippet"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n'
        f'[dependencies]\ncaster-core = {{ path = "{ROOT}/caster-core" }}\n'
        'serde_json = "1"\nsignal-hook = "0.3"\n'
    )
    if "fn main" not in code:
        code = (
            "#[allow(unused_imports)] use signal_hook::{self, consts::signal::*};\n"
            "use caster_core::Options;\n"
            "#[allow(dead_code)] fn f(options: Options) -> Result<(), Box<dyn std::error::Error>> {\n"
            f"{code}\nOk(()) }}\nfn main() {{}}\n"
        )
    (folder / "src/main.rs").write_text(code)
    shutil.copy(ROOT / "Cargo.lock", folder / "Cargo.lock")
    run("cargo", "check", "-q", "--manifest-path", folder / "Cargo.toml")


def check_sh(code: str) -> None:
    run("sh", "-n", text=code)


def check_console(code: str) -> None:
    check_sh("\n".join(line[2:] for line in code.splitlines() if line.startswith("$ ")) + "\n")


def check_ini(code: str) -> None:
    configparser.ConfigParser(strict=False, interpolation=None).read_string(code)


CHECKS = {
    "c": check_c,
    "cpp": check_cpp,
    "python": check_python,
    "js": check_js,
    "rust": check_rust,
    "sh": check_sh,
    "console": check_console,
    "ini": check_ini,
    "yaml": yaml.safe_load,
    "toml": lambda code: tomllib.loads(code) and None,
}


@pytest.mark.parametrize("snippet", ALL, ids=str)
def test_the_snippet_compiles(snippet: Snippet) -> None:
    if (snippet.page, snippet.language) in NO_PROGRAMS:
        return
    WORK.mkdir(parents=True, exist_ok=True)
    check = CHECKS.get(snippet.language)
    assert check, f"{snippet}: there is no check for {snippet.language}"
    check(snippet.code)


PAGES = sorted(ROOT.glob("docs/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_functions_of_c_that_a_page_names_exist(page: Path) -> None:
    declared = set(re.findall(r"\bcaster_\w+", (ROOT / "include/caster.h").read_text()))
    others = {"caster_core", "caster_static", "caster_network", "caster_node", "caster_cli"}
    named = set(re.findall(r"\bcaster_\w*[a-z0-9]\b", page.read_text()))
    assert named - declared - others == set()


def test_every_page_is_in_the_site() -> None:
    listed = (ROOT / "docs/site/build.py").read_text()
    missing = [page.name for page in PAGES if page.name != "README.md" and f'"docs/{page.name}"' not in listed]
    assert missing == []


def test_every_exception_is_used() -> None:
    assert set(NO_PROGRAMS) <= {(snippet.page, snippet.language) for snippet in ALL}


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("c", "caster_node_upp(node);"),
        ("cpp", "int main() { caster::Nod node; }"),
        ("python", "import caster\ncaster.Knot()"),
        ("python", ">>> import caster\n>>> caster.Node(\n"),
        ("js", "const node = createNode({"),
        ("sh", "if true"),
        ("console", "$ caster ls | (\n"),
        ("toml", "a ="),
        ("ini", "[x\n"),
    ],
)
def test_a_wrong_one_is_noticed(language: str, code: str) -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    with pytest.raises((AssertionError, SyntaxError, ValueError, configparser.Error)):
        CHECKS[language](code)
