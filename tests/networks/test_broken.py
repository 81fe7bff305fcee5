"""Networks and hosts that are broken for a while or for good: an interface replugged, two of them on one LAN, no
route, loopback only, a small MTU, a name server that does not answer, seeds that refuse, no descriptors left, a
program that starts again.

A wall clock that jumps is in caster-core/src/tests/simulation/steady.rs, an address from DHCP in
test_addresses.py.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import peers
from conftest import Net, hosts
from peers import OURS, Cast, Peer, meet

FAST = {"heartbeat": 500, "timeout": 5000}
SLOW = {"heartbeat": 2000, "timeout": 20_000}
"""A program that starts slowly is back before it is missed."""
MIXES = [("python", "node"), ("node", "c"), ("c", "rust"), ("rust", "python")]
PLAYERS = ("python", "node")
PROMISE, SLACK = 1.0, 0.5
"""Seconds in which an interface is used again, and for the test itself on a busy machine."""


def hear(receiver: Peer, sender: Peer, text: str) -> None:
    mark = receiver.mark()
    sender.send(text)
    receiver.wait_messages(sender, [text], mark)


@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_a_replugged_interface_is_back_within_a_second(net: Net, mix: tuple[str, str]) -> None:
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", **FAST)
        b = cast.start(mix[1], net.hosts[1], id="b", **FAST)
        meet([a, b])
        took = []
        for _ in range(3):
            net.run(net.hosts[0], "ip", "link", "set", "eth0", "down")
            time.sleep(0.7)
            mark = b.mark()
            net.middle("sh", "-ec", "ip -n h1 link set eth0 up; ip -n h1 route replace 224.0.0.0/4 dev eth0")
            back = time.monotonic()
            while not b.seen("message", mark, id="a"):
                assert time.monotonic() < back + peers.DEADLINE, "nothing of it arrives"
                a.send("back")
                time.sleep(0.05)
            took.append(round(time.monotonic() - back, 3))
        # On a busy machine one round may take longer.
        assert statistics.median(took) <= PROMISE + SLACK, took
        hear(a, b, "of b")
        assert a.seen("down") == b.seen("down") == []


@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_two_interfaces_on_one_lan(net: Net, mix: tuple[str, str]) -> None:
    lines = [
        "ip link add w1 type veth peer name eth1 netns h1",
        "ip link set w1 master br0",
        "ip link set w1 up",
        "ip -n h1 addr add 10.77.0.101/24 dev eth1",
        "ip -n h1 link set eth1 up",
    ]
    net.middle("sh", "-ec", "\n".join(lines))
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", **FAST)
        b = cast.start(mix[1], net.hosts[1], id="b", **FAST)
        meet([a, b])
        time.sleep(2)
        mark_a, mark_b = a.mark(), b.mark()
        for n in range(20):
            a.send(n)
            b.send(n)
        # Once each, in their order, although they arrive twice.
        b.wait_messages(a, list(range(20)), mark_b)
        a.wait_messages(b, list(range(20)), mark_a)
        time.sleep(1)
        for peer, other in ((a, b), (b, a)):
            messages = [event["message"] for event in peer.seen("message", id=other.id)]
            assert messages == list(range(20))
            assert peer.seen("down") == peer.seen("conflict") == [], peer.story
        assert b.stats()["dropped"]["copy"] > 0, "both interfaces send"


@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_a_seed_by_the_address_of_the_loopback_interface_doubles_nothing(net: Net, mix: tuple[str, str]) -> None:
    """Two programs of a host that multicast reaches: the seed is superfluous, and stays."""
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", seeds=["127.0.0.1"], **FAST)
        b = cast.start(mix[1], net.hosts[0], id="b", **FAST)
        meet([a, b])
        hear(b, a, "first")
        hear(a, b, "second")
        time.sleep(1)
        before = [peer.stats()["dropped"]["copy"] for peer in (a, b)]
        mark = b.mark()
        for n in range(20):
            a.send(n)
        b.wait_messages(a, list(range(20)), mark)
        time.sleep(0.5)
        after = [peer.stats()["dropped"]["copy"] for peer in (a, b)]
        assert sum(after) - sum(before) < 10, f"second copies: {before}, then {after}, for 20 messages"


@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_without_any_route(net: Net, mix: tuple[str, str]) -> None:
    for host in net.hosts:
        net.run(host, "ip", "route", "flush", "table", "main")
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", **FAST)
        b = cast.start(mix[1], net.hosts[1], id="b", **FAST)
        meet([a, b])
        hear(b, a, "of a")
        hear(a, b, "of b")
        assert a.seen("error") == b.seen("error") == []


def test_loopback_only(net: Net) -> None:
    net.run(net.hosts[0], "ip", "link", "set", "eth0", "down")
    with Cast(net.lab) as cast:
        here = [cast.start(kind, net.hosts[0], id=kind, **FAST) for kind in OURS]
        meet(here)
        for peer in here:
            hear(here[0] if peer is not here[0] else here[1], peer, f"of {peer.id}")
        # The network comes: the others are found.
        far = cast.start("c", net.hosts[1], id="far", **FAST)
        net.middle("sh", "-ec", "ip -n h1 link set eth0 up; ip -n h1 route replace 224.0.0.0/4 dev eth0")
        meet([*here, far])


@pytest.mark.parametrize("mix", MIXES, ids="+".join)
def test_an_mtu_of_1280(net: Net, mix: tuple[str, str]) -> None:
    for host in (1, 2):
        net.middle("sh", "-ec", f"ip -n h{host} link set eth0 mtu 1280; ip link set v{host} mtu 1280")
    large = "x" * 60_000
    with Cast(net.lab) as cast:
        a = cast.start(mix[0], net.hosts[0], id="a", meta={"large": "m" * 3000}, **FAST)
        b = cast.start(mix[1], net.hosts[1], id="b", **FAST)
        meet([a, b])
        assert b.seen("up", id="a")[0]["meta"] == {"large": "m" * 3000}
        hear(b, a, large)
        hear(a, b, large)
        for peer in (a, b):
            stats = peer.stats()
            assert stats["oversized"] == 0 and stats["piecesSent"] > 40, stats
        assert a.seen("down") == b.seen("down") == []


@pytest.mark.parametrize("kind", OURS)
def test_a_name_server_that_does_not_answer(net: Net, kind: str, tmp_path: Path) -> None:
    """The lookup blocks for many seconds; nothing else waits for it."""
    resolv = tmp_path / "resolv.conf"
    # No host has this address; packets to it are dropped.
    resolv.write_text("nameserver 10.77.0.250\noptions timeout:20 attempts:3\n")
    net.run(net.hosts[0], "ip", "neigh", "replace", "10.77.0.250", "lladdr", "02:00:00:00:00:01", "dev", "eth0")
    script = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
    prefix = (*net.hosts[0].prefix, "unshare", "--mount", "sh", "-ec", script, "sh")
    host = dataclasses.replace(net.hosts[0], prefix=prefix)
    with Cast(net.lab) as cast:
        b = cast.start("c", net.hosts[1], id="b", **FAST)
        b.wait_ready()
        a = cast.start(kind, host, id="a", seeds=["nowhere.example", net.hosts[1].address], **FAST)
        meet([a, b])
        hear(b, a, "of a")
        hear(a, b, "of b")
        start = time.monotonic()
        a.down()
        b.wait_until(lambda: b.seen("down", id="a"), "its leave")
        a.quit()
        a.wait_ended()
        assert time.monotonic() < start + 5, "the end waits for the lookup"


@hosts(3)
@pytest.mark.parametrize("kind", OURS)
def test_seeds_that_refuse(net: Net, kind: str) -> None:
    with Cast(net.lab) as cast:
        # No program has the port open there; another seed is no address in use.
        seeds = [net.hosts[1].address, "10.77.0.200"]
        a = cast.start(kind, net.hosts[0], id="a", seeds=seeds, **FAST)
        c = cast.start("c", net.hosts[2], id="c", **FAST)
        meet([a, c])
        hear(c, a, "of a")
        a.wait_until(lambda: a.stats()["undelivered"] > 0, "a refusal that is counted")
        assert a.seen("error") == [], a.story
        b = cast.start("c", net.hosts[1], id="b", **FAST)
        meet([a, b, c])
        hear(b, a, "of a to all")


@pytest.mark.parametrize("kind", OURS)
def test_a_restart_is_told_as_one(net: Net, kind: str) -> None:
    with Cast(net.lab) as cast:
        watchers = [cast.start(it, net.hosts[0], id=it, **SLOW) for it in OURS]
        phoenix = cast.start(kind, net.hosts[1], id="phoenix", **SLOW)
        meet([*watchers, phoenix])
        marks = {watcher: watcher.mark() for watcher in watchers}
        phoenix.crash()
        again = cast.start(kind, net.hosts[1], id="phoenix", **SLOW)
        for watcher in watchers:
            watcher.wait_until(lambda: watcher.seen("up", marks[watcher], id="phoenix"), "it is up again")  # noqa: B023
            told = [it for it in watcher.events[marks[watcher] :] if it.get("id") == "phoenix"]
            assert [it["ev"] for it in told] == ["down", "up"] and told[0]["reason"] == "restart", watcher.story
        again.send("hello")
        for watcher in watchers:
            watcher.wait_messages(again, ["hello"], marks[watcher])


PYTHON = """
import caster, sys
for line in sys.stdin:
    try:
        node = caster.Node(id="retried", port=PORT, heartbeat=500)
        node.up()
        print("up", flush=True)
    except caster.Error as error:
        print(f"failed {error}", flush=True)
