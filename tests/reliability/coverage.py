"""The share of the core's lines that the core's own tests run: make coverage.

    python3 tests/reliability/coverage.py [--files] [--missing FILE...]

Lines of tests do not count. Dependencies are not instrumented: with counters, signatures are so slow that tests of thousands
of them do not end. The status is 1 if a floor is not reached. Needs llvm-tools of the toolchain (rustup component
add llvm-tools): the profiles of rustc are those of its own LLVM, which Debian's cannot read.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "caster-core/src"
BUILD = ROOT / "target/coverage"
PROFILES = BUILD / "profiles"
FLOOR = 95.0
"""Percent of all lines of the core."""

FULL = {
    "jsonscan.rs": 0,
    # A message that is marked to be sealed is not asked how it was opened.
    "message.rs": 1,
    # Digests that find_algorithm does not return.
    "middleware/hash.rs": 1,
    # A control datagram without its block, and a readable one: only a holder of the key can make them.
    "middleware/secure.rs": 2,
    "protocol/challenge.rs": 0,
    # The extension is looked for in valid JSON only: what JSON cannot have behind a value or a key.
    "protocol/envelope.rs": 4,
    "secure/block.rs": 0,
    "secure/frame.rs": 0,
    "secure/identity.rs": 0,
    "secure/proof.rs": 0,
    "secure/window.rs": 0,
}
"""Parsers of datagrams and authentication: each line has to run, but for so many, with the reason."""

# Modules of tests, and the harness of the fuzz targets.
TESTS = re.compile(r"(^|/)tests(/|\.rs$)|^fuzzing\.rs$")
TESTS_OF_FILE = re.compile(r"^#\[cfg\(.*\btest\b.*\)\]\nmod tests \{$", re.MULTILINE)
TEST = ["test", "-p", "caster-core", "--features", "async", "--lib", "--tests"]
MINUTES = 60


def run(*command: str | Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.PIPE, text=True, timeout=MINUTES * 60
    )
    if done.returncode:
        sys.exit(f"{done.stdout}coverage.py: {command[0]} failed")
    return done.stdout


def tools() -> Path:
    """The folder with LLVM's tools."""
    sysroot = Path(run("rustc", "--print", "sysroot").strip())
    for found in sysroot.glob("lib/rustlib/*/bin/llvm-cov"):
        return found.parent
    sys.exit("coverage.py: llvm-cov is missing (rustup component add llvm-tools)")


def counts() -> dict[str, dict[int, int]]:
    """By file below the sources: how often each line with code ran."""
    llvm = tools()
    shutil.rmtree(PROFILES, ignore_errors=True)
    cargo = os.environ.get("CARGO", "cargo")
    flags = {
        "RUSTFLAGS": "",
        "RUSTC_WORKSPACE_WRAPPER": str(Path(__file__).with_name("instrumented-rustc.sh")),
        "CARGO_TARGET_DIR": str(BUILD),
        "LLVM_PROFILE_FILE": str(PROFILES / "%p-%m.profraw"),
        "CASTER_SIM_SEEDS": "40",
    }
    built = run(cargo, *TEST, "--no-run", "--message-format=json", **flags)
    told = [json.loads(line) for line in built.splitlines() if line.startswith("{")]
    programs = [it["executable"] for it in told if it.get("executable")]
    run(cargo, *TEST, "--quiet", **flags)
    data = PROFILES / "all.profdata"
    run(llvm / "llvm-profdata", "merge", "--sparse", "--failure-mode=all", "-o", data, *PROFILES.glob("*.profraw"))
    objects = [word for program in programs for word in ("--object", program)]
    report = run(llvm / "llvm-cov", "export", "--format=lcov", f"--instr-profile={data}", *objects, "--sources", SOURCES)
    found: dict[str, dict[int, int]] = {}
    lines: dict[int, int] = {}
    for record in report.splitlines():
        kind, _, rest = record.partition(":")
        if kind == "SF":
            lines = found.setdefault(Path(rest).relative_to(SOURCES).as_posix(), {})
        elif kind == "DA":
            line, count = rest.split(",")[:2]
            lines[int(line)] = lines.get(int(line), 0) + int(count)
    return found


def without_tests(name: str, lines: dict[int, int]) -> dict[int, int]:
    text = (SOURCES / name).read_text()
    tests = TESTS_OF_FILE.search(text)
    end = text.count("\n", 0, tests.start()) + 1 if tests else float("inf")
    return {line: count for line, count in lines.items() if line < end}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", action="store_true", help="tell each file that is not covered fully")
    parser.add_argument("--missing", nargs="*", default=[], help="tell the lines of these files that never ran")
    arguments = parser.parse_args()
    files = {name: without_tests(name, lines) for name, lines in counts().items() if not TESTS.search(name)}
    missed = {name: sorted(at for at, count in lines.items() if not count) for name, lines in files.items()}
    total = sum(map(len, files.values()))
    share = 100 * (1 - sum(map(len, missed.values())) / total)
    if arguments.files:
        for name in sorted(files, key=lambda name: -len(missed[name])):
            if missed[name]:
                print(f"{name:<34} {len(files[name]):5} lines, {len(missed[name])} never ran")
    for name in arguments.missing:
        source = (SOURCES / name).read_text().splitlines()
        print(name, *(f"{at:5} {source[at - 1]}" for at in missed[name]), sep="\n")
    print(f"{share:.1f} % of {total} lines in {len(files)} files; floor {FLOOR} %")
    below = [f"all: {share:.2f} %"] if share < FLOOR else []
    for name in FULL:
        if name not in files:
            below.append(f"{name}: no such file")
        elif len(missed[name]) > FULL[name]:
            below.append(f"{name}: lines {', '.join(map(str, missed[name]))} never ran")
    sys.exit("\n".join(["coverage.py: below the floors", *below]) if below else 0)


main()
