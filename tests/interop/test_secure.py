"""Secure mode: every language with every other one, rotation, recordings, and an independent speaker."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent / "vectors"))

sealed = pytest.importorskip("sealed")

from lab import Lab, LoopbackLab  # noqa: E402
from peers import OURS, Cast, Peer, meet  # noqa: E402
from speaker import Speaker, all_alterations  # noqa: E402

PORT = 23_310
TIMES = {"heartbeat": 250, "timeout": 1000}
MESSAGES: list[Any] = ["hello", {"é": [1, 2.5, None]}, "x" * 900, "y" * 20_000, 0]


KINDS = (*OURS, "c++")


def new_key() -> str:
    return secrets.token_hex(32)


def seed_of(kind: str) -> str:
    return sha256(kind.encode()).hexdigest()


def check_identities(peers: list[Peer]) -> None:
    """Each has the public keys of the others, and one that takes an id of theirs has no effect."""
    for peer in peers:
        for other in peers:
            if other is not peer:
                assert identity_of(peer, other.id) == public_of(other.kind).hex(), (peer.kind, other.kind)


def start_all(cast: Cast, key: str, port: int | None, **options: Any) -> list[Peer]:
    if port is not None:
        options["port"] = port
    def secrets_of(kind: str) -> dict[str, Any]:
        return {"identity": seed_of(kind)} if options.get("signMessages") else {}

    peers = [
        cast.start(kind, id=f"the {kind}", keys=[key], **TIMES, **options, **secrets_of(kind))
        for kind in KINDS
    ]
    for peer in peers:
        peer.wait_ready()
    return peers


def with_identities(lab: Lab) -> None:
    """The same with an identity each, and signed messages."""
    all_languages(lab, PORT + 24, signMessages=True)


def all_languages(lab: Lab, port: int = PORT, **options: Any) -> None:
    """They find each other, talk, change keys while they talk, and leave."""
    old, new = new_key(), new_key()
    with Cast(lab) as cast:
        peers = start_all(cast, old, port, **options)
        meet(peers)
        if "signMessages" in options:
            check_identities(peers)
        for sender in peers:
            marks = [(peer, peer.mark()) for peer in peers if peer is not sender]
            for message in MESSAGES:
                sender.send(message)
            for receiver, since in marks:
                receiver.wait_messages(sender, MESSAGES, since)

        marks = [peer.mark() for peer in peers]
        sent = 0
        for command, key in (("add_key", new), ("use_key", new), ("remove_key", old)):
            for peer in peers:
                since = peer.mark()
                peer.tell(f"{command} {key}")
                peer.wait_for(lambda event: event["ev"] == "keys", command, since)
                peers[0].send(sent)
                sent += 1
            # The others have heard that it sends with the other key.
            time.sleep(2)
        for receiver, since in list(zip(peers, marks, strict=True))[1:]:
            receiver.wait_messages(peers[0], list(range(sent)), since)
            assert receiver.seen("down", since) == []
        for peer in peers:
            assert peer.seen("error") == []
        since = peers[0].mark()
        for peer in peers[1:]:
            peer.down()
            peers[0].wait_down(peer, since)


def beside_ipv6(lab: Lab) -> None:
    """The same by IPv4 and IPv6 at once: each datagram arrives twice and counts once."""
    all_languages(lab, PORT + 12, multicast6="ff02::7712")


def on_the_default_port(lab: Lab) -> None:
    """Presence, messages and their pieces go to port 10103."""
    large = "z" * 20_000
    with Cast(lab) as cast:
        taps = [cast.start("raw", group="224.0.0.42", port=port) for port in (10_103, 10_102)]
        for tap in taps:
            tap.wait_ready()
        peers = start_all(cast, new_key(), None)
        meet(peers)
        peers[0].send(large)
        for peer in peers[1:]:
            peer.wait_messages(peers[0], [large])
        heard, beside = ([it["hex"] for it in tap.seen("datagram")] for tap in taps)
        assert all(it.startswith("ca570001") for it in heard) and beside == []
        assert sum(len(it) // 2 > 1000 for it in heard) >= len(large) // 1400


def replayed(lab: Lab) -> None:
    """A recording of one session is of no use in the next one."""
    key = new_key()
    with Cast(lab) as cast:
        tap = cast.start("raw", group="224.0.0.42", port=PORT + 4)
        tap.wait_ready()
        peers = start_all(cast, key, PORT + 4)
        meet(peers)
        peers[0].send("pay 100")
        for peer in peers[1:]:
            peer.wait_messages(peers[0], ["pay 100"])
        time.sleep(1)
        recorded = [event["hex"] for event in tap.seen("datagram")]
        assert len(recorded) > 20
        assert not [it for it in recorded if b"the rust" in bytes.fromhex(it)]
        peers[0].down()
        for peer in peers[1:]:
            peer.wait_down(peers[0], 0)
        for peer in peers[2:]:
            peer.down()
        since = peers[1].mark()
        peers[1].down()
        peers[1].tell("up")
        for datagram in recorded * 3:
            tap.tell(f"send {datagram}")
        time.sleep(3)
        assert peers[1].seen("up", since) == []
        assert peers[1].seen("message", since) == []
        assert peers[1].refused()["unproven"] > 20


def in_migration(lab: Lab, *old: str) -> None:
    """Old nodes without keys, nodes in migration, and nodes with keys only: each message comes once."""
    key = new_key()
    plain, sealed_port = PORT + 16, PORT + 18
    both = {"keys": [key], "port": sealed_port, "plain": "send", "plainPort": plain}

    def story(peer: Peer, since: int) -> list[tuple[str, Any]]:
        return [(it["id"], it["message"]) for it in peer.seen("message", since)]

    with Cast(lab) as cast:
        olds = [cast.start(kind, id=f"old {kind}", port=plain, **TIMES) for kind in old]
        halves = [cast.start(kind, id=f"both {kind}", **both, **TIMES) for kind in ("rust", "c")]
        news = [
            cast.start(kind, id=f"new {kind}", keys=[key], port=sealed_port, **TIMES)
            for kind in ("python", "node")
        ]
        peers = [*olds, *halves, *news]
        for peer in peers:
            peer.wait_ready()

        def sees(observer: Peer, other: Peer) -> bool:
            is_apart = {observer in olds, other in olds} == {True, False}
            return observer is not other and not (is_apart and (observer in news or other in news))

        for observer in peers:
            for other in filter(lambda other: sees(observer, other), peers):
                observer.wait_up(other)
        # The first heartbeats of both ports have come.
        time.sleep(1)
        marks = {peer: peer.mark() for peer in peers}
        for sender in peers:
            for number in range(3):
                sender.send({"from": sender.id, "number": number})
        for observer in peers:
            for other in filter(lambda other: sees(observer, other), peers):
                observer.wait_messages(other, [{"from": other.id, "number": n} for n in range(3)], marks[observer])
        time.sleep(0.5)
        for observer in peers:
            heard = [it for it in story(observer, marks[observer]) if it[0] != observer.id]
            assert len(heard) == 3 * sum(sees(observer, other) for other in peers), observer.story
        for half in halves:
            stats = half.stats()
            assert stats["plainNodes"] == len(olds) and stats["nodes"] == len(peers) - 1
            assert stats["dropped"]["downgrade"] > 0
        # One of the old ones gets its keys.
        last = olds.pop()
        last.down()
        for half in halves:
            half.wait_down(last, marks[half])
        # An original that has left keeps its port.
        last.crash()
        marks = {peer: peer.mark() for peer in peers}
        again = cast.start("python", last.host, id=last.id, **both, **TIMES)
        again.wait_ready()
        for other in [*halves, *news]:
            up = other.wait_for(lambda it: it["ev"] == "up" and it["id"] == last.id, "it is up", marks[other])
            assert up, other.story
        for other in [*olds, *halves, *news]:
            assert other.seen("error") == []
            assert other.seen("down", marks[other]) == [], other.story


def independent(lab: Lab) -> None:
    """A node of another implementation is believed and believes."""
    key, port = new_key(), PORT + 8
    with Cast(lab) as cast:
        peers = start_all(cast, key, port)
        with Speaker(cast, key, port, "another") as speaker:
            wait_known(peers, "another")
            check_heard(speaker, peers)
            speaker.send("hi")
            for peer in peers:
                peer.wait_for(lambda event: event.get("message") == "hi", "its message")


def wait_known(peers: list[Peer], id: str) -> None:
    for peer in peers:
        up = peer.wait_for(lambda event: event["ev"] == "up" and event["id"] == id, id)
        assert up["meta"] == {"by": "python"}


def check_heard(speaker: Speaker, peers: list[Peer]) -> None:
    """Each peer is heard. A message counts there once the speaker believes its sender."""
    wanted, end = {f"from {peer.kind}" for peer in peers}, time.monotonic() + 30
    while not wanted <= speaker.heard_messages() and time.monotonic() < end:
        for peer in peers:
            peer.send(f"from {peer.kind}")
        time.sleep(0.5)
    assert wanted <= speaker.heard_messages()


def public_of(kind: str) -> bytes:
    return sealed.Identity(bytes.fromhex(seed_of(kind)), bytes(16)).public


def identity_of(peer: Peer, id: str) -> str:
    """The public key of a peer, as another one has it; empty if it has none."""
    since = peer.mark()
    peer.tell(f"identity {id}")
    return peer.wait_for(lambda it: it["ev"] == "identity", "the identity", since)["key"] or ""


def refused_for_identity(peers: list[Peer]) -> list[int]:
    return [peer.refused().get("identity", 0) for peer in peers]


def check_message(peers: list[Peer], id: str, message: Any, signed: bool) -> None:
    for peer in peers:
        is_it = lambda it: it.get("message") == message  # noqa: E731
        heard = peer.wait_for(is_it, f"{message} of {id}")
        assert (heard["id"], heard["signed"]) == (id, signed), peer.story


def independent_on_first_use(lab: Lab) -> None:
    independent_with_identity(lab, listed=False)


def independent_in_a_list(lab: Lab) -> None:
    independent_with_identity(lab, listed=True)


def independent_with_identity(lab: Lab, listed: bool) -> None:
    """A node of another implementation signs and verifies, and nothing counts that is signed wrongly."""
    key, port = new_key(), PORT + 32
    seeds = [secrets.token_bytes(32) for _ in range(3)]
    trusted = [public_of(kind) for kind in KINDS] + [sealed.Identity(seeds[0], bytes(16)).public]
    with Cast(lab) as cast:
        trust = {"trust": [public.hex() for public in trusted]} if listed else {}
        peers = start_all(cast, key, port, signMessages=True, **trust)
        meet(peers)
        speaker = Speaker(cast, key, port, "another", seed=seeds[0], trusted=trusted if listed else None)
        host = speaker.peer.host
        with speaker:
            wait_known(peers, "another")
            assert [identity_of(peer, "another") for peer in peers] == [speaker.public.hex()] * len(peers)
            check_heard(speaker, peers)
            publics = {peer.id: public_of(peer.kind) for peer in peers}
            assert speaker.owners == {"another": speaker.public, **publics}
            assert speaker.refused == []
            speaker.send("hi")
            check_message(peers, "another", "hi", signed=True)

            # Each alteration of a signature is refused and counted, and moves nothing.
            alterations = all_alterations(speaker.derived)
            marks = [(peer, peer.mark()) for peer in peers]
            before = refused_for_identity(peers)
            speaker.beat(*alterations)
            speaker.leave(*alterations, genuine=False)
            speaker.send("still", *alterations)
            check_message(peers, "another", "still", signed=True)
            expected = [count + 3 * len(alterations) for count in before]
            assert refused_for_identity(peers) == expected
            for peer, since in marks:
                told = [it for it in peer.events[since:] if it["ev"] in ("up", "update", "down", "message", "conflict")]
                assert [it.get("message") for it in told] == ["still"], peer.story

            # Another key takes its id, from its address.
            with Speaker(cast, key, port, "another", seed=seeds[1], host=host) as thief:
                end = time.monotonic() + 20
                while refused_for_identity(peers) < [count + 3 for count in expected]:
                    assert time.monotonic() < end, peers[0].story
                    thief.send("stolen")
                    time.sleep(0.2)
            assert [identity_of(peer, "another") for peer in peers] == [speaker.public.hex()] * len(peers)
            assert set(speaker.refused) == {"not in the list" if listed else "owner"}

            # One that is in no list, and signs no messages.
            with Speaker(cast, key, port, "new", seed=seeds[2], signs_messages=False, host=host) as newcomer:
                if listed:
                    end = time.monotonic() + 20
                    before = refused_for_identity(peers)
                    while refused_for_identity(peers) < [count + 3 for count in before]:
                        assert time.monotonic() < end, peers[0].story
                        time.sleep(0.2)
                    newcomer.send("of no list")
                    speaker.send("after it")
                    check_message(peers, "another", "after it", signed=True)
                else:
                    wait_known(peers, "new")
                    newcomer.send("not signed")
                    check_message(peers, "new", "not signed", signed=False)
            for peer in peers:
                told = [it["message"] for it in peer.seen("message")]
                assert not {"stolen", "of no list"}.intersection(told), peer.story
                assert not listed or not peer.seen("up", id="new")
                assert peer.seen("down", id="another") == []

        marks = [(peer, peer.mark()) for peer in peers]
        speaker.leave()
        for peer, since in marks:
            down = peer.wait_for(lambda it: it["ev"] == "down" and it["id"] == "another", "its leave", since)
            assert down["reason"] == "goodbye"


@pytest.fixture
def loopback() -> Iterator[Lab]:
    lab = LoopbackLab()
    yield lab
    lab.close()


def test_all_languages_on_one_host(loopback: Lab) -> None:
    all_languages(loopback)


def test_all_languages_with_identities_on_one_host(loopback: Lab) -> None:
    with_identities(loopback)


def test_an_independent_implementation_on_one_host(loopback: Lab) -> None:
    independent(loopback)


def test_a_migration_on_one_host(loopback: Lab) -> None:
    in_migration(loopback, "python", "node")


@pytest.mark.parametrize(
    ("play", "kinds"),
    [
        (all_languages, ()),
        (beside_ipv6, ()),
        (on_the_default_port, ()),
        (with_identities, ()),
        (independent, ()),
        (independent_on_first_use, ()),
        (independent_in_a_list, ()),
        (replayed, ()),
        (in_migration, ("original-0.10.48", "original-20")),
    ],
)
def test_each_on_its_own_host(stage: Any, play: Any, kinds: Any) -> None:
    stage.require_isolation("a recorder hears one host")
    stage.outcome(play, kinds)
