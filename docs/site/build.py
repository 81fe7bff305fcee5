"""Builds the documentation site: the pages by mkdocs, the references of the languages by their own tools.

    build.py OUT

Everything is made in OUT and below target/; the result in OUT loads nothing from elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = ROOT / "target"
PAGES = TARGET / "site-pages"

NAV = {
    "Tutorial": ["docs/tutorial.md"],
    "How to": [
        "docs/choosing.md",
        "docs/networking.md",
        "docs/security.md",
        "docs/troubleshooting.md",
        "docs/signals.md",
        "docs/tuning.md",
        "docs/command.md",
        "docs/migrating.md",
        "docs/upgrading.md",
    ],
    "Reference": [
        "docs/options.md",
        "docs/languages.md",
        "docs/python.md",
        "bindings/node/README.md",
        "docs/c-api.md",
        "c-reference.md",
        "docs/compatibility.md",
        "docs/wire.md",
        "docs/reserved.md",
    ],
    "Explanation": [
        "ARCHITECTURE.md",
        "docs/liveness.md",
        "docs/reliability.md",
        "docs/benchmarks/README.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ],
}

LANGUAGES = {
    "Python": "python/caster.html",
    "Node.js": "node/index.html",
    "Rust": "rust/caster_core/index.html",
}

TYPES = """{
  "compilerOptions": {"module": "nodenext", "strict": true, "types": ["node"]},
  "include": ["*.d.ts"]
}
"""

LINK = re.compile(r"(?<!`)(\[[^\]]*\]\()\s*<?([^()\s>]+)>?(\))")
PART = re.compile(
    r"^/\* (?P<title>[^\n]*?) -+ \*/$"
    r"|^/\*\*(?P<comment>(?:(?!\*/).)*)\*/\n"
    r"(?P<code>CASTER_API [^;]*;|typedef struct \{.*?\n\} \w+;|typedef [^;{]*;|#define [^\n]*)$",
    re.DOTALL | re.MULTILINE,
)
NAME = re.compile(r"\(\*(\w+)\)|\b(caster_\w+)\(|\b(\w+);|#define (\w+)")


def run(*command: object, cwd: Path = ROOT, **environment: str) -> None:
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, env=os.environ | environment)


def c_reference() -> str:
    """A page with each declaration of caster.h and its comment."""
    page = ["# C reference", "", "Every declaration of `caster.h` that has a comment, in its order.", ""]
    for part in PART.finditer((ROOT / "include/caster.h").read_text()):
        if part["title"]:
            page += [f"## {part['title']}", ""]
            continue
        name = next(filter(None, NAME.search(part["code"]).groups()))
        comment = re.sub(r"^ \* ?", "", part["comment"].strip(), flags=re.MULTILINE)
        comment = "\n".join(line.removeprefix("* ") for line in comment.splitlines())
        page += [f"### `{name}`", "", "```c", part["code"], "```", "", comment, ""]
    assert len(page) > 1000, "caster.h has another form than this script expects"
    return "\n".join(page)


def lay_out() -> None:
    """Copies the pages, and the pictures that they show, to the places that they have here. A link to a file
    of the source tree becomes the name of that file."""
    shutil.rmtree(PAGES, ignore_errors=True)
    pages = ["README.md", *(page for part in NAV.values() for page in part)]
    for page in pages:
        if page == "c-reference.md":
            continue
        source = ROOT / page

        def keep(link: re.Match[str], source: Path = source) -> str:
            name = link[2].partition("#")[0]
            if re.match(r"[a-z]+:", link[2]) or not name:
                return link[0]
            to = (source.parent / name).resolve()
            path = to.relative_to(ROOT)
            if str(path) in pages:
                return link[0]
            if path == Path("docs/README.md"):
                return f"{link[1]}{os.path.relpath(ROOT / 'index.md', source.parent)})"
            if to.suffix in (".svg", ".png"):
                (PAGES / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(to, PAGES / path)
                return link[0]
            return f"`{link[1][1:-2].strip('`')}` (`{path}`)"

        out = PAGES / ("index.md" if page == "README.md" else page)
        out.parent.mkdir(parents=True, exist_ok=True)
        text = LINK.sub(keep, source.read_text())
        if page != "README.md":
            text = text.replace("../README.md", "../index.md")
        out.write_text(text)
    (PAGES / "c-reference.md").write_text(c_reference())


def configuration(out: Path) -> str:
    lines = [
        "site_name: Caster",
        f"docs_dir: {PAGES}",
        f"site_dir: {out}",
        "use_directory_urls: false",
        "theme: {name: material, font: false, features: [navigation.tabs, content.code.copy]}",
        "plugins: [search]",
        "markdown_extensions: [tables, fenced_code, attr_list, toc]",
        "validation: {links: {anchors: warn}}",
        "nav:",
        "  - Caster: index.md",
    ]
    for part, pages in NAV.items():
        lines.append(f"  - {part}:")
        lines += [f"      - {page}" for page in pages]
        if part == "Reference":
            lines += [f"      - '{name}': api/{place}" for name, place in LANGUAGES.items()]
    return "\n".join(lines) + "\n"


def references(out: Path) -> None:
    """The references that the tools of the languages make."""
    api = out / "api"
    package = TARGET / "site-python"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "bindings/python/python/caster", package / "caster")
    shutil.copy(TARGET / "release/lib_caster.so", package / "caster/_caster.abi3.so")
    run(sys.executable, "-m", "pdoc", "-o", api / "python", "caster", PYTHONPATH=str(package))
    tools = TARGET / "site-tools"
    tools.mkdir(parents=True, exist_ok=True)
    npm = ("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", tools)
    run(*npm, "typedoc@0.28", "typescript@5.9", "@types/node@22")
    (tools / "tsconfig.json").write_text(TYPES)
    for file in ("index.d.ts", "testing.d.ts"):
        shutil.copy(ROOT / "bindings/node" / file, tools / file)
    typedoc = (tools / "node_modules/.bin/typedoc", "--tsconfig", "tsconfig.json")
    named = ("--readme", "none", "--name", "caster", "--out", api / "node")
    run(*typedoc, *named, "index.d.ts", "testing.d.ts", cwd=tools)
    rustdoc = ("cargo", "doc", "-p", "caster-core", "--features", "async", "--no-deps")
    run(*rustdoc, CARGO_TARGET_DIR=str(TARGET))
    shutil.copytree(TARGET / "doc", api / "rust", dirs_exist_ok=True)


def check_links(out: Path) -> None:
    """Every link of a page to another place of the site leads there, and no page loads anything else."""
    wrong = []
    for page in out.rglob("*.html"):
        if "api" in page.relative_to(out).parts or page.name == "404.html":
            continue
        text = page.read_text()
        wrong += re.findall(r"<(?:script|link)[^>]*(?:src|href)=\"?(https?:[^\"\s>]+)", text)
        for link in re.findall(r"(?:href|src)=\"?([^\"\s>]+)", text):
            name = re.split("[#?]", link)[0]
            if name and not re.match("[a-z]+:", link) and not (page.parent / name).exists():
                wrong.append(f"{page.name}: {link}")
    if wrong:
        sys.exit("wrong links: " + ", ".join(wrong))


def main() -> None:
    out = Path(sys.argv[1]).resolve()
    lay_out()
    TARGET.mkdir(exist_ok=True)
    configured = TARGET / "mkdocs.yml"
    configured.write_text(configuration(out))
    # The references do not exist yet when mkdocs checks the links of the navigation.
    run(sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-f", configured)
    references(out)
    check_links(out)


if __name__ == "__main__":
    main()
