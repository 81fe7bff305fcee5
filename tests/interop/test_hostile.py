"""Caster peers survive and count all datagrams of a stranger."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

import hostile
import wire
from hostile import Hostile
from lab import Lab
from peers import DEADLINE, MATRIX, OURS, Cast, Peer

OPTIONS = {"heartbeat": 250, "timeout": 1000}
CRYPTO = {"crypto": True}
BATCH = 16
"""Datagrams at once: a receive buffer has to hold them on a busy machine."""


def start_target_and_fellow(cast: Cast, kind: str, **options: Any) -> tuple[Peer, Peer]:
    """Starts two Caster peers and waits until they know each other."""
    options = OPTIONS | options
    target = cast.start(kind, id="target", meta={"is": "target"}, **options)
    fellow = cast.start(kind, id="fellow", meta={"is": "fellow"}, **options)
    target.wait_ready()
    fellow.wait_ready()
    target.wait_up(fellow)
    fellow.wait_up(target)
    return target, fellow


def start_stranger(cast: Cast) -> Peer:
    stranger = cast.start("raw", group=wire.GROUP, port=wire.PORT)
    stranger.wait_ready()
    return stranger


def attack(stranger: Peer, target: Peer, datagrams: list[Hostile]) -> None:
    """Sends hostile datagrams; each must increment the counter of its reason."""
    for start in range(0, len(datagrams), BATCH):
        batch = datagrams[start : start + BATCH]
        expected = Counter(target.refused())
        expected.update(one.reason for one in batch)
        since = stranger.mark()
        for one in batch:
            stranger.tell(f"send {one.datagram.hex()}")
        stranger.wait_until(
            lambda: len(stranger.seen("sent", since)) == len(batch), "to send it all"
        )
        wait_refused(target, expected)


def wait_refused(target: Peer, expected: Counter[str]) -> None:
    """Polls the counters until they are as expected."""
    end = time.monotonic() + DEADLINE
    while (refused := target.refused()) != expected:
        if sum(refused.values()) >= expected.total() or time.monotonic() > end:
            raise AssertionError(f"{target} counted {refused}, expected {expected}")
        time.sleep(0.02)


def check_company(target: Peer, fellow: Peer, since: int) -> None:
    """The target still knows the other peer, and they can exchange messages."""
    assert target.seen("down", since, id=fellow.id) == [], target.story
    (known,) = [node for node in target.ask("nodes") if node["id"] == fellow.id]
    assert known["meta"] == {"is": "fellow"}
    target_since, fellow_since = target.mark(), fellow.mark()
    target.send("still there?")
    fellow.wait_messages(target, ["still there?"], fellow_since)
    fellow.send({"answer": True})
    target.wait_messages(fellow, [{"answer": True}], target_since)


# The plays.


def hostile_datagrams(lab: Lab, kind: str) -> None:
    """Datagrams that no node sends."""
    with Cast(lab) as cast:
        target, fellow = start_target_and_fellow(cast, kind)
        stranger = start_stranger(cast)
        since = target.mark()
        attack(stranger, target, hostile.unverifiable())
        attack(stranger, target, hostile.verifiable())
        check_company(target, fellow, since)
        assert target.seen("up", since) == [], "a stranger was taken for a node"
        cast.check_alive()


def hostile_datagrams_to_an_encrypted_group(lab: Lab, kind: str) -> None:
    """Datagrams that cannot be decrypted."""
    with Cast(lab) as cast:
        target, fellow = start_target_and_fellow(cast, kind, **CRYPTO)
        stranger = start_stranger(cast)
        since = target.mark()
        attack(stranger, target, hostile.undecryptable())
        check_company(target, fellow, since)
        cast.check_alive()


def magic_ids(lab: Lab, kind: str) -> None:
    """Ids that mean something to JavaScript are ids like any other."""
    with Cast(lab) as cast:
        target, fellow = start_target_and_fellow(cast, kind)
        stranger = start_stranger(cast)
        since = target.mark()
        for id in hostile.MAGIC_IDS:
            stranger.tell(f"send {wire.heartbeat(id, {'was': id}).hex()}")
            up = target.wait_for(
                lambda event: event["ev"] == "up" and event["id"] == id,
                f"to discover {id}",
                since,
            )
            assert up["meta"] == {"was": id}
            assert up["address"] == stranger.host.address
            assert id in [node["id"] for node in target.ask("nodes")]
        for id in hostile.MAGIC_IDS:
            stranger.tell(f"send {wire.goodbye(id).hex()}")
            target.wait_for(
                lambda event: event["ev"] == "down" and event["id"] == id,
                f"to see {id} down",
                since,
            )
        check_company(target, fellow, since)
        assert target.lost() == {}
        cast.check_alive()


def forged_goodbyes(lab: Lab, kind: str) -> None:
    """A leave from another address than the node's does not make it down."""
    with Cast(lab) as cast:
        target, fellow = start_target_and_fellow(cast, kind)
        stranger = start_stranger(cast)
        since, fellow_since = target.mark(), fellow.mark()
        for id in ("fellow", "target", "fellow"):
            stranger.tell(f"send {wire.goodbye(id).hex()}")
        heard = stranger.mark()
        stranger.wait_until(
            lambda: len(stranger.seen("datagram", heard)) >= 10,
            "several more heartbeats",
        )
        check_company(target, fellow, since)
        assert fellow.seen("down", fellow_since, id="target") == []
        cast.check_alive()


