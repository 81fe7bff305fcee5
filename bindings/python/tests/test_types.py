"""The package and programs that use it pass mypy --strict; wrong programs do not."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

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
    node.on("settled", lambda event: event.name.upper())
    node.on("hint", lambda event: event.text.upper())
    node.on("message", lambda event: event.message)
    sent: int = node.send({"a": [1]})
    first: Optional[caster.NodeEvent] = node.next_event(timeout=1.5)
    info: caster.Peer = node.nodes["a"]
    one: caster.Peer = node.wait_for(timeout=1)
    three: list[caster.Peer] = node.wait_for(lambda n: n.id, count=3)
    dropped: int = node.stats()["dropped"]["hash"] + node.stats()["received"]
    names: list[str] = [each["name"] for each in node.stats()["interfaces"]]

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
        case caster.Isolated() | caster.Rejoined() | caster.Settled():
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
caster.Node(heartbaet=1)
caster.Node(port="1")
node.stats()["recieved"]
three: caster.Peer = node.wait_for(count=3)
"""


ASYNC = """
import asyncio
from typing import Optional
import caster
from caster.testing import Network

async def main() -> None:
    async with caster.Node(meta={"a": 1}, hash_secret=b"x") as node:
        peer: caster.Peer = await node.wait_for(lambda n: n.meta["type"] == "db", timeout=5)
        async for event in node.events(timeout=1):
            if isinstance(event, caster.Message):
                print(event.node.id.upper())
        two: list[caster.Peer] = await node.wait_for(count=2, timeout=5)
        last: Optional[caster.NodeEvent] = await node.next_event()

        @node.on("up")
        async def up(event: caster.Up) -> None: ...
    async with caster.Caster(port=4000) as made:
        async for datagram in made.events():
            if isinstance(datagram, caster.Datagram):
                print(datagram.remote.address.upper())
    plain = caster.Node()
    async for event in plain.events():
        break

asyncio.run(main())
options: caster.NodeOptions = {"self": True, "hashEra": "binary", "seeds": ["host:1"]}
found: caster.Peer = Network(seed=1).node(options).wait_for()
ports: list[caster.Peer] = caster.Node().find("port", type="http")
"""


WRONG = [4, 5, 6, 7, 9, 10, 12, 13, 14, 15, 16]
"""The lines that are wrong in BAD."""

UNUSED = {"reportUnusedFunction", "reportUnusedVariable", "reportUnusedExpression"}
"""Diagnostics of pyright that examples may have."""


def mypy(tmp_path: pathlib.Path, *what: str, of: str = "mypy") -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "MYPYPATH"}
    if "site-packages" not in PACKAGE.parts:
        env["MYPYPATH"] = str(PACKAGE.parent)
    return subprocess.run(
        [
            *(sys.executable, "-m", of),
            *(("--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache")) if of == "mypy" else ()),
            *what,
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
    (tmp_path / "aio.py").write_text(ASYNC)
    (tmp_path / "bad.py").write_text(BAD)
    good = mypy(tmp_path, "-p", "caster", "-m", "good", "-m", "match", "-m", "aio")
    assert good.returncode == 0, good.stdout
    bad = mypy(tmp_path, "bad.py")
    wrong = sorted({int(line.split(":")[1]) for line in bad.stdout.splitlines() if "error:" in line})
    assert wrong == WRONG, bad.stdout


def test_pyright(tmp_path: pathlib.Path) -> None:
    for name, text in {"good": GOOD, "match": MATCH, "aio": ASYNC}.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "standard", "extraPaths": [str(PACKAGE.parent)]})
    )
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]

    def pyright(*what: str) -> list[dict[str, Any]]:
        env = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
        done = subprocess.run(
            [*command, *what], cwd=tmp_path, env=env, stdout=subprocess.PIPE, timeout=300
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)["generalDiagnostics"]
        return [each for each in found if each["severity"] == "error"]

    errors = [e for e in pyright() if e.get("rule") not in UNUSED]
    assert errors == [], errors
    (tmp_path / "bad.py").write_text(BAD)
    wrong = {e["range"]["start"]["line"] + 1 for e in pyright("bad.py")}
    assert set(WRONG) <= wrong, wrong


