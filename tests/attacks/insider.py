"""A node of the attacker's own that has the key of the group: it asks, echoes and is believed."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import sealed
from arena import BEAT, GROUP_KEY, Scene
from peers import DEADLINE

HIGHEST = 2**64 - 1


class Insider:
    """Speaks through the attacker's sockets, with a sender of its own."""

    def __init__(
        self, scene: Scene, id: str = "insider", derived: sealed.Derived = GROUP_KEY
    ) -> None:
        self.scene, self.id, self.derived = scene, id, derived
        self.sender, self.counter = secrets.token_bytes(12), 0
        self.challenge, self.incarnation = secrets.token_bytes(8), secrets.randbits(32)
        self.beats = 0
        self.asked: list[bytes] = []
        self.senders: dict[str, bytes] = {}
        """The newest sender of each id that was heard."""
        self.counters: dict[str, int] = {}
        self.challenges: dict[str, bytes] = {}
        """A sender is believed by an id if it echoes this."""
        self._read = 0

    def seal(
        self, payload: bytes, kind: int = sealed.DATA, to: bytes | None = None, counter: int = 0
    ) -> bytes:
        self.counter += 1
        counter = counter or self.counter
        frame = sealed.Frame(self.sender, counter, payload, kind=kind, to=to, x=self.counter)
        return sealed.seal(frame, self.derived)

    def block(self, asks: list[bytes] = [], statements: list[tuple[bytes, int]] = []) -> bytes:
        echoes, self.asked = self.asked[:32], []
        counts = bytes([len(asks), len(echoes), len(statements)])
        lines = [secrets.token_bytes(8) + b"".join(asks), b"".join(echoes)]
        lines += [sender + counter.to_bytes(8, "big") for sender, counter in statements]
        return counts + b"".join(lines)

    def message(self, message: Any, id: str | None = None) -> bytes:
        return json.dumps({"id": id or self.id, "message": message}).encode()

    def hear(self) -> None:
        """Reads what the attacker has heard since."""
        events = self.scene.attacker.peer.events
        for event in events[self._read :]:
            self._read += 1
            if event["ev"] != "datagram":
                continue
            try:
                frame = sealed.open_frame(bytes.fromhex(event["hex"]), self.derived, self.sender)
            except sealed.Refused:
                continue
            if frame.sender == self.sender or frame.kind == sealed.DATA:
                continue
            asks, echoes, statements = frame.payload[:3]
            rest = frame.payload[11:]
            for at in range(asks):
                if rest[20 * at : 20 * at + 12] == self.sender:
                    self.asked.append(rest[20 * at + 12 : 20 * at + 20])
            text = rest[20 * asks + 8 * echoes + 20 * statements :]
            text = text[: -sealed.TRAILER] if frame.signed else text
            if text.startswith(b"{"):
                id = json.loads(text).get("id")
                self.senders[id], self.counters[id] = frame.sender, frame.counter
                self.challenges[id] = frame.payload[3:11]

    def say(self, datagram: bytes) -> None:
        self.scene.attacker.send(datagram, self.scene.group)

    def beat(self, **said: Any) -> None:
        """A heartbeat, with what is given in its block."""
        self.hear()
        extension = {"b": self.incarnation, "h": 1000, "n": self.beats, "c": 0}
        self.beats += 1
        text = json.dumps({"id": self.id, "meta": None, "caster": extension})
        self.say(self.seal(self.block(**said) + text.encode(), sealed.HEARTBEAT))

    def join(self) -> None:
        """Sends heartbeats until the victims believe it, and some more."""
        end = time.monotonic() + DEADLINE
        peers = [self.scene.v, self.scene.w, self.scene.x]
        while not all(peer.seen("up", id=self.id) for peer in peers):
            assert time.monotonic() < end, f"the insider is not believed\n{self.scene.v.story}"
            self.beat()
            time.sleep(0.15)
        for _ in range(3):
            self.beat()
            time.sleep(BEAT / 3)
