"""A node of another implementation in secure mode: it asks, echoes and sends heartbeats. With an identity it signs and
verifies."""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "vectors"))

import sealed  # noqa: E402
from lab import Host  # noqa: E402
from peers import Cast  # noqa: E402
from repeat import Repeat  # noqa: E402

GROUP = "224.0.0.42"
INTERVAL = 0.25

Change = Callable[[sealed.Frame], sealed.Frame]


class Speaker:
    """Speaks through the sockets of a raw peer, in a thread of its own until the block ends."""

    def __init__(
        self,
        cast: Cast,
        key: str,
        port: int,
        name: str,
        *,
        seed: bytes | None = None,
        trusted: Iterable[bytes] | None = None,
        signs_messages: bool = True,
        host: Host | None = None,
    ) -> None:
        self.derived = sealed.Derived.of(bytes.fromhex(key), "")
        self.name = name
        self.identity = seed and sealed.Identity(seed, secrets.token_bytes(16))
        self.trusted = None if trusted is None else set(trusted)
        self.signs_messages = signs_messages
        self.sender = self.identity.sender if self.identity else secrets.token_bytes(12)
        self.challenge, self.incarnation = secrets.token_bytes(8), secrets.randbits(32)
        self.counter = 0
        self.asked: list[bytes] = []
        self.heard: dict[bytes, bool] = {}
        """The senders that were heard, and which of them are believed."""
        self.owners: dict[str, bytes] = {name: self.identity.public} if self.identity else {}
        """The public key that has first signed for each id."""
        self.refused: list[str] = []
        self.texts: list[dict[str, Any]] = []
        self.peer = cast.start("raw", host, group=GROUP, port=port)
        self.peer.wait_ready()
        self._read = 0
        self._due = 0.0
        self._lock = threading.Lock()
        self._repeat = Repeat(self._turn, 0.02)

    def __enter__(self) -> Speaker:
        self._repeat.__enter__()
        return self

    def __exit__(self, *of: object) -> None:
        self._repeat.__exit__(*of)

    @property
    def public(self) -> bytes:
        assert self.identity
        return self.identity.public

    # Speaking.

    def frame(self, payload: bytes, kind: int) -> sealed.Frame:
        """The next frame, without a signature."""
        self.counter += 1
        return sealed.Frame(self.sender, self.counter, payload, kind=kind, x=self.counter)

    def signed(self, frame: sealed.Frame) -> sealed.Frame:
        if self.identity and (frame.kind != sealed.DATA or self.signs_messages):
            return self.identity.sign(frame, self.derived, self.signs_messages)
        return frame

    def say(self, payload: bytes, kind: int, *altered: Change, genuine: bool = True) -> None:
        """Sends a frame. Before it the same with each alteration, under the same counter."""
        with self._lock:
            frame = self.signed(self.frame(payload, kind))
            frames = [change(frame) for change in altered] + [frame] * genuine
            for it in frames:
                self.peer.tell(f"send {sealed.seal(it, self.derived).hex()}")

    def send(self, message: Any, *altered: Change) -> None:
        self.say(self.text(message=message), sealed.DATA, *altered)

    def beat(self, *altered: Change, **other: Any) -> None:
        """A heartbeat with a block; `other` is in its extension."""
        with self._lock:
            waiting = [sender for sender, fresh in self.heard.items() if not fresh][:16]
            echoes, self.asked = self.asked[:32], []
        block = bytes([len(waiting), len(echoes), 0]) + self.challenge
        block += b"".join(sender + self.challenge for sender in waiting) + b"".join(echoes)
        extension = self.extension | {"h": int(1000 * INTERVAL), "c": 0} | other
        text = self.text(meta={"by": "python"}, caster=extension)
        self.say(block + text, sealed.HEARTBEAT, *altered)

    def leave(self, *altered: Change, genuine: bool = True) -> None:
        text = self.text(suicide=True, caster=self.extension)
        self.say(bytes(3) + self.challenge + text, sealed.PRESENCE, *altered, genuine=genuine)

    @property
    def extension(self) -> dict[str, int]:
        return {"b": self.incarnation, "n": self.counter}

    def text(self, **fields: Any) -> bytes:
        return json.dumps({"id": self.name, **fields}).encode()

    # Listening.

    def hear(self, datagram: bytes) -> None:
        try:
            frame = sealed.open_frame(datagram, self.derived, self.sender)
        except sealed.Refused:
            return
        if frame.sender == self.sender:
            return
        try:
            public = self.verified(frame)
        except sealed.Refused as reason:
            self.refused.append(str(reason))
            return
        text = frame.payload[: -sealed.TRAILER] if frame.signed else frame.payload
        if frame.kind != sealed.DATA:
            text = self.hear_block(frame.sender, text)
        if not self.heard.get(frame.sender) or not text.startswith(b"{"):
            return
        envelope = json.loads(text)
        if public and self.owners.setdefault(envelope["id"], public) != public:
            self.refused.append("owner")
            return
        self.texts.append(envelope)

    def verified(self, frame: sealed.Frame) -> bytes | None:
        """The identity of the sender, None if this one does not verify. Raises Refused."""
        if not self.identity:
            return None
        public = sealed.verify(frame, self.derived)
        if self.trusted is not None and public not in self.trusted:
            raise sealed.Refused("not in the list")
        return public

    def hear_block(self, sender: bytes, payload: bytes) -> bytes:
        """Reads the block of a control datagram. Returns the rest."""
        asks, echoes, statements = payload[:3]
        self.heard.setdefault(sender, False)
        rest = payload[11:]
        with self._lock:
            for at in range(asks):
                ask = rest[20 * at : 20 * at + 20]
                if ask[:12] == self.sender:
                    self.asked.append(ask[12:])
        rest = rest[20 * asks :]
        if self.challenge in [rest[8 * at : 8 * at + 8] for at in range(echoes)]:
            self.heard[sender] = True
        return rest[8 * echoes + 20 * statements :]

    def heard_messages(self) -> set[Any]:
        return {text["message"] for text in list(self.texts) if "message" in text}

    def _turn(self) -> None:
        while self._read < len(self.peer.events):
            event = self.peer.events[self._read]
            self._read += 1
            if event["ev"] == "datagram":
                self.hear(bytes.fromhex(event["hex"]))
        if self.asked or time.monotonic() >= self._due:
            self.beat()
            self._due = time.monotonic() + INTERVAL


