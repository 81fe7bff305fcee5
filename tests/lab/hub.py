"""A lossy Ethernet hub: every frame from one host goes to all the others, or not.

    python3 hub.py [--seed N] INTERFACE...

The interfaces are the near ends of the cables of the hosts 1, 2, 3 … What
happens to a frame is drawn separately for each receiver, from one generator for every
directed pair of hosts, so that one seed gives the same draws again.

Commands on stdin, one a line, and what they set; percentages are from 0 to 100,
times in milliseconds:

    loss P              that many frames are lost, each by itself
    bursts LENGTH EVERY for about LENGTH, about every EVERY, one host does not
                        hear one other at all
    duplicate P         that many frames come twice
    corrupt P           in that many frames one bit behind the UDP header flips
    delay LEAST MOST    all frames are late
    reorder P LATE      that many frames are late by LATE more
    part 1,2/3,4        only hosts on the same side hear each other
    reject I            UDP sent to host I alone is refused, as by a firewall
    close PORT TO       no UDP datagram to this port passes: TO is `group` for multicast,
                        `host` for unicast
    cut I [J]           J does not hear I; without J no host hears I, and I hears none
    heal                the end of all cuts, sides, refusals and closed ports
    stat                nothing: asks for the counters, and for the silences since
                        the last `stat`: host, port, when it ended, its length in s;
                        host 0 is the hub itself, which had no time for frames
    quit

Every command is answered by one line of JSON with the time `t`, in nanoseconds
by the monotonic clock, and the counters so far.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import random
import selectors
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

ALL_PROTOCOLS = 0x0003
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_STATISTICS = 6
PACKET_IGNORE_OUTGOING = 23
MEMBERSHIP_PROMISCUOUS = 1

IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
UDP = 17
MAX_FRAME = 65_600
BATCH = 64

SILENCE = 0.3
"""Shorter ones are not recorded."""

STALL = 0.1
"""From this number of seconds without time on, the hub records a silence of host 0."""

TICK = 0.05
"""How often in s the hub wakes up at least."""


@dataclass
class Weather:
    """The present state of the network.  Shares from 0 to 1, times in seconds."""

    loss: float = 0.0
    bursts: tuple[float, float] | None = None
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)
    reorder: tuple[float, float] = (0.0, 0.0)


@dataclass
class Path:
    """From one host to one other."""

    draws: random.Random
    burst_draws: random.Random
    cut: bool = False
    burst: tuple[float, float] | None = None
    """When the next burst begins, or the last one began, and when it ends."""

    def bursting(self, weather: Weather, now: float) -> bool:
        if weather.bursts is None:
            self.burst = None
            return False
        length, every = weather.bursts
        while self.burst is None or self.burst[1] <= now:
            after = now if self.burst is None else self.burst[1]
            begin = after + self.burst_draws.expovariate(1 / every)
            self.burst = begin, begin + self.burst_draws.expovariate(1 / length)
        return self.burst[0] <= now

    def carry(
        self, frame: bytes, weather: Weather, now: float, count: Counter[str]
    ) -> Iterator[tuple[float, bytes]]:
        """The frames that come out, and when."""
        # The number of draws is the same for every frame, so that a command does not shift those of others.
        draw = self.draws.random
        lost, twice, bad, late, early, where = (draw() for _ in range(6))
        if self.cut:
            count["cut"] += 1
            return
        if self.bursting(weather, now):
            count["burst"] += 1
            return
        if lost < weather.loss:
            count["lost"] += 1
            return
        if bad < weather.corrupt:
            frame = corrupted(frame, where)
            count["corrupted"] += 1
        least, most = weather.delay
        share, later = weather.reorder
        held = later if late < share else 0.0
        count["carried"] += 1
        yield now + least + (most - least) * early + held, frame
        if twice < weather.duplicate:
            count["duplicated"] += 1
            yield now + least + (most - least) * where + held, frame


def corrupted(frame: bytes, where: float) -> bytes:
    """Flips a bit of what a UDP datagram over IPv4 carries, if it is one."""
    first = 42
    if len(frame) <= first:
        return frame
    bit = int(where * 8 * (len(frame) - first))
    result = bytearray(frame)
    result[first + bit // 8] ^= 1 << bit % 8
    return bytes(result)


def udp_port(frame: bytes) -> int | None:
    """The port that a whole UDP datagram goes to."""
    kind = frame[12:14]
    if kind == IPV4 and len(frame) >= 42 and frame[23] == UDP:
        fragment = int.from_bytes(frame[20:22], "big") & 0x3FFF
        at = 14 + 4 * (frame[14] & 15)
        if fragment or len(frame) < at + 8:
            return None
    elif kind == IPV6 and len(frame) >= 62 and frame[20] == UDP:
        at = 54
    else:
        return None
    return int.from_bytes(frame[at + 2 : at + 4], "big")


def with_checksum(frame: bytes) -> bytes:
    """The same frame with a UDP checksum: on a virtual cable it is not filled in.

    Over IPv4 it is 0, that is none, so that a corrupted datagram arrives.
    """
    result = bytearray(frame)
    if frame[12:14] == IPV4:
        at = 14 + 4 * (frame[14] & 15) + 6
        result[at : at + 2] = b"\0\0"
        return bytes(result)
    at = 60
    result[at : at + 2] = b"\0\0"
    length = int.from_bytes(frame[18:20], "big")
    data = bytes(result[22 : 54 + length]) + b"\0" * (length % 2)
    total = UDP + length + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    result[at : at + 2] = ((~total & 0xFFFF) or 0xFFFF).to_bytes(2, "big")
    return bytes(result)


def internet_sum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def refusal(frame: bytes) -> bytes:
    """The ICMP message "port unreachable" in answer to a UDP datagram over IPv4."""
    quoted = frame[14 : 14 + 4 * (frame[14] & 15) + 8]
    icmp = b"\3\3\0\0\0\0\0\0" + quoted
    icmp = icmp[:2] + internet_sum(icmp) + icmp[4:]
    start = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0)
    header = start + frame[30:34] + frame[26:30]
    header = header[:10] + internet_sum(header) + header[12:]
    return frame[6:12] + frame[:6] + IPV4 + header + icmp


@dataclass
class Hub:
    """All the paths; hosts are counted from 1."""

    hosts: int
    seed: int
    weather: Weather = field(default_factory=Weather)
    count: Counter[str] = field(default_factory=Counter)
    said: dict[int, Counter[int]] = field(default_factory=dict)
    """How many datagrams each host has sent, by port."""
    heard: dict[tuple[int, int], float] = field(default_factory=dict)
    """When each host last sent to each port."""
    silences: list[tuple[int, int, int, float]] = field(default_factory=list)
    """Host, port, when it ended in ns, and its length."""

    rejects: set[int] = field(default_factory=set)
    closed: set[tuple[int, bool]] = field(default_factory=set)
    """Ports that are closed, and whether to multicast."""
    macs: dict[bytes, int] = field(default_factory=dict)
    """Which host has sent from this link address."""

    def __post_init__(self) -> None:
        names = range(1, self.hosts + 1)
        self.said = {host: Counter() for host in names}
        self.paths = {
            (a, b): Path(
                random.Random(f"{self.seed} {a} {b}"),
                random.Random(f"{self.seed} {a} {b} bursts"),
            )
            for a, b in itertools.permutations(names, 2)
        }
        self._to = {a: [b for b in names if b != a] for a in names}

    def hear(
        self, host: int, frame: bytes, now: float
    ) -> Iterator[tuple[float, int, bytes]]:
        """Processes a frame; returns the times and hosts at which it goes out."""
        port = udp_port(frame)
        self.macs[frame[6:12]] = host
        if port is not None:
            if frame[12:14] == IPV4 and self.macs.get(frame[:6]) in self.rejects:
                self.count["rejected"] += 1
                yield now, host, refusal(frame)
                return
            if (port, bool(frame[0] & 1)) in self.closed:
                self.count["closed"] += 1
                return
            self.said[host][port] += 1
            self.note_silence(host, port, now)
            self.heard[host, port] = now
            frame = with_checksum(frame)
        for other in self._to[host]:
            carried = self.paths[host, other].carry(
                frame, self.weather, now, self.count
            )
            for due, copy in carried:
                yield due, other, copy

    def note_silence(self, host: int, port: int, now: float) -> None:
        silence = now - self.heard.get((host, port), now)
        if silence >= SILENCE:
            self.silences.append((host, port, int(now * 1e9), silence))

    def note_stall(self, due: float, now: float) -> None:
        """The hub should have been back at its cables at one time, and is at another."""
        if now - due >= STALL:
            self.silences.append((0, 0, int(now * 1e9), now - due))

    def take_silences(self, now: float) -> list[tuple[int, int, int, float]]:
        """The silences since the last call, including those that continue."""
        for host, port in self.heard:
            self.note_silence(host, port, now)
        taken, self.silences = self.silences, []
        return taken

    def command(self, line: str) -> None:
        """Executes a command; ValueError if it is unknown."""
        name, *words = line.split()
        if name == "part":
            return self._part(words)
        if name == "close":
            return self._close(*words)
        numbers = [float(word) for word in words]
        wanted = {"loss": 1, "duplicate": 1, "corrupt": 1, "heal": 0, "stat": 0, "reject": 1}
        wanted |= {"bursts": 2, "delay": 2, "reorder": 2}
        if name == "cut" and len(numbers) in (1, 2):
            return self._cut(*map(int, numbers))
        if wanted.get(name) != len(numbers) or any(number < 0 for number in numbers):
            raise ValueError(f"no command {line!r}")
        match name:
            case "loss" | "duplicate" | "corrupt":
                setattr(self.weather, name, numbers[0] / 100)
            case "bursts":
                length, every = (number / 1000 for number in numbers)
                self.weather.bursts = (length, every) if length and every else None
            case "delay":
                least, most = (number / 1000 for number in numbers)
                self.weather.delay = least, max(least, most)
            case "reorder":
                self.weather.reorder = numbers[0] / 100, numbers[1] / 1000
            case "heal":
                self.rejects.clear()
                self.closed.clear()
                for path in self.paths.values():
                    path.cut = False
            case "reject":
                if int(numbers[0]) not in self.said:
                    raise ValueError(f"there are {self.hosts} hosts")
                self.rejects.add(int(numbers[0]))
        return None

    def _cut(self, host: int, other: int | None = None) -> None:
        if host not in self.said or other not in (None, *self.said):
            raise ValueError(f"there are {self.hosts} hosts")
        for (a, b), path in self.paths.items():
            if other is None and host in (a, b) or (a, b) == (host, other):
                path.cut = True

    def _part(self, words: list[str]) -> None:
        (text,) = words or [""]
        sides = [{int(host) for host in side.split(",")} for side in text.split("/")]
        if set().union(*sides) - set(self.said):
            raise ValueError(f"there are {self.hosts} hosts")
        for (a, b), path in self.paths.items():
            path.cut = not any(a in side and b in side for side in sides)

    def _close(self, port: str, to: str) -> None:
        if to not in ("group", "host"):
            raise ValueError(f"{to} is neither group nor host")
        self.closed.add((int(port), to == "group"))

    def counters(self) -> dict[str, object]:
        return dict(self.count) | {"said": self.said}


def open_cable(interface: str) -> socket.socket:
    cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    cable.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    cable.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    index = socket.if_nametoindex(interface)
    membership = struct.pack("iHH8s", index, MEMBERSHIP_PROMISCUOUS, 0, b"")
    cable.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
    cable.bind((interface, ALL_PROTOCOLS))
    return cable


def overflowed(cable: socket.socket) -> int:
    """How many frames came while the buffer of the hub was full, since the last call."""
    counted = cable.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
    _, dropped = struct.unpack("=2I", counted)
    return int(dropped)


def transmit(cable: socket.socket, frame: bytes, count: Counter[str]) -> None:
    try:
        cable.send(frame)
    except OSError:
        count["refused"] += 1  # the interface is down


def frames(cable: socket.socket) -> Iterator[bytes]:
    """Some of the frames that wait."""
    for _ in range(BATCH):
        try:
            yield cable.recv(MAX_FRAME)
        except OSError:  # nothing there, or the interface is down
            return


def answer(hub: Hub, **more: object) -> None:
    line = {"ev": "done", "t": time.monotonic_ns(), **more, **hub.counters()}
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="a lossy Ethernet hub")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("interfaces", nargs="+")
    arguments = parser.parse_args()

    cables = dict(enumerate(map(open_cable, arguments.interfaces), start=1))
    hub = Hub(len(cables), arguments.seed)
    waiting: list[tuple[float, int, int, bytes]] = []
    number = itertools.count()
    selector = selectors.DefaultSelector()
    for host, cable in cables.items():
        selector.register(cable, selectors.EVENT_READ, host)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    answer(hub, seed=arguments.seed)

    pending = b""
    due = time.monotonic()
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, host, frame = heapq.heappop(waiting)
            transmit(cables[host], frame, hub.count)
        hub.note_stall(due, now)
        wait = min(TICK, max(0.0, waiting[0][0] - now)) if waiting else TICK
        due = now + wait
        for key, _ in selector.select(wait):
            if key.data is not None:
                for frame in frames(cables[key.data]):
                    now = time.monotonic()
                    for due, other, copy in hub.hear(key.data, frame, now):
                        if due <= now:
                            transmit(cables[other], copy, hub.count)
                        else:
                            item = (due, next(number), other, copy)
                            heapq.heappush(waiting, item)
                continue
            chunk = os.read(sys.stdin.fileno(), 4096)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                text = line.decode().strip()
                if text == "quit":
                    return
                try:
                    hub.command(text)
                except ValueError as error:
                    answer(hub, error=str(error))
                    continue
                if text == "stat":
                    hub.count["overflowed"] += sum(map(overflowed, cables.values()))
                    answer(hub, silences=hub.take_silences(time.monotonic()))
                else:
                    answer(hub)


if __name__ == "__main__":
    main()
