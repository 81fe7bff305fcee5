"""Writes a C file that defines every function which caster.h declares: `stubs.py CC INCLUDE_FOLDER`.

Compiled with debug information it is the C API and nothing else, which is what abidw can describe.
(libcaster.so itself says what its types are in Rust, with everything inside, down to the standard
library: that changes with every version of everything and is no part of the ABI.)
"""

import re
import subprocess
import sys


def main() -> None:
    compiler, include = sys.argv[1:]
    command = [*compiler.split(), "-E", "-P", "-I" + include, "-include", "caster.h", "-x", "c", "/dev/null"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    print("#include <caster.h>")
    names = []
    for statement in re.sub(r"\{[^{}]*\}", "", text).split(";"):
        statement = " ".join(statement.split())
        found = re.search(r"\b(caster_\w+) ?\(([^()]*)\)$", re.sub(r"__attribute__ ?\(\(.*?\)\) ?", "", statement))
        if not found or statement.startswith("typedef"):
            continue
        names.append(found[1])
        head = re.sub(r"__attribute__ ?\(\(.*?\)\) ?|\bextern ", "", statement)
        # gcc describes what is there, called or not; a missing return is no error then.
        print(f"{head} {{ for (;;) {{}} }}")
    if not names or len(names) != len(set(names)):
        sys.exit("stubs.py: caster.h has no functions, or has one twice")


main()
