"""The table of ports in docs/networking.md: each of them closed, and each of them alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import lab
from hublab import HubLab
from obstacles import obstacle, skip
from peers import Cast, Peer
from scenarios import DEFAULTS, hub, meet

PORT = 17000
DATA = PORT + 1
FIRST_PRIVATE = 21101
A_WHILE = 4.0
"""Longer than three heartbeats."""

LARGE = "x" * 20_000
LARGE_META = "m" * 5000


@pytest.fixture(autouse=True)
def needs() -> None:
    if not lab.detect().isolated:
        skip(f"the lab needs network namespaces: {lab.detect().reason}")
    reason = obstacle(("rust",))
    if reason is not None:
        skip(reason)


@contextmanager
def two(*closed: str, **options: Any) -> Iterator[tuple[HubLab, Cast, Peer, Peer]]:
    """A node on each of two hosts, between which these ports are closed. The first is the seed of the second."""
    with hub(2) as (network, cast):
        for number in (1, 2):
            network.ip(number, "link", "set", "eth0", "gso_max_segs", "1")
        for port in closed:
            network.tell(f"close {port}")
        a = cast.start("rust", network.hosts[0], id="a", port=PORT, **DEFAULTS)
        b = cast.start("rust", network.hosts[1], id="b", port=PORT, **DEFAULTS, **options)
        for peer in (a, b):
            peer.wait_ready()
        yield network, cast, a, b


def sees(peer: Peer, other: Peer) -> bool:
    return bool(peer.seen("up", id=other.id))


def talk(a: Peer, b: Peer, message: Any) -> None:
    for sender, receiver in ((a, b), (b, a)):
        since = receiver.mark()
        sender.send(message)
        receiver.wait_messages(sender, [message], since)


SEED = ["10.77.0.1:17000"]
PRIVATE = [f"{port} host" for port in range(FIRST_PRIVATE, FIRST_PRIVATE + 4)]


def test_without_the_group_no_peer_is_found_except_by_seeds() -> None:
    with two(f"{PORT} group") as (_, _, a, b):
        time.sleep(A_WHILE)
        assert not sees(a, b) and not sees(b, a)
    with two(f"{PORT} group", f"{DATA} group", seeds=SEED) as (_, _, a, b):
        meet([a, b])
        talk(a, b, "small")
        # To peers that multicast does not reach pieces go by unicast.
        talk(a, b, LARGE)


def test_without_the_data_port_small_messages_arrive_and_large_metadata_is_null() -> None:
    with two(f"{DATA} group", meta=LARGE_META) as (network, _, a, b):
        meet([a, b])
        assert a.seen("up", id="b")[0]["meta"] is None
        # It is told after the peer, and the line may come a moment later.
        a.wait_until(lambda: a.seen("hint"), "a hint")
        (hint,) = (event["text"] for event in a.seen("hint"))
        assert f"UDP port {DATA}" in hint
        talk(a, b, "small")
        since = b.mark()
        a.send(LARGE)
        time.sleep(1.5)
        assert not b.seen("message", since)
        # The port is opened: the next message arrives, and the metadata.
        network.tell("heal")
        talk(a, b, LARGE)
        a.wait_until(lambda: a.seen("update", id="b", meta=LARGE_META), "the metadata")


def test_without_unicast_to_the_port_of_the_group_a_host_is_no_seed_and_all_else_works() -> None:
    with two(f"{PORT} host") as (_, _, a, b):
        meet([a, b])
        talk(a, b, "small")
        talk(a, b, LARGE)
    with two(f"{PORT} host", f"{PORT} group", seeds=SEED) as (_, _, a, b):
        time.sleep(A_WHILE)
        assert not sees(a, b) and not sees(b, a)


def test_without_private_ports_all_works_but_repair_and_a_death_takes_its_timeout() -> None:
    with two(*PRIVATE) as (_, _, a, b):
        meet([a, b])
        talk(a, b, "small")
        talk(a, b, LARGE)
        time.sleep(2.0)
        since, died = a.mark(), time.monotonic_ns()
        b.crash()
        down = a.wait_down(b, since)
        assert down["reason"] == "timeout" and down["t"] - died > 0.9e9
    with two(*PRIVATE, f"{PORT} group", seeds=SEED) as (_, _, a, b):
        meet([a, b])
        talk(a, b, "small")


def test_with_the_port_of_the_group_alone_nodes_meet_and_small_messages_arrive() -> None:
    with two(f"{DATA} group", f"{DATA} host", *PRIVATE) as (_, _, a, b):
        meet([a, b])
        talk(a, b, "small")
