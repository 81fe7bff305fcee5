"""The sealed frame in Python, independent of the core, on the package `cryptography`.

It is what sealed.json is made with and checked by, and what talks to the core in the tests. Run as a
program it writes sealed.json.
"""

from __future__ import annotations

import hmac as mac
import json
import random
import struct
import sys
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

FILE = Path(__file__).with_name("sealed.json")
AES_GCM, CHACHA, HMAC = 1, 2, 3
DATA, HEARTBEAT, PRESENCE = 0, 1, 2
HEADER, TAG = 40, 16
MAGIC = b"\xca\x57\x00\x01"
NO_RECEIVER = bytes(12)


class Refused(Exception):
    """A datagram that does not open; the text says at which step."""


def siphash(key: bytes, data: bytes) -> bytes:
    """SipHash-1-3."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key)
    a, b = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    c, d = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def turn(value: int, by: int) -> int:
        return (value << by | value >> (64 - by)) & mask

    def rounds(count: int) -> None:
        nonlocal a, b, c, d
        for _ in range(count):
            a = (a + b) & mask
            b = turn(b, 13) ^ a
            a = turn(a, 32)
            c = (c + d) & mask
            d = turn(d, 16) ^ c
            a = (a + d) & mask
            d = turn(d, 21) ^ a
            c = (c + b) & mask
            b = turn(b, 17) ^ c
            c = turn(c, 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for (word,) in struct.iter_unpack("<Q", padded):
        d ^= word
        rounds(1)
        a ^= word
    c ^= 255
    rounds(3)
    return struct.pack("<Q", a ^ b ^ c ^ d)


def expand(key: bytes, info: bytes, length: int) -> bytes:
    return HKDFExpand(SHA256(), length, info).derive(key)


@dataclass(frozen=True)
class Derived:
    """All that is derived from a key and a realm."""

    id: bytes
    hint: bytes
    seal: bytes
    group: bytes
    realm: bytes

    @staticmethod
    def of(key: bytes, realm: str) -> Derived:
        # HKDF-Extract is an HMAC under the salt.
        prk = mac.digest(b"caster/1", key, "sha256")
        text = realm.encode()
        hint = expand(prk, b"hint\0" + text, 16)
        group = expand(prk, b"group\0" + text, 12)
        return Derived(expand(prk, b"id", 32), hint, expand(prk, b"seal", 32), group, text)

    def sender_key(self, suite: int, sender: bytes) -> bytes:
        return expand(self.seal, b"sender" + bytes([suite & 0x7F]) + sender + self.realm, 32)


@dataclass(frozen=True)
class Frame:
    """A frame before it is sealed, or after it was opened."""

    sender: bytes
    counter: int
    payload: bytes
    suite: int = AES_GCM
    signed: bool = False
    kind: int = DATA
    to: bytes | None = None
    x: int = 0

    def header(self, derived: Derived) -> bytes:
        suite = self.suite | 0x80 * self.signed
        kind = self.kind | 0x80 * (self.to is not None)
        tail = self.sender + struct.pack(">IQ", self.x, self.counter)
        return MAGIC + bytes([suite, kind, 0, 0]) + siphash(derived.hint, tail) + tail


def associated(header: bytes, to: bytes | None, derived: Derived) -> bytes:
    return header + (to or NO_RECEIVER) + derived.group


def seal(frame: Frame, derived: Derived) -> bytes:
    header = frame.header(derived)
    covered = associated(header, frame.to, derived)
    key = derived.sender_key(frame.suite, frame.sender)
    if frame.suite == HMAC:
        tag = mac.digest(key, covered + frame.payload, "sha256")[:TAG]
        return header + frame.payload + tag
    cipher = AESGCM(key) if frame.suite == AES_GCM else ChaCha20Poly1305(key)
    return header + cipher.encrypt(header[28:40], frame.payload, covered)


def open_frame(datagram: bytes, derived: Derived, own: bytes | None = None) -> Frame:
    """Opens a datagram; `own` is the sender of the receiver.

    Raises Refused.
    """
    if datagram[:3] != MAGIC[:3]:
        raise Refused("not sealed")
    if datagram[3:4] != MAGIC[3:]:
        raise Refused("version")
    if len(datagram) < HEADER + TAG:
        raise Refused("content")
    header, body = datagram[:HEADER], datagram[HEADER:]
    suite, kind = header[4], header[5]
    if suite & 0x7F not in (AES_GCM, CHACHA, HMAC):
        raise Refused("suite")
    if kind & 0x7F not in (DATA, HEARTBEAT, PRESENCE):
        raise Refused("class")
    sender = header[16:28]
    x, counter = struct.unpack(">IQ", header[28:])
    if counter == 0:
        raise Refused("content")
    if not mac.compare_digest(header[8:16], siphash(derived.hint, header[16:])):
        raise Refused("hint")
    to = own if kind & 0x80 else None
    covered = associated(header, to, derived)
    key = derived.sender_key(suite, sender)
    if suite & 0x7F == HMAC:
        payload, tag = body[:-TAG], body[-TAG:]
        if not mac.compare_digest(tag, mac.digest(key, covered + payload, "sha256")[:TAG]):
            raise Refused("tag")
    else:
        cipher = AESGCM(key) if suite & 0x7F == AES_GCM else ChaCha20Poly1305(key)
        try:
            payload = cipher.decrypt(header[28:40], body, covered)
        except InvalidTag:
            raise Refused("tag") from None
    return Frame(sender, counter, payload, suite & 0x7F, bool(suite & 0x80), kind & 0x7F, to, x)


TRAILER, SIGNATURE = 113, 64


@dataclass(frozen=True)
class Identity:
    """An identity, and the sender that it has by a salt."""

    seed: bytes
    salt: bytes

    @property
    def public(self) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    @property
    def sender(self) -> bytes:
        return sender_of(self.public, self.salt)

    def sign(self, frame: Frame, derived: Derived, all_frames: bool = False) -> Frame:
        """The frame with its trailer."""
        trailer = bytes([all_frames]) + self.salt + self.public
        unsigned = replace(frame, signed=True, payload=frame.payload + trailer)
        return replace(unsigned, payload=unsigned.payload + self.signature(unsigned, derived))

    def signature(self, unsigned: Frame, derived: Derived) -> bytes:
        """The signature of a frame that has the trailer but for it."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return private.sign(signed_text(unsigned, derived))


