"""Sends what it is told to, from any address it is told to, and hears the group.

    attacker.py OPTIONS_JSON

Options: `group`, `port`; `bind`: whether it has the group's port open, so that what is
sent to its host is not refused.

It prints {"ev":"ready","port":P} with the port that it sends from, and
{"ev":"datagram","address":A,"port":P,"hex":H} for each datagram to the group that
passes its interface, those of its host too. A line on stdin is a JSON object:
`hex`; `to`, an address and a port; `from`, an address and a port, forged if they are
there; `times` and `pause` in seconds. With `icmp` the host of `to` seems to refuse a
datagram that `of` has sent to it. Each line is answered by {"ev":"sent"}.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from typing import Any

ALL_PROTOCOLS = 0x0003
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
MEMBERSHIP_PROMISCUOUS = 1
INTERFACE = "eth0"
UDP = 17
ICMP = 1


def emit(**event: object) -> None:
    print(json.dumps(event), flush=True)


def listen() -> socket.socket:
    kind = socket.htons(ALL_PROTOCOLS)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    index = socket.if_nametoindex(INTERFACE)
    membership = struct.pack("iHH8s", index, MEMBERSHIP_PROMISCUOUS, 0, b"")
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
    sock.bind((INTERFACE, ALL_PROTOCOLS))
    return sock


def heard(frame: bytes, group: bytes, port: int) -> None:
    if frame[12:14] != b"\x08\x00" or frame[23] != UDP or frame[30:34] != group:
        return
    at = 14 + 4 * (frame[14] & 15)
    end = 14 + int.from_bytes(frame[16:18], "big")
    source, to = struct.unpack("!HH", frame[at : at + 4])
    if to == port and not int.from_bytes(frame[20:22], "big") & 0x1FFF:
        address = socket.inet_ntoa(frame[26:30])
        emit(ev="datagram", address=address, port=source, hex=frame[at + 8 : end].hex())


def forged(data: bytes, to: tuple[str, int], source: tuple[str, int]) -> bytes:
    """An IPv4 packet; the kernel puts in the length and the checksum of its header."""
    ends = socket.inet_aton(source[0]), socket.inet_aton(to[0])
    udp = struct.pack("!HHHH", source[1], to[1], 8 + len(data), 0)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, UDP, 0, *ends)
    return header + udp + data


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def refusal(of: tuple[str, int], to: tuple[str, int]) -> bytes:
    """"Port unreachable", from the host of `to` to that of `of`: an IPv4 packet."""
    ends = socket.inet_aton(of[0]), socket.inet_aton(to[0])
    quoted = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 36, 0, 0, 64, UDP, 0, *ends)
    quoted = quoted[:10] + struct.pack("!H", checksum(quoted)) + quoted[12:]
    quoted += struct.pack("!HHHHQ", of[1], to[1], 16, 0, 0)
    message = struct.pack("!BBHI", 3, 3, 0, 0) + quoted
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, ICMP, 0, ends[1], ends[0])
    return header + message


def main() -> None:
    options = json.loads(sys.argv[1])
    group = socket.inet_aton(options["group"])
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.bind(("", 0))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if options.get("bind"):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("", options["port"]))
    ears = listen()
    emit(ev="ready", port=plain.getsockname()[1])

    def obey(order: dict[str, Any]) -> None:
        if order.get("icmp"):
            of, to = tuple(order["of"]), tuple(order["to"])
            raw.sendto(refusal(of, to), (of[0], 0))
            emit(ev="sent")
            return
        data = bytes.fromhex(order["hex"])
        to, source = tuple(order["to"]), order.get("from")
        for number in range(order.get("times", 1)):
            if number:
                time.sleep(order.get("pause", 0))
            if source:
                raw.sendto(forged(data, to, tuple(source)), (to[0], 0))
            else:
                plain.sendto(data, to)
        emit(ev="sent")

    pending = b""
    while True:
        readable, _, _ = select.select([ears, sys.stdin], [], [])
        if ears in readable:
            heard(ears.recv(65_600), group, options["port"])
        if sys.stdin in readable:
            chunk = os.read(sys.stdin.fileno(), 1 << 20)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                if line == b"quit":
                    return
                obey(json.loads(line))


main()
