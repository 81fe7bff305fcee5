"""Makes the packages `caster-cli` for PyPI and npm that carry the command, for this kind of machine.

    RELEASE=target/release python3 caster-cli/packaging/packages.py

Needs the package `wheel`, and npm. The results are in target/dist, or in the folder DIST.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RELEASE = Path(os.environ.get("RELEASE", ROOT / "target/release"))
DIST = Path(os.environ.get("DIST", ROOT / "target/dist"))
README = ROOT / "docs/command.md"
SUMMARY = "The command caster: lists, watches and diagnoses the nodes of a network"
# The first moment that a zip archive can name: the same files give the same packages.
EPOCH = "315532800"


def version() -> str:
    told = subprocess.run([RELEASE / "caster", "--version"], capture_output=True, text=True, check=True).stdout
    return told.split()[1]


def oldest_libc(binary: Path) -> int:
    """The minor version of the oldest glibc 2 that has all functions of a program."""
    return max((int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", binary.read_bytes())), default=17)


def wheel(number: str) -> None:
    binary = RELEASE / "caster"
    tag = f"py3-none-manylinux_2_{max(17, oldest_libc(binary))}_{platform.machine()}"
    with tempfile.TemporaryDirectory() as work:
        scripts = Path(work, f"caster_cli-{number}.data/scripts")
        info = Path(work, f"caster_cli-{number}.dist-info")
        scripts.mkdir(parents=True)
        (info / "licenses").mkdir(parents=True)
        shutil.copy(binary, scripts / "caster")
        (scripts / "caster").chmod(0o755)
        shutil.copy(ROOT / "LICENSE", info / "licenses")
        (info / "WHEEL").write_text(
            f"Wheel-Version: 1.0\nGenerator: caster\nRoot-Is-Purelib: false\nTag: {tag}\n"
        )
        head = {
            "Metadata-Version": "2.4",
            "Name": "caster-cli",
            "Version": number,
            "Summary": SUMMARY,
            "License-Expression": "MIT",
            "License-File": "LICENSE",
            "Requires-Python": ">=3.9",
            "Description-Content-Type": "text/markdown",
        }
        lines = [f"{key}: {value}\n" for key, value in head.items()]
        (info / "METADATA").write_text("".join(lines) + "\n" + README.read_text())
        command = [sys.executable, "-m", "wheel", "pack", work, "--dest-dir", str(DIST)]
        subprocess.run(command, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH})


def npm(number: str) -> None:
    with tempfile.TemporaryDirectory() as work:
        package = Path(work, "package")
        shutil.copytree(HERE / "npm", package)
        described = json.loads((package / "package.json").read_text())
        (package / "package.json").write_text(json.dumps(described | {"version": number}, indent=2) + "\n")
        processor = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        folder = package / f"linux-{processor}"
        folder.mkdir()
        shutil.copy(RELEASE / "caster", folder / "caster")
        (folder / "caster").chmod(0o755)
        shutil.copy(ROOT / "LICENSE", package)
        shutil.copy(README, package / "README.md")
        command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(DIST), str(package)]
        subprocess.run(command, check=True)


def main() -> None:
    DIST.mkdir(parents=True, exist_ok=True)
    wheel(version())
    npm(version())


main()
