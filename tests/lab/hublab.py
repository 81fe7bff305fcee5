"""Hosts on the lossy hub of hub.py instead of a bridge."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from lab import NamespaceLab

HUB = Path(__file__).resolve().parent / "hub.py"
MULTICAST_ROUTE = "224.0.0.0/4"
COMMAND_DEADLINE = 20.0


class Silence(NamedTuple):
    """A host has sent nothing to a port for a while; host 0: the hub has carried nothing."""

    host: int
    port: int
    ended: int
    """In nanoseconds."""
    seconds: float


class HubLab(NamespaceLab):
    """A LAN whose faults can be changed at any time."""

    def __init__(self, hosts: int, seed: int) -> None:
        super().__init__(hosts, bridge=False)
        cables = [f"v{host}" for host in range(1, hosts + 1)]
        self.seed = seed
        self._one_at_a_time = threading.Lock()
        self._hub = subprocess.Popen(
            [*self.middle, sys.executable, str(HUB), "--seed", str(seed), *cables],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._hub.stdout.readline()
        if not line:
            raise AssertionError(f"the hub has ended: {self._hub.wait()}")
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer

    def tell(self, command: str) -> dict[str, Any]:
        """Gives the hub a command; its answer has the time and the counters."""
        with self._one_at_a_time:
            self._hub.stdin.write(command + "\n")
            self._hub.stdin.flush()
            return self._answer()

    def said(self) -> tuple[dict[int, Counter[int]], list[Silence]]:
        """How many datagrams each host has sent to each port so far, and for how
        long none since this was last asked."""
        answer = self.tell("stat")
        said = {
            int(host): Counter({int(port): n for port, n in ports.items()})
            for host, ports in answer["said"].items()
        }
        return said, [Silence(*silence) for silence in answer["silences"]]

    def link(self, host: int, state: str) -> None:
        """Takes the interface of a host `down` or `up`."""
        self.ip(host, "link", "set", "eth0", state)
        if state == "up":
            # The network manager of a host would do the same.
            self.ip(host, "route", "replace", MULTICAST_ROUTE, "dev", "eth0")

    def ip(self, host: int, *what: str) -> None:
        """Runs `ip` on a host."""
        command = [*self.hosts[host - 1].prefix, "ip", *what]
        subprocess.run(command, check=True, timeout=COMMAND_DEADLINE)

    def close(self) -> None:
        self._hub.stdin.close()
        try:
            self._hub.wait(5)
        except subprocess.TimeoutExpired:
            self._hub.kill()
            self._hub.wait(5)
        self._hub.stdout.close()
        super().close()
