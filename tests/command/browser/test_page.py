"""The page of `caster web` in headless Chromium."""

from __future__ import annotations

import os
import subprocess

from pages import Browser, Web

PICTURES = os.environ.get("CASTER_PICTURES")
"""A folder for pictures of the page."""

HTML = '<img src=x onerror="alert(1)">'


def picture(name: str) -> list[str]:
    return [f"{PICTURES}/{name}.png"] if PICTURES else []


def test_nodes_are_shown_and_reached_by_keyboard(web: Web, browser: Browser) -> None:
    web.node("web", "--meta", "type=http", "--meta", "port=8080")
    web.node("db", "--meta", "type=db")
    web.node(HTML, "--meta", f"note={HTML}")
    web.wait_for(3)
    shown = browser.run("keyboard", web, *picture("keyboard"))
    assert shown["names"] == [HTML, "db", "web"]
    assert shown["counts"] == "3 alive, 0 suspect, 0 down"
    assert (shown["selected"], shown["last"], shown["focus"], shown["found"]) == ("db", "web", "web", "db")
    assert "127.0.0.1 on lo" in shown["details"] and '"port": 8080' in shown["details"]
    assert shown["closed"] and shown["themed"] in ("dark", "light")
    assert shown["problems"] == []


def test_the_page_is_light_or_dark_as_the_browser_prefers(web: Web, browser: Browser) -> None:
    web.node("web")
    shown = browser.run("themes", web)
    assert (shown["light"], shown["dark"]) == ("rgb(255, 255, 255)", "rgb(20, 23, 28)")
    assert shown["problems"] == []


def test_a_death_is_amber_then_fades_then_is_gone(web: Web, browser: Browser) -> None:
    # Without port of its process its end is not told: it has to be suspected.
    process = web.node("dies", "-o", "compat=0.1.1", "-o", "hash=false")
    for number in range(3):
        web.node(f"lives {number}")
    web.wait_for(4)
    looks = browser.start("death", web)
    assert looks.stdout is not None and looks.stdout.readline() == "ready\n"
    process.kill()
    shown = browser.end(looks)
    assert [it["state"] for it in shown["seen"]] == ["alive", "suspect", "down"], shown
    assert len({it["colour"] for it in shown["seen"]}) == 3, shown
    assert shown["fades"] and shown["forgotten"] and min(shown["bars"]) >= 1
    assert " down dies " in shown["events"]
    assert shown["problems"] == []


def test_a_thousand_nodes_are_shown(web: Web, browser: Browser, crowd: subprocess.Popen[str]) -> None:
    web.wait_for(1000)
    shown = browser.run("many", web, *picture("many"))
    assert shown["hosts"] == 25 and shown["wide"]
    # The page stays usable: nothing blocks it for long, on a machine that does other work.
    assert shown["slowest"] < 1_500, shown
    assert shown["problems"] == [] and crowd.poll() is None


def test_other_names_and_other_origins_get_nothing(web: Web, browser: Browser) -> None:
    web.node("secret-name")
    web.wait_for(1)
    shown = browser.run("strangers", web)
    assert shown["rebound"] == 403
    assert shown["fetched"] == ["TypeError", "TypeError"], "refused, and not even opaque"
