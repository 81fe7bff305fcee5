"""Writes when datagrams to the group and the port arrive at an interface: a line with seconds and the address.

    python3 arrivals.py INTERFACE GROUP PORT

Writes `ready` first.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

IPV4, UDP = 0x0800, 17


def main(interface: str, group: str, port: int) -> None:
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4))
    packets.bind((interface, IPV4))
    wanted = socket.inet_aton(group)
    print("ready", flush=True)
    while True:
        data = packets.recv(65536)
        now = time.monotonic()
        header = (data[0] & 15) * 4
        (to_port,) = struct.unpack_from(">H", data, header + 2)
        if data[9] == UDP and data[16:20] == wanted and to_port == port:
            print(now, socket.inet_ntoa(data[12:16]), flush=True)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
