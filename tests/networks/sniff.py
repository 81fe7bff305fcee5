"""Counts the IPv4 packets from one address that arrive at an interface.

    python3 sniff.py INTERFACE ADDRESS

Writes `ready`, and the number when its input ends.
"""

from __future__ import annotations

import selectors
import socket
import sys

IPV4 = 0x0800
SOURCE = slice(12, 16)


def main(interface: str, address: str) -> None:
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4))
    packets.bind((interface, IPV4))
    packets.setblocking(False)
    inputs = selectors.DefaultSelector()
    inputs.register(packets, selectors.EVENT_READ)
    inputs.register(sys.stdin, selectors.EVENT_READ)
    print("ready", flush=True)
    wanted, count, ended = socket.inet_aton(address), 0, False
    while not ended:
        ready = [key.fileobj for key, _ in inputs.select()]
        ended = sys.stdin in ready and not sys.stdin.readline()
        try:
            while True:
                data, (_, _, kind, *_) = packets.recvfrom(65536)
                count += data[SOURCE] == wanted and kind != socket.PACKET_OUTGOING
        except BlockingIOError:
            pass
    print(count)


main(sys.argv[1], sys.argv[2])
