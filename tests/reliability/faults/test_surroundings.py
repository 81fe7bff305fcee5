"""Real processes while their surroundings are at fault: the wall clock jumps, the send queue is full, memory ends."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from obstacles import skip
from peers import Cast, matches

ROOT = Path(__file__).resolve().parents[3]
RELEASE = ROOT / "target/release"
HERE = Path(__file__).parent
OPTIONS = {"port": 23720, "heartbeat": 200, "timeout": 2000}
HOUR = 3600
KEY = "0123456789abcdef" * 4


@pytest.fixture
def network() -> Iterator[lab.NamespaceLab]:
    if not lab.detect().isolated:
        skip(f"it needs network namespaces: {lab.detect().reason}")
    network = lab.NamespaceLab(2)
    yield network
    network.close()


@pytest.fixture(scope="module")
def libfaketime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that gives a program another wall clock: that of the system, or of Debian's package."""
    for found in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"):
        return found
    folder = tmp_path_factory.mktemp("faketime")
    if shutil.which("apt-get"):
        subprocess.run(["apt-get", "download", "libfaketime"], cwd=folder, capture_output=True, timeout=300)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True, timeout=60)
    for found in folder.glob("usr/lib/*/faketime/libfaketimeMT.so.1"):
        return found
    skip("it needs the Debian package libfaketime")
    raise AssertionError


@pytest.mark.parametrize("keys", [[], [KEY]], ids=["plain", "sealed"])
def test_a_wall_clock_that_jumps_an_hour_is_no_event(
    network: lab.NamespaceLab, libfaketime: Path, tmp_path: Path, keys: list[str]
) -> None:
    offset = tmp_path / "offset"

    def jump(seconds: int) -> None:
        new = tmp_path / "new"
        new.write_text(f"{seconds:+d}\n")
        new.rename(offset)

    jump(0)
    variables = {
        "LD_PRELOAD": str(libfaketime),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    assignments = [f"{name}={value}" for name, value in variables.items()]
    faked = dataclasses.replace(network.hosts[0], prefix=(*network.hosts[0].prefix, "env", *assignments))
    more = OPTIONS | ({"keys": keys} if keys else {})
    with Cast(network) as cast:
        jumper = cast.start("c", faked, id="jumper", **more)
        steady = cast.start("c", network.hosts[1], id="steady", **more)
        jumper.wait_up(steady)
        steady.wait_up(jumper)
        since = {peer: peer.mark() for peer in (jumper, steady)}
        for seconds in (HOUR, -HOUR, 0, -HOUR, HOUR):
            jump(seconds)
            date = [*faked.prefix, "date", "+%s"]
            told = int(subprocess.run(date, capture_output=True, text=True, check=True, timeout=30).stdout)
            assert abs(told - time.time() - seconds) < 60, "the clock has not jumped"
            # Longer than the timeout: a node that is not heard after the jump would be down.
            time.sleep(1.5 * OPTIONS["timeout"] / 1000)
            for sender, other in ((jumper, steady), (steady, jumper)):
                sender.send({"clock": seconds, "of": sender.id})
                other.wait_for(
                    lambda event, sender=sender, seconds=seconds: matches(
                        event, "message", {"id": sender.id, "message": {"clock": seconds, "of": sender.id}}
                    ),
                    "the message after the jump",
                    since[other],
                )
        for peer, mark in since.items():
            told = [event for event in peer.events[mark:] if event["ev"] not in ("message", "sent")]
            assert told == [], f"{peer} tells of a jump"


def test_a_full_send_queue_is_an_error_and_ends(network: lab.NamespaceLab) -> None:
    """The interface takes 4 KB/s and holds what it cannot send, until the send buffer is full."""

    def shape(*arguments: str) -> None:
        command = [*network.hosts[0].prefix, "tc", "qdisc", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr

    with Cast(network) as cast:
        sender = cast.start("c", network.hosts[0], id="sender", **OPTIONS)
        other = cast.start("c", network.hosts[1], id="other", **OPTIONS)
        sender.wait_up(other)
        other.wait_up(sender)
        shape("add", "dev", "eth0", "root", "tbf", "rate", "32kbit", "burst", "1600", "limit", "20000000")
        since = sender.mark()
        for _ in range(400):
            sender.send("x" * 1200)
            if sender.seen("error", since):
                break
        sender.wait_for(lambda event: event["ev"] == "error" and event["text"], "to be told of the full queue", since)
        # The program and the thread of the library go on.
        assert sender.ask("stats")["sendErrors"] > 0
        shape("del", "dev", "eth0", "root")
        since = other.mark()
        sender.send("again")

        def is_again(event: dict[str, object]) -> bool:
            return matches(event, "message", {"id": "sender", "message": "again"})

        other.wait_for(is_again, "to hear the other after the queue", since)
        sender.wait_until(lambda: any(node["id"] == "other" for node in sender.ask("nodes")), "to know the other")


def test_an_allocation_that_fails_ends_the_process_with_a_text(network: lab.NamespaceLab, tmp_path: Path) -> None:
    compiler = os.environ.get("CC", "cc").split()
    program = tmp_path / "memory"
    flags = ["-Wall", "-Wextra", "-Werror", "-O1", f"-I{ROOT}/include", f"-L{RELEASE}", f"-Wl,-rpath,{RELEASE}"]
    subprocess.run([*compiler, *flags, str(HERE / "memory.c"), "-lcaster", "-o", program], check=True, timeout=120)
    most = "50" if os.environ.get("CASTER_LONG") else "6"
    done = subprocess.run([*network.hosts[0].prefix, program, most], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout
    assert "node_up: 0 as ever" in done.stdout, done.stdout
