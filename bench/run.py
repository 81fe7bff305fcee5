#!/usr/bin/env python3
"""Runs the benchmarks: `make bench`, or `python3 bench/run.py [--quick] [--only ROW,ROW] [--dry]`.

Sets everything up, runs all in turn, and writes docs/benchmarks. Python 3.11 or newer,
standard library only; the charts are drawn by matplotlib in an environment of its own.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from suite import report, rows, setup  # noqa: E402
from suite.lab import Failed, Lab  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, fewer cases, nothing published")
    parser.add_argument("--only", default="", help=f"some of {', '.join(rows.ROWS)}")
    parser.add_argument("--dry", action="store_true", help="write below target/bench instead of docs/benchmarks")
    parser.add_argument("--report", metavar="FILE", help="make the tables and charts of these results again")
    arguments = parser.parse_args()
    if arguments.report:
        report.write(json.loads(Path(arguments.report).read_text()), setup.ROOT / "docs/benchmarks")
        return 0
    wanted = [name for name in arguments.only.split(",") if name] or list(rows.ROWS)
    if unknown := set(wanted) - set(rows.ROWS):
        parser.error(f"no rows {', '.join(sorted(unknown))}; there are {', '.join(rows.ROWS)}")
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        Lab().__exit__()
    except (Failed, OSError) as reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 1
    context = rows.Context(setup.prepare(arguments.quick), arguments.quick)
    for name in wanted:
        setup.step(f"{name}: {rows.ROWS[name].__doc__.splitlines()[0]}")
        rows.ROWS[name](context)
    context.setup.versions["load before and after"] = f"{load:.1f} and {os.getloadavg()[0]:.1f}"
    results = report.collect(context, wanted, time.monotonic() - began)
    whole = not (arguments.quick or arguments.only or arguments.dry)
    report.write(results, setup.ROOT / "docs/benchmarks" if whole else setup.PLACE / "report")
    print(f"== Done in {(time.monotonic() - began) / 60:.1f} min", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