def deaths(lab: Lab, kind: str, datagrams: list[Hostile], **options: Any) -> None:
    """Each datagram kills an original of its own, on a port of its own."""
    with Cast(lab) as cast:
        stranger = start_stranger(cast)
        host = lab.hosts[1]
        victims = []
        for port, one in enumerate(datagrams, start=17100):
            options |= {"id": one.name, "heartbeat": 100, "port": port}
            victims.append((port, one, cast.start(kind, host, **options)))
        for _, _, victim in victims:
            victim.wait_ready()
        cast.check_alive()
        for port, one, victim in victims:
            victim.may_end = True
            stranger.tell(f"send {one.datagram.hex()} {port}")
            assert victim.wait_ended() != 0, victim.story


def lethal_datagrams(lab: Lab, kind: str) -> None:
    """Each datagram that is listed as lethal ends an original."""
    magic = Hostile("a magic id", wire.heartbeat("hasOwnProperty"), "", lethal=True)
    plain = [*hostile.unverifiable(), *hostile.verifiable(), magic]
    deaths(lab, kind, [one for one in plain if one.lethal])
    encrypted = [one for one in hostile.undecryptable() if one.lethal]
    deaths(lab, kind, encrypted, **CRYPTO)


SURVIVED = [hostile_datagrams, hostile_datagrams_to_an_encrypted_group, magic_ids]


def kind_id(kinds: tuple[str, ...]) -> str:
    return kinds[0]


@pytest.mark.parametrize("play", SURVIVED, ids=lambda play: play.__name__)
@pytest.mark.parametrize("kinds", [(kind,) for kind in OURS], ids=kind_id)
def test_ours_survive_and_count(play, kinds, stage) -> None:
    stage.outcome(play, kinds)


@pytest.mark.parametrize("play", [forged_goodbyes], ids=lambda play: play.__name__)
@pytest.mark.parametrize("kinds", [(kind,) for kind in OURS], ids=kind_id)
def test_ours_do_not_believe_a_stranger(play, kinds, stage) -> None:
    stage.require_isolation("all hosts have the same address on loopback")
    stage.outcome(play, kinds)


@pytest.mark.parametrize("play", [lethal_datagrams], ids=lambda play: play.__name__)
@pytest.mark.parametrize("kinds", [(kind,) for kind in MATRIX], ids=kind_id)
def test_control_the_lethal_datagrams_kill_originals(play, kinds, stage) -> None:
    """Control: the datagrams are lethal to originals."""
    stage.outcome(play, kinds)
