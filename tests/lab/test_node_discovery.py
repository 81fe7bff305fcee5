"""Nodes in Node.js meet as fast as those in Rust, but for the wake-up of their event loops."""

from __future__ import annotations

import random
import time

import pytest

import figures
import lab
from figures import percentile
from obstacles import obstacle, skip
from scenarios import DEFAULTS, LONG, MS, SEED, bridge, is_up

TIMES = 200 if LONG else 15
GOAL = "p50 2"


@pytest.mark.parametrize("existing", ["node", "rust"])
def test_nodes_in_node_js_meet_at_once(existing: str) -> None:
    if not lab.detect().isolated:
        skip(f"the lab needs network namespaces: {lab.detect().reason}")
    reason = obstacle(("rust", "node"))
    if reason is not None:
        skip(reason)
    draw = random.Random(SEED)
    newcomers, incumbents = [], []
    with bridge(2) as (network, cast):
        there = cast.start(existing, network.hosts[1], id="there", **DEFAULTS)
        there.wait_ready()
        newcomer = cast.start("node", network.hosts[0], id="newcomer", **DEFAULTS)
        mark = there_mark = 0
        for number in range(TIMES):
            if number:
                time.sleep(draw.uniform(0.05, 0.1))
                mark, there_mark = newcomer.mark(), there.mark()
                newcomer.tell("up")
            ready = newcomer.wait_for(lambda event: event["ev"] == "ready", "up", mark)
            seen = newcomer.wait_for(is_up(there), f"to discover {there}", mark)
            newcomers.append((seen["t"] - ready["began"]) / MS)
            seen = there.wait_for(is_up(newcomer), "the newcomer", there_mark)
            incumbents.append((seen["t"] - ready["began"]) / MS)
            time.sleep(draw.uniform(0.05, 0.1))
            mark = newcomer.mark()
            newcomer.tell("down")
            newcomer.wait_for(lambda event: event["ev"] == "gone", "down", mark)
    figures.latency(f"Node.js sees an existing node in {existing}", newcomers, GOAL)
    figures.latency(f"an existing node in {existing} sees one in Node.js", incumbents, GOAL)
    for samples in (newcomers, incumbents):
        assert min(samples) > 0
        assert percentile(samples, 50) < 50
        assert max(samples) < 2000