"""

NODE = """
const caster = require(ROOT + '/bindings/node');
require('readline').createInterface({ input: process.stdin }).on('line', async () => {
    try {
        const node = new caster.Node({ id: 'retried', port: PORT, heartbeat: 500 });
        await node.up();
        console.log('up');
    } catch (error) {
        console.log('failed ' + error.message.replaceAll('\\n', ' '));
    }
});
"""


@pytest.mark.parametrize("kind", PLAYERS)
def test_no_descriptors_and_then_some(net: Net, kind: str) -> None:
    """`up` fails with an error of the system, leaves nothing behind, and succeeds when there are some."""
    text = (PYTHON if kind == "python" else NODE).replace("PORT", "10101")
    text = text.replace("ROOT", json.dumps(str(peers.ROOT)))
    program = [sys.executable, "-c"] if kind == "python" else [peers.found_program("node"), "-e"]
    with Cast(net.lab) as cast:
        b = cast.start("c", net.hosts[1], id="b", **FAST)
        b.wait_ready()
        process = net.start(net.hosts[0], *program, text)
        assert process.stdin is not None and process.stdout is not None

        def attempt() -> str:
            process.stdin.write("try\n")
            process.stdin.flush()
            return process.stdout.readline()

        def limit(number: str) -> None:
            net.run(net.hosts[0], "prlimit", "--pid", pid, f"--nofile={number}:1024")

        try:
            pid = str(child_of(process.pid, Path(program[0]).name))
            descriptors = Path(f"/proc/{pid}/fd")
            time.sleep(1)
            before = len(list(descriptors.iterdir()))
            limit(str(before + 1))
            for _ in range(5):
                assert "failed" in attempt()
            assert len(list(descriptors.iterdir())) <= before + 1
            assert b.seen("up") == []
            limit("1024")
            assert attempt() == "up\n"
            b.wait_until(lambda: b.seen("up", id="retried"), "the node that has come up")
        finally:
            process.kill()
            process.communicate()


def child_of(pid: int, name: str) -> int:
    """The process itself: `nsenter` becomes the program that it starts, unless it has to fork."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if Path(f"/proc/{pid}/comm").read_text().strip().startswith(name[:6]):
            return pid
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
        for child in children.split():
            return child_of(int(child), name)
        time.sleep(0.05)
    raise AssertionError(f"no {name} under {pid}")
