"""Sends heartbeats of ever new ids, and junk, as fast as it can.

    flooder.py PORT SECONDS IDS

Every other datagram is junk, and all are when all ids have been sent. Prints how many of both it sent.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "interop"))

import wire  # noqa: E402

GROUP = "224.0.0.42"


def main() -> None:
    port, seconds, ids = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    draw = random.Random(1)
    sample = wire.heartbeat("sample")
    # Random bytes, and heartbeats that were cut or changed.
    junk = [draw.randbytes(draw.randrange(600)) for _ in range(500)]
    junk += [sample[: draw.randrange(len(sample))] for _ in range(250)]
    junk += [sample[:at] + bytes([sample[at] ^ 1]) + sample[at + 1 :] for at in range(len(sample))]
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    told = sent = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for each in draw.choices(junk, k=50):
            if told < ids:
                out.sendto(wire.heartbeat(f"flood {told}"), (GROUP, port))
                told += 1
            out.sendto(each, (GROUP, port))
            sent += 1
    print(json.dumps({"ids": told, "junk": sent}))


main()
