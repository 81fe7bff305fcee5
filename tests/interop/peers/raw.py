"""A peer without any caster in it: raw datagrams in and out.

    python3 raw.py OPTIONS_JSON

Options: `group`, `port`; `interface` (an address of this host, where the routes
do not decide); `beat` (a datagram in hex, sent every `interval` seconds).

Prints {"ev":"ready"}, {"ev":"datagram","address":A,"hex":H} for everything the
socket hears (its own datagrams too) and {"ev":"sent","bytes":N}.  Understands
`send HEX [PORT]` and `quit`; ends when stdin does.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time


def emit(**event: object) -> None:
    print(json.dumps(event), flush=True)


def open_socket(group: str, port: int, interface: str | None) -> socket.socket:
    address = socket.inet_aton(interface or "0.0.0.0")
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform != "linux":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind(("", port))
    membership = struct.pack("4s4s", socket.inet_aton(group), address)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    if interface:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, address)
    return sock


def main() -> None:
    options = json.loads(sys.argv[1])
    group, port = options["group"], options["port"]
    beat = bytes.fromhex(options.get("beat", ""))
    interval = options.get("interval", 0.2)
    sock = open_socket(group, port, options.get("interface"))
    emit(ev="ready")

    pending = b""
    due = time.monotonic()
    while True:
        wait = max(0.0, due - time.monotonic()) if beat else None
        readable, _, _ = select.select([sock, sys.stdin], [], [], wait)
        if beat and time.monotonic() >= due:
            sock.sendto(beat, (group, port))
            due += interval
        if sock in readable:
            datagram, (address, _) = sock.recvfrom(65536)
            emit(ev="datagram", address=address, hex=datagram.hex())
        if sys.stdin in readable:
            chunk = os.read(sys.stdin.fileno(), 65536)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                command, *arguments = line.decode().split(" ")
                if command == "quit":
                    return
                if command == "send":
                    to = int(arguments[1]) if len(arguments) > 1 else port
                    sent = sock.sendto(bytes.fromhex(arguments[0]), (group, to))
                    emit(ev="sent", bytes=sent)


main()