def sender_of(public: bytes, salt: bytes) -> bytes:
    return sha256(b"caster/1 sender" + public + salt).digest()[:12]


def signed_text(frame: Frame, derived: Derived) -> bytes:
    """The text that is signed of a frame whose payload has the trailer but for the signature."""
    covered = associated(frame.header(derived), frame.to, derived)
    return b"caster/1 sig" + sha256(derived.id + covered + frame.payload).digest()


def verify(frame: Frame, derived: Derived) -> bytes:
    """The public key that has signed a frame. Raises Refused."""
    if not frame.signed or len(frame.payload) < TRAILER:
        raise Refused("unsigned")
    trailer, signature = frame.payload[-TRAILER:-SIGNATURE], frame.payload[-SIGNATURE:]
    salt, public = trailer[1:17], trailer[17:]
    if frame.sender != sender_of(public, salt):
        raise Refused("sender")
    unsigned = replace(frame, payload=frame.payload[:-SIGNATURE])
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed_text(unsigned, derived))
    except InvalidSignature:
        raise Refused("signature") from None
    return public


def signed() -> list[dict[str, Any]]:
    """Frames with signatures, valid ones and others."""
    source = random.Random(25519)
    made: list[dict[str, Any]] = []
    for suite in (AES_GCM, CHACHA, HMAC):
        for kind, to, realm in [
            (HEARTBEAT, None, ""),
            (PRESENCE, source.randbytes(12), "plant 7"),
            (DATA, None, "r" * 255),
            (DATA, source.randbytes(12), ""),
        ]:
            key = source.randbytes(32)
            derived = Derived.of(key, realm)
            identity = Identity(source.randbytes(32), source.randbytes(16))
            content = b"" if kind == PRESENCE else b'{"id":"a","message":[1]}'
            counter, x = source.getrandbits(60) + 1, source.getrandbits(32)
            frame = Frame(identity.sender, counter, content, suite, False, kind, to, x)
            good = identity.sign(frame, derived, kind == DATA)

            def changed(at: int, frame: Frame = good) -> Frame:
                payload = bytearray(frame.payload)
                payload[at] ^= 1
                return replace(frame, payload=bytes(payload))

            other = Derived.of(source.randbytes(32), realm)
            stolen = replace(frame, sender=source.randbytes(12))
            for reason, it in [
                ("", good),
                ("signature", changed(-1)),
                ("signature", changed(-SIGNATURE)),
                # The flags, the salt and the public key.
                ("signature", changed(-TRAILER)),
                ("sender", changed(-TRAILER + 1)),
                ("sender", changed(-SIGNATURE - 1)),
                ("sender", identity.sign(stolen, derived, kind == DATA)),
                ("signature", replace(good, counter=counter + 1)),
                ("signature", replace(good, x=x ^ 1)),
                ("signature", replace(good, kind=(kind + 1) % 3)),
                ("signature", identity.sign(frame, other, kind == DATA)),
                ("unsigned", replace(good, payload=good.payload[-TRAILER + 1 :])),
            ]:
                made.append(
                    {
                        **case(key, derived, realm, it),
                        "seed": identity.seed.hex(),
                        "salt": identity.salt.hex(),
                        "public": identity.public.hex(),
                        "all": kind == DATA,
                        "content": content.hex(),
                        "reason": reason,
                    }
                )
    return made


