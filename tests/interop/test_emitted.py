"""Originals hear every kind of datagram that Caster emits, and none of them ends.

Each kind of datagram is provoked, and has to have been seen on the wire: the
nodes are watched by a tap, which also sends the datagrams that provoke them.  The
original is a program which does not listen to errors and dies of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

import wire
from lab import Lab
from peers import ORIGINALS, Cast, Peer
from test_matrix import FALSY_MESSAGES, MESSAGES

TIMING = {"heartbeat": 600, "timeout": 1200}
ODD_ID = 'o\u20acdd "id" \\ \u2028 \U0001f600'
"""Quoted and escaped wherever it is named."""

MANY = 40
"""More ids than one datagram can contain."""

LARGE_META = {"large": "m" * 8000}
DEEP_META: dict[str, Any] = {"deep": json.loads("[" * 60 + "]" * 60)}
METADATA = [{"was": "set"}, ["caf\u00e9 \u2028"], 7, LARGE_META, DEEP_META]
LARGE_MESSAGE = "long " + "x" * 60_000

Envelope = dict[str, Any]


def says(key: str) -> Callable[[Envelope], bool]:
    """Returns whether a heartbeat has this key in its extension."""
    return lambda said: "meta" in said and key in said.get("caster", {})


KINDS: dict[str, Callable[[Envelope], bool]] = {
    "a hello": says("a"),
    "a probe": says("p"),
    "a probe of an odd id": lambda said: ODD_ID in said.get("caster", {}).get("p", []),
    "a probe of as many as fit": lambda said: (
        len(said.get("caster", {}).get("p", [])) == 32
    ),
    "an acknowledgement": says("v"),
    "an acknowledgement for an odd id": lambda said: (
        ODD_ID in [id for id, _ in said.get("caster", {}).get("v", [])]
    ),
    "a heartbeat to one": says("u"),
    "addresses of others": says("k"),
    "a heartbeat that says nothing else": lambda said: (
        "meta" in said
        and set(said.get("caster", {})) == {"b", "h", "n", "c", "l", "o"}
    ),
    "a heartbeat as 0.1.1 sends it": lambda said: set(said) == {"id", "meta"},
    "a signed goodbye": lambda said: (
        said.get("suicide") is True and set(said["caster"]) == {"b", "n", "s"}
    ),
    "a leave as 0.1.1 sends it": lambda said: said
    == {"id": "plain", "suicide": True},
    "a message": lambda said: "message" in said,
}


class Tap:
    """Records the datagrams of Caster nodes, and provokes them."""

    def __init__(self, cast: Cast) -> None:
        self.peer = cast.start("raw", group=wire.GROUP, port=wire.PORT)
        self.peer.wait_ready()
        self.incarnation = 0

    def emitted(self, *senders: Peer) -> list[Envelope]:
        """The datagrams of these nodes so far; none of them may end an original."""
        addresses = {sender.host.address for sender in senders}
        heard = []
        for event in self.peer.seen("datagram"):
            if event["address"] in addresses:
                datagram = bytes.fromhex(event["hex"])
                assert wire.offence(datagram) is None, datagram
                heard.append(json.loads(datagram[wire.DIGEST_SIZE :]))
        return heard

    def wait_for(self, what: str, condition: Callable[[], Any]) -> None:
        self.peer.wait_until(condition, what)

    def wait_for_kind(self, kind: str, *senders: Peer) -> None:
        self.wait_for(kind, lambda: any(map(KINDS[kind], self.emitted(*senders))))

    def say(self, envelope: Envelope) -> None:
        payload = json.dumps(envelope).encode()  # ASCII, which all runtimes hash alike
        self.peer.tell(f"send {wire.seal(payload).hex()}")

    def beat(self, id: str, **extension: Any) -> None:
        """A heartbeat as a Caster node sends it."""
        self.incarnation += 1
        about = {"b": self.incarnation, "h": 600, "n": 0, **extension}
        self.say({"id": id, "meta": None, "caster": about})


def last_seen(observer: Peer, other: Peer) -> str | None:
    """Returns a condition: the last event of the node is up, or is down."""
    about = [event for event in observer.events if event.get("id") == other.id]
    changes = [event["ev"] for event in about if event["ev"] in ("up", "down")]
    return changes[-1] if changes else None


def heard_everything(lab: Lab, ours: str, original: str) -> None:
    with Cast(lab) as cast:
        tap = Tap(cast)
        old = cast.start(original, id="old", **TIMING)
        addresses = [host.address for host in lab.hosts]
        ports = [f"{address}:{wire.PORT}" for address in addresses]
        # In the order of the hosts: the tap, the original, these.
        first = cast.start(ours, id="first", seeds=ports[:2], **TIMING)
        odd = cast.start(ours, id=ODD_ID, meta={"x": 1}, **TIMING)
        third = cast.start(ours, id="third", **TIMING)
        plain = cast.start(ours, id="plain", compat="0.1.1", **TIMING)
        nodes = [first, odd, third, plain]
        # In another group, so that it can only be heard when it writes to one.
        afar = cast.start(
            ours,
            plain.host,
            id="afar",
            multicast="239.77.0.9",
            seeds=[ports[2]],
            **TIMING,
        )
        for peer in (old, *nodes, afar):
            peer.wait_ready()
        for node in nodes:
            old.wait_up(node)
            node.wait_up(old)
            for other in nodes:
                if other is not node:
                    node.wait_up(other)
        for kind in ("a hello", "a heartbeat that says nothing else"):
            tap.wait_for_kind(kind, *nodes)
        tap.wait_for_kind("a heartbeat to one", first)
        tap.wait_for_kind("addresses of others", first)
        tap.wait_for_kind("a heartbeat as 0.1.1 sends it", plain)

        # Messages of all kinds; the original does not deliver the falsy ones.
        since = old.mark()
        for message in [*MESSAGES, *FALSY_MESSAGES]:
            first.send(message)
        old.wait_messages(first, MESSAGES, since)
        old.hear_large(first, LARGE_MESSAGE)
        tap.wait_for_kind("a message", first)

        # New metadata.
        for meta in METADATA:
            first.tell(f"meta {json.dumps(meta)}")
            tap.wait_for(
                f"the metadata {meta!r:.40}",
                lambda: any(said.get("meta") == meta for said in tap.emitted(first)),
            )

        # Answers to newcomers and to leaves in its name: 20 heartbeats in less
        # time than 20 intervals, of which one is 200 ms while an original is there.
        before, began = len(tap.emitted(third)), time.monotonic()
        for number in range(20):
            tap.beat(f"newcomer {number}", a=1)
            tap.say({"id": "third", "suicide": True})
            time.sleep(0.05)
        tap.wait_for("answers", lambda: len(tap.emitted(third)) >= before + 20)
        assert time.monotonic() - began < 20 * 0.2

        # A probe for a node that cannot answer just now: others corroborate it. Nothing is done for a
        # node that was heard once.
        tap.beat("asker")
        asker = tap.incarnation
        for count in range(1, 21):
            odd.pause()
            tap.beat("asker", b=asker, n=count, p=[ODD_ID, "no node"])
            time.sleep(0.1)
            odd.resume()
            time.sleep(0.3)
            if any(map(KINDS["an acknowledgement for an odd id"], tap.emitted(*nodes))):
                break
        tap.wait_for_kind("an acknowledgement", *nodes)
        tap.wait_for_kind("an acknowledgement for an odd id", *nodes)

        # Many nodes that become silent at once: an observer that is stopped at the moment
        # at which they become suspect names them together.
        for attempt in range(10):
            since = third.mark()
            for number in range(MANY):
                # Ten heartbeats: about fewer, the probe of another node stands for the own.
                tap.beat(f"silent {attempt}.{number}")
                incarnation = tap.incarnation
                for count in range(1, 10):
                    tap.beat(f"silent {attempt}.{number}", b=incarnation, n=count)
            third.wait_until(
                lambda: len(third.seen("up", since)) >= MANY, "to discover all"
            )
            time.sleep(1.1)
            third.pause()
            time.sleep(0.25)
            third.resume()
            time.sleep(0.25)
            if any(map(KINDS["a probe of as many as fit"], tap.emitted(third))):
                break
        tap.wait_for_kind("a probe of as many as fit", third)

        # A stopped node; a leave from another address.
        odd.pause()
        tap.wait_for_kind("a probe of an odd id", *nodes)
        odd.resume()
        since = old.mark()
        third.pause()  # or it would answer the leave before it is probed
        tap.say({"id": "third", "suicide": True})
        old.wait_down(third, since)  # the original accepts it, until the next heartbeat
        tap.wait_for(
            "a probe of the third",
            lambda: any(
                "third" in said.get("caster", {}).get("p", [])
                for said in tap.emitted(first)
            ),
        )
        third.resume()
        old.wait_until(lambda: last_seen(old, third) == "up", "to see the third")
        cast.check_alive()

        # Leaves, and new starts.
        for node, kind in (
            (third, "a signed goodbye"),
            (plain, "a leave as 0.1.1 sends it"),
        ):
            old.wait_until(lambda: last_seen(old, node) == "up", f"to see {node}")
            since = old.mark()
            node.down()
            old.wait_down(node, since)
            tap.wait_for_kind(kind, node)
            node.tell("up")
            old.wait_for(
                lambda event: event["ev"] == "up" and event["id"] == node.id,
                f"{node} again",
                since,
            )

        # After that they still know each other and exchange messages.
        for node in nodes:
            # The stopped node and the forged leaves were downs to the original.
            old.wait_until(lambda: last_seen(old, node) == "up", f"to see {node}")
            since = old.mark()
            node.send({"from": node.id})
            old.wait_messages(node, [{"from": node.id}], since)
        since_then = {node: node.mark() for node in nodes}
        old.send("to all")
        for node, since in since_then.items():
            node.wait_messages(old, ["to all"], since)
        cast.check_alive()
        assert old.seen("error") + old.seen("garbled") == [], old.story
        said = tap.emitted(*nodes)
        missing = [kind for kind, is_it in KINDS.items() if not any(map(is_it, said))]
        assert not missing, "not everything was emitted"


@pytest.mark.parametrize("play", [heard_everything], ids=lambda play: play.__name__)
@pytest.mark.parametrize(
    "kinds", [("rust", original) for original in ORIGINALS], ids=lambda kinds: kinds[1]
)
def test_no_original_dies_of_what_we_emit(play, kinds, stage) -> None:
    stage.outcome(play, kinds)
