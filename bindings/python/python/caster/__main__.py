"""`python -m caster`: runs the command `caster`, or says how to get it."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig

ADVICE = """\
The command caster is not installed. Install it with one of:
  pip install caster-cli
  npm install --global caster-cli
  cargo install --path caster-cli
"""


def _find() -> str | None:
    """The command beside this Python first, then that of the PATH."""
    return shutil.which("caster", path=sysconfig.get_path("scripts")) or shutil.which("caster")


def main() -> None:
    """Becomes the command."""
    program = _find()
    if program is None:
        sys.stderr.write(ADVICE)
        sys.exit(127)
    os.execv(program, [program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
