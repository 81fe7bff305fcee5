"""CASTER_RANGE, CASTER_SEEDS and the option `range`, in every language."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import lab
from conftest import Net, hosts
from peers import OURS, Cast, Peer, command

FAST = {"heartbeat": 200, "timeout": 1000}
LONG_ENOUGH = 2.0
"""Ten heartbeats."""


def within(host: lab.Host, **variables: str) -> lab.Host:
    """The host, for programs with these variables."""
    settings = [f"{name}={value}" for name, value in variables.items()]
    return dataclasses.replace(host, prefix=(*host.prefix, "env", *settings))


def hints(peer: Peer) -> list[str]:
    return [event["text"] for event in peer.seen("hint")]


def wait_for_hint(peer: Peer, part: str) -> None:
    peer.wait_for(lambda event: event["ev"] == "hint" and part in event["text"], f"the hint {part!r}")


Start = Callable[..., "list[Peer]"]


def start_all(cast: Cast, host: lab.Host, **options: object) -> list[Peer]:
    """A peer of each language on a host; its id is the language."""
    return [cast.start(kind, host, id=kind, **options, **FAST) for kind in OURS]


@pytest.fixture(params=["variable", "option"])
def limited(request: pytest.FixtureRequest) -> Start:
    """Starts a peer of each language whose range the variable limits, or the option."""

    def start(cast: Cast, host: lab.Host, word: str, **options: object) -> list[Peer]:
        if request.param == "variable":
            return start_all(cast, within(host, CASTER_RANGE=word), **options)
        return start_all(cast, host, range=word, **options)

    return start


def test_off_sends_and_hears_nothing(net: Net, limited: Start) -> None:
    with Cast(net.lab) as cast:
        others = [cast.start("c", host, id=f"at {host.address}", **FAST) for host in net.hosts]
        others[0].wait_up(others[1])
        seeds = [host.address for host in net.hosts]
        peers = limited(cast, net.hosts[0], "off", seeds=seeds)
        for peer in peers:
            peer.wait_ready()
            wait_for_hint(peer, "nothing is sent or received: the range is off")
            wait_for_hint(peer, "seeds beyond this host are ignored: the range is off")
            peer.send("hello")
            peer.send("x" * 5000)
        time.sleep(LONG_ENOUGH)
        for peer in peers:
            stats = peer.stats()
            counts = [stats[name] for name in ("sent", "received", "sendErrors", "nodes")]
            assert counts == [0, 0, 0, 0], f"{peer}: {stats}"
            assert peer.seen("error") == [] and peer.ask("nodes") == []
            assert not any("no peer was heard" in text for text in hints(peer)), "that is expected"
            peer.down()
        for other in others:
            assert {event["id"] for event in other.seen("up")} == {it.id for it in others if it is not other}


def test_host_stays_on_the_host(net: Net, limited: Start) -> None:
    with Cast(net.lab) as cast, net.sniff(net.hosts[1], net.hosts[0].address) as packets:
        beside = cast.start("c", net.hosts[0], id="beside", interfaces=["lo"], **FAST)
        far = cast.start("c", net.hosts[1], id="far", **FAST)
        peers = limited(cast, net.hosts[0], "host", seeds=[net.hosts[1].address])
        for peer in peers:
            peer.wait_up(beside)
            beside.wait_up(peer)
            wait_for_hint(peer, "seeds beyond this host are ignored: the range is host")
        time.sleep(LONG_ENOUGH)
        assert packets() == 0
        assert far.seen("up") == []
        assert all(peer.seen("up", id="far") == [] for peer in peers)


@hosts(3)
def test_link_crosses_no_router(net: Net, limited: Start) -> None:
    addresses = net.route([0, 1], [2])
    with Cast(net.lab) as cast, net.sniff(net.hosts[2], addresses[0]) as packets:
        near = cast.start("c", net.hosts[1], id="near", seeds=[addresses[2]], **FAST)
        far = cast.start("c", net.hosts[2], id="far", **FAST)
        near.wait_up(far)
        # The neighbour tells of the node beyond the router, which may not be written to.
        peers = limited(cast, net.hosts[0], "link", seeds=[addresses[2]], ttl=9)
        for peer in peers:
            peer.wait_up(near)
            near.wait_up(peer)
            wait_for_hint(peer, "seeds beyond this host are ignored: the range is link")
            peer.send("hello")
            near.wait_messages(peer, ["hello"])
        time.sleep(LONG_ENOUGH)
        assert packets() == 0
        assert {event["id"] for event in far.seen("up")} == {"near"}


@hosts(3)
def test_seeds_of_the_environment(net: Net) -> None:
    addresses = net.route([0, 1], [2])
    seeds = f" {addresses[2]}:10101 , 10.99.0.1,"
    with Cast(net.lab) as cast, net.sniff(net.hosts[2], addresses[0]) as packets:
        far = cast.start("c", net.hosts[2], id="far", **FAST)
        for peer in start_all(cast, within(net.hosts[0], CASTER_SEEDS=seeds), ttl=1):
            peer.wait_up(far)
            far.wait_up(peer)
            assert hints(peer) == []
        assert packets() > 0, "the sniffer sees what crosses the router"


@pytest.mark.parametrize(
    "variable, value, bad, accepted",
    [
        ("CASTER_RANGE", "local", "local", '"off" or "host" or "link"'),
        ("CASTER_SEEDS", "10.0.0.1,a b", "a b", "separated by commas"),
    ],
)
def test_a_bad_value_is_refused(
    net: Net, variable: str, value: str, bad: str, accepted: str
) -> None:
    with Cast(net.lab) as cast:
        peers = start_all(cast, within(net.hosts[0], **{variable: value}))
        for peer in peers:
            peer.may_end = True
        for peer in peers:
            assert peer.wait_ended() != 0
            story = peer.story.replace("\\", "")
            assert all(part in story for part in (variable, f'"{bad}"', accepted)), f"{peer}: {peer.story}"


@pytest.mark.skipif(os.geteuid() != 0, reason="a program with the rights of another user is made by root only")
def test_programs_with_more_rights_ignore_the_environment() -> None:
    """Root makes the program setuid for another user; then the environment does not count."""
    folder = Path(tempfile.mkdtemp(prefix="caster-setuid-"))
    folder.chmod(0o755)
    program = folder / "peer"
    try:
        shutil.copy(command("rust")[0], program)
        output = {}
        for mode in (0o755, 0o4755):
            os.chown(program, 65534, 65534)
            program.chmod(mode)
            done = subprocess.run(
                ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "--", program,
                 json.dumps({"id": "a", "address": "127.0.0.1", "port": 22_997})],
                env={"CASTER_RANGE": "nonsense"}, input="quit\n", capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            output[mode] = done.stdout + done.stderr
        assert "CASTER_RANGE" in output[0o755]
        assert "ready" in output[0o4755] and "CASTER_RANGE" not in output[0o4755]
    finally:
        shutil.rmtree(folder)
