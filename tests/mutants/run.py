"""Changes one line of the core at a time and runs its tests: each change has to fail them.

    python3 tests/mutants/run.py               all mutants of mutants.toml
    python3 tests/mutants/run.py --sample 6    the first so many that are marked `sample`
    python3 tests/mutants/run.py NAME…         those whose names contain one of these
    python3 tests/mutants/run.py --check       only that each mutant still applies

A copy of the core is compiled again for each mutant, incrementally, and the tests of the
last one run meanwhile. The tests that take long run only for those that survive the others.
The status is 1 if a mutant survives that is not marked as equivalent, and 2 if one does not
apply, does not compile, or if the tests fail without any mutant.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "target/mutants"
COPY = FOLDER / "source"
BUILD = FOLDER / "build"
COPIED = ("caster-core", "tests/vectors", "fuzz", "examples", "README.md", "LICENSE", "Cargo.lock")

FIRST = ["protocol", "simulation", "fuzz"]
"""The tests that run for each mutant, unless it names others."""
SLOW = "a_thousand_nodes"
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
    tests: tuple[str, ...] = tuple(FIRST)
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
        Mutant(**{k: tuple(v) if k == "tests" else v for k, v in table.items()})
        for table in tables
    ]
    names = [mutant.name for mutant in mutants]
    if len(set(names)) != len(names):
        raise Broken("two mutants have one name")
    for mutant in mutants:
        mutant.apply((ROOT / mutant.file).read_text())
    return mutants


def copy_core() -> None:
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
    """The program with the tests of the copy as it is now."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(BUILD), "CARGO_INCREMENTAL": "1"}
    # Many small units, so that a change of one line compiles few of them again.
    environment |= {"CARGO_PROFILE_TEST_CODEGEN_UNITS": "256", "CARGO_PROFILE_TEST_DEBUG": "0"}
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


def run(program: Path, arguments: list[str]) -> str | None:
    """Which test fails first, if one does."""
    environment = os.environ | {"CASTER_SIM_SEEDS": SEEDS}
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
        if "0 passed" in ran.stdout:
            raise Broken(f"no test matches {arguments}")
        return None
    failed = [
        line.split()[1]
        for line in ran.stdout.splitlines()
        if line.startswith("test ") and line.endswith("FAILED")
    ]
    return failed[0] if failed else f"status {ran.returncode}"


def caught_by(program: Path, tests: tuple[str, ...]) -> str | None:
    try:
        return run(program, [*tests, "--skip", SLOW]) or run(program, [SLOW])
    finally:
        program.unlink()


def keep(program: Path, name: str) -> Path:
    """A copy of the program, which the next build replaces."""
    kept = FOLDER / "programs" / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, kept)
    return kept


def chosen(mutants: list[Mutant], arguments: argparse.Namespace) -> list[Mutant]:
    if arguments.sample:
        return [mutant for mutant in mutants if mutant.sample][: arguments.sample]
    names: list[str] = arguments.names
    some = [it for it in mutants if not names or any(name in it.name for name in names)]
    if not some:
        raise Broken(f"no mutant is called {names}")
    return some


def work(mutants: list[Mutant]) -> int:
    copy_core()
    outcomes: list[tuple[Mutant, Future[str | None]]] = []
    with ThreadPoolExecutor(1) as pool:
        tests = tuple(sorted({name for mutant in mutants for name in mutant.tests}))
        unchanged = pool.submit(caught_by, keep(compile_tests(), "unchanged"), tests)
        for number, mutant in enumerate(mutants):
            path = COPY / mutant.file
            original = path.read_bytes()
            try:
                path.write_text(mutant.apply(original.decode()))
                program = keep(compile_tests(), f"mutant{number}")
            except Broken as why:
                pool.shutdown(cancel_futures=True)
                raise Broken(f"{mutant.name}: {why}") from None
            finally:
                path.write_bytes(original)
            outcomes.append((mutant, pool.submit(caught_by, program, mutant.tests)))
            if unchanged.done() and unchanged.result() is not None:
                break
        if (failed := unchanged.result()) is not None:
            pool.shutdown(cancel_futures=True)
            raise Broken(f"without any mutant the tests fail: {failed}")
        return tell(outcomes)


def tell(outcomes: list[tuple[Mutant, Future[str | None]]]) -> int:
    survivors = 0
    for mutant, outcome in outcomes:
        test = outcome.result()
        if test is not None:
            print(f"caught    {mutant.name}: {test}", flush=True)
            if mutant.equivalent:
                print(f"          it is marked as equivalent: {mutant.equivalent}")
        elif mutant.equivalent:
            print(f"equal     {mutant.name}: {mutant.equivalent}", flush=True)
        else:
            survivors += 1
            print(f"SURVIVED  {mutant.name}: {mutant.rule}", flush=True)
            print(f"          {mutant.file}: {mutant.line.strip()} → {mutant.becomes.strip()}")
    print(f"{len(outcomes)} mutants, {survivors} survived")
    return 1 if survivors else 0


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
