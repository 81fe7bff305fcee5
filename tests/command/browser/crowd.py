"""A thousand nodes that speak as caster 0.1.1: python3 crowd.py PORT. They end after two minutes, or when killed."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import time

SECRET = b"9ve2cND;d3\"Vs"
NODES, ADDRESSES = 1000, 25


def heartbeat(number: int) -> bytes:
    meta = {"type": "sensor" if number % 3 else "http", "port": 8000 + number}
    payload = json.dumps({"id": f"node {number:04}", "meta": meta}, separators=(",", ":")).encode()
    return hashlib.sha1(SECRET + payload).digest() + payload


def sender(address: str) -> socket.socket:
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.bind((address, 0))
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    return out


def main() -> None:
    group = ("224.0.0.42", int(sys.argv[1]))
    senders = [sender(f"127.0.1.{number}") for number in range(1, ADDRESSES + 1)]
    heartbeats = [heartbeat(number) for number in range(NODES)]
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        due = time.monotonic() + 1
        for number, data in enumerate(heartbeats):
            senders[number % ADDRESSES].sendto(data, group)
            if number % 50 == 0:
                time.sleep(0.005)
        time.sleep(max(0.0, due - time.monotonic()))


main()
