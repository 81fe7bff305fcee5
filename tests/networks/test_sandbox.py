"""Sandboxes and firewalls: netlink is refused, or calls that send, receive or wait. In every language."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import lab
from conftest import Net
from obstacles import skip
from peers import OURS, Cast, Peer, processor_time

FAST = {"heartbeat": 250, "timeout": 2000}
REFUSE, NETFILTER = (str(Path(__file__).with_name(name)) for name in ("refuse.py", "netfilter.py"))
WAITERS = OURS if platform.machine() == "x86_64" else tuple(kind for kind in OURS if kind != "node")
"""Languages whose own event loop does not need the call that is refused to Caster."""
SECOND_INTERFACE = """
    ip -n h1 link add eth1 type veth peer name end1
    ip -n h1 addr add 10.78.0.1/24 dev eth1
    ip -n h1 link set eth1 up
    ip -n h1 link set end1 up
"""
BUSY = 0.5
"""Part of a processor that a busy loop exceeds, and a node that backs off never reaches."""


def sandbox(host: lab.Host, *calls: str) -> lab.Host:
    """The host, for programs that may not make these calls."""
    return dataclasses.replace(host, prefix=(*host.prefix, sys.executable, REFUSE, *calls, "--"))


def errors(peer: Peer, part: str) -> list[str]:
    return [event["text"] for event in peer.seen("error") if part in event["text"]]


def talk(a: Peer, b: Peer) -> None:
    for peer, other in ((a, b), (b, a)):
        peer.wait_up(other)
    for peer, other in ((a, b), (b, a)):
        mark = other.mark()
        peer.send(f"of {peer.id}")
        large = "x" * 20_000
        peer.send(large)
        other.wait_messages(peer, [f"of {peer.id}", large], mark)


@contextmanager
def talking(net: Net, kind: str, host: lab.Host) -> Iterator[tuple[Cast, Peer, Peer]]:
    """A peer on this host, and one on another; both hear each other, and nothing is an error."""
    with meeting(net, kind, host) as (cast, a, b):
        assert a.seen("error") == [], a.story
        yield cast, a, b


@contextmanager
def meeting(net: Net, kind: str, host: lab.Host) -> Iterator[tuple[Cast, Peer, Peer]]:
    """A peer on this host, and one on another; both hear each other."""
    with Cast(net.lab) as cast:
        a = cast.start(kind, host, id="a", **FAST)
        b = cast.start("c", net.hosts[1], id="b", **FAST)
        talk(a, b)
        yield cast, a, b


@pytest.mark.parametrize("kind", OURS)
def test_without_netlink(net: Net, kind: str) -> None:
    """Interfaces are listed by other means, and their changes are noticed."""
    with talking(net, kind, sandbox(net.hosts[0], "netlink")) as (cast, a, b):
        joined = {it["name"]: it["joined"] for it in a.stats()["interfaces"]}
        assert joined == {"lo": True, "eth0": True}
        here = cast.start(kind, sandbox(net.hosts[0], "netlink"), id="here", address="127.0.0.1", **FAST)
        here.wait_ready()
        mark = b.mark()
        net.middle("sh", "-ec", "ip -n h1 addr del 10.77.0.1/24 dev eth0; ip -n h1 addr add 10.77.0.77/24 dev eth0")
        b.wait_for(lambda event: event["ev"] == "update" and event["address"] == "10.77.0.77", "the new address", mark)


@pytest.mark.parametrize("kind", OURS)
def test_an_error_of_netlink_is_no_error_of_up(net: Net, kind: str, tmp_path: Path) -> None:
    """The first call of each thread fails, for want of buffers. That of a thread that asks nothing is a datagram, which is
    an event, and the only one told."""
    if not shutil.which("strace"):
        skip("it needs strace")
    calls = tmp_path / "calls"
    fault = ("-e", "trace=sendto", "-e", "signal=none", "-e", "inject=sendto:error=ENOBUFS:when=1")
    strace = ("strace", "-f", "-qq", "-o", str(calls), *fault)
    host = dataclasses.replace(net.hosts[0], prefix=(*net.hosts[0].prefix, *strace))
    with meeting(net, kind, host) as (_, a, _):
        joined = {it["name"]: it["joined"] for it in a.stats()["interfaces"]}
        assert joined == {"lo": True, "eth0": True}
        a.quit()
        a.wait_ended()
    failed = [line for line in calls.read_text().splitlines() if "(INJECTED)" in line]
    assert any("nlmsg_type=RTM_GET" in line for line in failed), failed
    told = [event["text"] for event in a.seen("error")]
    assert len(told) <= sum("sin_addr" in line for line in failed), (told, failed)
    assert all(text.startswith("cannot send to ") for text in told), told


@pytest.mark.parametrize("kind", OURS)
def test_a_system_that_lists_no_interfaces(net: Net, kind: str) -> None:
    net.run(net.hosts[0], "ip", "route", "replace", "default", "dev", "eth0")
    with talking(net, kind, sandbox(net.hosts[0], "netlink", "SIOCGIFCONF")):
        pass


@pytest.mark.parametrize("kind", OURS)
def test_a_system_that_joins_by_address_only(net: Net, kind: str) -> None:
    """As emulators and old kernels do."""
    with talking(net, kind, sandbox(net.hosts[0], "ip_mreqn")) as (_, a, _):
        joined = {it["name"]: (it["joined"], it["error"]) for it in a.stats()["interfaces"]}
        assert joined == {"lo": (True, None), "eth0": (True, None)}


@pytest.mark.parametrize("refused", [("recvmmsg", "sendmmsg"), ("sendmmsg", "sendmsg")], ids="+".join)
@pytest.mark.parametrize("kind", OURS)
def test_calls_that_are_replaced_by_others(net: Net, kind: str, refused: tuple[str, str]) -> None:
    """Two interfaces: for one alone neither of the two that send is called."""
    net.middle("sh", "-ec", SECOND_INTERFACE)
    with talking(net, kind, sandbox(net.hosts[0], *refused)) as (_, a, _):
        stats = a.stats()
        assert a.seen("error") == [] and stats["sendErrors"] == stats["receiveErrors"] == 0, stats


@pytest.mark.parametrize("kind", OURS)
def test_receiving_that_keeps_failing_is_told_once_and_counted(net: Net, kind: str) -> None:
    with Cast(net.lab) as cast:
        a = cast.start(kind, sandbox(net.hosts[0], "recvmmsg", "recvmsg"), id="a", **FAST)
        b = cast.start("c", net.hosts[1], id="b", **FAST)
        a.wait_for(lambda event: event["ev"] == "error" and "cannot receive" in event["text"], "the error")
        before, start = processor_time(a), time.monotonic()
        counted, sent = a.stats()["receiveErrors"], a.stats()["sent"]
        time.sleep(2)
        assert (processor_time(a) - before) / (time.monotonic() - start) < BUSY
        stats = a.stats()
        # It is tried again, and timers go on.
        assert stats["receiveErrors"] > counted and stats["sent"] > sent + 3, stats
        assert len(errors(a, "cannot receive")) == 1, a.story
        assert a.seen("up") == [] and b.seen("error") == []


@pytest.mark.parametrize("kind", WAITERS)
def test_waiting_that_keeps_failing_is_told_once_and_nodes_meet(net: Net, kind: str) -> None:
    with Cast(net.lab) as cast:
        a = cast.start(kind, sandbox(net.hosts[0], "epoll_wait"), id="a", **FAST)
        b = cast.start("c", net.hosts[1], id="b", **FAST)
        talk(a, b)
        before, start = processor_time(a), time.monotonic()
        counted = a.stats()["receiveErrors"]
        time.sleep(2)
        assert (processor_time(a) - before) / (time.monotonic() - start) < BUSY
        assert a.stats()["receiveErrors"] > counted
        assert len(errors(a, "cannot wait for the sockets")) == 1, a.story


@pytest.mark.parametrize("kind", OURS)
def test_sending_that_keeps_failing_is_told_once_and_counted(net: Net, kind: str) -> None:
    net.run(net.hosts[0], sys.executable, NETFILTER, "drop-out")
    with Cast(net.lab) as cast:
        a = cast.start(kind, net.hosts[0], id="a", **FAST)
        b = cast.start("c", net.hosts[1], id="b", **FAST)
        a.wait_for(lambda event: event["ev"] == "error" and "cannot send" in event["text"], "the error")
        # It hears, although it cannot answer.
        b.wait_ready()
        before, counted = a.stats(), processor_time(a)
        start = time.monotonic()
        time.sleep(2)
        after = a.stats()
        assert after["sendErrors"] > before["sendErrors"] + 3 and after["sent"] == 0, after
        assert after["received"] > before["received"]
        assert (processor_time(a) - counted) / (time.monotonic() - start) < BUSY
        assert len(errors(a, "cannot send")) == 1, a.story
