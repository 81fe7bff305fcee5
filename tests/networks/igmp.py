"""Parts of IGMP that tests need, as plain sockets.

    python3 igmp.py query ADDRESS          one general query from this address, as of a querier that then ends
    python3 igmp.py listen ADDRESS GROUP   joins the group once, and writes a line for each datagram at port 10101
"""

from __future__ import annotations

import socket
import struct
import sys

ALL_HOSTS = "224.0.0.1"
MEMBERSHIP_QUERY = 0x11
RESPONSE_TIME = 10
"""Tenths of a second in which hosts answer."""
PORT = 10101


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def query(address: str) -> None:
    # Of version 3: no group, a robustness of 2, an interval of 125 s, no sources.
    blank, rest = struct.pack(">BBH", MEMBERSHIP_QUERY, RESPONSE_TIME, 0), struct.pack(">4xBBH", 2, 125, 0)
    packet = struct.pack(">BBH", MEMBERSHIP_QUERY, RESPONSE_TIME, checksum(blank + rest)) + rest
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as igmp:
        igmp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        igmp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        igmp.sendto(packet, (ALL_HOSTS, 0))


def listen(address: str, group: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("", PORT))
        member = socket.inet_aton(group) + socket.inet_aton(address)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        print("ready", flush=True)
        while True:
            udp.recv(65536)
            print("heard", flush=True)


if __name__ == "__main__":
    {"query": query, "listen": listen}[sys.argv[1]](*sys.argv[2:])
