"""Where an attack happens: victims, an attacker, an innocent address, and what they did.

All scenes share one bridge. Each has a group port and an innocent address of its own, so
that many run at the same time and the tap tells them apart.
"""

from __future__ import annotations

import functools
import itertools
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import sealed
import wire
from lab import Host, NamespaceLab
from peers import DEADLINE, Cast, Event, Peer, meet
from repeat import Repeat

HERE = Path(__file__).resolve().parent
DEFAULTS = {"heartbeat": 1000, "timeout": 2000}
BEAT = DEFAULTS["heartbeat"] / 1000


@dataclass(frozen=True)
class Mode:
    """The stages of a group: the options of the victims, and what the attacker does on the wire."""

    options: dict[str, Any]
    seal: Callable[[bytes], bytes]
    open: Callable[[bytes], bytes | None]


KEY = secrets.token_bytes(32)
"""The key of the victims in secure mode. The attacker does not have it; the assertions do."""
GROUP_KEY = sealed.Derived.of(KEY, "")
FOREIGN_KEY = sealed.Derived.of(secrets.token_bytes(32), "")
EMPTY_BLOCK = bytes(11)


def seal_with_another_key(payload: bytes) -> bytes:
    frame = sealed.Frame(secrets.token_bytes(12), 1, EMPTY_BLOCK + payload, kind=sealed.HEARTBEAT)
    return sealed.seal(frame, FOREIGN_KEY)


@functools.lru_cache(maxsize=4096)
def open_sealed(datagram: bytes) -> bytes | None:
    """The JSON of a sealed datagram to the group, None if there is none."""
    try:
        frame = sealed.open_frame(datagram, GROUP_KEY)
    except sealed.Refused:
        return None
    payload = frame.payload[: -sealed.TRAILER] if frame.signed else frame.payload
    if frame.kind != sealed.DATA:
        asks, echoes, statements = payload[:3]
        payload = payload[11 + 20 * asks + 8 * echoes + 20 * statements :]
    return payload if payload.startswith(b"{") else None


DEFAULT = "hash"
SEALED = "keys"
SIGNED = "identity"
MODES = {
    "plain": Mode({"hash": False}, lambda payload: payload, wire.open_plain),
    DEFAULT: Mode({}, wire.seal, wire.open_datagram),
    "crypto": Mode({"crypto": True}, wire.encrypt, wire.decrypt),
    SEALED: Mode({"keys": [KEY.hex()]}, seal_with_another_key, open_sealed),
    SIGNED: Mode({"keys": [KEY.hex()], "signMessages": True}, seal_with_another_key, open_sealed),
}


def seed_of(id: str) -> str:
    """The identity of a victim."""
    return sha256(KEY + id.encode()).hexdigest()

HOSTS = 4
ATTACKER = 4
"""The host of the attacker, and of the member that lies. The victims are on 1, 2, 3."""

SECRET_META = "not for strangers"
AMPLIFICATION = 3
"""An address that has proven nothing gets at most so many times the bytes that came in."""

FIRST_PORT = 20000
FIRST_INNOCENT, LAST_INNOCENT = 100, 149
INNOCENT_PORT = 30053

Place = tuple[str, int]
Envelope = dict[str, Any]


