"""The packages for PyPI and npm, made of the command that the tests use, and the files for systemd and Compose."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import jsonschema
import pytest
import yaml

from commands import CASTER, ROOT
from obstacles import skip

EXAMPLES = ROOT / "examples"
LONG = 300.0


def run(*command: str | Path, **variables: str) -> str:
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, timeout=LONG, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def pack(to: Path, *binaries: Path) -> None:
    run(sys.executable, ROOT / "caster-cli/packaging/packages.py", *binaries, DIST=str(to))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages."""
    folder = tmp_path_factory.mktemp("packages")
    release = folder / "release"
    release.mkdir()
    # Without what debuggers need: it takes long to pack.
    run("strip", "-o", release / "caster", CASTER)
    pack(folder, release / "caster")
    return folder


def test_the_wheel_installs_the_command(packages: Path, tmp_path: Path) -> None:
    (wheel,) = packages.glob("caster_cli-*-py3-none-manylinux_2_*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--no-index", "--disable-pip-version-check", "--quiet", wheel)
    command = tmp_path / "venv/bin/caster"
    assert run(command, "--version") == run(CASTER, "--version")
    shown = run(python, "-m", "pip", "show", "--files", "caster-cli")
    assert "bin/caster" in shown and "License" in shown
    again = tmp_path / "again"
    pack(again, packages / "release/caster")
    assert (again / wheel.name).read_bytes() == wheel.read_bytes()


def test_static_commands_are_for_every_linux(tmp_path: Path) -> None:
    # Any static program will do.
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    run("cc", "-static", "-o", tmp_path / "here", tmp_path / "main.c")
    content = bytearray((tmp_path / "here").read_bytes())
    numbers = {"x86_64": 62, "aarch64": 183}
    binaries = []
    for processor, number in numbers.items():
        content[18:20] = number.to_bytes(2, "little")
        binaries.append(tmp_path / processor)
        binaries[-1].write_bytes(content)
    pack(tmp_path / "dist", *binaries)
    for processor in numbers:
        systems = ["manylinux2014", "manylinux_2_17", "musllinux_1_1"]
        tags = ".".join(f"{system}_{processor}" for system in systems)
        (wheel,) = (tmp_path / "dist").glob(f"caster_cli-*-py3-none-{tags}.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("scripts/caster"))
            assert archive.read(name) == (tmp_path / processor).read_bytes()
    (tarball,) = (tmp_path / "dist").glob("*.tgz")
    with tarfile.open(tarball) as archive:
        assert {"package/linux-x64/caster", "package/linux-arm64/caster"} <= set(archive.getnames())


def test_the_npm_package_runs_the_command(packages: Path, tmp_path: Path) -> None:
    (tarball,) = packages.glob("caster-cli-*.tgz")
    run("npm", "install", "--offline", "--global", "--no-audit", "--no-fund", "--prefix", tmp_path, tarball)
    command = tmp_path / "bin/caster"
    assert run(command, "--version") == run(CASTER, "--version")
    usage = subprocess.run([command, "ls", "--wait", "soon"], capture_output=True, timeout=LONG, check=False)
    assert usage.returncode == 2
    # Signals pass through, and so does the status of the command's command.
    arguments = ["up", "--port", "23501", "--range", "host", "--", "sh", "-c", "trap 'exit 7' TERM; echo here; sleep 60 & wait"]
    with subprocess.Popen([command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 7
    folder = tmp_path / "lib/node_modules/caster-cli"
    for other in folder.glob("linux-*"):
        shutil.rmtree(other)
    missing = subprocess.run([command, "ls"], capture_output=True, text=True, timeout=LONG, check=False)
    assert missing.returncode == 127 and "cargo install" in missing.stderr


def test_the_unit_is_accepted_by_systemd(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        skip("it needs systemd-analyze")
    # The programs of the unit exist on the hosts that it is for.
    text = (EXAMPLES / "caster.service").read_text()
    text = text.replace("/usr/local/bin/caster", str(CASTER)).replace("/usr/local/bin/server", "/bin/true")
    unit = tmp_path / "server.service"

    def remarks(content: str) -> list[str]:
        unit.write_text(content)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=LONG, check=False
        )
        # Units of the machine itself may have faults as well.
        return [line for line in done.stderr.splitlines() if "server.service" in line]

    assert remarks(text) == []
    assert remarks(text.replace("Type=notify", "Type=notified")) != []


def test_the_arguments_of_unit_and_compose_file_are_accepted() -> None:
    unit = (EXAMPLES / "caster.service").read_text()
    lines = [line.partition("=")[2].split() for line in unit.splitlines() if line.startswith("ExecStart")]
    services = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]
    lines += [service["command"] for service in services.values()]
    lines += [service["healthcheck"]["test"][1:] for service in services.values() if "healthcheck" in service]
    assert len(lines) == 5
    for program, *arguments in lines:
        assert Path(program).name == "caster"
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        # The help is printed only if all arguments before it are accepted.
        done = subprocess.run([CASTER, *own, "--help"], capture_output=True, text=True, timeout=LONG, check=False)
        assert done.returncode == 0 and "Examples" in done.stdout, (own, done.stderr)


def test_the_compose_file_is_one_of_its_schema(tmp_path: Path) -> None:
    # The schema is part of the package for Python of Compose 1.29.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary=:none:", "--only-binary=:all:"]
    run(*command, "--disable-pip-version-check", "--quiet", "--dest", str(tmp_path), "docker-compose==1.29.2")
    (wheel,) = tmp_path.glob("docker_compose-*.whl")
    with zipfile.ZipFile(wheel) as content:
        schema = json.loads(content.read("compose/config/compose_spec.json"))
    validator = jsonschema.Draft201909Validator(schema)
    described = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())
    assert [error.message for error in validator.iter_errors(described)] == []
    described["services"]["db"]["helthcheck"] = {}
    assert not validator.is_valid(described)
