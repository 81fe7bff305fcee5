"""The cost of importing, the table of options, help, and the examples."""

from __future__ import annotations

import doctest
import inspect
import os
import pathlib
import pydoc
import subprocess
import sys
import typing

import pytest
from conftest import PATIENCE, Network, finish, next_of

import caster
from caster import _caster

ROOT = pathlib.Path(__file__).parents[3]


def python(code: str, *flags: str) -> str:
    done = subprocess.run(
        [sys.executable, *flags, "-c", code],
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        text=True,
        check=True,
    )
    return done.stdout


def test_importing_imports_nothing_that_takes_long() -> None:
    code = """
import sys
before = set(sys.modules)
import caster
print(*sorted(set(sys.modules) - before))
"""
    new = set(python(code).split())
    own = {name for name in new if name.split(".")[0] == "caster"}
    assert own == {
        *("caster", "caster._blocking", "caster._caster", "caster._common", "caster._convert"),
        *("caster._endpoint", "caster._green", "caster._log", "caster._node", "caster._transport"),
        *("caster._watcher", "caster.errors", "caster.middleware"),
    }
    assert new - own <= {"__future__", "atexit"}, "all others are there already, or are late"


def test_importing_takes_few_milliseconds() -> None:
    # CPU time excludes other programs of the machine.
    code = "import time; t = time.process_time(); import caster; print(time.process_time() - t)"
    python("import caster")  # Compiles it.
    best = min(float(python(code)) for _ in range(15))
    # 3 ms on a machine of today that is quiet; a slow or crowded one takes longer.
    assert best < 0.003 * float(os.environ.get("CASTER_SLOW", "3"))


def test_the_typed_options_are_those_of_the_core() -> None:
    def spellings(name: str) -> set[str]:
        return {name, "".join("_" + c.lower() if c.isupper() else c for c in name)}

    table = _caster.option_table()
    assert len(table) > 20
    all_names: set[str] = set().union(*(spellings(name) for name, _, _ in table))
    casters = set().union(*(spellings(name) for name, is_casters, _ in table if is_casters))
    node, of_caster = (
        typing.get_type_hints(options) for options in (caster.NodeOptions, caster.CasterOptions)
    )
    # Keys and identities are not in the table: their values take no part in texts of errors. `default` is Python's own.
    others = {"keys", "identity", "trust", "default"}
    assert (set(node) - others, set(of_caster) - others) == (all_names, casters)
    assert node["default"] == typing.Optional[typing.Callable[[typing.Any], typing.Any]]
    assert node["keys"] == typing.Optional[typing.Sequence[typing.Union[str, bytes]]]
    types = {
        "Bool": bool,
        "Int": int,
        "Millis": int,
        "Json": typing.Any,
        "Text": typing.Union[str, bytes],
        "Interfaces": typing.Sequence[str],
        "Hosts": typing.Sequence[str],
    }
    for name, _, kind in table:
        for spelling in spellings(name):
            if kind.startswith("Word("):
                words = kind[len("Word([") : -len("])")].replace('"', "").split(", ")
                expected: object = typing.Literal[tuple(words)]  # type: ignore[misc]
            else:
                expected = types.get(kind.split()[0], str)
            if expected is not typing.Any:
                expected = typing.Optional[expected]
            assert node[spelling] == expected, name


def test_the_typed_counters_are_those_that_stats_has(network: Network) -> None:
    stats = typing.get_type_hints(caster.Stats)
    with network.node() as node:
        counted = node.stats()
    assert set(stats) == set(counted)
    assert set(typing.get_type_hints(caster.Dropped)) == set(counted["dropped"])
    assert counted["interfaces"]
    for interface in counted["interfaces"]:
        assert set(typing.get_type_hints(caster.InterfaceStats)) == set(interface)
    for name, kind in stats.items():
        assert kind is not int or isinstance(counted[name], int), name  # type: ignore[literal-required]