# Alterations of a signature.


def flipped(at: int) -> Change:
    """One bit of a byte of the payload, counted from its end."""

    def change(frame: sealed.Frame) -> sealed.Frame:
        payload = bytearray(frame.payload)
        payload[-at] ^= 1
        return replace(frame, payload=bytes(payload))

    return change


def unsigned(frame: sealed.Frame) -> sealed.Frame:
    return replace(frame, signed=False, payload=frame.payload[: -sealed.TRAILER])


def signed_by(identity: sealed.Identity, derived: sealed.Derived) -> Change:
    """Another identity signs what this one would have signed, with the trailer of this one."""

    def change(frame: sealed.Frame) -> sealed.Frame:
        text = replace(frame, payload=frame.payload[: -sealed.SIGNATURE])
        signature = identity.signature(text, derived)
        return replace(text, payload=text.payload + signature)

    return change


def all_alterations(derived: sealed.Derived) -> list[Change]:
    """The signature, the public key, the salt and the flags; no signature; one of another key; one of another text."""
    other = sealed.Identity(secrets.token_bytes(32), secrets.token_bytes(16))
    places = [1, sealed.SIGNATURE, sealed.SIGNATURE + 1, sealed.TRAILER - 1, sealed.TRAILER]
    return [*map(flipped, places), unsigned, signed_by(other, derived), flipped(sealed.TRAILER + 1)]
