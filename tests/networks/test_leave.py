"""A node that leaves while the network is gone: the leave is counted, and nothing else happens."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Net
from peers import OURS, ROOT, Cast, command

QUIET = {"heartbeat": 60_000, "timeout": 120_000}
"""No heartbeat fails in the course of a test."""


ATTEMPTS = 10
"""A node that sends between the cut and its leave tells of that, rightly, and is tried again. A leave that told of its
error would do so each time."""


@pytest.mark.parametrize("kind", OURS)
def test_a_leave_that_cannot_be_sent_is_counted(net: Net, kind: str) -> None:
    host = net.hosts[0]
    for _ in range(ATTEMPTS):
        with Cast(net.lab) as cast:
            peer = cast.start(kind, host, id="leaver", **QUIET)
            peer.wait_ready()
            before = peer.stats()["sendErrors"]
            net.cut(host)
            mark = peer.mark()
            peer.down()
            told = peer.seen("error", mark)
            assert peer.stats()["sendErrors"] > before
            peer.end_input()
            assert peer.wait_ended() == 0
        if not told:
            return
        net.run(host, "sh", "-ec", "ip link set lo up; ip link set eth0 up; ip route replace 224.0.0.0/4 dev eth0")
    raise AssertionError(told)


CUT = """
import subprocess, sys, caster
options = dict(id="leaver", heartbeat=60_000, timeout=120_000)

def cut():
    for interface in ("eth0", "lo"):
        subprocess.run(["ip", "link", "set", interface, "down"], check=True)

class Same:
    name = "same"
    def tx(self, message):
        return message
"""


@pytest.mark.parametrize("use", ["pass", "node.use(Same())", "node.on('up', print)"])
@pytest.mark.parametrize("style", ["with", "async with"])
def test_python_shows_the_exception_of_the_program(net: Net, style: str, use: str) -> None:
    code = f"""{CUT}
import asyncio
async def main():
    node = caster.Node(options)
    {use}
    try:
        {style} node:
            cut()
            raise LookupError("of the program")
    except LookupError as error:
        print(error, node.stats()["sendErrors"] > 0)
asyncio.run(main())
"""
    assert net.run(net.hosts[0], sys.executable, "-c", code) == "of the program True\n"


@pytest.mark.parametrize("use", ["", "node.caster.use({ name: 'same', tx: (m, next) => next(null, m) });"])
def test_node_js_goes_on(net: Net, use: str) -> None:
    command("node")
    code = f"""
const {{ execSync }} = require('node:child_process');
const caster = require({str(ROOT / "bindings/node")!r});
const node = caster.createNode({{ id: 'leaver', heartbeat: 60000, timeout: 120000 }});
{use}
node.up(() => {{
  for (const name of ['eth0', 'lo']) execSync(`ip link set ${{name}} down`);
  node.down(); // without a callback, as 0.1.1 allows
  setTimeout(() => console.log('alive', node.stats().sendErrors > 0), 1500);
}});
"""
    node = shutil.which("node")
    assert node is not None
    assert net.run(net.hosts[0], node, "-e", code) == "alive true\n"


def test_cpp_does_not_throw(net: Net, tmp_path: Path) -> None:
    program, release = tmp_path / "leave", ROOT / "target/release"
    compiler = os.environ.get("CXX", "c++")
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}"]
    libraries = [f"-L{release}", "-lcaster", "-pthread", f"-Wl,-rpath,{release}"]
    source = Path(__file__).parent / "leave.cpp"
    subprocess.run(
        [compiler, *flags, source, "-o", program, *libraries], check=True, timeout=120
    )
    assert net.run(net.hosts[0], str(program)) == "down 1\n"
