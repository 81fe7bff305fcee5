"""The package and programs that use it pass mypy --strict; wrong programs do not."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import caster

PACKAGE = pathlib.Path(caster.__file__).parent

GOOD = """
from typing import Optional
import caster
from caster import middleware

class Both:
    name = "both"
    def tx(self, message: bytes) -> bytes:
        return message
    def rx(self, message: bytes, remote: caster.Remote) -> bytes:
        return message

with caster.Node({"port": 4000}, meta={"a": 1}, self=True) as node:
    node.use(Both(), middleware.hash(secret=b"x"))

    @node.on("down")
    def gone(event: caster.Down) -> None:
        reason: str = event.reason

    @node.on("conflict")
    def twins(event: caster.Conflict) -> None:
        print(event.id.upper(), event.address.upper())

    @node.on("isolated")
    def alone(event: caster.Isolated) -> None:
        suspects = [info.id for info in node.nodes.values() if info.suspect]
        losses: list[float] = [info.loss for info in node.nodes.values()]

    node.on("rejoined", lambda event: event.name.upper())
    node.on("hint", lambda event: event.text.upper())
    node.on("message", lambda event: event.message)
    sent: int = node.send({"a": [1]})
    first: Optional[caster.NodeEvent] = node.next_event(timeout=1.5)
    info: caster.Peer = node.nodes["a"]

with caster.Caster() as cast:
    @cast.on("message")
    def heard(event: caster.Datagram) -> None:
        print(event.remote.address.upper())
"""

# For Python 3.10 and newer, whose parser mypy uses.
MATCH = """
import caster
node = caster.Node()
for event in node.events():
    match event:
        case caster.Up(peer) | caster.Update(peer, _):
            print(peer.id.upper(), peer.meta)
        case caster.Down(peer, reason):
            print(peer.id, reason.upper())
        case caster.Conflict(id, address):
            print(id.upper(), address.upper())
        case caster.Isolated() | caster.Rejoined():
            print(event.name.upper())
        case caster.Hint(text):
            print(text.upper())
        case caster.Message(message, peer):
            print(message, peer.first_seen + 1)
        case caster.ErrorEvent(error):
            print(error.code.upper())
        case never:
            unreachable: str = never.nothing
"""

BAD = """
import caster
node = caster.Node()
node.send()
node.on("massage", print)
node.id = "x"
node.nodes["x"] = 1
for event in node.events():
    event.reason
@node.on("up")
def up(event: caster.Down) -> None: ...
node.next_event(timeout="1")
"""


def mypy(tmp_path: pathlib.Path, *what: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "MYPYPATH"}
    if "site-packages" not in PACKAGE.parts:
        env["MYPYPATH"] = str(PACKAGE.parent)
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            *("--cache-dir", str(tmp_path / "cache"), *what),
        ],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def test_types(tmp_path: pathlib.Path) -> None:
    assert (PACKAGE / "py.typed").exists()
    match = MATCH if sys.version_info >= (3, 10) else ""
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "match.py").write_text(match)
    (tmp_path / "bad.py").write_text(BAD)
    good = mypy(tmp_path, "-p", "caster", "-m", "good", "-m", "match")
    assert good.returncode == 0, good.stdout
    bad = mypy(tmp_path, "bad.py")
    wrong = sorted({int(line.split(":")[1]) for line in bad.stdout.splitlines() if "error:" in line})
    assert wrong == [4, 5, 6, 7, 9, 10, 12], bad.stdout


def test_everything_public_has_a_docstring() -> None:
    for name in caster.__all__:
        thing = getattr(caster, name)
        if name in ("__version__", "NodeEvent", "CasterEvent", "middleware", "testing"):
            continue
        assert thing.__doc__, name
        for member, value in vars(thing).items():
            public = not member.startswith("_") and (callable(value) or isinstance(value, property))
            assert not public or value.__doc__, f"{name}.{member}"
    assert caster.__version__.count(".") == 2