class Tap:
    """The datagrams that each host has sent; see tap.py."""

    def __init__(self, lab: NamespaceLab) -> None:
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [*lab.middle, sys.executable, str(HERE / "tap.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n", "the tap does not start"

    def read(self) -> list[Counted]:
        with self._one_at_a_time:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        assert answer["lost"] == 0, "the tap has missed frames: what it says is too little"
        return [Counted(*counters) for counters in answer["sent"]]

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process.stdout.close()


@dataclass(frozen=True)
class Counted:
    """The datagrams that one host has sent to one port of one address."""

    host: int
    address: str
    port: int
    datagrams: int
    bytes: int
    messages: int


class Arena:
    """The bridge."""

    def __init__(self) -> None:
        self.lab = NamespaceLab(HOSTS)
        self._numbers = itertools.count()
        self._last_bytes = iter(range(FIRST_INNOCENT, LAST_INNOCENT + 1))
        self._innocents: list[str] = []
        self._lock = threading.Lock()
        try:
            self.tap = Tap(self.lab)
        except BaseException:
            self.lab.close()
            raise

    def number(self) -> int:
        with self._lock:
            return next(self._numbers)

    @contextmanager
    def innocent(self) -> Iterator[str]:
        """An address on the bridge itself, at which nothing runs. No other scene has it at the time."""
        with self._lock:
            address = self._innocents.pop() if self._innocents else self._add_innocent()
        try:
            yield address
        finally:
            with self._lock:
                self._innocents.append(address)

    def _add_innocent(self) -> str:
        address = f"10.77.0.{next(self._last_bytes)}"
        command = [*self.lab.middle, "ip", "addr", "add", f"{address}/24", "dev", "br0"]
        subprocess.run(command, check=True, timeout=DEADLINE)
        return address

    def close(self) -> None:
        self.tap.close()
        self.lab.close()


class Attacker:
    """Says anything, from anywhere."""

    def __init__(
        self, cast: Cast, host: Host, port: int, bind: bool, mode: Mode = MODES[DEFAULT]
    ) -> None:
        self.mode = mode
        self.peer = cast.start(
            "attacker", host, group=wire.GROUP, port=port, bind=bind
        )
        self.peer.wait_ready()
        (ready,) = self.peer.seen("ready")
        self.place: Place = (host.address, ready["port"])
        self.said: set[bytes] = set()
        self.bytes = 0
        """Of what it has sent so far, the payloads."""

    def send(
        self,
        data: bytes,
        to: Place,
        source: Place | None = None,
        times: int = 1,
        pause: float = 0.0,
    ) -> None:
        """Sends a datagram, and returns when that is done."""
        self.said.add(data)
        order: dict[str, Any] = {"hex": data.hex(), "to": to, "from": source}
        self._order(order | {"times": times, "pause": pause})
        self.bytes += times * len(data)

    def send_all(self, datagrams: Iterable[tuple[bytes, Place]], to: Place) -> None:
        """Sends each from its address, and returns when that is done."""
        since = self.peer.mark()
        count = 0
        for data, source in datagrams:
            self.said.add(data)
            self.bytes += len(data)
            self.peer.tell(json.dumps({"hex": data.hex(), "to": to, "from": source}))
            count += 1
        self.peer.wait_until(lambda: len(self.peer.seen("sent", since)) >= count, "to send all")

    def refuse(self, of: Place, to: Place) -> None:
        """The host of `to` seems to refuse a datagram of `of`."""
        self._order({"icmp": True, "of": of, "to": to})

    def _order(self, order: dict[str, Any]) -> None:
        since = self.peer.mark()
        self.peer.tell(json.dumps(order))
        self.peer.wait_for(lambda event: event["ev"] == "sent", "to send", since)

    def heard(self, host: Host, since: int = 0) -> list[tuple[Place, bytes, Envelope]]:
        """A datagram of a host to the group: from where, as it was, and read."""
        result = []
        for event in self.peer.seen("datagram", since, address=host.address):
            data = bytes.fromhex(event["hex"])
            payload = self.mode.open(data)
            if payload is not None and data not in self.said:
                place = (event["address"], event["port"])
                result.append((place, data, json.loads(payload)))
        return result


class Scene:
    """Three victims that know each other, an attacker and an innocent address."""

    def __init__(self, arena: Arena, mode: str, cast: Cast, innocent: str) -> None:
        self.arena = arena
        self.mode = MODES[mode]
        self.cast = cast
        number = arena.number()
        # The port after it is that of its data.
        self.port = FIRST_PORT + 2 * number
        self.group: Place = (wire.GROUP, self.port)
        self.innocent: Place = (innocent, INNOCENT_PORT)
        self.notes: list[str] = []
        self._before = marks_of(arena.tap.read())
        self.attacker: Attacker
        self.v: Peer
        self.w: Peer
        self.x: Peer

    # The participants.

    def host(self, number: int) -> Host:
        return self.arena.lab.hosts[number - 1]

    def start(self, id: str, host: int, kind: str = "rust", **options: Any) -> Peer:
        given = self.mode.options | DEFAULTS | {"id": id, "port": self.port}
        if self.mode is MODES[SIGNED]:
            given["identity"] = seed_of(id)
        meta = {"is": id, "private": SECRET_META * 20}
        return self.cast.start(kind, self.host(host), **given | {"meta": meta} | options)

    def gather(self, bind: bool = True, **options: Any) -> None:
        """The usual victims, V that is lied to, W that is lied about, and X beside them."""
        host = self.host(ATTACKER)
        self.attacker = Attacker(self.cast, host, self.port, bind, self.mode)
        self.v = self.start("V", 1, **options)
        self.w = self.start("W", 2)
        self.x = self.start("X", 3)
        meet([self.v, self.w, self.x])
        # A few heartbeats, so that no node is new any more.
        time.sleep(2.5 * BEAT)
        self.mark()

    def add_liar(self) -> None:
        """A member that has sent enough heartbeats to be believed what a member is believed."""
        self.liar = self.start("liar", ATTACKER, meta=None)
        meet([self.v, self.w, self.x, self.liar])
        time.sleep(6.5 * BEAT)
        self.mark()

    def mark(self) -> None:
        """From now on everything that happens is the attack's doing."""
        self.since = {peer: peer.mark() for peer in (self.v, self.w, self.x)}
        self.bytes_before = self.attacker.bytes

    # Facts that a listener has.

    def beats(self, peer: Peer) -> list[tuple[Place, bytes, Envelope]]:
        heard = self.attacker.heard(peer.host)
        return [it for it in heard if it[2].get("id") == peer.id and "meta" in it[2]]

    def last_beat(self, peer: Peer) -> tuple[Place, bytes, Envelope]:
        beats = self.beats(peer)
        assert beats, f"the attacker has heard nothing of {peer}"
        return beats[-1]

    def place(self, peer: Peer) -> Place:
        """The source of its heartbeats."""
        return self.last_beat(peer)[0]

    def extension(self, peer: Peer, **other: Any) -> dict[str, Any]:
        """As in its last heartbeat, one later, and with what is given."""
        extension = dict(self.last_beat(peer)[2].get("caster", {}))
        for key in ("a", "p", "v", "u", "k"):
            extension.pop(key, None)
        if "n" in extension:
            extension["n"] += 1
        return extension | other

    def incarnation(self, peer: Peer) -> dict[str, Any]:
        """The key of the incarnation, and nothing else."""
        extension = self.last_beat(peer)[2]["caster"]
        return {"b": extension["b"]}

    # Statements.

    def say(
        self,
        envelope: Envelope,
        to: Place | None = None,
        source: Place | None = None,
        **often: Any,
    ) -> None:
        data = self.mode.seal(wire.to_json(envelope))
        self.attacker.send(data, to or self.group, source, **often)

    def say_to(self, peer: Peer, envelope: Envelope, source: Place | None = None) -> None:
        """By unicast: to the group's port of its host and to where it sends from."""
        address, port = self.place(peer)
        for to in dict.fromkeys([(address, self.port), (address, port)]):
            self.say(envelope, to, source)

    def lie(self, **lies: Any) -> None:
        """The member that lies says this in a heartbeat of its own, from its own place."""
        place, _, envelope = self.last_beat(self.liar)
        envelope = envelope | {"caster": self.extension(self.liar, **lies)}
        self.say(envelope, source=place)
        self.say_to(self.v, envelope, source=place)

    # Outcomes.

    def pass_time(self, seconds: float, say: bool = True) -> None:
        """Lets the victims talk, so that there are messages that could go astray."""
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            if say:
                number += 1
                self.v.send({"of": "V", "n": number})
            time.sleep(min(0.25, max(0.0, end - time.monotonic())))

    def told(self, peer: Peer, *kinds: str, about: str | None = None) -> list[Event]:
        wanted = kinds or ("up", "update", "down", "conflict", "isolated", "rejoined")
        return [
            event
            for event in peer.events[self.since[peer] :]
            if event["ev"] in wanted and about in (None, event.get("id"))
        ]

    def check_nothing_told(self, *, conflicts: int = 1, updates: bool = False) -> None:
        """W is to V and X what it was, but for at most so many conflicts."""
        kinds = ("up", "down") if updates else ("up", "update", "down")
        for peer in (self.v, self.x):
            told = self.told(peer, *kinds, about="W")
            assert not told, f"{peer} was told {told}\n{peer.story}"
            told = self.told(peer, "isolated", "rejoined")
            assert not told, f"{peer} was told {told}\n{peer.story}"
            told = self.told(peer, "conflict")
            assert len(told) <= conflicts, f"{peer} was told {told}"
        told = self.told(self.w, "isolated", "rejoined")
        for other in ("V", "X"):
            told += self.told(self.w, "up", "update", "down", about=other)
        assert not told, f"{self.w} was told {told}"

    def check_w_is_heard(self) -> None:
        """W's own words arrive as before: nothing has taken its place or muted it."""
        for peer in (self.v, self.x):
            stale = peer.stats()["dropped"].get("stale", 0)
            since = peer.mark()
            time.sleep(2.2 * BEAT)
            said = {"still": str(peer)}
            self.w.send(said)
            # That to the other may arrive here late.
            peer.wait_until(
                lambda: peer.seen("message", since, id="W", message=said), f"to hear {said}"
            )
            dropped = peer.stats()["dropped"].get("stale", 0) - stale
            # One may be overtaken; were W muted, all would be dropped, at least two.
            assert dropped <= 1, f"{peer} takes {dropped} datagrams of W for stale"
            (known,) = [node for node in peer.ask("nodes") if node["id"] == "W"]
            assert known["address"] == self.w.host.address, known
            assert known["meta"]["is"] == "W", known

    def check_unharmed(self, **allowed: Any) -> None:
        self.check_nothing_told(**allowed)
        self.check_w_is_heard()
        self.check_nothing_told(**allowed)

    def check_not_delivered(self, forged: Iterable[Any]) -> None:
        forged = list(forged)
        for peer in (self.v, self.x):
            told = [event["message"] for event in peer.seen("message", self.since[peer])]
            assert not any(message in forged for message in told), told

    def sent_to(self, address: str) -> tuple[int, int, int]:
        """Datagrams, bytes and messages from the victims to an address."""
        total = (0, 0, 0)
        for key, now in marks_of(self.arena.tap.read()).items():
            host, to, _ = key
            if to == address and host != ATTACKER:
                before = self._before.get(key, (0, 0, 0))
                total = tuple(t + n - b for t, n, b in zip(total, now, before))
        return total

    def sent_to_group(self) -> dict[int, int]:
        """Datagrams from each host to the group of this scene so far."""
        counted = self.arena.tap.read()
        here = [it for it in counted if (it.address, it.port) == self.group]
        return {it.host: it.datagrams for it in here}

    def check_sent(self, before: dict[int, int], most: float, seconds: float) -> None:
        """None of the hosts of V, W and X has sent more datagrams to the group since `before`."""
        after = self.sent_to_group()
        for host in (1, 2, 3):
            sent = after[host] - before[host]
            self.note(f"host {host}: {sent} in {seconds:.0f} s")
            assert sent <= most, f"host {host} sent {sent}"

    def check_innocent(self) -> None:
        """Nothing large goes to an address that has proven nothing, and no message."""
        came_in = self.attacker.bytes - self.bytes_before
        datagrams, size, messages = self.sent_to(self.innocent[0])
        self.note(f"{came_in} B in, {datagrams} datagrams, {size} B, {messages} messages out")
        assert messages == 0, f"{messages} messages went to an innocent address"
        # A datagram that is not authentic is not answered at all.
        most = 0 if self.mode in (MODES[SEALED], MODES[SIGNED]) else AMPLIFICATION * came_in
        assert size <= most, f"{came_in} bytes made {size}"

    def down_of(self, about: Peer, since: int, at: int, limit: float) -> None:
        """V tells that a peer is down, at most so many seconds after a time in ns."""
        end = time.monotonic() + limit + 1
        while time.monotonic() < end:
            downs = self.v.seen("down", since, id=about.id)
            if downs:
                took = (downs[0]["t"] - at) / 1e9
                self.note(f"down after {took:.2f} s")
                assert took <= limit, f"down after {took:.2f} s, not {limit}"
                return
            time.sleep(0.05)
        raise AssertionError(f"{about} is still up after {limit} s\n{self.v.story}")

    def note(self, text: str) -> None:
        """A figure for the table."""
        self.notes.append(text)


Counters = dict[tuple[int, str, int], tuple[int, int, int]]


def marks_of(counted: Iterable[Counted]) -> Counters:
    return {
        (it.host, it.address, it.port): (it.datagrams, it.bytes, it.messages)
        for it in counted
    }


def processor_time(peer: Peer) -> int:
    """Nanoseconds that all threads of its process have used."""
    tasks = Path(f"/proc/{peer._process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)
