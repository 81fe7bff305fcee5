"""Counts what the hosts of a bridge send, at the bridge's end of each cable.

    python3 tap.py

It runs in the namespace of the bridge. The origin of a datagram is the cable, so a
forged source address deceives no counter here. A line on stdin is answered by one line of
JSON: `lost` (frames that the tap itself did not see) and `sent`, a list of
[host, address, port, datagrams, bytes, messages]. Bytes are those of the UDP payload.
A message is a payload with the key `message`, under the cipher too.
"""

from __future__ import annotations

import json
import mmap
import re
import select
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "interop"))

import wire  # noqa: E402

ALL_PROTOCOLS = 0x0003
SOL_PACKET = 263
PACKET_RX_RING = 5
PACKET_STATISTICS = 6
PACKET_VERSION = 10
PACKET_IGNORE_OUTGOING = 23
TPACKET_V2 = 1
TAKEN = 1
"""The status of a frame that is in the ring."""
HEADER = struct.Struct("=IIIHH")
LINK_ADDRESS = 32
"""Where in a slot the interface stands, behind the header."""
SLOT = 512
SLOTS = 1 << 16
"""Room for a flood: an ordinary receive buffer holds some hundred frames."""
BLOCK = 1 << 16
UDP = 17
CABLE = re.compile(r"v(\d+)$")


class Ring:
    """The frames that come in by any interface, the first bytes of each."""

    def __init__(self) -> None:
        kind = socket.htons(ALL_PROTOCOLS)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind)
        self.socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        request = struct.pack("IIII", BLOCK, SLOT * SLOTS // BLOCK, SLOT, SLOTS)
        self.socket.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
        self._memory = mmap.mmap(self.socket.fileno(), SLOT * SLOTS)
        self._next = 0

    def take(self) -> Iterator[tuple[int, bytes]]:
        """Index of the interface, and what was kept of the frame."""
        while True:
            at = self._next * SLOT
            status, _, kept, start, _ = HEADER.unpack_from(self._memory, at)
            if not status & TAKEN:
                return
            (interface,) = struct.unpack_from("=i", self._memory, at + LINK_ADDRESS + 4)
            frame = self._memory[at + start : at + start + kept]
            struct.pack_into("=I", self._memory, at, 0)
            self._next = (self._next + 1) % SLOTS
            yield interface, frame

    def lost(self) -> int:
        """How many frames found no room since this was last asked."""
        statistics = self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return struct.unpack("II", statistics)[1]


def udp_of(frame: bytes) -> tuple[str, int, int, bytes] | None:
    """Address, port, size and beginning of the payload; of a later fragment the port is 0."""
    if frame[12:14] != b"\x08\x00" or len(frame) < 34 or frame[23] != UDP:
        return None
    at = 14 + 4 * (frame[14] & 15)
    size = 14 + int.from_bytes(frame[16:18], "big") - at
    address = socket.inet_ntoa(frame[30:34])
    if int.from_bytes(frame[20:22], "big") & 0x1FFF:
        return address, 0, size, b""
    port = int.from_bytes(frame[at + 2 : at + 4], "big")
    return address, port, size - 8, frame[at + 8 :]


def main() -> None:
    ring = Ring()
    hosts: dict[int, int | None] = {}
    count: dict[tuple[int, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    lost = 0
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([ring.socket, sys.stdin], [], [])
        for interface, frame in ring.take():
            if interface not in hosts:
                cable = CABLE.match(socket.if_indextoname(interface))
                hosts[interface] = int(cable[1]) if cable else None
            host = hosts[interface]
            heard = udp_of(frame)
            if host is None or heard is None:
                continue
            address, port, size, payload = heard
            counters = count[host, address, port]
            counters[0] += port != 0
            counters[1] += size
            clear = payload if b'{"id":' in payload else wire.beginning(payload)
            counters[2] += b'"message":' in clear
        if sys.stdin in readable:
            if not sys.stdin.readline():
                return
            lost += ring.lost()
            sent = [[*key, *counters] for key, counters in count.items()]
            print(json.dumps({"lost": lost, "sent": sent}), flush=True)


main()
