"""Results as JSON, tables and charts, and how they stand against the goals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from . import setup
from .figures import figure
from .rows import ROWS, STOCK_BUFFER, STOCK_BURST, TWO_CORES

BEGIN, END = "<!-- results -->", "<!-- /results -->"


def collect(context, wanted: list[str], seconds: float) -> dict:
    programs = context.setup.programs.values()
    return {
        "versions": context.setup.versions,
        "programs": {
            it.key: {"label": it.label, "kind": it.kind, "version": it.version} for it in programs
        },
        "skipped": context.setup.skipped,
        "failures": context.failures,
        "rows": wanted,
        "repeats": context.repeats,
        "seconds": round(seconds),
        "results": [{**it, "samples": len(it["samples"])} for it in context.results],
        "samples": [[{k: short(v) for k, v in s.items()} for s in it["samples"]] for it in context.results],
    }


def chart(name: str, title: str, note: str, rows: list, logarithmic: bool) -> dict:
    note += " Logarithmic." if logarithmic else ""
    return {"name": name, "title": title, "note": note, "rows": rows, "logarithmic": logarithmic}


def short(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value


def write(results: dict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    samples = results.pop("samples", [])
    rounded = {**results, "results": [{k: short(v) for k, v in it.items()} for it in results["results"]]}
    text = json.dumps({**rounded, "samples": samples}, indent=1)
    # One line for each innermost object.
    text = re.sub(r"\{[^{}\[\]]*\}", lambda it: " ".join(it[0].split()), text)
    (folder / "results.json").write_text(text + "\n")
    report = Report(rounded)
    if refused := setup.draw(list(report.charts()), folder):
        print(f"bench: the charts are as they were: {refused}", flush=True)
    page = folder / "README.md"
    before, after = f"# Benchmarks\n\n{BEGIN}\n", f"{END}\n"
    if page.exists() and BEGIN in page.read_text():
        old = page.read_text()
        before = old[: old.index(BEGIN)] + BEGIN + "\n"
        after = old[old.index(END) :]
    page.write_text(before + report.tables() + after)


class Report:
    def __init__(self, results: dict) -> None:
        self._all = results
        self._rows = results["results"]

    def get(self, row: str, who: str, field: str, **case) -> float | None:
        for it in self._rows:
            if it["row"] == row and it["who"] == who and all(it.get(k) == v for k, v in case.items()):
                return it.get(field)
        return None

    def label(self, who: str) -> str:
        return self._all["programs"][who]["label"]

    def who(self, row: str) -> list[str]:
        return list(dict.fromkeys(it["who"] for it in self._rows if it["row"] == row))

    # --- tables -----------------------------------------------------------------------------------

    def tables(self) -> str:
        parts = [self.how(), self.goals(), self.behind()]
        parts += [
            self.grid(
                "receive",
                "Receiving, flat out",
                "Delivered messages a second | CPU µs for each, kernel included. `raw`, `hash` (JSON and digest) and "
                "`crypto` (the same and AES-256-CBC) are a Caster with these stages; `node` is a Node's messages. Sent in segments "
                "(UDP_SEGMENT), or each by itself (single).",
                ("stack", "size", "feed"),
                lambda it: f"{figure(it['rate'])} \\| {figure(it['cpu_us'])}",
            ),
            self.grid(
                "own",
                "From own to own",
                "From one host to another: received messages a second | CPU µs of the receiver | of the sender; lost.",
                ("stack",),
                lambda it: f"{figure(it['rate'])} \\| {figure(it['cpu_us'])} \\| {figure(it['send_cpu_us'])}; {it['loss']:.0%}",
            ),
            self.grid(
                "lossless",
                "Without loss",
                "The highest rate (messages a second, in steps of 1.4) at which nothing is lost in a second. Hash.",
                ("size",),
                lambda it: figure(it["rate"]),
            ),
            self.grid(
                "hostile",
                "Turning away",
                "Datagrams whose digest does not match: turned away a second while they are sent flat out | CPU µs for each.",
                (),
                lambda it: f"{figure(it['rate'])} \\| {figure(it['cpu_us'])}",
            ),
            self.grid(
                "send",
                "Sending, flat out",
                "To the other end of a cable where no program listens: CPU µs a message | messages a second.",
                ("stack", "size"),
                lambda it: f"{figure(it['cpu_us'])} \\| {figure(it['rate'])}",
            ),
            self.grid(
                "roundtrip",
                "Round trip",
                "64 B, between two hosts on one machine, on a core each: median | 99th percentile, µs.",
                ("stack",),
                lambda it: f"{figure(it['p50_us'])} \\| {figure(it['p99_us'])}",
            ),
            self.grid(
                "onehost",
                "Round trip on one host",
                "64 B, two processes of one host that hear each other and themselves, with their defaults, on a core each or both on one, "
                "where nothing but their own work counts: median | 99th percentile, µs.",
                ("stack", "cores"),
                lambda it: f"{figure(it['p50_us'])} \\| {figure(it['p99_us'])}",
            ),
            self.grid(
                "onehost-send",
                "Sending on one host",
                "One message a call, with their defaults. All but `C sendto` are in the group, so the kernel makes a copy for the program itself: CPU µs a message | messages a second.",
                ("stack", "size"),
                lambda it: f"{figure(it['cpu_us'])} \\| {figure(it['rate'])}",
            ),
            self.grid(
                "heartbeat",
                "Heartbeats at 10,000 a second",
                "From 10,000 nodes that are known: CPU µs for each; what the C programs do is receive and verify.",
                ("stack",),
                lambda it: figure(it["cpu_us"]) + (f", {it['drops']:g} lost" if it["drops"] else ""),
            ),
            self.scale(),
            self.grid(
                "crowd",
                "Real nodes in one process",
                "CPU, as a part of one core | private memory | threads | false downs.",
                ("nodes",),
                lambda it: f"{it['cpu_share']:.2f} \\| {it['private_mb']:.0f} MB \\| {it['threads']:g} \\| {it['downs']:g}"
                + ("" if it["fewest"] == it["nodes"] - 1 else f"; only {it['fewest']:g} known"),
            ),
            self.discovery(),
            self.grid(
                "idle",
                "At rest",
                "No other node is there: CPU µs a second | wake-ups a second | private memory | threads. Caster, node-discover and "
                "zbeacon send a heartbeat once a second, which is included, the original every two seconds; zenoh and multicast DNS send none. "
                "C does nothing but send and receive that one heartbeat: a thread that sleeps for a second finds its caches cold.",
                (),
                lambda it: f"{figure(it['cpu_us_s'])} \\| {it['wakeups_s']:.2f} \\| {it['private_mb']:.2f} MB \\| {it['threads']:g}",
            ),
            self.grid("start", "Loading", "`import` or `require` in a fresh process, ms (median).", (), lambda it: f"{it['ms']:.1f}"),
            self.grid("size", "Size", "Stripped.", ("file",), lambda it: f"{it['bytes'] / 1024:,.0f} KB"),
        ]
        return "\n".join(part for part in parts if part)

    def how(self) -> str:
        versions = "; ".join(f"{name}: {value}" for name, value in self._all["versions"].items())
        peers = self._all["programs"].values()
        others = ", ".join(f"{it['label']} {it['version']}" for it in peers if it["kind"] == "peer")
        lines = [
            f"Taken in {self._all['seconds'] / 60:.0f} minutes, all in turn, the median of {self._all['repeats']} "
            f"unless said otherwise. {versions}. Others: {others}.",
            "",
        ]
        if self._all["rows"] != list(ROWS):
            lines += [f"**Part of the benchmarks only: {', '.join(self._all['rows'])}.**", ""]
        lines += [f"* skipped: {line}" for line in self._all["skipped"]]
        lines += [f"* failed once: {line}" for line in self._all["failures"]]
        return "\n".join([*lines, ""])

    def grid(self, row: str, title: str, note: str, axes: tuple[str, ...], cell: Callable[[dict], str]) -> str:
        """One line for each that took part, one column for each case."""
        rows = [it for it in self._rows if it["row"] == row]
        if not rows:
            return ""
        cases = list(dict.fromkeys(tuple(it[axis] for axis in axes) for it in rows))
        heads = [" ".join(self.shown(axis, value) for axis, value in zip(axes, case)).strip() or " " for case in cases]
        lines = [f"### {title}", "", note, "", f"| | {' | '.join(heads)} |", "|---" * (len(cases) + 1) + "|"]
        for who in self.who(row):
            mine = {tuple(it[axis] for axis in axes): it for it in rows if it["who"] == who}
            cells = [cell(mine[case]) if case in mine else "–" for case in cases]
            lines.append(f"| {self.label(who)} | {' | '.join(cells)} |")
        return "\n".join([*lines, ""])

    def shown(self, axis: str, value) -> str:
        return {"size": f"{value} B", "nodes": f"{value} nodes", "feed": "single" if value == "single" else ""}.get(axis, str(value))

    def scale(self) -> str:
        rows = [it for it in self._rows if it["row"] == "scale"]
        if not rows:
            return ""
        lines = [
            "### Following many",
            "",
            "Nodes at 1 Hz, for 6 s, spread over the second or all at its beginning, as fast as they can be sent. "
            f"Stock buffer: what Linux grants without privileges if rmem_max was not raised ({STOCK_BUFFER:,} bytes); the original always has that. "
            "Memory is what the follower has more than before, for each node: id and metadata (36 bytes) included.",
            "",
            "| | nodes | | CPU µs a heartbeat | bytes a node | lost | false downs | |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for it in rows:
            outcome = "all followed" if it["ok"] else f"{it['ups']:,.0f} found"
            lines.append(
                f"| {self.label(it['who'])} | {it['ids']:,} | {it['way']} | {figure(it['cpu_us'])} | {it['bytes']:,.0f} "
                f"| {it['drops']:,.0f} | {it['downs']:,.0f} | {outcome} |"
            )
        return "\n".join([*lines, ""])

    def discovery(self) -> str:
        rows = [it for it in self._rows if it["row"] == "discovery"]
        if not rows:
            return ""
        lines = [
            "### Discovery",
            "",
            "A is there, B comes, on two hosts with a cable between them: ms until each knows the other, from the moment "
            "B calls `up` (or what it is called there); and from B's leaving until A knows.",
            "",
            "| A | B | A learns of B | B learns of A | leave |",
            "|---|---|---|---|---|",
        ]
        for it in rows:
            goodbye = figure(it["goodbye_ms"]) if it.get("goodbye_ms") is not None else "–"
            lines.append(
                f"| {self.label(it['who'])} | {self.label(it['second'])} | {figure(it['a_learns_b_ms'])} "
                f"| {figure(it['b_learns_a_ms'])} | {goodbye} |"
            )
        return "\n".join([*lines, ""])

    # --- goals ------------------------------------------------------------------------------------

    def goals(self) -> str:
        lines = ["### Goals", "", "| what | goal | measured | |", "|---|---|---|---|"]
        for what, goal, measured, reached in self.outcomes():
            lines.append(f"| {what} | {goal} | {measured} | {'reached' if reached else 'not reached'} |")
        return "\n".join([*lines, ""]) if len(lines) > 4 else ""

    def outcomes(self):
        """The goal of each figure that was measured."""
        get = self.get

        def ratio(a, b):
            return a / b if a and b else None

        def at_least(what, text, value, limit, shown=None):
            return value is not None and (what, f"≥ {text}", shown.format(value) if shown else f"{figure(value)} ×", value >= limit)

        def at_most(what, text, value, limit, shown="{:.3g}"):
            return value is not None and (what, f"≤ {text}", shown.format(value), value <= limit)

        def cpu(who, stack, size=64, row="receive", **more):
            if row == "receive":
                more.setdefault("feed", "segments")
            return get(row, who, "cpu_us", stack=stack, size=size, **more)

        def followed(who, way):
            ok = [it["ids"] for it in self._rows if it["row"] == "scale" and it["who"] == who and it["way"] == way and it["ok"]]
            return max(ok, default=0) or None

        found = []
        for stack in ("raw", "hash", "crypto"):
            for feed in ("segments", "single"):
                part = ratio(cpu("core", stack, feed=feed), cpu("recvmmsg", stack, feed=feed))
                found.append(at_most(f"core receive, {stack}, {feed}, CPU, of C recvmmsg", "1.4 ×", part, 1.4, "{:.2f} ×"))
        for stack, times in (("hash", 5), ("crypto", 8)):
            found.append(at_least(f"core receive, {stack}, CPU, better than the original", f"{times} ×", ratio(cpu("original", stack), cpu("core", stack)), times))
        found += [
            at_least("own to own, hash, messages a second", "2.5 M", get("own", "core-batch", "rate", stack="hash") or get("own", "core", "rate", stack="hash"), 2.5e6, "{:,.0f}"),
            at_least("own to own, hash, messages a second, of the original's", "18 ×", ratio(get("own", "core-batch", "rate", stack="hash"), get("own", "original010", "rate", stack="hash")), 18),
            at_least("own to own, hash, messages a second, of zenoh's, which are raw", "3.5 ×", ratio(get("own", "core-batch", "rate", stack="hash"), get("own", "zenoh", "rate", stack="raw")), 3.5),
            at_least("lossless rate, hash, 64 B, of the original's", "10 ×", ratio(get("lossless", "core", "rate", size=64), get("lossless", "original", "rate", size=64)), 10),
            at_least("lossless rate, hash, 8 KiB, of the original's", "20 ×", ratio(get("lossless", "core", "rate", size=8192), get("lossless", "original", "rate", size=8192)), 20),
            at_least("bulk send, hash, 64 B, CPU, better than the original", "10 ×", ratio(cpu("original", "hash", row="send"), cpu("core-batch", "hash", row="send") or cpu("core", "hash", row="send")), 10),
            at_most("bulk send, crypto, 8 KiB, CPU µs", "10", cpu("core-batch", "crypto", 8192, "send") or cpu("core", "crypto", 8192, "send"), 10),
            at_least("followed at 1 Hz, spread, of the original's", "50 ×", ratio(followed("core", "spread"), followed("original", "spread")), 50),
            at_least("followed at 1 Hz, spread", "500,000", followed("core", "spread"), 500000, "{:,}"),
            at_least("followed at 1 Hz, in one burst", "50,000", followed("core", "burst"), 50000, "{:,}"),
            at_most("heartbeat at 10,000/s, hash, CPU µs", "5", get("heartbeat", "core", "cpu_us", stack="hash"), 5),
            at_least("the same, better than the original", "6 ×", ratio(get("heartbeat", "original", "cpu_us", stack="hash"), get("heartbeat", "core", "cpu_us", stack="hash")), 6),
            at_least("heartbeat, crypto, better than the original", "12 ×", ratio(get("heartbeat", "original", "cpu_us", stack="crypto"), get("heartbeat", "core", "cpu_us", stack="crypto")), 12),
            at_least("followed at 1 Hz, in one burst, without privileges, of the original's", "5 ×", ratio(followed("core", STOCK_BURST), followed("original", "burst")), 5),
            at_most("bytes a known node, at 100,000, with id and metadata (36 bytes)", "292", get("scale", "core", "bytes", ids=100000, way="spread"), 292, "{:,.0f}"),
        ]
        for who in ("core", "abi"):
            trip = lambda key, field, stack="hash": get("roundtrip", key, field, stack=stack)  # noqa: E731
            name = self._all["programs"].get(who, {}).get("label", who)
            found += [
                at_most(f"round trip, hash, {name}, p50, of C blocking", "1.3 ×", ratio(trip(who, "p50_us"), trip("blocking", "p50_us")), 1.3, "{:.2f} ×"),
                at_most(f"round trip, hash, {name}, p50, of the original's", "0.4 ×", ratio(trip(who, "p50_us"), trip("original", "p50_us")), 0.4, "{:.2f} ×"),
                at_most(f"round trip, hash, {name}, p99, of the original's", "0.2 ×", ratio(trip(who, "p99_us"), trip("original", "p99_us")), 0.2, "{:.2f} ×"),
            ]
            alone = lambda key, stack="node": get("onehost", key, "p50_us", stack=stack, cores=TWO_CORES)  # noqa: E731
            part = ratio(alone(who), alone("blocking", "hash"))
            found.append(at_most(f"round trip of one host, {name}, p50, of C blocking", "1.5 ×", part, 1.5, "{:.2f} ×"))
            single = lambda key, stack="node": get("onehost-send", key, "cpu_us", stack=stack, size=64)  # noqa: E731
            for peer, label in (("sendto", "C"), ("member", "C that is in the group, as it has to be to hear others")):
                part = ratio(single(who), single(peer, "hash"))
                found.append(at_most(f"single send on one host, {name}, 64 B, CPU, of {label}", "1.5 ×", part, 1.5, "{:.2f} ×"))
            part = ratio(single(who), single("lcm", "raw"))
            found.append(at_most("the same, of LCM", "1 ×", part, 1, "{:.2f} ×"))
        part = ratio(alone("node"), alone("original010"))
        found.append(at_most("round trip of one host, Node.js, p50, of the original's", "0.7 ×", part, 0.7, "{:.2f} ×"))
        spins = ratio(get("roundtrip", "core-spin", "p50_us", stack="hash"), get("roundtrip", "spinning", "p50_us", stack="hash"))
        found.append(at_most("round trip, hash, Caster, Rust, spin, p50, of C spinning", "1.3 ×", spins, 1.3, "{:.2f} ×"))
        for stack, times in (("hash", 2.5), ("crypto", 5)):
            found.append(at_least(f"Node.js, messages to listeners, {stack}, CPU, better than the original", f"{times:g} ×", ratio(cpu("original", stack), cpu("node", stack)), times))
        found.append(at_most("Node.js, round trip, hash, of the original's", "0.7 ×", ratio(get("roundtrip", "node", "p50_us", stack="hash"), get("roundtrip", "original", "p50_us", stack="hash")), 0.7, "{:.2f} ×"))
        for peer in ("lcm", "zenoh"):
            if peer in self._all["programs"]:
                found.append(at_least(f"Python, raw messages to listeners, CPU, better than {self.label(peer)}", "2 ×", ratio(cpu(peer, "raw"), cpu("python", "raw")), 2))
        between = lambda a, b, field: get("discovery", a, field, second=b)  # noqa: E731
        found += [
            at_most("discovery between Caster nodes, A learns of B, ms", "1", between("core", "core", "a_learns_b_ms"), 1),
            at_most("discovery between Caster nodes, B learns of A, ms", "1", between("core", "core", "b_learns_a_ms"), 1),
            at_most("an original learns of a new Caster node, ms", "2", between("original", "core", "a_learns_b_ms"), 2),
            at_most("leave, ms", "0.5", between("core", "core", "goodbye_ms"), 0.5),
            at_most("discovery between Caster nodes in Node.js, A learns of B, ms", "2", between("node", "node", "a_learns_b_ms"), 2),
            at_most("discovery between Caster nodes in Node.js, B learns of A, ms", "2", between("node", "node", "b_learns_a_ms"), 2),
            at_most("at rest, C: CPU of a C program with one heartbeat a second", "1 ×", ratio(get("idle", "abi", "cpu_us_s"), get("idle", "beacon", "cpu_us_s")), 1, "{:.2f} ×"),
            at_most("at rest, C: CPU µs a second", "60", get("idle", "abi", "cpu_us_s"), 60),
            at_most("at rest, C: wake-ups a second", "1.2", get("idle", "abi", "wakeups_s"), 1.2),
            at_most("at rest, C: private MB", "1", get("idle", "abi", "private_mb"), 1),
            at_least("turning away, CPU, better than the original", "10 ×", ratio(get("hostile", "original", "cpu_us"), get("hostile", "core", "cpu_us")), 10),
            at_most("libcaster.so, KB", "700", ratio(get("size", "abi", "bytes"), 1024), 700, "{:,.0f}"),
            at_most("import caster, ms", "3", get("start", "python", "ms"), 3),
            at_most("require('caster'), ms", "5", get("start", "node", "ms"), 5),
        ]
        return [it for it in found if it]

    # --- where others are ahead -------------------------------------------------------------------

    def behind(self) -> str:
        """Each Caster package against all others of its own language."""
        rivals = {
            "core": ("original", "original010", "mdns-sd", "avahi", "zbeacon", "lcm", "zenoh", "zeroconf", "node-discover"),
            "python": ("lcm", "zenoh", "zeroconf"),
            "node": ("original", "original010", "node-discover"),
        }
        # The comparison of each row, and whether more is better.
        fields = {
            "receive": [("cpu_us", "CPU", False)],
            "own": [("rate", "rate", True)],
            "lossless": [("rate", "rate", True)],
            "hostile": [("cpu_us", "CPU", False)],
            "send": [("cpu_us", "CPU", False)],
            "roundtrip": [("p50_us", "median", False), ("p99_us", "99th percentile", False)],
            "heartbeat": [("cpu_us", "CPU", False)],
            "discovery": [("a_learns_b_ms", "A learns of B", False), ("b_learns_a_ms", "B learns of A", False), ("goodbye_ms", "goodbye", False)],
            "idle": [("cpu_us_s", "CPU", False), ("wakeups_s", "wake-ups", False), ("private_mb", "memory", False), ("threads", "threads", False)],
            "start": [("ms", "time", False)],
        }
        cases = ("stack", "size", "feed", "nodes")
        lines = []
        for mine in self._rows:
            for field, name, more in fields.get(mine["row"], []):
                value = mine.get(field)
                if mine["who"] not in rivals or value is None or mine.get("second") not in (None, mine["who"]):
                    continue
                for other in self._rows:
                    same = other["row"] == mine["row"] and all(other.get(k) == mine.get(k) for k in cases)
                    alone = other.get("second") in (None, other["who"])
                    if not same or not alone or other["who"] not in rivals[mine["who"]] or not other.get(field):
                        continue
                    if other[field] > value if more else other[field] < value:
                        case = " ".join(self.shown(k, mine[k]) for k in cases if k in mine).strip()
                        what = f"{mine['row']}{', ' + case if case else ''}, {name}"
                        lines.append(
                            f"| {what} | {self.label(mine['who'])}: {figure(value)} | {self.label(other['who'])}: {figure(other[field])} |"
                        )
        if not lines:
            return "### Where others are ahead\n\nNowhere in this run.\n"
        head = "Each Caster package against those of its language, Rust against all; `own` is one message a call against zenoh's batches unless it says `send_batch`."
        return "\n".join(["### Where others are ahead", "", head, "", "| row | Caster | others |", "|---|---|---|", *lines, ""])

    # --- charts -----------------------------------------------------------------------------------

    def charts(self):
        def pick(row: str, field: str, **case):
            rows = []
            for who in self.who(row):
                value = self.get(row, who, field, **case)
                if value:
                    rows.append((self.label(who), value, self._all["programs"][who]["kind"]))
            return rows

        wanted = [
            ("receive-hash", "CPU for each message received", "µs, kernel included; 64 B of JSON with its digest. Less is better.", "receive", "cpu_us", {"stack": "hash", "size": 64, "feed": "segments"}, True),
            ("receive-raw", "CPU for each message received, raw", "µs, kernel included; 64 B. Less is better.", "receive", "cpu_us", {"stack": "raw", "size": 64, "feed": "segments"}, True),
            ("rate-hash", "Messages received a second", "Flat out, 64 B of JSON with its digest, verified. More is better.", "receive", "rate", {"stack": "hash", "size": 64, "feed": "segments"}, True),
            ("send-hash", "CPU for each message sent", "µs, kernel included; 64 B of JSON with its digest. Less is better.", "send", "cpu_us", {"stack": "hash", "size": 64}, True),
            ("roundtrip-hash", "Round trip", "Median, µs; 64 B of JSON with its digest. Less is better.", "roundtrip", "p50_us", {"stack": "hash"}, False),
            ("heartbeat", "CPU for each heartbeat", "µs, kernel included; 10,000 known nodes at 1 Hz. Less is better.", "heartbeat", "cpu_us", {"stack": "hash"}, False),
            ("idle", "CPU at rest", "µs a second. Less is better.", "idle", "cpu_us_s", {}, True),
        ]
        for name, title, note, row, field, case, logarithmic in wanted:
            rows = pick(row, field, **case)
            if rows:
                yield chart(name, title, note, rows, logarithmic)
        rows = []
        for it in self._rows:
            if it["row"] == "discovery" and it["who"] == it["second"]:
                kind = self._all["programs"][it["who"]]["kind"]
                rows.append((self.label(it["who"]), max(it["a_learns_b_ms"], it["b_learns_a_ms"]), kind))
        if rows:
            yield chart("discovery", "Until both know each other", "ms, the later of the two. Less is better.", rows, True)
