"""Nodes at rest: heartbeats are not in step, the interval is kept, and a node wakes no more often than that takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from conftest import Net, hosts
from peers import OURS, Cast, Peer, meet

ARRIVALS = str(Path(__file__).with_name("arrivals.py"))
HEARTBEAT = 0.5
"""Seconds."""
JITTER = 0.05
"""Heartbeats vary by up to this part of the interval; `JITTER` of the engine."""
SLACK = 0.1
"""Seconds by which a busy machine may delay a datagram."""
WATCHED = 15.0
"""Seconds."""


@hosts(len(OURS) + 1)
def test_heartbeats_of_nodes_that_start_together_are_not_in_step(net: Net) -> None:
    """A node of each language, started at the same moment, each on a host of its own."""
    watcher = net.start(net.hosts[-1], sys.executable, ARRIVALS, "eth0", "224.0.0.42", "10101")
    assert watcher.stdout is not None and watcher.stdout.readline() == "ready\n"
    with Cast(net.lab) as cast:
        options = {"heartbeat": round(1000 * HEARTBEAT), "timeout": 5000}
        peers = [cast.start(kind, host, id=kind, **options) for kind, host in zip(OURS, net.hosts)]
        meet(peers)
        # Their answers to each other are over.
        time.sleep(2)
        start = time.monotonic()
        time.sleep(WATCHED)
        watcher.kill()
        lines = watcher.communicate()[0].splitlines()
        for peer in peers:
            assert peer.seen("down") == [], peer.story
    times: dict[str, list[float]] = {}
    for line in lines:
        at, _, address = line.partition(" ")
        if float(at) > start:
            times.setdefault(address, []).append(float(at))
    assert len(times) == len(OURS), times.keys()
    for address, beats in times.items():
        gaps = [later - earlier for earlier, later in zip(beats, beats[1:])]
        longest = HEARTBEAT * (1 + JITTER) + SLACK
        assert max(gaps) <= longest, f"{address} promised {HEARTBEAT} s: {gaps}"
        mean = statistics.mean(gaps)
        assert abs(mean - HEARTBEAT) < 0.03 * HEARTBEAT, f"{address}: {mean}"
        # Evenly within ±5 % of 500 ms is a deviation of 14 ms.
        spread = statistics.pstdev(gaps)
        assert spread > 0.005, f"{address} sends in step: {spread}"


QUIET = {"heartbeat": 1000, "timeout": 3000}
MOST_WAKES = 1.2
"""A second, of all threads of a process, at one heartbeat a second."""
CALLBACK = """
import caster, json, sys
node = caster.Node(json.loads(sys.argv[1]))
node.on("up", print)
with node:
    print("ready", flush=True)
    sys.stdin.readline()
"""


def switches(pid: int) -> int:
    """How often the threads of a process have gone to sleep."""
    lines = [
        line
        for task in Path(f"/proc/{pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
    ]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


@hosts(1)
def test_a_node_at_rest_wakes_for_its_heartbeats(net: Net) -> None:
    """Programs that are alone on their network, each on a port of its own."""
    host = net.hosts[0]
    with Cast(net.lab) as cast:
        peers: dict[str, Peer | subprocess.Popen[str]] = {}
        for at, kind in enumerate(("c", "node")):
            peers[kind] = cast.start(kind, host, id=kind, port=22_000 + 4 * at, **QUIET)
            peers[kind].wait_ready()
        options = '{"port": 22100, "heartbeat": 1000, "timeout": 3000}'
        program = net.start(host, sys.executable, "-c", CALLBACK, options)
        assert program.stdout is not None and program.stdout.readline() == "ready\n"
        peers["python with a callback"] = program
        pids = {name: getattr(it, "_process", it).pid for name, it in peers.items()}
        time.sleep(7)  # After five heartbeats without a peer there is a hint.
        before = {name: switches(pid) for name, pid in pids.items()}
        start = time.monotonic()
        time.sleep(10)
        wakes = {
            name: (switches(pid) - before[name]) / (time.monotonic() - start)
            for name, pid in pids.items()
        }
        program.communicate("\n", timeout=20)
        assert max(wakes.values()) <= MOST_WAKES, wakes
