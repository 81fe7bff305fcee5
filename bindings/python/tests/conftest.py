"""Helpers of the tests. All traffic stays on the loopback interface."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

import caster

# A shell that runs this in the background ignores Ctrl-C, and programs inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENCE = 20.0
"""The timeout of every wait, in seconds."""


class Network:
    """A group and port of its own on the loopback interface."""

    def __init__(self) -> None:
        octets = (str(random.randint(1, 254)) for _ in range(3))
        self.multicast = "239." + ".".join(octets)
        self.port = random.randint(22000, 32000)
        self.made: List[Any] = []
        self.processes: List[subprocess.Popen[str]] = []
        self._names = itertools.count(1)

    @property
    def options(self) -> Dict[str, Any]:
        return {"address": "127.0.0.1", "multicast": self.multicast, "port": self.port}

    @property
    def node_options(self) -> Dict[str, Any]:
        return {**self.options, "heartbeat": 100, "timeout": 300}

    def node(self, /, **options: Any) -> caster.Node:
        """A node with short heartbeat intervals."""
        options = {"id": f"node{next(self._names)}", **self.node_options, **options}
        node = caster.Node(options)
        self.made.append(node)
        return node

    def caster(self, *middleware: Any) -> caster.Caster:
        """A caster that is bound."""
        made = caster.Caster(self.options)
        made.use(*middleware)
        made.bind()
        self.made.append(made)
        return made

    def voice(self) -> caster.Caster:
        """A caster that speaks as other nodes would."""
        return self.caster(caster.middleware.json(), caster.middleware.hash())

    def say(self, *datagrams: bytes) -> None:
        """Sends datagrams as they are."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
            )
            for datagram in datagrams:
                sock.sendto(datagram, (self.multicast, self.port))

    def script(self, code: str) -> subprocess.Popen[str]:
        """Starts a Python program; `options` in it are those of a node here."""
        text = f"import caster, json, os, sys, time\noptions = {self.node_options!r}\n{code}"
        return self.program(text, "-X", "dev", "-W", "error")

    def program(self, text: str, *flags: str) -> subprocess.Popen[str]:
        """Starts a Python program as it is."""
        process = subprocess.Popen(
            [sys.executable, *flags, "-c", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for made in self.made:
            if getattr(made, "is_up", False) or getattr(made, "is_bound", False):
                (made.down if isinstance(made, caster.Node) else made.close)()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=PATIENCE)


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.end()


def eventually(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Waits until something is true; returns it."""
    end = time.monotonic() + patience
    while not (result := what()):
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.01)
    return result


def beat(id: str, incarnation: int, count: int, interval: int) -> Dict[str, Any]:
    """A heartbeat. `incarnation` changes with each start of a node, `count` rises within one."""
    return {"id": id, "meta": 1, "caster": {"b": incarnation, "n": count, "h": interval}}


def next_of(source: Any, kind: type, node: Optional[str] = None) -> Any:
    """The next event of this class, of this node if one is given."""
    for event in source.events(timeout=PATIENCE):
        if isinstance(event, kind) and node in (None, getattr(event, "node", None) and event.node.id):
            return event
    raise AssertionError(f"no {kind.__name__} came")


def finish(process: subprocess.Popen[str], patience: float = PATIENCE) -> str:
    """Returns the output of a program that has ended with status 0."""
    out, err = process.communicate(timeout=patience)
    assert process.returncode == 0, f"status {process.returncode}\n{out}\n{err}"
    # A program that starts slowly leaves the other one alone for five intervals of 100 ms.
    said = [line for line in err.splitlines() if "no peer was heard" not in line]
    assert said == []
    return out


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    return len(os.listdir("/proc/self/task"))
