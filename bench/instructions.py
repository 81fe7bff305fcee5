#!/usr/bin/env python3
"""Counts the instructions that stages, table and queue take, and compares them with
bench/instructions.json: a regression shows on the busiest machine.

    instructions.py MICRO            compares; fails if a case takes over 5 % more, or, where the
                                     compiler is another one than that of the file, 20 % more
    instructions.py MICRO --write    writes the file again

MICRO is the built program `micro`. Counted by callgrind, as the difference of two runs. Under
valgrind the SHA instructions of the CPU do not exist, so hashes count for more than they cost.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BASELINE = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.05
TOLERANCE_OTHER_COMPILER = 0.2
COUNTS = (400, 1400)


def instructions(micro: str, case: str, count: int) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", micro, case, str(count)]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"instructions: {case}: {done.stderr.strip()[-400:]}")
    return int(found[1])


def each(micro: str, case: str) -> float:
    few, many = (instructions(micro, case, count) for count in COUNTS)
    return round((many - few) / (COUNTS[1] - COUNTS[0]))


def main() -> int:
    micro = sys.argv[1]
    if not shutil.which("valgrind"):
        print("instructions: skipped, there is no valgrind (Debian: apt install valgrind)")
        return 1 if os.environ.get("CI") == "true" else 0
    cases = subprocess.run([micro, "list"], capture_output=True, text=True, check=True).stdout.split()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = dict(zip(cases, pool.map(lambda case: each(micro, case), cases)))
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if "--write" in sys.argv:
        BASELINE.write_text(json.dumps({"compiler": compiler, "instructions": counted}, indent=1) + "\n")
    file = json.loads(BASELINE.read_text())
    baseline, tolerance = file["instructions"], TOLERANCE
    if file["compiler"] != compiler:
        tolerance = TOLERANCE_OTHER_COMPILER
        print(f"instructions: {BASELINE.name} was made with {file['compiler']}: {tolerance:.0%} more is tolerated")
    worse = []
    for case in sorted({*baseline, *counted}):
        before, now = baseline.get(case), counted.get(case)
        if before is None or now is None:
            worse.append(case)
            print(f"{case:18} {'not in the file' if before is None else 'no such case any more'}")
            continue
        change = now / before - 1
        print(f"{case:18} {now:8,} instructions, {change:+.1%}")
        if change > tolerance:
            worse.append(case)
    if worse:
        print(f"instructions: {', '.join(worse)}: over {tolerance:.0%} more than in {BASELINE.name}, or missing there.")
        print("If that is meant: make instructions-baseline")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
