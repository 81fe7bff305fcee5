"""Counts what the hosts of a bridge send, at the bridge's end of each cable.

    python3 tap.py

It runs in the namespace of the bridge. The origin of a datagram is the cable, so a
forged source address deceives nobody here. A line on stdin is answered by one line of
JSON: `lost` (frames that the tap itself did not see) and `sent`, a list of
[host, address, port, datagrams, bytes, messages]. Bytes are those of the UDP payload.
A message is a payload with the key `message`.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import sys
from collections import defaultdict

ALL_PROTOCOLS = 0x0003
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_IGNORE_OUTGOING = 23
UDP = 17
CABLE = re.compile(r"v(\d+)$")
MAX_FRAME = 65_600


def udp_of(frame: bytes) -> tuple[str, int, bytes] | None:
    """Address, port and payload; of a later fragment the port is 0."""
    if frame[12:14] != b"\x08\x00" or len(frame) < 34 or frame[23] != UDP:
        return None
    at = 14 + 4 * (frame[14] & 15)
    end = 14 + int.from_bytes(frame[16:18], "big")
    address = socket.inet_ntoa(frame[30:34])
    if int.from_bytes(frame[20:22], "big") & 0x1FFF:
        return address, 0, frame[at:end]
    return address, int.from_bytes(frame[at + 2 : at + 4], "big"), frame[at + 8 : end]


def main() -> None:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    tap.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    count: dict[tuple[int, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    lost = 0
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([tap, sys.stdin], [], [])
        if tap in readable:
            frame, where = tap.recvfrom(MAX_FRAME)
            cable = CABLE.match(where[0])
            heard = udp_of(frame)
            if cable is None or heard is None:
                continue
            address, port, payload = heard
            counters = count[int(cable[1]), address, port]
            counters[0] += port != 0
            counters[1] += len(payload)
            counters[2] += b'"message":' in payload
        elif sys.stdin in readable:
            if not sys.stdin.readline():
                return
            statistics = tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
            lost += struct.unpack("II", statistics)[1]
            sent = [[*key, *counters] for key, counters in count.items()]
            print(json.dumps({"lost": lost, "sent": sent}), flush=True)


main()
