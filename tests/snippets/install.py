"""The install lines of README.md by copy and paste, each in an environment of its own with the first program of its
language. `make test-install` runs it. Arguments: some of the languages C, Rust, Python and Node.js.

Every line runs in an empty folder with this checkout as `../caster`. PREFIX, the virtual environment and the folder are
temporary; only what cargo has built already is used again. Two copies of the program then find each other in a
network namespace that has the loopback interface only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0
ROW = re.compile(r"^\| ([^|]+?) \| `([^`]+)`", re.MULTILINE)


def lines() -> dict[str, str]:
    """The commands of the table below "Install", by the first word of the language."""
    section = (ROOT / "README.md").read_text().partition("\n## Install\n")[2].partition("\n## ")[0]
    return {row[1].split(" ")[0].rstrip(","): row[2] for row in ROW.finditer(section)}


def compile_lines() -> dict[str, str]:
    """The commands that compile a first program, as the README has them, by language."""
    found = re.findall(r"^(C|C\+\+): `([^`]+)`$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return dict(found)


def sh(command: str, folder: Path, environment: dict[str, str]) -> None:
    print("+", command, flush=True)
    done = subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{command}: status {done.returncode}")


def finds_itself(command: str, folder: Path, environment: dict[str, str]) -> None:
    """Runs the program twice in a namespace until each copy has found the other."""
    start = f"ip link set lo up; {command} >one 2>&1 & {command} >two 2>&1 & wait"
    script = ["unshare", "-rn", "--kill-child", "--fork", "--pid", "sh", "-c", start]
    running = subprocess.Popen(script, cwd=folder, env=environment)
    try:
        deadline = time.monotonic() + PATIENCE
        outputs = [folder / "one", folder / "two"]
        while not all(each.exists() and " is up" in each.read_text() for each in outputs):
            if time.monotonic() > deadline or running.poll() is not None:
                sys.exit(f"{command}: " + " / ".join(each.read_text() for each in outputs if each.exists()))
            time.sleep(0.1)
    finally:
        running.kill()
        running.wait()


class Place:
    """A folder with this checkout as `caster`, and the environment of the commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "caster").symlink_to(ROOT)
        prefix = folder / "prefix"
        self.environment = {
            **os.environ,
            "PREFIX": str(prefix),
            "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"),
            "LD_LIBRARY_PATH": str(prefix / "lib"),
        }
        self.environment.pop("MAKEFLAGS", None)
        self.target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

    def app(self, language: str, *files: str) -> Path:
        """The folder of a program."""
        folder = self.folder / language
        folder.mkdir()
        for file in files:
            shutil.copy(ROOT / "examples" / file, folder)
        return folder


def of_c(place: Place, install: str) -> None:
    folder = place.app("c", "first.c", "first.cpp")
    sh(install, folder, place.environment)
    compiled = compile_lines()
    assert set(compiled) == {"C", "C++"}, compiled
    for command in compiled.values():
        sh(command, folder, place.environment)
        finds_itself("stdbuf -oL ./a.out", folder, place.environment)


def of_rust(place: Place, install: str) -> None:
    cargo = os.environ.get("CARGO", "cargo")
    folder = place.app("rust", "first.rs")
    prepare = f"{cargo} init -q --name app && mv first.rs src/main.rs && cp ../caster/Cargo.lock ."
    sh(prepare, folder, place.environment)
    sh(install, folder, place.environment)
    target = place.target / "install-rust"
    sh(f"{cargo} build -q", folder, {**place.environment, "CARGO_TARGET_DIR": str(target)})
    finds_itself(f"{target}/debug/app", folder, place.environment)


def of_python(place: Place, install: str) -> None:
    folder = place.app("python", "first.py")
    sh(f"{sys.executable} -m venv venv", folder, place.environment)
    environment = {
        **place.environment,
        "PATH": f"{folder}/venv/bin:{os.environ['PATH']}",
        "CARGO_TARGET_DIR": str(place.target / "install-python"),
    }
    sh(install, folder, environment)
    finds_itself("python first.py", folder, environment)


def of_node(place: Place, install: str) -> None:
    folder = place.app("node", "first.js")
    sh(install, folder, place.environment)
    finds_itself("node first.js", folder, place.environment)


LANGUAGES = {"C": of_c, "Rust": of_rust, "Python": of_python, "Node.js": of_node}


def main() -> None:
    install = lines()
    assert set(install) == set(LANGUAGES), install
    for language in sys.argv[1:] or LANGUAGES:
        with tempfile.TemporaryDirectory() as name:
            LANGUAGES[language](Place(Path(name)), install[language])
        print(f"{language}: installed, and the first program finds another", flush=True)


if __name__ == "__main__":
    main()
