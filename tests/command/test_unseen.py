"""ls, info and wait in networks with originals, which see nothing of them."""

from __future__ import annotations

import json
import time

import pytest

from commands import Lan, hosts
from peers import ORIGINALS, Cast


@hosts(3)
@pytest.mark.parametrize("kind", ORIGINALS)
def test_originals_see_nothing_of_the_commands(lan: Lan, kind: str) -> None:
    with Cast(lan.lab) as cast:
        original = cast.start(kind, lan.hosts[0], id="original", meta={"type": "old"}, hash=False)
        original.wait_ready()
        lan.start(1, "up", "--id", "web", "--meta", "type=http")
        original.wait_for(lambda event: event["ev"] == "up" and event["id"] == "web", "the node")
        listed = lan.caster(2, "ls", "--wait", "5s", "--format", "json")
        assert listed.returncode == 0, listed.stderr
        nodes = {node["id"]: node for node in json.loads(listed.stdout)}
        assert nodes.keys() == {"original", "web"}
        assert (nodes["original"]["address"], nodes["web"]["interface"]) == ("10.77.0.1", "eth0")
        info = lan.caster(2, "info", "original", "--json", "--wait", "20s")
        assert json.loads(info.stdout)["version"] == "0.1.1", info.stderr
        assert lan.caster(2, "wait", "--where", "type=old", "--timeout", "20s").returncode == 0
        spied = lan.caster(2, "spy", "--time", "5s", "--json").stdout.splitlines()
        senders = {(it["id"], it["sender"], it["accepted"]) for it in map(json.loads, spied) if it["kind"] == "heartbeat"}
        assert senders == {("original", "caster 0.1.1", True), ("web", "Caster", True)}, spied
        # Time for one of its heartbeats, and for what it would tell of others.
        time.sleep(2.5)
        assert {event["id"] for event in original.seen("up")} - {"original"} == {"web"}
        assert original.seen("error") == []
        cast.check_alive()


@hosts(2)
@pytest.mark.parametrize("kind", ORIGINALS)
def test_doctor_and_watch_know_originals(lan: Lan, kind: str) -> None:
    with Cast(lan.lab) as cast:
        watch = lan.start(0, "watch")
        original = cast.start(kind, lan.hosts[1], id="original", meta={"type": "old"}, hash=False)
        original.wait_ready()
        assert watch.stdout is not None
        assert watch.stdout.readline()[19:] == "Z up original 10.77.0.2 type=old\n"
        done = lan.caster(0, "doctor", "--json", "--time", "6s")
        report = json.loads(done.stdout)
        found = {finding["code"]: finding["severity"] for finding in report["findings"]}
        assert done.returncode == 0 and found["originals"] == "note", report
        assert "problem" not in found.values() and "not-heard" not in found, report
        assert [(node["id"], node["original"]) for node in report["nodes"]] == [("original", True)]
        original.crash()
        assert watch.stdout.readline()[19:] == "Z down original 10.77.0.2 timeout\n"
        assert [event for event in original.seen("up") if event["id"] != "original"] == []
        assert original.seen("error") == []


@hosts(3)
def test_two_that_ask_one_after_another_both_get_answers(lan: Lan) -> None:
    # The node is heard only if it answers; it answers ten times an interval.
    lan.start(0, "up", "--id", "rare", "-o", "heartbeat=600000")
    assert lan.caster(1, "wait", "--timeout", "20s").returncode == 0
    both = [lan.start(host, "ls", "--format", "csv") for host in (1, 2)]
    listed = [process.communicate(timeout=20)[0] for process in both]
    assert all("rare,10.77.0.1,eth0" in text for text in listed), listed


@hosts(3)
def test_a_node_that_is_gone_ends_the_wait(lan: Lan) -> None:
    node = lan.start(0, "up", "--id", "db", "--meta", "type=db")
    assert lan.caster(1, "wait", "--where", "type=db", "--timeout", "20s").returncode == 0
    waits = lan.start(2, "wait", "--where", "type=db", "--gone", "--timeout", "40s")
    time.sleep(2)
    assert waits.poll() is None
    # Killed: it cannot leave.
    node.kill()
    assert waits.wait(40) == 0, waits.communicate()
