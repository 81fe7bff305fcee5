"""The programs of the README as they stand there: the first one of each language finds the others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from lab import detect
from obstacles import skip
from peers import ROOT, TARGET, found_program

EXAMPLES = ROOT / "examples"
PATIENCE = 60.0


def build(folder: Path) -> dict[str, list[str]]:
    """The commands of the programs, by language."""
    release = TARGET / "release"
    to_library = [f"-I{ROOT / 'include'}", f"-L{release}", "-lcaster", f"-Wl,-rpath,{release}"]
    for compiler, standard, source in (("cc", "c99", "first.c"), ("c++", "c++17", "first.cpp")):
        run = [compiler, f"-std={standard}", str(EXAMPLES / source), "-o", str(folder / source)]
        subprocess.run([*run, "-D_POSIX_C_SOURCE=200809L", *to_library], check=True, timeout=120)
    rust = ["cargo", "build", "-q", "-p", "caster-core", "--example", "first"]
    subprocess.run(rust, check=True, timeout=600, cwd=ROOT, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})
    (folder / "caster").symlink_to(ROOT / "bindings/node")
    return {
        # As on a terminal, each line at once.
        "c": ["stdbuf", "-oL", str(folder / "first.c")],
        "c++": [str(folder / "first.cpp")],
        "rust": [str(TARGET / "debug/examples/first")],
        "python": [sys.executable, str(EXAMPLES / "first.py")],
        "node": [found_program("node"), str(EXAMPLES / "first.js")],
    }


def test_the_first_programs_of_all_languages_find_each_other(tmp_path: Path) -> None:
    network = detect()
    if not network.isolated:
        skip(f"the programs use all interfaces; {network.reason}")
    lab = network.lab()
    environment = {**os.environ, "NODE_PATH": str(tmp_path)}
    commands = build(tmp_path)
    running = {}
    try:
        for (language, command), host in zip(commands.items(), lab.hosts):
            output = (tmp_path / f"{language}.out").open("w")
            running[language] = subprocess.Popen(
                [*host.prefix, *command], stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        deadline = time.monotonic() + PATIENCE
        waiting = set(running)
        while waiting and time.monotonic() < deadline:
            time.sleep(0.1)
            for language in list(waiting):
                found = (tmp_path / f"{language}.out").read_text().count(" is up")
                if found >= len(running) - 1:
                    waiting.remove(language)
        outputs = {language: (tmp_path / f"{language}.out").read_text() for language in waiting}
        assert not waiting, f"not all others were found: {outputs}"
        assert all(program.poll() is None for program in running.values())
    finally:
        for program in running.values():
            program.kill()
            program.wait()
        lab.close()
