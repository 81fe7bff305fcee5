"""Changes one line of the core at a time and runs its tests: each change has to fail them.

    python3 tests/mutants/run.py               all mutants of mutants.toml
    python3 tests/mutants/run.py --sample 6    the first so many that are marked `sample`
    python3 tests/mutants/run.py NAME…         those whose names contain one of these
    python3 tests/mutants/run.py --check       only that each mutant still applies

All mutants are compiled into one program: in a copy of the core the body of each function that
one changes is there once more for each of them, and an environment variable chooses. The
simulation runs only for the mutants that survive the tests of the modules.
The status is 1 if a mutant survives that is not marked as equivalent, and 2 if one does not
apply, does not compile, or if the tests fail without any mutant.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "target/mutants"
COPY = FOLDER / "source"
BUILD = FOLDER / "build"
COPIED = ("caster-core", "tests/vectors", "fuzz", "examples", "README.md", "LICENSE", "Cargo.lock")

QUICK = ("engine", "membership", "claims", "record", "refusal", "paths", "isolation", "targets")
STAGES = (
    tuple(f"protocol::{module}::" for module in QUICK),
    ("protocol::", "secure::", "tests::identity::", "tests::sealed::"),
    ("simulation", "fuzz"),
)
"""The tests that run for each mutant, one stage after the other until one fails. Those of the first take
a tenth of a second and find nearly all."""
SLOW = ("a_thousand_nodes", "two_hundred_nodes_with_identities")
"""Take longer than all the others and run for none."""
CHOICE = "CASTER_MUTANT"
SWITCH = f'''
/// Whether the mutant of this number is the one to be tested.
pub(crate) fn mutated(number: u32) -> bool {{
    static CHOSEN: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var("{CHOICE}").ok()?.parse().ok()) == Some(number)
}}
'''
SEEDS = "40"
DEADLINE = 240.0
COMPILE_DEADLINE = 1200.0


class Broken(Exception):
    """The list, the build or the tests are not as they should be; says how."""


@dataclass(frozen=True)
class Mutant:
    name: str
    rule: str
    file: str
    line: str
    becomes: str
    sample: bool = False
    equivalent: str = ""
    """Why no test can tell it from the original, if that is so."""

    def apply(self, text: str) -> str:
        found = text.count(self.line)
        if found != 1:
            raise Broken(f"{self.name}: its line is {found} times in {self.file}")
        if self.line == self.becomes:
            raise Broken(f"{self.name}: changes nothing")
        return text.replace(self.line, self.becomes)


def read_list() -> list[Mutant]:
    tables = tomllib.loads((HERE / "mutants.toml").read_text())["mutant"]
    mutants = [
        Mutant(**table)
        for table in tables
    ]
    names = [mutant.name for mutant in mutants]
    if len(set(names)) != len(names):
        raise Broken("two mutants have one name")
    for mutant in mutants:
        mutant.apply((ROOT / mutant.file).read_text())
        body_of(mutant, (ROOT / mutant.file).read_text().splitlines(keepends=True))
    return mutants


def body_of(mutant: Mutant, lines: list[str]) -> tuple[int, int]:
    """The lines of the body of the function that a mutant changes: the first, and the one after
    the last. The code is formatted, so a function ends at its own indentation."""
    offset = "".join(lines).index(mutant.line)
    offset += len(mutant.line) - len(mutant.line.lstrip())
    at, end = 0, len(lines[0])
    while end <= offset:
        at += 1
        end += len(lines[at])
    for head in range(at, -1, -1):
        found = re.match(r"( *)(pub(\(\w+\))? )?fn ", lines[head])
        if found is None:
            continue
        first = next(n for n in range(head, len(lines)) if lines[n].endswith("{\n")) + 1
        closed = found[1] + "}\n"
        after = next(n for n in range(first, len(lines)) if lines[n] == closed)
        if first <= at < after:
            return first, after
    raise Broken(f"{mutant.name}: its line is in no function")


def with_mutants(text: str, mutants: list[tuple[int, Mutant]]) -> str:
    """A file with the bodies of these mutants beside the original ones."""
    lines = text.splitlines(keepends=True)
    bodies: dict[tuple[int, int], list[tuple[int, Mutant]]] = {}
    for number, mutant in mutants:
        bodies.setdefault(body_of(mutant, lines), []).append((number, mutant))
    for (first, after), there in sorted(bodies.items(), key=lambda it: it[0][0], reverse=True):
        original = "".join(lines[first:after])
        # Texts that begin with the end of a line need one before them.
        changed = (
            f"if crate::mutated({number}) {{{mutant.apply(chr(10) + original)}}} else "
            for number, mutant in there
        )
        lines[first:after] = ["".join(changed), "{\n", original, "}\n"]
    return "".join(lines)


def copy_core(mutants: list[Mutant]) -> None:
    """Brings the copy up to date; a file that is the same stays, so that little is built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *COPIED],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = [name for name in listed.split("\0") if name and (ROOT / name).exists()]
    workspace = []
    for line in (ROOT / "Cargo.toml").read_text().splitlines(keepends=True):
        if line.startswith(("members", "default-members")):
            line = 'members = ["caster-core"]\n' if line.startswith("members") else ""
        if not line.startswith("exclude"):
            workspace.append(line)
    wanted = {name: (ROOT / name).read_bytes() for name in names}
    wanted["Cargo.toml"] = "".join(workspace).encode()
    wanted["caster-core/src/lib.rs"] += SWITCH.encode()
    numbered = list(enumerate(mutants))
    for file in {mutant.file for mutant in mutants}:
        there = [(number, mutant) for number, mutant in numbered if mutant.file == file]
        wanted[file] = with_mutants(wanted[file].decode(), there).encode()
    for path in sorted(COPY.rglob("*")) if COPY.exists() else ():
        if path.is_file() and str(path.relative_to(COPY)) not in wanted:
            path.unlink()
    for name, data in wanted.items():
        write(COPY / name, data)