class Editor:
    """A client of pyright's language server, with one document."""

    def __init__(self, folder: pathlib.Path, text: str) -> None:
        command = [sys.executable, "-m", "pyright.langserver", "--stdio"]
        env = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
        self._server = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._text = text
        self._uri = (folder / "edited.py").as_uri()
        self._count = 0
        root = {"uri": folder.as_uri(), "name": "edited"}
        self._ask(
            "initialize",
            {"processId": None, "rootUri": root["uri"], "workspaceFolders": [root], "capabilities": {}},
        )
        self._tell("initialized", {})
        document = {"uri": self._uri, "languageId": "python", "version": 1, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": document})

    def hover(self, word: str) -> str:
        """The text that an editor shows for the first place of a word, on one line."""
        before = self._text[: self._text.index(word)]
        place = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
        found = self._ask("textDocument/hover", {"textDocument": {"uri": self._uri}, "position": place})
        return " ".join(str(found and found["contents"]["value"]).split())

    def end(self) -> None:
        self._server.kill()
        self._server.communicate()

    def _tell(self, method: str, params: Any, **more: Any) -> None:
        self._write({"method": method, "params": params, **more})

    def _ask(self, method: str, params: Any) -> Any:
        self._count += 1
        self._tell(method, params, id=self._count)
        while True:
            message = self._next()
            if message.get("id") == self._count and "method" not in message:
                return message.get("result")
            if "id" in message:  # A question of the server, about the configuration for example.
                self._write({"id": message["id"], "result": None})

    def _write(self, message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._server.stdin
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._server.stdin.flush()

    def _next(self) -> Any:
        assert self._server.stdout
        size = 0
        while line := self._server.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        assert size, "the language server has ended"
        return json.loads(self._server.stdout.read(size))


def test_an_editor_shows_the_text_of_an_option(tmp_path: pathlib.Path) -> None:
    text = (
        "import caster\nnode = caster.Node(heartbeat=500, hash_secret='x', default=caster.to_plain)\n"
        "node.stats()['received']\n"
    )
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(PACKAGE.parent)]}))
    editor = Editor(tmp_path, text)
    try:
        assert "Interval of the heartbeats. Accepts milliseconds" in editor.hover("heartbeat")
        assert "Nodes with different secrets do not see each other" in editor.hover("hash_secret")
        assert "Called with each value without JSON form" in editor.hover("default")
    finally:
        editor.end()


def test_stubtest(tmp_path: pathlib.Path) -> None:
    """The stub of the extension module against what was built."""
    allowed = tmp_path / "allowed"
    # The stub says dataclass; what was built has `__new__` where those have `__init__`. Their
    # fields are compared by test_package.
    allowed.write_text(
        r"""
caster\._caster\.__all__
caster\._caster\.\w+\.__(new|init|replace|setattr|delattr|dataclass_fields)__
"""
    )
    done = mypy(tmp_path, "caster._caster", "--allowlist", str(allowed), "--ignore-unused-allowlist", of="mypy.stubtest")
    assert done.returncode == 0, done.stdout


def test_the_stub_has_the_fields_of_the_records() -> None:
    import ast

    stub = ast.parse((PACKAGE / "_caster.pyi").read_text())
    records = [
        node
        for node in stub.body
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(d) for d in node.decorator_list)
    ]
    assert len(records) == 14
    for record in records:
        fields = [
            each.target.id
            for each in record.body
            if isinstance(each, ast.AnnAssign)
            and isinstance(each.target, ast.Name)
            and "ClassVar" not in ast.unparse(each.annotation)
        ]
        assert tuple(fields) == getattr(caster, record.name).__match_args__


def test_everything_public_has_a_docstring() -> None:
    for name in caster.__all__:
        thing = getattr(caster, name)
        if name in ("__version__", "NodeEvent", "CasterEvent", "middleware", "testing"):
            continue
        assert thing.__doc__, name
        for member, value in getattr(thing, "__dict__", {}).items():
            public = not member.startswith("_") and (callable(value) or isinstance(value, property))
            assert not public or value.__doc__, f"{name}.{member}"
    assert caster.__version__.count(".") == 2
