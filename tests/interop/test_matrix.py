"""Every language meets every language and the original on old runtimes.

Each play has two peers of either kind: a1 and b1, which watch, and a2 and b2,
whose fate is watched.  So every claim is checked in both directions.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import wire
from lab import Lab
from peers import MATRIX, ORIGINALS, OURS, PIECE, Cast, Peer, canonical

HEARTBEAT = 250
TIMEOUT = 1000
LONG_TIMEOUT = 60_000
"""So long that a peer that is seen down must have left."""

LONGEST = 65_440
"""Bytes of a message as JSON: with id, digest and padding nearly the largest UDP datagram, which originals send."""

META = {"service": "caf\u00e9", "port": 8080, "tags": ["a", {"b": None}], "up": True}

MESSAGES: list[Any] = [
    "hello",
    "\u00e9",
    "\u20ac",
    "\U0001f600 na\u00efve \u4e2d\u6587 \u2028",
    'line\nbreak "quoted" back\\slash \t\u0001\u007f',
    {"nested": {"object": {"with": ["array", {"\u00e9": "\u20ac"}]}}},
    {"empty": {}, "list": [], "none": None, "no": False, "zero": 0, "text": ""},
    [1, [2, [3, []]], "four"],
    42,
    -1.5,
    1e21,
    2**53 - 1,
    5e-324,
    True,
    '{"looks":"like JSON"}',
    "[1,2",
    "null",
    "123",
    '"quoted"',
    {"id": "somebody else", "suicide": True, "message": "inside a message"},
    "long " + "x" * 20_000,
    "x" * (LONGEST - 2),
]

FALSY_MESSAGES: list[Any] = [0, "", False]
"""Caster delivers these; the original does not."""


def era(kind: str) -> str:
    """The hash era of a runtime for non-ASCII text; Caster accepts both."""
    return {"original-20": "utf8"}.get(kind, "binary" if kind in ORIGINALS else "any")


def speakable(a: str, b: str, values: list[Any]) -> list[Any]:
    """The values that two kinds of peers can exchange."""
    if "any" in (era(a), era(b)) or era(a) == era(b):
        return values
    return [value for value in values if wire.to_json(value).isascii()]


def start_four(
    cast: Cast, a: str, b: str, theirs: dict[str, Any] | None = None, **options: Any
) -> list[Peer]:
    """Starts a1, b1, a2 and b2; a2 and b2 have options of their own."""
    options = {"heartbeat": HEARTBEAT, "timeout": LONG_TIMEOUT} | options
    shared_meta = speakable(a, b, [META]) or ["ascii"]
    peers = [
        cast.start(kind, id=name, meta=[name, *shared_meta], **(options | extra))
        for name, kind, extra in (
            ("a1", a, {}),
            ("b1", b, {}),
            ("a2", a, theirs or {}),
            ("b2", b, theirs or {}),
        )
    ]
    for peer in peers:
        peer.wait_ready()
    return peers


def start_tap(cast: Cast) -> Peer:
    """Starts a peer that records all datagrams of the default group."""
    tap = cast.start("raw", group=wire.GROUP, port=wire.PORT)
    tap.wait_ready()
    return tap


def check_discovery(observer: Peer, other: Peer) -> None:
    """The observer discovers the other, with its address and metadata."""
    up = observer.wait_up(other)
    name, *meta = up["meta"]
    assert up["address"] == other.host.address
    assert name == other.id
    assert canonical(meta) in (canonical([META]), canonical(["ascii"]))
    (node,) = [node for node in observer.ask("nodes") if node["id"] == other.id]
    assert canonical(node["meta"]) == canonical(up["meta"])
    assert node["address"] == other.host.address


def check_messages(sender: Peer, receiver: Peer, messages: list[Any]) -> None:
    since, sender_since = receiver.mark(), sender.mark()
    large = [it for it in messages if receiver.kind in ORIGINALS and len(canonical(it)) > PIECE]
    messages = [it for it in messages if it not in large]
    for message in messages:
        sender.send(message)
    receiver.wait_messages(sender, messages, since)
    for message in large:
        receiver.hear_large(sender, message)
    sender.wait_until(
        lambda: len(sender.seen("sent", sender_since)) >= len(messages) + len(large),
        "a confirmation of every message",
    )
    sizes = [event["bytes"] for event in sender.seen("sent", sender_since)]
    assert all(size > wire.DIGEST_SIZE for size in sizes), sizes


def check_goodbye(observer: Peer, other: Peer) -> None:
    """The observer sees the other down as soon as it leaves."""
    observer.wait_up(other)
    since = observer.mark()
    other.down()
    observer.wait_down(other, since)


def payloads(tap: Peer, sender: Peer, key: str) -> list[bytes]:
    """The datagrams of a peer so far with this key after the id."""
    datagrams = (bytes.fromhex(event["hex"]) for event in tap.seen("datagram"))
    opened = (wire.open_datagram(datagram) for datagram in datagrams)
    start = f'{{"id":"{sender.id}","{key}":'.encode()
    return [payload for payload in opened if payload and payload.startswith(start)]


def wait_heartbeats(tap: Peer, sender: Peer, count: int) -> None:
    """Waits until a peer has sent this number of further heartbeats."""
    before = len(payloads(tap, sender, "meta"))
    tap.wait_until(
        lambda: len(payloads(tap, sender, "meta")) >= before + count,
        f"{count} heartbeats of {sender}",
    )


def check_harmless(tap: Peer, *senders: Peer) -> None:
    """No Caster peer sent a datagram that would end or confuse an original."""
    for sender in senders:
        if sender.kind in ORIGINALS:
            continue
        for event in tap.seen("datagram"):
            datagram = bytes.fromhex(event["hex"])
            if event["address"] == sender.host.address:
                offence = wire.offence(datagram)
                assert offence is None, f"{sender} sent {datagram!r}: {offence}"


def check_content(*peers: Peer) -> None:
    """No peer reports an error, and Caster peers lost no datagram."""
    for peer in peers:
        assert peer.seen("error") + peer.seen("garbled") == [], str(peer)
        if peer.kind in OURS:
            assert peer.lost() == {}, str(peer)


def check_leaving(quitter: Peer, leaver: Peer, observer: Peer) -> None:
    """`quit` ends a peer at once; the end of its stdin makes it leave first."""
    quitter.quit()
    assert quitter.wait_ended() == 0, quitter.story
    since = observer.mark()
    leaver.end_input()
    observer.wait_down(leaver, since)
    assert leaver.wait_ended() == 0, leaver.story


# The plays.


def defaults(lab: Lab, a: str, b: str) -> None:
    """With default options: discovery, messages, and the detection of a crash."""
    with Cast(lab) as cast:
        tap = start_tap(cast)
        four = a1, b1, a2, b2 = start_four(cast, a, b, timeout=TIMEOUT)
        for observer, others in ((a1, (b1, b2)), (b1, (a1, a2))):
            for other in others:
                check_discovery(observer, other)
        cast.check_alive()

        messages = speakable(a, b, MESSAGES)
        if a in OURS and b in OURS:
            messages = messages + FALSY_MESSAGES
        check_messages(a1, b1, messages)
        check_messages(b1, a1, messages)
        cast.check_alive()

        # A Caster observer knows the peer's interval and detects the crash earlier.
        for victim in (a2, b2):
            wait_heartbeats(tap, victim, 3)
        marks = a1.mark(), b1.mark()
        a2.crash()
        b2.crash()
        a1.wait_down(b2, marks[0])
        b1.wait_down(a2, marks[1])
        cast.check_alive()
        check_harmless(tap, *four)
        check_content(a1, b1)


def crypto_and_own_everything(lab: Lab, a: str, b: str) -> None:
    """Encrypted, with an own secret, on another group and port: the same, and
    a decoy on the default group and port is not seen and sees nothing."""
    own: dict[str, Any] = {
        "crypto": True,
        "cryptoKey": "a key of our own",
        "hashSecret": "a secret of our own",
        "multicast": "239.77.0.7",
        "port": 17077,
    }
    with Cast(lab) as cast:
        decoy = cast.start(
            "raw",
            group=wire.GROUP,
            port=wire.PORT,
            beat=wire.heartbeat("decoy").hex(),
            interval=HEARTBEAT / 1000,
        )
        decoy.wait_ready()
        four = a1, b1, a2, b2 = start_four(cast, a, b, **own)
        for observer, others in ((a1, (b1, b2)), (b1, (a1, a2))):
            for other in others:
                check_discovery(observer, other)
        for observer in (a2, b2):  # pieces of a peer that is not known yet are counted
            for other in (a1, b1):
                observer.wait_up(other)
        messages = speakable(a, b, MESSAGES)
        check_messages(a1, b1, messages)
        check_messages(b1, a1, messages)
        cast.check_alive()

        decoy.wait_until(
            lambda: len(decoy.seen("datagram")) >= 3, "the decoy to hear itself"
        )
        check_goodbye(a1, b2)
        check_goodbye(b1, a2)
        cast.check_alive()

        ids = {peer.id for peer in four}
        for peer in four:
            assert {event["id"] for event in peer.seen("up")} <= ids
        beat = wire.heartbeat("decoy").hex()
        assert {event["hex"] for event in decoy.seen("datagram")} == {beat}
        check_content(*four)
        check_leaving(quitter=a2, leaver=a1, observer=b1)
        b1.end_input()
        assert b1.wait_ended() == 0, b1.story


def hidden_until_it_speaks(lab: Lab, a: str, b: str) -> None:
    """With expose false, no peer hears a heartbeat; a message reveals the
    node, and its leave is seen."""
    with Cast(lab) as cast:
        tap = start_tap(cast)
        hidden = {"expose": False}
        four = a1, b1, a2, b2 = start_four(cast, a, b, theirs=hidden)
        check_discovery(a1, b1)
        check_discovery(b1, a1)
        for exposed in (a1, b1):
            wait_heartbeats(tap, exposed, 3)
        for secret in (a2, b2):
            for key in ("meta", "message", "suicide"):
                assert payloads(tap, secret, key) == []
            for observer in (a1, b1):
                assert observer.seen("up", id=secret.id) == []
        cast.check_alive()

        for secret, observer in ((a2, b1), (b2, a1)):
            text = f"it is me, {secret.id}"
            secret.send(text)
            observer.wait_messages(secret, [text])
            up = observer.wait_up(secret)
            assert up["meta"] is None
            assert up["address"] == secret.host.address
        cast.check_alive()

        check_goodbye(a1, b2)
        check_goodbye(b1, a2)
        check_goodbye(a1, b1)
        cast.check_alive()
        check_harmless(tap, *four)
        check_content(*four)


PLAYS = [defaults, crypto_and_own_everything, hidden_until_it_speaks]


def pairs(*groups: tuple[str, ...]) -> list[tuple[str, ...]]:
    """All unordered pairs of one group, or of the members of two."""
    if len(groups) == 1:
        return list(itertools.combinations_with_replacement(groups[0], 2))
    return list(itertools.product(*groups))


def pair_id(kinds: tuple[str, ...]) -> str:
    return "+".join(kinds)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
@pytest.mark.parametrize("kinds", pairs(OURS), ids=pair_id)
def test_ours_understand_each_other(play, kinds, stage) -> None:
    stage.outcome(play, kinds)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
@pytest.mark.parametrize("kinds", pairs(OURS, MATRIX), ids=pair_id)
def test_ours_and_the_original_understand_each_other(play, kinds, stage) -> None:
    stage.outcome(play, kinds)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
@pytest.mark.parametrize("kinds", pairs(MATRIX), ids=pair_id)
def test_control_originals_understand_each_other(play, kinds, stage) -> None:
    """If this fails too, the fault is in the harness or the machine, not in Caster."""
    stage.outcome(play, kinds)