def cases() -> list[dict[str, Any]]:
    """The same ones each time."""
    source = random.Random(16)
    heartbeat = b'{"id":"a","meta":{"type":"http"},"caster":{"n":1,"b":7,"h":1000}}'
    payloads = [b"", b"x", heartbeat, bytes(range(256)) * 5]
    realms = ["", "plant 7", "größe", "r" * 255]
    counters = [1, 2, (1 << 32) + 1, (1 << 64) - 1]
    made: list[dict[str, Any]] = []
    for suite in (AES_GCM, CHACHA, HMAC):
        for at, payload in enumerate(payloads):
            for kind in (DATA, HEARTBEAT, PRESENCE):
                for to in (None, source.randbytes(12)):
                    key, realm = source.randbytes(32), realms[(at + kind) % len(realms)]
                    derived = Derived.of(key, realm)
                    frame = Frame(
                        source.randbytes(12),
                        counters[(at + kind + suite) % len(counters)],
                        payload,
                        suite,
                        # The bit alone: a signature is part of the payload.
                        kind == PRESENCE and at == 3,
                        kind,
                        to,
                        source.getrandbits(32),
                    )
                    made.append(case(key, derived, realm, frame))
    return made


def case(key: bytes, derived: Derived, realm: str, frame: Frame) -> dict[str, Any]:
    return {
        "key": key.hex(),
        "realm": realm,
        "suite": frame.suite,
        "signed": frame.signed,
        "class": frame.kind,
        "to": frame.to and frame.to.hex(),
        "sender": frame.sender.hex(),
        "x": frame.x,
        # More than a double can hold.
        "counter": str(frame.counter),
        "payload": frame.payload.hex(),
        "key_id": derived.id.hex(),
        "hint_key": derived.hint.hex(),
        "seal_key": derived.seal.hex(),
        "group": derived.group.hex(),
        "sender_key": derived.sender_key(frame.suite, frame.sender).hex(),
        "datagram": seal(frame, derived).hex(),
    }


def refused() -> list[dict[str, Any]]:
    """Datagrams that do not open, and at which step."""
    source = random.Random(61)
    key, own = source.randbytes(32), source.randbytes(12)
    derived = Derived.of(key, "plant 7")
    made = []
    for suite in (AES_GCM, CHACHA, HMAC):
        frame = Frame(source.randbytes(12), 9, b'{"id":"a"}', suite, kind=HEARTBEAT)
        good = seal(frame, derived)
        other = seal(replace(frame, counter=10, payload=b'{"id":"b"}'), derived)
        for reason, datagram in [
            ("not sealed", b'{"id":"a"}'),
            ("not sealed", MAGIC[:2]),
            ("not sealed", good[:2] + b"\x01" + good[3:]),
            ("version", good[:3] + b"\x02" + good[4:]),
            ("suite", good[:4] + b"\x04" + good[5:]),
            ("suite", good[:4] + b"\x00" + good[5:]),
            ("class", good[:5] + b"\x03" + good[6:]),
            ("content", good[: HEADER + TAG - 1]),
            ("content", good[:32] + bytes(8) + good[40:]),
            ("hint", good[:8] + bytes([good[8] ^ 1]) + good[9:]),
            ("hint", good[:16] + bytes([good[16] ^ 1]) + good[17:]),
            ("hint", seal(frame, Derived.of(key, "plant 8"))),
            ("hint", seal(frame, Derived.of(source.randbytes(32), "plant 7"))),
            ("tag", good[:6] + b"\x01" + good[7:]),
            ("tag", good[:HEADER] + other[HEADER:]),
            ("tag", good[:-1] + bytes([good[-1] ^ 1])),
            ("tag", good + b"\0"),
            ("tag", good[:4] + bytes([suite % 3 + 1]) + good[5:]),
            ("tag", good[:4] + bytes([suite | 0x80]) + good[5:]),
            ("tag", good[:5] + bytes([PRESENCE]) + good[6:]),
            ("tag", good[:5] + bytes([HEARTBEAT | 0x80]) + good[6:]),
            ("tag", seal(replace(frame, to=source.randbytes(12)), derived)),
        ]:
            made.append(
                {
                    "key": key.hex(),
                    "realm": "plant 7",
                    "own": own.hex(),
                    "datagram": datagram.hex(),
                    "reason": reason,
                }
            )
    return made


def text() -> str:
    def rows(items: list[dict[str, Any]]) -> str:
        return ",\n".join(json.dumps(item) for item in items)

    lists = {"cases": cases(), "refused": refused(), "signed": signed()}
    return "{" + ", ".join(f'"{name}": [\n{rows(it)}\n]' for name, it in lists.items()) + "}\n"


if __name__ == "__main__":
    FILE.write_text(text())
    sys.stdout.write(f"{FILE}\n")
