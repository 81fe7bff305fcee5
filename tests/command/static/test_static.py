"""The static command of caster-cli/packaging/build.sh, in a root directory that holds nothing else."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from commands import ROOT
from obstacles import skip

LONG = 900.0

FIND = """
set -e
ip link set lo up
chroot "$1" /caster up --id here --port 23511 --range host &
chroot "$1" /caster wait --port 23511 --range host --timeout 30s
kill $!
wait
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The static commands that can be built here, by processor."""
    libraries = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    processors = [
        name for name in ("x86_64", "aarch64")
        if Path(libraries, f"lib/rustlib/{name}-unknown-linux-musl/lib").is_dir()
    ]
    if platform.machine() not in processors:
        skip(f"rustup target add {platform.machine()}-unknown-linux-musl")
    build = [ROOT / "caster-cli/packaging/build.sh", *processors]
    subprocess.run(build, env=os.environ | {"PROFILE": "dev"}, check=True, timeout=LONG)
    return {name: ROOT / "target/command" / name / "caster" for name in processors}


def test_it_needs_no_library(commands: dict[str, Path]) -> None:
    machines = {"x86_64": "X86-64", "aarch64": "AArch64"}
    for processor, binary in commands.items():
        told = subprocess.run(["readelf", "-hldW", binary], capture_output=True, text=True, check=True).stdout
        assert "INTERP" not in told and "NEEDED" not in told
        assert machines[processor] in told


def test_it_finds_nodes_where_nothing_else_is(commands: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(commands[platform.machine()], tmp_path / "caster")
    command = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", FIND, "sh", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode == 0, done.stderr
    assert "here" in done.stdout and "alive" in done.stdout
