"""A flood of new ids for a group, and of junk for one of its nodes: memory is bounded, peers stay up, newcomers are seen
before it ends, and each datagram is counted.

CASTER_LONG=1 sends for a minute, with a million ids.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import lab
import pytest
import wire
from obstacles import skip
from peers import Cast, Peer, matches, meet, processor_time

HERE = Path(__file__).parent
PORT = 23760
OPTIONS = {"port": PORT, "heartbeat": 500, "timeout": 10_000}
LONG = bool(os.environ.get("CASTER_LONG"))
SECONDS = 60 if LONG else 8
IDS = 1_000_000 if LONG else 130_000
RATE = 220_000
"""Datagrams a second that it sends if the machine can: a million ids in a minute, and 200,000 of junk a second."""
MOST_NODES = 4096
"""The default of the option maxNodes."""
MEMORY = 64 << 10
"""How many KiB a flood may take."""
LIMIT = 16 << 10
"""How many KiB the system gives to a node with a limit."""


def without_flood(host: lab.Host) -> lab.Host:
    """The host, for peers whose events of ids of the flood are not read: Python takes a processor for them."""
    unread = 'exec "$@" > >(exec grep --line-buffered -v \'"flood \')'
    return dataclasses.replace(host, prefix=(*host.prefix, "bash", "-c", unread, "peer"))


def memory(peer: Peer, which: str = "VmHWM") -> int:
    """A figure of a peer in KiB: the most memory that it has had, or another."""
    (found,) = re.findall(rf"{which}:\s+(\d+) kB", Path(f"/proc/{peer._process.pid}/status").read_text())
    return int(found)


def limit_memory(peer: Peer, more: int) -> None:
    """The system gives a peer this many KiB more than it has, and then none: its next allocation ends it."""
    limit = (memory(peer, "VmData") + more) << 10
    resource.prlimit(peer._process.pid, resource.RLIMIT_DATA, (limit, limit))


def delivered(peer: Peer) -> tuple[int, int]:
    """How many datagrams the system gave to sockets of the peer's host, and how many it dropped at them."""
    lines = Path(f"/proc/{peer._process.pid}/net/snmp").read_text().splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("Udp:"))
    counts = dict(zip(names, map(int, values), strict=True))
    return counts["InDatagrams"], counts["RcvbufErrors"]


def write(path: Path, datagrams: Iterable[bytes]) -> Path:
    with path.open("wb") as out:
        for datagram in datagrams:
            out.write(len(datagram).to_bytes(2, "little") + datagram)
    return path


def junk() -> list[bytes]:
    """Random bytes, and heartbeats that were cut or changed."""
    draw = random.Random(1)
    sample = wire.heartbeat("sample")
    cut = [sample[: draw.randrange(len(sample))] for _ in range(250)]
    changed = [sample[:at] + bytes([sample[at] ^ 1]) + sample[at + 1 :] for at in range(len(sample))]
    every = [draw.randbytes(draw.randrange(600)) for _ in range(500)] + cut + changed
    draw.shuffle(every)
    return every


def hear(sender: Peer, receiver: Peer) -> None:
    """A message arrives; it is sent again while the receiver still reads what has piled up."""
    end = time.monotonic() + 60
    while not receiver.seen("message", id=sender.id):
        assert time.monotonic() < end, f"{receiver} hears nothing\n{receiver.story}"
        sender.send("still here")
        time.sleep(0.5)


@pytest.mark.parametrize(("addresses", "limit"), [(1, 0), (100, 0), (100, LIMIT)])
def test_a_flood_of_ids_and_junk(addresses: int, limit: int) -> None:
    if not lab.detect().isolated:
        skip(f"it needs network namespaces: {lab.detect().reason}")
    network = lab.NamespaceLab(4)
    try:
        with Cast(network) as cast, tempfile.TemporaryDirectory() as folder:
            flooder, files = Path(folder, "flooder"), [Path(folder, "ids"), Path(folder, "junk")]
            compiler = [os.environ.get("CC", "cc"), "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]
            subprocess.run([*compiler, HERE / "flooder.c", "-o", flooder], check=True, timeout=120)
            write(files[0], (wire.heartbeat(f"flood {number}") for number in range(IDS)))
            write(files[1], junk())
            host = network.hosts[3]
            route = ["ip", "route", "add", "local", "10.77.0.128/25", "dev", "lo"]
            subprocess.run([*host.prefix, *route], check=True, timeout=20)
            sources = [f"10.77.0.{128 + number}" for number in range(addresses)]
            victim = cast.start("c", without_flood(network.hosts[0]), id="victim", **OPTIONS)
            friend = cast.start("c", without_flood(network.hosts[1]), id="friend", **OPTIONS)
            meet([victim, friend])
            if limit:
                limit_memory(victim, limit)
            before, used, earlier, stats = memory(victim), processor_time(victim), delivered(victim), victim.stats()
            words = [str(it) for it in (flooder, *files, network.hosts[0].address, PORT, SECONDS, RATE, *sources)]
            with subprocess.Popen([*host.prefix, *words], stdout=subprocess.PIPE, text=True) as running:
                time.sleep(SECONDS / 4)
                newcomer = cast.start("c", network.hosts[2], id="newcomer", **OPTIONS)
                begin = time.monotonic()
                victim.wait_up(newcomer)
                friend.wait_up(newcomer)
                took = time.monotonic() - begin
                told, _ = running.communicate(timeout=SECONDS + 120)
            sent = json.loads(told)
            used = processor_time(victim) - used
            hear(victim, friend)
            grown = memory(victim) - before
            now = victim.stats()
            received, dropped = [now[name] - stats[name] for name in ("received", "kernelDrops")]
            given, refused = [now - then for now, then in zip(delivered(victim), earlier, strict=True)]
            counted = {why: count for why, count in now["dropped"].items() if count}
            figures = (
                f"{addresses} addresses: {sent['ids']} ids and {sent['junk']} junk datagrams in {sent['seconds']:.1f} s; "
                f"received {received} ({now['accepted']} accepted, {counted}), {dropped} dropped at the socket; "
                f"{grown} KiB; {used:.1f} s of a processor; the newcomer was seen after {took:.1f} s"
            )
            print(figures)
            assert grown <= MEMORY, figures
            # All that the system gave to the socket or dropped there. Peers go on to send between two readings.
            assert abs(received - given) <= 100, (figures, given)
            assert dropped == refused, (figures, refused)
            for peer, other in ((victim, friend), (friend, victim)):
                assert not peer.seen("down", id=other.id), (figures, str(peer))
            # Ids are accepted within the limits, and evicted or refused by name beyond.
            assert now["nodes"] <= MOST_NODES, figures
            assert counted["hash"] > 0 and counted["truncated"] > 0, figures
    finally:
        network.close()
