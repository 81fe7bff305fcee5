"""The measured rows. Each row is a function from a `Context` to samples; all that take part are run in
turn, so that other load of the machine affects all alike."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .lab import Failed, Lab
from .setup import PLACE, RELEASE, ROOT, Program, Setup

Sample = dict
_ports = itertools.count(20000)


class Context:
    def __init__(self, setup: Setup, quick: bool) -> None:
        self.setup = setup
        self.quick = quick
        self.repeats = 1 if quick else 3
        self.results: list[dict] = []
        self.failures: list[str] = []

    def who(self, role: str, *keys: str) -> list[Program]:
        return self.setup.who(role, *keys)

    def measure(
        self, row: str, cases: list[tuple[Program, dict]], one: Callable, repeats: int = 0, at_once: int = 1
    ) -> None:
        """Runs all cases in turn, several times, and keeps the median of each."""
        samples: dict[int, list[Sample]] = {}

        def attempt(index: int) -> None:
            program, case = cases[index]
            try:
                sample = one(program, **case)
                samples.setdefault(index, []).append(sample)
            except Failed as reason:
                self.failures.append(f"{row}, {program.label}, {case}: {reason}")
                print(f"   failed: {self.failures[-1]}", flush=True)

        rounds = repeats or self.repeats
        for turn in range(rounds):
            if rounds > 1:
                print(f"   round {turn + 1} of {rounds}, {len(cases)} runs", flush=True)
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(attempt, range(len(cases))))
        for index, found in sorted(samples.items()):
            program, case = cases[index]
            names = found[0].keys()
            median = {name: middle([it[name] for it in found if it.get(name) is not None]) for name in names}
            result = {"row": row, "who": program.key, **case, **median, "samples": found}
            self.results.append(result)
            shown = ", ".join(f"{k} {v:,.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in median.items())
            print(f"   {row:9} {program.label:28} {' '.join(map(str, case.values())):14} {shown}", flush=True)

    def find(self, row: str, who: str, **case) -> dict | None:
        for it in self.results:
            if it["row"] == row and it["who"] == who and all(it.get(k) == v for k, v in case.items()):
                return it
        return None


def middle(values: list):
    return statistics.median(values) if values else None


def pool(kind: str, stack: str, ids: int, size: int, lcm: bool = False) -> str:
    """A file with datagrams for the generator."""
    path = PLACE / "pools" / f"{kind}-{stack}-{ids}-{size}{'-lcm' if lcm else ''}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        bench = str(RELEASE / "caster-bench")
        arguments = [f"kind={kind}", f"stack={stack}", f"ids={ids}", f"size={size}", f"file={path}"]
        subprocess.run([bench, "pool", *arguments, *(["lcm=c"] if lcm else [])], check=True)
    return str(path)


def generate(host, file: str, port: int, **how) -> dict:
    arguments = [f"{name}={value}" for name, value in how.items()]
    return host.run([str(PLACE / "gen"), file, f"port={port}", *arguments])


def command(program: Program, role: str, **arguments) -> list[str]:
    """The role is the first argument; what the program itself brings comes behind it."""
    at = next((i for i, word in enumerate(program.command) if "=" in word), len(program.command))
    more = [f"{name}={value}" for name, value in arguments.items()]
    return [*program.command[:at], role, *program.command[at:], *more]


# Where ping and pong run. Left to the system, they are on one core in some runs and on two in others, and the same
# program takes 7 µs or 60.
TWO_CORES, ONE_CORE = "a core each", "one core"


def on_core(which: int, arguments: list[str]) -> list[str]:
    """On the first core of this machine (0) or the last (-1)."""
    return ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[which]), *arguments]


def batch_for(size: int) -> int:
    """How many datagrams of this size fit into one UDP_SEGMENT send."""
    return max(1, min(64, 60000 // (size + 64)))


# --- receiving ------------------------------------------------------------------------------------

def settle(receiver, limit: float = 2.0) -> None:
    """Waits until a receiver has taken what still waits."""
    before = -1
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        now = receiver.report()["cpu_us"]
        if now - before < 2000 and before >= 0:
            return
        before = now
        time.sleep(0.05)


def receive_once(
    program: Program, stack: str, size: int, feed: str = "segments", seconds: float = 0.4, rate: float = 0
) -> Sample:
    """`feed` is how the datagrams come: in segments, many to a call of the sender, or each by itself."""
    if program.key == "zenoh":  # it talks over TCP, so only with itself
        return receive_own(program, stack, size, seconds)
    port = next(_ports)
    lowest = "hash" if stack == "node" else stack
    file = pool("message", lowest, 1024, size, lcm=program.key == "lcm")
    with Lab() as lab:
        (host,) = lab.hosts
        receiver = host.start(command(program, "receive", stack=stack, port=port), program.env)
        time.sleep(0.1)
        pace = {"rate": rate} if rate else {}
        gso = batch_for(size) if feed == "segments" else 0
        sent = generate(host, file, port, seconds=seconds, gso=gso, **pace)
        settle(receiver)
        drops = receiver.drops()
        done = receiver.finish()
    return received(done, sent, drops)


def received(done: dict, sent: dict, drops: int) -> Sample:
    messages = done["messages"]
    if not messages:
        raise Failed("nothing was received")
    span = max(1, done["last"] - done["first"]) / 1e9
    return {
        "rate": messages / span,
        "cpu_us": done["cpu_us"] / messages,
        "loss": max(0.0, 1 - messages / sent["sent"]),
        "offered": sent["sent"] / sent["seconds"],
        "drops": drops,
    }


def receive_own(program: Program, stack: str, size: int, seconds: float) -> Sample:
    """Fed by a sender of its own kind on the other host."""
    port = next(_ports)
    with Lab(2) as lab:
        receiver = lab.hosts[1].start(command(program, "receive", stack=stack, port=port), program.env)
        time.sleep(0.2)
        sent = lab.hosts[0].run(command(program, "send", stack=stack, size=size, port=port, seconds=seconds), program.env)
        settle(receiver)
        drops = receiver.drops()
        done = receiver.finish()
    sample = received(done, sent, drops)
    sample["send_cpu_us"] = sent["cpu_us"] / sent["sent"]
    return sample


def receive(context: Context) -> None:
    """Flat out: delivered messages a second, CPU for each."""
    limits = ["recvfrom", "recvmmsg", "gro"]
    ours = ["core", "abi", "callbacks", "python", "node"]
    others = ["original", "original010"]
    cases = []
    for stack, size, feed, keys in (
        ("raw", 64, "segments", [*limits, *ours, *others, "lcm", "zenoh"]),
        ("hash", 64, "segments", [*limits, *ours, *others]),
        ("hash", 64, "single", [*limits, *ours, "original"]),
        ("crypto", 64, "segments", [*limits, *ours, "original"]),
        ("crypto", 64, "single", ["recvmmsg", "core", "original"]),
        ("node", 64, "segments", ["core", "callbacks", "python", "node", "original"]),
        ("hash", 8192, "segments", ["recvmmsg", "gro", "core", "node", "original"]),
        ("crypto", 8192, "segments", ["recvmmsg", "gro", "core", "node", "original"]),
    ):
        if context.quick and (size > 64 or stack in ("node", "crypto")):
            continue
        case = {"stack": stack, "size": size, "feed": feed}
        cases += [(it, case) for it in context.who("receive", *keys)]
    context.measure("receive", cases, receive_once)


def own(context: Context) -> None:
    """From our own sender to our own receiver, and the same for others."""
    cases = []
    for stack, keys in (("raw", ["core", "core-batch", "lcm", "zenoh"]), ("hash", ["core", "core-batch", "original010"]), ("crypto", ["core-batch"])):
        cases += [(it, {"stack": stack, "size": 64}) for it in context.who("receive", *keys)]
    context.measure("own", cases, lambda program, stack, size: receive_own(program, stack, size, 1.0))


def lossless(context: Context) -> None:
    """The highest rate, in steps of 1.4, at which nothing is lost for a second."""

    def one(program: Program, stack: str, size: int) -> Sample:
        flat = context.find("receive", program.key, stack=stack, size=size, feed="segments")
        flat = flat or receive_once(program, stack, size)
        rate, best = flat["rate"] * 0.25, 0.0
        for _ in range(16):
            for _attempt in range(3):
                sample = receive_once(program, stack, size, seconds=1.0, rate=rate)
                if sample["loss"] == 0 and sample["offered"] > 0.9 * rate:
                    best, rate = sample["offered"], rate * 1.4
                    break
            else:
                if best:
                    break
                rate /= 4
        return {"rate": best}

    if context.quick:
        return
    keys = ["recvmmsg", "gro", "core", "original"]
    sizes = [64, 8192]
    cases = [(it, {"stack": "hash", "size": size}) for size in sizes for it in context.who("receive", *keys)]
    context.measure("lossless", cases, one, repeats=1)


def hostile(context: Context) -> None:
    """Datagrams whose digest does not match, flat out: how many a second are turned away."""

    def one(program: Program) -> Sample:
        port = next(_ports)
        with Lab() as lab:
            (host,) = lab.hosts
            receiver = host.start(command(program, "receive", stack="hash", port=port), program.env)
            time.sleep(0.1)
            sent = generate(host, pool("noise", "hash", 1024, 64), port, seconds=0.6, gso=64)
            settle(receiver)
            done = receiver.finish()
        rejected = done.get("rejected", 0)
        if not rejected or done["messages"]:
            raise Failed(f"{rejected} rejected, {done['messages']} taken")
        cpu = done["cpu_us"] / rejected
        return {"cpu_us": cpu, "rate": rejected / sent["seconds"]}

    cases = [(it, {}) for it in context.who("receive", "recvmmsg", "gro", "core", "abi", "node", "original")]
    context.measure("hostile", cases, one)


# --- sending and round trips ----------------------------------------------------------------------

def send(context: Context) -> None:
    """Flat out, to a host on the other end of a cable where no program listens: CPU for each."""

    def one(program: Program, stack: str, size: int) -> Sample:
        with Lab(2) as lab:
            where = {"stack": stack, "size": size, "port": next(_ports), "seconds": 0.5}
            done = lab.hosts[0].run(command(program, "send", **where), program.env)
        if not done["sent"]:
            raise Failed("nothing was sent")
        return {"cpu_us": done["cpu_us"] / done["sent"], "rate": done["sent"] / done["seconds"]}

    limits = ["sendto", "sendmmsg", "gso"]
    ours = ["core", "core-batch", "abi", "abi-batch", "python", "node"]
    cases = []
    for stack, size, keys in (
        ("raw", 64, [*limits, *ours, "original", "lcm"]),
        ("hash", 64, [*limits, *ours, "original", "original010"]),
        ("crypto", 8192, [*limits, *ours, "original"]),
    ):
        cases += [(it, {"stack": stack, "size": size}) for it in context.who("send", *keys)]
    context.measure("send", cases, one)


def round_trip(context: Context) -> None:
    """There and back between two hosts: microseconds."""

    def one(program: Program, stack: str) -> Sample:
        with Lab(2) as lab:
            where = {"stack": stack, "size": 64, "port": next(_ports), "count": 1500}
            lab.hosts[1].start(on_core(0, command(program, "pong", **where)), program.env)
            time.sleep(0.2)
            done = lab.hosts[0].run(on_core(-1, command(program, "ping", **where)), program.env)
        if not done["count"]:
            raise Failed("nothing came back")
        return {"p50_us": done["p50_us"], "p99_us": done["p99_us"], "lost": done["lost"]}

    keys = ["blocking", "spinning", "core", "core-spin", "abi", "python", "node", "original"]
    cases = []
    for stack, more in (("raw", ["lcm", "zenoh"]), ("hash", []), ("crypto", [])):
        if context.quick and stack == "crypto":
            continue
        cases += [(it, {"stack": stack}) for it in context.who("ping", *keys, *more)]
    context.measure("roundtrip", cases, one)


def one_host(context: Context) -> None:
    """Nodes of one host with their defaults, which hear each other: round trips, and sending one by one."""

    def there_and_back(program: Program, stack: str, cores: str) -> Sample:
        with Lab() as lab:
            (host,) = lab.hosts
            where = {"stack": stack, "size": 64, "port": next(_ports), "count": 1500}
            pong = 0 if cores == TWO_CORES else -1
            host.start(on_core(pong, command(program, "pong", **where)), program.env)
            time.sleep(0.5)
            done = host.run(on_core(-1, command(program, "ping", **where)), program.env)
        if not done["count"]:
            raise Failed("nothing came back")
        return {"p50_us": done["p50_us"], "p99_us": done["p99_us"], "lost": done["lost"]}

    def sends(program: Program, stack: str, size: int) -> Sample:
        with Lab() as lab:
            where = {"stack": stack, "size": size, "port": next(_ports), "seconds": 0.5, "loopback": 1}
            done = lab.hosts[0].run(on_core(-1, command(program, "send", **where)), program.env)
        if not done["sent"]:
            raise Failed("nothing was sent")
        return {"cpu_us": done["cpu_us"] / done["sent"], "rate": done["sent"] / done["seconds"]}

    ours, limit = ["core", "abi", "node"], [("hash", ["blocking"])]
    # On newer runtimes two originals cannot share the port of a host.
    both = [*limit, ("node", [*ours, "original010"])]
    programs = [(it, stack) for stack, keys in both for it in context.who("ping", *keys)]
    cases = [(it, {"stack": stack, "cores": cores}) for cores in (TWO_CORES, ONE_CORE) for it, stack in programs]
    context.measure("onehost", cases, there_and_back)
    cases = []
    for size in (64, 8192):
        for stack, keys in (("hash", ["sendto", "member"]), ("node", [*ours, "original"]), ("raw", ["lcm"])):
            cases += [(it, {"stack": stack, "size": size}) for it in context.who("send", *keys)]
    context.measure("onehost-send", cases, sends)


# --- following others -----------------------------------------------------------------------------

def heartbeat(context: Context) -> None:
    """10,000 nodes at 1 Hz: CPU for each heartbeat, after all are known."""

    def one(program: Program, stack: str) -> Sample:
        port = next(_ports)
        role = "receive" if program.kind == "limit" else "follow"
        with Lab() as lab:
            (host,) = lab.hosts
            follower = host.start(command(program, role, stack=stack, port=port), program.env)
            how = [f"port={port}", "seconds=4.6", "rate=10000"]
            source = host.spawn([str(PLACE / "gen"), pool("heartbeat", stack, 10000, 0), *how])
            time.sleep(2.2)
            before, start = follower.report(), time.monotonic()
            time.sleep(2)
            after, seconds = follower.report(), time.monotonic() - start
            source.expect("done", 10)
            drops = follower.drops()
        count = 10000 * seconds
        cpu = (after["cpu_us"] - before["cpu_us"]) / count
        return {"cpu_us": cpu, "drops": drops, "ups": after.get("ups"), "downs": after.get("downs")}

    cases = []
    for stack, keys in (
        ("hash", ["recvfrom", "recvmmsg", "core", "python", "node", "original"]),
        ("crypto", ["recvmmsg", "core", "original"]),
    ):
        if stack == "hash" or not context.quick:
            cases += [(it, {"stack": stack}) for it in context.who("receive", *keys)]
    context.measure("heartbeat", cases, one)


# The generator sends no more than 300,000 datagrams a second one by one.
MOST_SINGLY = 100_000

# Linux grants this to a program without privileges if rmem_max has not been raised.
STOCK_BUFFER = 212992
STOCK_BURST = "burst, stock buffer"


def follow_once(program: Program, ids: int, way: str, seconds: float = 6.0) -> Sample:
    """`ids` nodes at 1 Hz, spread over the second or all at its beginning."""
    port = next(_ports)
    pace = {"rate": ids} if way == "spread" else {"period": 1000, "gso": 64}
    if way == "spread" and ids > MOST_SINGLY:
        pace["gso"] = 32
    options = {"options": json.dumps({"receiveBuffer": STOCK_BUFFER})} if way == STOCK_BURST else {}
    with Lab() as lab:
        (host,) = lab.hosts
        follower = host.start(command(program, "follow", stack="hash", port=port, **options), program.env)
        time.sleep(0.3)
        empty = follower.usage()["private_kb"]
        arguments = [f"{name}={value}" for name, value in pace.items()]
        file = pool("heartbeat", "hash", ids, 0)
        source = host.spawn([str(PLACE / "gen"), file, f"port={port}", f"seconds={seconds}", *arguments])
        time.sleep(seconds / 2)
        before, start = follower.report(), time.monotonic()
        time.sleep(seconds / 2 - 0.7)
        after, span = follower.report(), time.monotonic() - start
        full = follower.usage()["private_kb"]
        drops = follower.drops()
        sent = source.expect("done", 30)
    # The original hears itself.
    ok = after["ups"] in (ids, ids + (program.kind == "original")) and not after["downs"] and not drops and sent["sent"] >= ids * (int(seconds) - 1)
    return {
        "cpu_us": (after["cpu_us"] - before["cpu_us"]) / (ids * span),
        "bytes": (full - empty) * 1024 / ids,
        "ups": after["ups"],
        "downs": after["downs"],
        "drops": drops,
        "ok": ok,
    }


def scale(context: Context) -> None:
    """How many are followed; what each costs."""
    ladders = {
        ("core", "spread"): [1000, 10000, 100000, 500000],
        ("core", "burst"): [10000, 20000, 50000, 100000],
        ("core", STOCK_BURST): [1000, 2000, 5000, 10000],
        ("original", "spread"): [1000, 5000, 10000, 20000],
        ("original", "burst"): [100, 200, 500, 1000],
    }
    if context.quick:
        ladders = {("core", "spread"): [100000], ("core", "burst"): [20000], ("original", "spread"): [10000]}
    for (key, way), ladder in ladders.items():
        for program in context.who("follow", key):
            misses = 0
            for ids in ladder:
                case = {"ids": ids, "way": way}

                def twice(program: Program, ids: int, way: str) -> Sample:
                    """Again if something was lost: this machine may have been busy."""
                    first = follow_once(program, ids, way)
                    return first if first["ok"] else follow_once(program, ids, way)

                context.measure("scale", [(program, case)], twice, repeats=1)
                found = context.find("scale", key, **case)
                misses += not (found and found["ok"])
                if misses > 1:
                    break


def crowd(context: Context) -> None:
    """Many real nodes in one process, all of which know all others."""

    def one(program: Program, nodes: int) -> Sample:
        port = next(_ports)
        with Lab() as lab:
            crowd = lab.hosts[0].start(command(program, "crowd", count=nodes, port=port), program.env)
            start = time.monotonic()
            deadline = start + 40
            while (before := crowd.report())["fewest"] < nodes - 1 and time.monotonic() < deadline:
                time.sleep(0.5)
            known = time.monotonic() - start
            began = time.monotonic()
            time.sleep(5)
            after = crowd.report()
            span = time.monotonic() - began
            threads = crowd.usage()["threads"]
        share = (after["cpu_us"] - before["cpu_us"]) / span / 1e6
        return {
            "fewest": after["fewest"],
            "known_s": known,
            "downs": after["downs"],
            "cpu_share": share,
            "cpu_us": share * 1e6 / (nodes * nodes),
            "private_mb": after["private_kb"] / 1024,
            "threads": threads,
        }

    counts = [100] if context.quick else [100, 1000]
    cases = [(it, {"nodes": count}) for count in counts for it in context.who("crowd", "core")]
    context.measure("crowd", cases, one, repeats=1)


# --- latency --------------------------------------------------------------------------------------

def discovery(context: Context) -> None:
    """A is there; B comes: how long until A knows B, and B knows A. Then B leaves."""

    def start(host, program: Program, name: str, port: int):
        ours = program.key in ("core", "node", "original", "original010")
        identity = {"options": f'{{"id":"{name}"}}'} if ours else {"id": name}
        arguments = {"port": port, "address": host.address, **identity}
        return host.start(command(program, "peer", **arguments), program.env)

    def one(first: Program, second: str) -> Sample:
        newcomer = context.setup.programs[second]
        port = next(_ports)
        with Lab(2) as lab:
            a = start(lab.hosts[0], first, "a", port)
            time.sleep(1.7)
            b = start(lab.hosts[1], newcomer, "b", port)
            began = b.ready["began"]
            b_knows_a = b.expect("up", 12, id="a")["t"]
            a_knows_b = a.expect("up", 12, id="b")["t"]
            time.sleep(0.7)
            b.end()
            left = b.expect("gone", 5)["began"]
            try:
                goodbye = (a.expect("down", 5 if first.key != "zbeacon" else 0.1, id="b")["t"] - left) / 1e6
            except Failed:
                goodbye = None
        return {"a_learns_b_ms": (a_knows_b - began) / 1e6, "b_learns_a_ms": (b_knows_a - began) / 1e6, "goodbye_ms": goodbye}

    pairs = [("core", "core"), ("core", "original"), ("original", "core"), ("node", "node"), ("original", "original")]
    pairs += [(key, key) for key in ("zenoh", "zbeacon", "node-discover", "mdns-sd", "zeroconf", "avahi")]
    cases = []
    for first, second in pairs:
        if context.who("peer", second):
            cases += [(it, {"second": second}) for it in context.who("peer", first)]
    repeats = 1 if context.quick else 5
    # Caster and the originals one at a time: a process that starts takes the processors from the others for
    # 10 ms and more, and these are told within 2 ms. The rest waits most of the time.
    alone = [(it, more) for it, more in cases if it.key in ("core", "node", "original")]
    rest = [(it, more) for it, more in cases if (it, more) not in alone]
    context.measure("discovery", alone, one, repeats=repeats)
    context.measure("discovery", rest, one, repeats=repeats, at_once=4)


# --- at rest --------------------------------------------------------------------------------------

def idle(context: Context) -> None:
    """No other node is there, nothing is to be done. All at the same time, each in a network of its
    own: together they use next to nothing."""
    seconds = 5 if context.quick else 20
    keys = ["beacon", "core", "abi", "callbacks", "python", "node", "original", "zenoh", "zeroconf", "node-discover", "mdns-sd", "avahi", "zbeacon"]
    labs, running = [], []
    try:
        for program in context.who("idle", *keys):
            lab = Lab(2)
            labs.append(lab)
            arguments = {"port": next(_ports), "address": lab.hosts[0].address}
            try:
                running.append((program, lab.hosts[0].start(command(program, "idle", **arguments), program.env)))
            except Failed as reason:
                context.failures.append(f"idle, {program.label}: {reason}")
        time.sleep(5)
        before = [(it.usage(), time.monotonic()) for _, it in running]
        time.sleep(seconds)
        for (program, it), (first, since) in zip(running, before):
            span, last = time.monotonic() - since, it.usage()
            sample = {
                "cpu_us_s": (last["cpu_ns"] - first["cpu_ns"]) / 1e3 / span,
                "wakeups_s": (last["switches"] - first["switches"]) / span,
                "private_mb": last["private_kb"] / 1024,
                "threads": last["threads"],
            }
            context.measure("idle", [(program, {})], lambda _program, sample=sample: sample, repeats=1)
    finally:
        for lab in labs:
            lab.__exit__()


def start_up(context: Context) -> None:
    """The cost of loading, in a process of its own each time; and sizes."""
    python = "import time; a = time.perf_counter(); import {0}; print((time.perf_counter() - a) * 1e3)"
    node = "const a = process.hrtime(); require({0}); const b = process.hrtime(a); console.log(b[0] * 1e3 + b[1] / 1e6)"
    modules = {"python": "caster", "lcm": "lcm", "zenoh": "zenoh", "zeroconf": "zeroconf"}
    packages = {"node": "CASTER", "original": "CASTER", "node-discover": "NODE_DISCOVER"}
    rounds = 5 if context.quick else 15

    def one(program: Program) -> Sample:
        if program.key in modules:
            code = ["-c", python.format(modules[program.key])]
        else:
            code = ["-e", node.format(f"process.env.{packages[program.key]}")]
        env = {**os.environ, **program.env}
        ran = [subprocess.run([program.command[0], *code], env=env, capture_output=True, text=True) for _ in range(rounds)]
        if any(it.returncode for it in ran):
            raise Failed(ran[0].stderr.strip()[-300:])
        return {"ms": statistics.median(float(it.stdout) for it in ran)}

    programs = [context.setup.programs.get(key) for key in (*modules, *packages)]
    context.measure("start", [(it, {}) for it in programs if it], one, repeats=1)
    for key, name in (("abi", "libcaster.so"), ("python", "lib_caster.so"), ("node", "libcaster_node.so")):
        size = stripped_size(RELEASE / name)
        context.measure("size", [(context.setup.programs[key], {"file": name})], lambda _program, file: {"bytes": size}, repeats=1)


def stripped_size(path: Path) -> int:
    copy = PLACE / "stripped"
    try:
        subprocess.run(["strip", "-o", str(copy), str(path)], check=True)
        return copy.stat().st_size
    except (OSError, subprocess.CalledProcessError):
        return path.stat().st_size


ROWS: dict[str, Callable[[Context], None]] = {
    "receive": receive,
    "own": own,
    "lossless": lossless,
    "hostile": hostile,
    "send": send,
    "roundtrip": round_trip,
    "onehost": one_host,
    "heartbeat": heartbeat,
    "scale": scale,
    "crowd": crowd,
    "discovery": discovery,
    "idle": idle,
    "start": start_up,
}
