"""`python -m caster`: it finds the command, or says how to get it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from conftest import PATIENCE


def run(path: pathlib.Path) -> "subprocess.CompletedProcess[str]":
    """Runs it with a program of another virtual environment out of reach."""
    code = "import runpy, sys, sysconfig; sysconfig.get_path = lambda name: ''; runpy.run_module('caster', run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code, "ls", "a b"],
        env={**os.environ, "PATH": str(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        text=True,
    )


def test_without_the_command_it_says_how_to_get_it(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (127, "")
    assert "pip install caster-cli" in done.stderr


def test_it_becomes_the_command(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "caster"
    program.write_text('#!/bin/sh\necho "$#:$1:$2"\nexit 7\n')
    program.chmod(0o755)
    done = run(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (7, "2:ls:a b\n", "")
