"""Log records of the core come to the logger `caster`."""

from __future__ import annotations

import logging
import threading

import pytest
from conftest import Network, eventually, finish

import caster


def test_levels(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(5, "caster"):
        with network.node(id="a"), network.node(id="b"):
            network.say(b"not understood")
            eventually(lambda: {5, logging.DEBUG, logging.INFO} <= {r.levelno for r in caplog.records})
        eventually(lambda: "a: closed" in caplog.text)
    assert "joined the group on lo" in caplog.text, "which interfaces were joined"
    assert {record.name for record in caplog.records} == {"caster"}
    assert [t.name for t in threading.enumerate()].count("caster-log") == 1
    caplog.clear()
    with caplog.at_level(logging.ERROR, "caster"):
        with network.node(id="c"):
            pass
    with caplog.at_level(logging.INFO, "caster"):
        with network.node(id="d"):
            pass
        eventually(lambda: "d: closed" in caplog.text)
    assert "c: " not in caplog.text, "the level at `up` decides"


def test_a_program_that_only_announces_is_told_of_warnings(network: Network) -> None:
    code = """
import logging, os
logging.basicConfig(format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
node = caster.Node(options, id="quiet")
node.up()
other = caster.Node(options, hash_secret="another")
other.up()
time.sleep(1)
"""
    lines = finish(network.script(code)).splitlines()
    assert any(line.startswith("WARNING caster quiet: 127.0.0.1 is on this port") for line in lines)


def test_a_forked_child_has_a_log_of_its_own(network: Network) -> None:
    code = """
import warnings, logging, os
warnings.simplefilter("ignore")
logging.basicConfig(level=logging.INFO, format="%(process)d %(message)s", stream=sys.stdout)
node = caster.Node(options, id="parent")
node.up()
time.sleep(0.2)
pid = os.fork()
if pid == 0:
    with caster.Node(options, id="child"):
        time.sleep(0.3)
    time.sleep(0.2)
    sys.stdout.flush()
    os._exit(0)
os.waitpid(pid, 0)
node.down()
time.sleep(0.2)
print(pid, "was the child")
"""
    lines = finish(network.script(code)).splitlines()
    child = lines[-1].split()[0]
    # The child has what its parent had not yet written.
    by_child = {line for line in lines if line.startswith(child)}
    assert any("child: open on" in line for line in by_child)
    assert any("child: closed" in line for line in by_child)
    assert not any("parent: closed" in line for line in by_child)
    assert any("parent: closed" in line for line in lines)
