"""`caster web` on the loopback interface, for a browser and for Prometheus."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands import CASTER, DEADLINE
from obstacles import skip

HERE = Path(__file__).parent
VARIABLES = {name: value for name, value in os.environ.items() if not name.startswith("CASTER_")}


class Web:
    """The command, and nodes that it shows."""

    def __init__(self, group: int) -> None:
        self.group = group
        self._started: list[subprocess.Popen[str]] = []
        # A thousand nodes of one host are more than a host may bring in a second.
        web = self.caster("web", "--port", "0", "--udp-port", str(group), "-o", "maxNewNodes=5000", "--range", "host")
        assert web.stderr is not None
        self.url = web.stderr.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.url

    def start(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=VARIABLES
        )
        self._started.append(process)
        return process

    def caster(self, *arguments: str) -> subprocess.Popen[str]:
        return self.start(str(CASTER), *arguments)

    def node(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        return self.caster("up", "--id", name, "--port", str(self.group), "--range", "host", *arguments)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=DEADLINE) as answer:
            return bytes(answer.read())

    def wait_for(self, number: int) -> None:
        """Waits until so many nodes are listed."""
        self.until(lambda: len(json.loads(self.get("api/nodes"))) == number or None)

    @staticmethod
    def until(look: Callable[[], Any]) -> Any:
        """Repeats a look until it finds something."""
        ends = time.monotonic() + DEADLINE
        while (found := look()) is None:
            assert time.monotonic() < ends, "it does not come"
            time.sleep(0.1)
        return found

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


def program(name: str) -> str:
    """A program of Debian's packages."""
    found = shutil.which(name)
    if not found:
        skip(f"it needs {name}: .ci/tools.sh {name} installs it")
    return str(found)


class Browser:
    """Runs the scenarios of page.mjs."""

    def __init__(self, library: Path, chromium: str) -> None:
        self._command = [os.environ.get("NODE", "node"), str(HERE / "page.mjs"), str(library), chromium]

    def start(self, scenario: str, web: Web, *more: str) -> subprocess.Popen[str]:
        return web.start(*self._command, scenario, web.url, *more)

    def run(self, scenario: str, web: Web, *more: str) -> dict[str, Any]:
        return self.end(self.start(scenario, web, *more))

    @staticmethod
    def end(process: subprocess.Popen[str]) -> dict[str, Any]:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        result: dict[str, Any] = json.loads(out.splitlines()[-1])
        return result
