"""The fixtures of the browser tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from commands import ROOT  # noqa: E402
from pages import HERE, Browser, Web, program  # noqa: E402

PLAYWRIGHT = "1.65.1"


@pytest.fixture
def web(request: pytest.FixtureRequest) -> Iterator[Web]:
    """`caster web` on a group of its own."""
    # Each test has its own port, two apart.
    place = sorted(item.nodeid for item in request.session.items).index(request.node.nodeid)
    here = Web(23401 + 2 * place)
    yield here
    here.close()


@pytest.fixture(scope="session")
def playwright() -> Path:
    """The library that drives the browser, from npm."""
    folder = ROOT / "target/node-tools" / f"playwright-core-{PLAYWRIGHT}"
    found = folder / "node_modules/playwright-core"
    if not found.exists():
        npm = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        subprocess.run([*npm, f"playwright-core@{PLAYWRIGHT}"], check=True, timeout=300)
    return found


@pytest.fixture
def browser(playwright: Path) -> Browser:
    return Browser(playwright, program("chromium"))


@pytest.fixture
def crowd(web: Web) -> subprocess.Popen[str]:
    """A thousand nodes of caster 0.1.1 on 25 addresses, which are heard once a second."""
    return web.start(sys.executable, str(HERE / "crowd.py"), str(web.group))
