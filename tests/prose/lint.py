"""Checks the prose of the repository with proselint and the vocabulary of this folder.

    python3 tests/prose/lint.py [--pending] [FILE...]

Without files: all files under version control; with --pending, without the paths in pending.txt. The result is one line for each finding, and the
status 1 if there are any. `pip install proselint` provides the checker.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import extract
from proselint.checks import __register__ as BUILT_IN
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckFlags
from proselint.registry.checks.engine import Fancy, RegexOptions
from proselint.registry.checks.types import ExistenceSimple
from proselint.tools import LintFile

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# These hold forbidden words on purpose, or text that is not of this project.
EXEMPT = {
    "tests/prose/vocabulary.toml",
    "tests/prose/test_prose.py",
    "tests/vectors/vectors.json",
    "LICENSE",
}


def _vocabulary():
    return tomllib.loads((HERE / "vocabulary.toml").read_text())


def _check(path, pattern, use, ignore_case=True):
    message = "'{}': " + use.replace("{", "{{").replace("}", "}}")
    engine = Fancy(RegexOptions(case_insensitive=ignore_case, multi_line=True))
    return Check(ExistenceSimple(pattern), engine, f"caster.{path}", message, CheckFlags(allow_quotes=True))


def checks():
    """The checks of the vocabulary."""
    table = _vocabulary()
    for pattern, use in table["prose"].items():
        spaced = pattern.replace(" ", r"\s+")
        yield _check("words", rf"(?<![\w/-])(?:{spaced})(?![\w/-])", use)
    for pattern, use in table["sentences"].items():
        yield _check("sentences", rf"(?:^[ \t]*|[.:;|]\s*)(?:\*\s+|\d+\.\s+|#+\s+)?(?-i:{pattern})", use)


def findings_in_prose(path, text):
    """(line, column, message) of every finding in the prose of the file."""
    shown = extract.prose(path, text)
    if not shown or not shown.strip():
        return
    config = json.loads((HERE / "proselint.json").read_text())
    for result, _ in LintFile(str(path), shown).lint(config):
        # proselint puts an empty line in front of the text; a match may begin with white space.
        start, end = (position - 1 for position in result.span)
        start += len(shown[start:end]) - len(shown[start:end].lstrip(" .:;|*\n"))
        line_start = text.rfind("\n", 0, start) + 1
        if result.check_path == "lexical_illusions" and not _is_repeated(shown[start:end], text[line_start:end]):
            continue
        if shown[end : end + 1] == "-":  # "for free-threaded" is not "for free"
            continue
        message = " ".join(result.message.split())
        yield text.count("\n", 0, start) + 1, start - line_start + 1, f"{result.check_path}: {message}"


def _is_repeated(shown, line):
    """Returns whether the match is one phrase twice. A heading and the text below it are not."""
    words = shown.split()
    half = len(words) // 2
    return words[:half] == words[half:] and "".join(words).isalpha() and not line.startswith("#")


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_CODE = {".rs", ".c", ".h", ".hpp", ".cpp", ".py", ".pyi", ".js", ".ts", ".mjs", ".mts", ".cts", ".sh"}


def findings_in_names(path, text):
    """(line, column, message) of every identifier with a part that the vocabulary forbids."""
    if path.suffix not in _CODE:
        return
    rules = [(re.compile(pattern), use) for pattern, use in _vocabulary()["names"].items()]
    public = _vocabulary()["public"]["names"]
    for number, line in enumerate(text.splitlines(), 1):
        for name in _IDENTIFIER.finditer(line):
            if name.group() in public:
                continue
            for part in _PART.findall(name.group()):
                for pattern, use in rules:
                    if pattern.fullmatch(part.lower()):
                        yield number, name.start() + 1, f"caster.names: '{name.group()}': {use}"


def findings(path, text):
    """All findings of the file, by position."""
    return sorted([*findings_in_prose(path, text), *findings_in_names(path, text)])


def files(without=()):
    """The files under version control, except those below the paths in `without`."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [Path(name) for name in listed.stdout.split("\0") if name and name not in EXEMPT and not name.startswith(without)]


def prepare():
    """Registers the checks with proselint, once."""
    registry = CheckRegistry()
    if not registry.checks:
        registry.register_many(BUILT_IN)
        registry.register_many(tuple(checks()))


def main(names):
    prepare()
    count = 0
    without = ()
    if names[:1] == ["--pending"]:
        without = tuple(line for line in (HERE / "pending.txt").read_text().split() if line)
        names = names[1:]
    for path in [Path(name) for name in names] or files(without):
        try:
            text = (ROOT / path).read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        for line, column, message in findings(path, text):
            count += 1
            print(f"{path}:{line}:{column}: {message}")
    if count:
        print(f"{count} findings; tests/prose/vocabulary.toml has the words", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