def write(path: Path, data: bytes) -> None:
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def compile_tests() -> Path:
    """The program with the tests of the copy."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(BUILD), "CARGO_INCREMENTAL": "1"}
    environment |= {"CARGO_PROFILE_TEST_DEBUG": "0", "CARGO_PROFILE_TEST_OPT_LEVEL": "1"}
    environment |= {"RUSTFLAGS": "--cap-lints=warn", "RUST_BACKTRACE": "0"}
    command = ["cargo", "test", "-p", "caster-core", "--lib", "--no-run"]
    built = subprocess.run(
        command,
        cwd=COPY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMPILE_DEADLINE,
    )
    if built.returncode != 0:
        raise Broken("does not compile:\n" + built.stderr[-3000:])
    for line in reversed(built.stderr.splitlines()):
        if "Executable" in line:
            return Path(line[line.rindex("(") + 1 : line.rindex(")")])
    raise Broken("cargo names no program:\n" + built.stderr[-1000:])


def run(program: Path, arguments: list[str], number: int | None) -> str | None:
    """Which test fails first, if one does."""
    environment = os.environ | {"CASTER_SIM_SEEDS": SEEDS}
    if number is not None:
        environment[CHOICE] = str(number)
    try:
        ran = subprocess.run(
            [str(program), *arguments],
            cwd=COPY / "caster-core",
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
    except subprocess.TimeoutExpired:
        return "the tests do not end"
    if ran.returncode == 0:
        if " 0 passed" in ran.stdout:
            raise Broken(f"no test matches {arguments}")
        return None
    failed = [
        line.split()[1]
        for line in ran.stdout.splitlines()
        if line.startswith("test ") and line.endswith("FAILED")
    ]
    return failed[0] if failed else f"status {ran.returncode}"


def caught_by(program: Path, number: int, unchanged: set[tuple[str, ...]]) -> str | None:
    """Which test fails with this mutant. `unchanged` has the stages that pass without any."""
    for stage in STAGES:
        arguments = [*stage, *(word for name in SLOW for word in ("--skip", name))]
        if stage not in unchanged:
            if (failed := run(program, arguments, None)) is not None:
                raise Broken(f"without any mutant the tests fail: {failed}")
            unchanged.add(stage)
        if (failed := run(program, arguments, number)) is not None:
            return failed
    return None


def chosen(mutants: list[Mutant], arguments: argparse.Namespace) -> list[Mutant]:
    if arguments.sample:
        return [mutant for mutant in mutants if mutant.sample][: arguments.sample]
    names: list[str] = arguments.names
    some = [it for it in mutants if not names or any(name in it.name for name in names)]
    if not some:
        raise Broken(f"no mutant is called {names}")
    return some


def work(mutants: list[Mutant]) -> int:
    copy_core(mutants)
    program = compile_tests()
    unchanged: set[tuple[str, ...]] = set()
    survivors = 0
    for number, mutant in enumerate(mutants):
        survivors += not tell(mutant, caught_by(program, number, unchanged))
    caught = len(mutants) - survivors
    print(f"{len(mutants)} mutants, {caught} caught or equivalent, {survivors} survived")
    return 1 if survivors else 0


def tell(mutant: Mutant, test: str | None) -> bool:
    """Returns whether the mutant is as it should be."""
    if test is not None:
        print(f"caught    {mutant.name}: {test}", flush=True)
        if mutant.equivalent:
            print(f"          it is marked as equivalent: {mutant.equivalent}")
        return True
    if mutant.equivalent:
        print(f"equal     {mutant.name}: {mutant.equivalent}", flush=True)
        return True
    print(f"SURVIVED  {mutant.name}: {mutant.rule}", flush=True)
    print(f"          {mutant.file}: {mutant.line.strip()} → {mutant.becomes.strip()}")
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description="mutants of the core")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        mutants = chosen(read_list(), arguments)
        if arguments.check:
            print(f"{len(mutants)} mutants apply")
            return 0
        status = work(mutants)
    except Broken as why:
        print(f"mutants: {why}", file=sys.stderr)
        return 2
    print(f"{time.monotonic() - began:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
