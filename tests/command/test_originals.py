"""up, send, web, record and replay in a network with an original."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from commands import DEADLINE, Lan, hosts
from peers import ORIGINALS, Cast

OLDEST = ORIGINALS[0]
"""The original on the oldest Node.js that it runs on."""


def nodes_of(lan: Lan, host: int, url: str) -> dict[str, Any]:
    """The nodes that `caster web` on a host lists."""
    look = "import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1] + 'api/nodes').read().decode())"
    return {node["id"]: node for node in json.loads(lan.run(host, sys.executable, "-c", look, url))}


def replayed(lan: Lan, file: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return lan.caster(0, "replay", str(file), "--to", "memory", "--after", "1m", *arguments, **variables)


@hosts(3)
def test_commands_with_an_original_in_sight(lan: Lan, tmp_path: Path) -> None:
    file = tmp_path / "both.pcapng"
    with Cast(lan.lab) as cast:
        record = lan.start(2, "record", str(file))
        assert record.stderr is not None and record.stderr.readline().startswith("Recording ")
        web = lan.start(2, "web", "--port", "0")
        assert web.stderr is not None
        url = web.stderr.readline().strip()
        original = cast.start(OLDEST, lan.hosts[0], id="original", meta={"type": "old"}, hash=False)
        original.wait_ready()
        up = lan.start(1, "up", "--id", "web", "--meta", "type=http", "--meta", "port=8080")
        event = original.wait_for(lambda event: event["ev"] == "up" and event["id"] == "web", "the node")
        assert event["meta"] == {"type": "http", "port": 8080}, event
        ends = time.monotonic() + DEADLINE
        while (listed := nodes_of(lan, 2, url)).keys() != {"original", "web"}:
            assert time.monotonic() < ends, listed
            time.sleep(0.2)
        assert (listed["original"]["version"], listed["web"]["version"]) == ("0.1.1", "caster")
        # The sender waits for a heartbeat of the original, which does not answer.
        sent = lan.caster(1, "send", '{"reload":true}', "--as", "deploy", "--wait", "6s")
        assert sent.returncode == 0, sent.stderr
        original.wait_for(
            lambda event: event["ev"] == "message" and event["message"] == {"reload": True} and event["id"] == "deploy",
            "the message",
        )
        up.send_signal(signal.SIGTERM)
        assert up.wait(DEADLINE) == 0
        original.wait_for(lambda event: event["ev"] == "down" and event["id"] == "web", "the leave")
        original.crash()
        record.send_signal(signal.SIGTERM)
        assert record.wait(DEADLINE) == 0
        assert {event["id"] for event in original.seen("up")} - {"original"} == {"web", "deploy"}
        assert original.seen("error") == []
    # The same happens in memory, with the former addresses, and the silence of the original is its end.
    lines = [line[21:] for line in replayed(lan, file).stdout.splitlines()]
    assert {
        "up original 10.77.0.1 type=old",
        "down original 10.77.0.1 timeout",
        "up web 10.77.0.2 port=8080 type=http",
        "down web 10.77.0.2 goodbye",
        "up deploy 10.77.0.2 null",
        "down deploy 10.77.0.2 goodbye",
    } <= set(lines), lines
    # Sent again, the datagrams come from the host that sends them.
    watch = lan.start(1, "watch", "--where", "type=old")
    lan.wait_joined(1)
    assert lan.caster(0, "replay", str(file), "--fast").returncode == 0
    assert watch.stdout is not None and watch.stdout.readline()[19:] == "Z up original 10.77.0.1 type=old\n"


def test_a_recorded_fault_becomes_a_test(lan: Lan, tmp_path: Path) -> None:
    """A node is not seen. Its recording fails in memory for the same reason, and shows that the remedy works."""
    file, secret = tmp_path / "fault.pcapng", tmp_path / "secret"
    secret.write_text("office\n")
    lan.start(1, "up", "--id", "db", "--meta", "type=db", CASTER_SECRET="office")
    recorded = lan.caster(0, "record", str(file), "--count", "3", "--time", "60s")
    assert recorded.returncode == 0, recorded.stderr
    fault = replayed(lan, file)
    assert fault.stdout == "" and "dropped: 3 hash" in fault.stderr, fault
    remedy = replayed(lan, file, "--secret-file", str(secret))
    assert [line[20:] for line in remedy.stdout.splitlines()] == [
        " up db 10.77.0.2 type=db",
        " down db 10.77.0.2 timeout",
    ], remedy
    assert "dropped: none" in remedy.stderr
