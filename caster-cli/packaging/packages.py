"""Makes the packages `caster-cli` for PyPI and npm that carry the command.

    python3 caster-cli/packaging/packages.py target/command/*/caster

Each argument is the command for another processor: it gets a wheel of its own, and all of them are in one npm package.
Needs the package `wheel`, and npm. The results are in target/dist, or in the folder DIST.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DIST = Path(os.environ.get("DIST", ROOT / "target/dist"))
README = ROOT / "docs/command.md"
SUMMARY = "The command caster: lists, watches and diagnoses the nodes of a network"
# The first moment that a zip archive can name: the same files give the same packages.
EPOCH = "315532800"


def version() -> str:
    (number,) = re.findall(r'^version = "([0-9.]+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[:1]
    return number


def machine(binary: Path) -> str:
    """The processor of a program, as `uname -m` names it."""
    (number,) = struct.unpack_from("<H", binary.read_bytes(), 18)
    return {62: "x86_64", 183: "aarch64"}[number]


def is_static(binary: Path) -> bool:
    """Whether a 64-bit ELF program names no interpreter, which would load its libraries."""
    content = binary.read_bytes()
    (start,) = struct.unpack_from("<Q", content, 32)
    size, number = struct.unpack_from("<HH", content, 54)
    kinds = [struct.unpack_from("<I", content, start + at * size)[0] for at in range(number)]
    return 3 not in kinds  # PT_INTERP


def systems(binary: Path) -> list[str]:
    """The tags of the platforms that run a program."""
    processor = machine(binary)
    if is_static(binary):
        return [f"manylinux_2_17_{processor}", f"manylinux2014_{processor}", f"musllinux_1_1_{processor}"]
    # The oldest glibc that has all its functions.
    minor = max((int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", binary.read_bytes())), default=17)
    return [f"manylinux_2_{max(17, minor)}_{processor}"]


def wheel(number: str, binary: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        scripts = Path(work, f"caster_cli-{number}.data/scripts")
        info = Path(work, f"caster_cli-{number}.dist-info")
        scripts.mkdir(parents=True)
        (info / "licenses").mkdir(parents=True)
        shutil.copy(binary, scripts / "caster")
        (scripts / "caster").chmod(0o755)
        shutil.copy(ROOT / "LICENSE", info / "licenses")
        (info / "WHEEL").write_text(
            "Wheel-Version: 1.0\nGenerator: caster\nRoot-Is-Purelib: false\n"
            + "".join(f"Tag: py3-none-{system}\n" for system in systems(binary))
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


def npm(number: str, binaries: list[Path]) -> None:
    with tempfile.TemporaryDirectory() as work:
        package = Path(work, "package")
        shutil.copytree(HERE / "npm", package)
        described = json.loads((package / "package.json").read_text())
        (package / "package.json").write_text(json.dumps(described | {"version": number}, indent=2) + "\n")
        for binary in binaries:
            folder = package / {"x86_64": "linux-x64", "aarch64": "linux-arm64"}[machine(binary)]
            folder.mkdir()
            shutil.copy(binary, folder / "caster")
            (folder / "caster").chmod(0o755)
        shutil.copy(ROOT / "LICENSE", package)
        shutil.copy(README, package / "README.md")
        command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(DIST), str(package)]
        subprocess.run(command, check=True)


def main() -> None:
    DIST.mkdir(parents=True, exist_ok=True)
    binaries = [Path(name) for name in sys.argv[1:]]
    for binary in binaries:
        wheel(version(), binary)
    npm(version(), binaries)


main()
