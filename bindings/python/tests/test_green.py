"""Programs with green threads: gevent and eventlet have replaced the threads of Python."""

from __future__ import annotations

import pytest
from conftest import Network, finish
from green import PATCH

USE = """
ticks = []

def tick():
    while True:
        ticks.append(1)
        sleep(0.01)

spawn(tick)
heard = []
first, second = caster.Node(options, id="first"), caster.Node(options, id="second")
first.on("message", heard.append)
with first, second:
    assert second.wait_for(lambda n: n.id == "first", timeout=20).id == "first"
    assert first.wait_for(lambda n: n.id == "second", timeout=20).id == "second"
    before = len(ticks)
    assert list(second.events(timeout=0.5))
    assert len(ticks) > before + 5, "other greenlets run during a wait"
    second.send("hello")
    end = time.monotonic() + 20
    while not heard and time.monotonic() < end:
        time.sleep(0.01)
    print([event.message for event in heard])

class Same:
    name = "same"
    def tx(self, message):
        return message
    def rx(self, message, remote):
        return message

third, fourth = caster.Node(options, id="third"), caster.Node(options, id="fourth")
for node in (third, fourth):
    node.use(Same())
with third, fourth:
    assert third.wait_for(lambda n: n.id == "fourth", timeout=20).id == "fourth"
    before = len(ticks)
    assert third.next_event(timeout=20) is not None
    try:
        third.wait_for(lambda n: False, timeout=0.3)
    except caster.TimeoutError:
        print(len(ticks) > before + 5)
left = caster.Node(options, id="left")
left.up()
print("end", flush=True)
"""


@pytest.mark.parametrize("library", PATCH)
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_node_works_with_green_threads(network: Network, library: str, order: str) -> None:
    patch = "import warnings; warnings.simplefilter('ignore')\n" + PATCH[library]
    options = f"options = {network.node_options!r}\nimport json, os, sys, time\n"
    imports = [patch, "import caster"] if order == "before" else ["import caster", patch]
    code = "\n".join([*imports, options, USE])
    assert finish(network.program(code)) == "['hello']\nTrue\nend\n"
