"""Checks that links between files of the repository resolve, and that paths named in text exist.

    python3 tests/prose/links.py

In Markdown files: relative link targets, anchors, and paths such as `tests/lab/hub.py`. In all other
files: paths of Markdown files. The result is one line for each finding, and the status 1 if there are
any.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# These name paths that do not exist on purpose.
EXEMPT = {"tests/prose/test_prose.py", "tests/vectors/vectors.json"}

_FENCE = re.compile(r"^\s*(```+|~~~+).*?^\s*\1[^\n]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(\s*<?([^()\s>]+)>?[^()]*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_EXPLICIT_ANCHOR = re.compile(r"<a\s+(?:id|name)=[\"']([^\"']+)")
_FOLDERS = r"(?:docs|tests|bench|caster-core|caster-ffi|bindings|examples|include|xtask|\.github)"
_PATH = re.compile(rf"(?<![\w./-]){_FOLDERS}(?:/[\w.-]*\w)+/?(?![\w*{{<])")
_PAGE = re.compile(rf"(?<![\w./-])(?:{_FOLDERS}/(?:[\w.-]+/)*)?[A-Za-z_-]+\.md\b")


def slug(heading):
    """The anchor that GitHub gives to a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    text = re.sub(r"[^\w\- ]", "", text.replace("`", "").replace("*", "").lower())
    return text.replace(" ", "-")


def anchors(text):
    """All anchors of a page. A repeated heading gets a number."""
    found = set(_EXPLICIT_ANCHOR.findall(text))
    seen = {}
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        name = slug(heading)
        number = seen[name] = seen.get(name, -1) + 1
        found.add(f"{name}-{number}" if number else name)
    return found


def broken_links(path, text, root):
    """The findings in one Markdown file: broken links and anchors, and paths that do not exist."""
    folder = (root / path).parent
    for target in _LINK.findall(_FENCE.sub("", text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (folder / name).resolve() if name else root / path
        if not file.exists():
            yield f"{path}: link to {target}: there is no such file"
        elif not file.is_relative_to(root.resolve()):
            yield f"{path}: link to {target}: it leads out of the repository"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
            yield f"{path}: link to {target}: there is no such anchor"
    # A path is relative to the root, or to the folder of the file that names it.
    for name in set(_PATH.findall(text)):
        if not (root / name).exists() and not (folder / name).exists():
            yield f"{path}: names {name}: there is no such file"


def missing_pages(path, text, root):
    """Markdown pages that a file names and that do not exist."""
    for name in set(_PAGE.findall(text)):
        if "/" in name and not (root / name).exists() and not ((root / path).parent / name).exists():
            yield f"{path}: names {name}: there is no such page"


def findings(names, root=ROOT):
    """All findings in the files of these names, relative to `root`."""
    for name in names:
        path = Path(name)
        if name in EXEMPT:
            continue
        try:
            text = (root / path).read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        yield from broken_links(path, text, root) if path.suffix == ".md" else missing_pages(path, text, root)


def main():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    found = sorted(findings([name for name in listed.stdout.split("\0") if name]))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
