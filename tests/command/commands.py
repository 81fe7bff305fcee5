"""The command on the hosts of a private network."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

import lab

ROOT = Path(__file__).resolve().parents[2]
CASTER = Path(os.environ.get("CASTER", ROOT / "target/debug/caster"))
NETFILTER = ROOT / "tests/networks/netfilter.py"
DEADLINE = 60.0
"""How long anything may take, in seconds."""


def hosts(number: int) -> pytest.MarkDecorator:
    """A mark: the network of the test has this number of hosts."""
    return pytest.mark.parametrize("lan", [number], indirect=True, ids=[f"{number} hosts"])


class Lan:
    """Hosts on a bridge, and the processes that run on them."""

    CASTER, NETFILTER = CASTER, NETFILTER

    def __init__(self, number: int) -> None:
        self.lab = lab.NamespaceLab(number)
        self.hosts = self.lab.hosts
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Lan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
        self.lab.close()

    def run(self, host: int, *command: str) -> str:
        """Runs a program on a host; returns what it wrote. It has to succeed."""
        done = self._run(self.hosts[host].prefix, command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def middle(self, script: str) -> str:
        """Runs a script in the namespace that the cables of the hosts lead to."""
        done = self._run(self.lab.middle, ("sh", "-ec", script))
        assert done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def caster(self, host: int, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs the command on a host."""
        return self._run(self.hosts[host].prefix, (*_environment(variables), str(CASTER), *arguments))

    def start(self, host: int, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Starts the command on a host. It is killed at the end of the test."""
        process = subprocess.Popen(
            [*self.hosts[host].prefix, *_environment(variables), str(CASTER), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def wait_joined(self, host: int) -> None:
        """Waits until a process on a host receives the group: what is sent from then on reaches it."""
        group = socket.inet_aton("224.0.0.42")[::-1].hex().upper()
        ends = time.monotonic() + DEADLINE
        while group not in self.run(host, "cat", "/proc/net/igmp").partition("eth0")[2]:
            assert time.monotonic() < ends, "the group was not joined"
            time.sleep(0.05)

    @contextlib.contextmanager
    def program(self, host: int, *command: str) -> Iterator[None]:
        """A program on a host that says `ready`, until the end of the block."""
        process = subprocess.Popen(
            [*self.hosts[host].prefix, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield
        process.kill()

    def netfilter(self, host: int, *rule: str) -> None:
        self.run(host, sys.executable, str(NETFILTER), *rule)

    @staticmethod
    def _run(prefix: tuple[str, ...], command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*prefix, *command], capture_output=True, text=True, timeout=DEADLINE)


def _environment(variables: dict[str, str]) -> list[str]:
    """A command that sets these variables and takes the user's settings away."""
    cleared = ["CASTER_SECRET", "CASTER_RANGE", "CASTER_SEEDS"]
    settings = {"XDG_CONFIG_HOME": "/nonexistent"} | variables
    return ["env", *(f"-u{name}" for name in cleared), *(f"{key}={value}" for key, value in settings.items())]
