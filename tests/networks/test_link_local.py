"""Link-local IPv6 addresses: they have a scope in every language, and every option accepts it."""

from __future__ import annotations

import re
import time

import pytest

import lab
from conftest import Net
from peers import OURS, Cast, Peer

GROUP = {"multicast": "ff02::4242", "heartbeat": 250, "timeout": 900}


def link_local(net: Net, host: lab.Host) -> str:
    """The link-local address of a host, once the system has checked that it is unique."""
    end = time.monotonic() + 20
    while True:
        shown = net.run(host, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link")
        found = re.search(r"fe80::[0-9a-f:]+", shown)
        if found and "tentative" not in shown:
            return found[0]
        assert time.monotonic() < end, shown
        time.sleep(0.1)


def hear(receiver: Peer, sender: Peer) -> None:
    """Sends messages until one is heard: the first may come before the path to a seed is confirmed."""
    end = time.monotonic() + 20
    while not receiver.seen("message", id=sender.id, message="hello"):
        assert time.monotonic() < end, receiver.story
        sender.send("hello")
        time.sleep(0.2)


@pytest.mark.parametrize("kind", OURS)
def test_addresses_have_their_scope(net: Net, kind: str) -> None:
    addresses = [link_local(net, host) for host in net.hosts]
    with Cast(net.lab) as cast:
        a = cast.start(kind, net.hosts[0], id="a", **GROUP)
        b = cast.start(kind, net.hosts[1], id="b", **GROUP)
        assert a.wait_up(b)["address"] == f"{addresses[1]}%eth0"
        assert b.wait_up(a)["address"] == f"{addresses[0]}%eth0"
        nodes = {node["id"]: node["address"] for node in a.ask("nodes")}
        assert nodes == {"b": f"{addresses[1]}%eth0"}


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("scope", ["eth0", "number"])
@pytest.mark.parametrize("option", ["address", "interfaces", "seeds"])
def test_options_accept_a_scope(net: Net, kind: str, scope: str, option: str) -> None:
    addresses = [link_local(net, host) for host in net.hosts]
    if scope == "number":
        scope = net.run(net.hosts[0], "ip", "-o", "link", "show", "dev", "eth0").split(":")[0]
    own, other = (f"{address}%{scope}" for address in addresses)
    value = {"address": own, "interfaces": [own], "seeds": [f"[{other}]:10101"]}[option]
    if option == "seeds":
        # Two groups: multicast does not reach the other node.
        b_group = {**GROUP, "multicast": "ff02::4243"}
    else:
        b_group = GROUP
    with Cast(net.lab) as cast:
        b = cast.start(kind, net.hosts[1], id="b", **b_group)
        b.wait_ready()
        a = cast.start(kind, net.hosts[0], id="a", **GROUP, **{option: value})
        a.wait_up(b)
        b.wait_up(a)
        for sender, receiver in ((a, b), (b, a)):
            hear(receiver, sender)


@pytest.mark.parametrize("kind", OURS)
def test_an_address_of_another_interface_is_refused(net: Net, kind: str) -> None:
    own = link_local(net, net.hosts[0])
    with Cast(net.lab) as cast:
        a = cast.start(kind, net.hosts[0], id="a", **GROUP, address=f"{own}%lo")
        a.may_end = True
        end = time.monotonic() + 20
        while not a.seen("error") and f"{own}%lo is not an address" not in a.story:
            assert time.monotonic() < end, a.story
            time.sleep(0.05)
        assert f"{own}%lo is not an address of this host" in a.story
