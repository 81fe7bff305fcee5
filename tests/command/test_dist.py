"""The archive of `make dist-command`, made of the command that the tests use."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from pathlib import Path

from commands import CASTER, ROOT


def test_the_archive_is_complete_and_always_the_same(tmp_path: Path) -> None:
    def made(folder: str) -> Path:
        variables = os.environ | {"RELEASE": str(CASTER.parent), "DIST": str(tmp_path / folder)}
        subprocess.run([ROOT / "caster-cli/packaging/dist.sh"], env=variables, check=True, timeout=60)
        (archive,) = (tmp_path / folder).iterdir()
        return archive

    archive = made("first")
    help_text = subprocess.run([CASTER, "--help"], capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"^  ([a-z]+)  ", help_text, re.MULTILINE)) - {"help"}
    assert "doctor" in commands
    with tarfile.open(archive) as content:
        files = {Path(*Path(it.name).parts[1:]).as_posix(): it for it in content.getmembers() if it.isfile()}
        pages = {f"share/man/man1/caster-{command}.1" for command in commands}
        assert files.keys() == pages | {
            "bin/caster",
            "share/man/man1/caster.1",
            "share/bash-completion/completions/caster",
            "share/zsh/site-functions/_caster",
            "share/fish/vendor_completions.d/caster.fish",
            "share/doc/caster/LICENSE",
            "share/doc/caster/CHANGELOG.md",
            "share/doc/caster/command.md",
        }
        assert all(it.size > 0 for it in files.values()) and files["bin/caster"].mode == 0o755
    assert archive.read_bytes() == made("second").read_bytes()