def test_late_names_are_listed_and_others_are_refused() -> None:
    assert set(caster.__all__) <= set(dir(caster))
    for name in caster.__all__:
        assert getattr(caster, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nod'"):
        caster.Nod  # type: ignore[attr-defined]


def test_help_reads_well() -> None:
    text = pydoc.plain(pydoc.render_doc(caster))
    for words in (
        "LAN discovery without a server",
        "class Node",
        "class Peer",
        "Its metadata, any JSON value",
        "Waits for a node that satisfies `predicate`",
    ):
        assert words in text
    if sys.version_info < (3, 10):
        return  # It knows no signatures of classes made in other languages.
    for kind in (caster.Up, caster.Peer, caster.Message, caster.Remote):
        assert list(inspect.signature(kind).parameters) == list(kind.__match_args__)


def doctests(path: pathlib.Path) -> doctest.TestResults:
    return doctest.testfile(str(path), module_relative=False, encoding="utf-8")


def test_the_examples_in_the_documentation() -> None:
    results = doctests(ROOT / "docs" / "python.md")
    assert results.failed == 0 and results.attempted > 30


def code_lines(text: str) -> int:
    """Lines but for blank ones, the docstring and what every asyncio program has around it."""
    lines = [line for line in text.splitlines() if line.strip()]
    around = ("import asyncio", "async def main", "asyncio.run(", '"""')
    return len([line for line in lines if not line.startswith(around)])


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has nothing but the wheel, if CASTER_WHEEL says where that is."""
    wheel = os.environ.get("CASTER_WHEEL")
    if wheel is None:
        return sys.executable
    venv = tmp_path_factory.mktemp("clean")
    run = {"check": True, "timeout": 300, "stdout": subprocess.PIPE}
    subprocess.run([sys.executable, "-m", "venv", str(venv)], **run)  # type: ignore[call-overload]
    clean = str(venv / "bin" / "python")
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index", wheel]
    subprocess.run([clean, *install], **run)  # type: ignore[call-overload]
    return clean


def test_a_new_user_in_both_styles(network: Network, clean_python: str) -> None:
    processes = []
    for name in ("ten_lines.py", "ten_lines_async.py"):
        text = (ROOT / "examples" / name).read_text()
        assert code_lines(text) < 10
        # Anywhere but here a user has the default port.
        here = f'address="127.0.0.1", multicast="{network.multicast}", port={network.port}'
        text = text.replace('address="127.0.0.1"', here)
        flags = ["-X", "dev", "-W", "error", "-c", text]
        process = subprocess.Popen(
            [clean_python, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        network.processes.append(process)
        processes.append(process)
    out = [finish(process) for process in processes]
    assert all("found node" in text and "at 127.0.0.1" in text for text in out)
    # The later one may have come after the greeting of the other.
    assert any("says hello" in text for text in out)


def recipe(name: str) -> str:
    """A block of code from the documentation."""
    text = (ROOT / "docs" / "python.md").read_text()
    _, _, rest = text.partition(f"<!-- recipe: {name} -->\n```python\n")
    code, _, _ = rest.partition("\n```")
    assert code
    return code


def run_recipe(name: str, network: Network) -> dict[str, typing.Any]:
    """The names that a recipe has made, with its nodes on this network."""
    code = recipe(name).replace("caster.Node(", f"caster.Node({network.node_options!r}, ")
    names: dict[str, typing.Any] = {"__name__": "recipe"}
    exec(compile(code, "recipe", "exec"), names)
    return names


def test_the_recipe_for_aiohttp(network: Network) -> None:
    import asyncio

    import aiohttp
    from aiohttp import web

    app = run_recipe("aiohttp", network)["app"]

    async def main() -> None:
        runner = web.AppRunner(app)
        with network.node(id="db", meta={"type": "db", "port": 5432}) as database:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/") as answer:
                    assert await answer.json() == ["127.0.0.1:5432"]
            assert [peer.meta["type"] for peer in database.nodes.values()] == ["web"]
            await runner.cleanup()
            assert next_of(database, caster.Down).reason == "goodbye"

    asyncio.run(main())


def test_the_recipe_for_fastapi(network: Network) -> None:
    import asyncio

    import uvicorn

    app = run_recipe("fastapi", network)["app"]

    async def get(path: str, port: int) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer.decode()

    async def main() -> None:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
        with network.node(id="db", meta={"type": "db", "port": 5432}) as database:
            serving = asyncio.ensure_future(server.serve())
            while not server.started:
                assert not serving.done()
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            answer = await asyncio.wait_for(get("/", port), PATIENCE)
            assert answer.endswith('["127.0.0.1:5432"]'), answer
            assert [peer.meta["type"] for peer in database.nodes.values()] == ["web"]
            server.should_exit = True
            await asyncio.wait_for(serving, PATIENCE)
            assert next_of(database, caster.Down).reason == "goodbye"

    asyncio.run(main())


def test_the_recipe_for_jupyter(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    with network.node(id="oven", meta={"celsius": 200}):
        run_recipe("jupyter", network)
    assert capsys.readouterr().out.split() == ["oven", "127.0.0.1", "{'celsius':", "200}"]


def test_the_recipe_for_pytest(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_recipe.py").write_text(recipe("pytest"))
    flags = ["-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags], stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
