"""Finds the harness of the interop tests; makes networks that are in trouble."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "interop"))
pytest.register_assert_rewrite("peers")

import lab  # noqa: E402
from obstacles import skip  # noqa: E402


def pytest_report_header() -> str:
    return f"networks: {lab.detect()}"


class Net:
    """A LAN of hosts in namespaces, and commands on them."""

    def __init__(self, of: lab.NamespaceLab) -> None:
        self.lab = of
        self.hosts = of.hosts

    def run(self, host: lab.Host, *command: str, timeout: float = 60) -> str:
        """Runs a command on a host; returns what it wrote. It has to succeed."""
        done = subprocess.run(
            [*host.prefix, *command], capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, host: lab.Host, *command: str, **more: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*host.prefix, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,  # type: ignore[call-overload]
        )

    def cut(self, host: lab.Host) -> None:
        """Takes every interface of a host down."""
        for interface in ("eth0", "lo"):
            self.run(host, "ip", "link", "set", interface, "down")


@pytest.fixture
def net() -> Iterator[Net]:
    if not lab.detect().isolated:
        skip(f"it needs network namespaces: {lab.detect().reason}")
    here = lab.NamespaceLab(2)
    try:
        yield Net(here)
    finally:
        here.close()
