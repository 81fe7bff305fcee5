"""The peer programs: what kinds there are, and how to start, drive and watch one.

Every peer is a program which takes its node's options as one JSON argument,
writes events as JSON lines on stdout and takes line commands on stdin; see
README.md for the protocol.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lab import Host, Lab

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = ROOT / "target"
INTEROP = TARGET / "interop"

OURS = ("rust", "c", "python", "node")
RUNTIMES = {
    "original-0.8.28": "0.8.28",
    "original-0.10.48": "0.10.48",
    "original-4": "4",
    "original-20": "20",
}
ORIGINALS = tuple(RUNTIMES)
MATRIX = tuple(kind for kind in ORIGINALS if kind != "original-4")
"""The originals of the matrix; on 4 the original does what it does on 0.10."""

PIECE = 1000
"""Messages of more characters may travel in pieces."""

DEADLINE = 20.0
"""How long to wait for anything that should happen, in seconds."""

Event = dict[str, Any]


class Unavailable(Exception):
    """A kind of peer cannot run here; the message is the reason."""


# Where the programs are.


@functools.cache
def command(kind: str) -> tuple[str, ...]:
    """The program of a kind of peer; those in C and C++ are compiled, originals installed."""
    if kind in ORIGINALS:
        return original_command(RUNTIMES[kind])
    if kind == "rust":
        built = existing(TARGET / "release/examples/peer", "cargo build --example peer")
        return (str(built),)
    if kind in COMPILED:
        return (str(compile_peer(kind)),)
    if kind == "python":
        return (sys.executable, str(existing(HERE / "peers/peer.py")))
    if kind == "node":
        return (found_program("node"), str(existing(HERE / "peers/peer.js")))
    if kind == "raw":
        return (sys.executable, str(HERE / "peers/raw.py"))
    if kind in ("attacker", "collected"):
        return (sys.executable, str(ROOT / f"tests/attacks/{kind}.py"))
    raise ValueError(f"no such kind of peer: {kind}")


def existing(path: Path, remedy: str = "") -> Path:
    if not path.exists():
        hint = f" (made by {remedy})" if remedy else ""
        raise Unavailable(f"there is no {path.relative_to(ROOT)}{hint}")
    return path


def found_program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"there is no program {name}")
    return path


# Several plays of one run may start their first peer at once.
COMPILING = threading.Lock()


COMPILED = {
    "c": ("peer.c", "peer-c", os.environ.get("CC", "cc"), "c11"),
    "c++": ("peer.cpp", "peer-cpp", os.environ.get("CXX", "c++"), "c++17"),
}


def compile_peer(kind: str) -> Path:
    with COMPILING:
        return _compile_peer(*COMPILED[kind])


def _compile_peer(source_name: str, program_name: str, compiler: str, standard: str) -> Path:
    source = existing(HERE / "peers" / source_name)
    headers = [existing(ROOT / "include" / name) for name in ("caster.h", "caster.hpp")]
    library = existing(TARGET / "release/libcaster.so", "cargo build -p caster-ffi")
    program = INTEROP / program_name
    newest = max(path.stat().st_mtime for path in (source, *headers, library))
    if program.exists() and program.stat().st_mtime > newest:
        return program
    INTEROP.mkdir(parents=True, exist_ok=True)
    new = program.with_suffix(f".{os.getpid()}")
    subprocess.run(
        [
            *(compiler, f"-std={standard}", "-O1", "-Wall", "-Wextra"),
            *(f"-I{headers[0].parent}", str(source), str(library), "-pthread"),
            *("-Wl,-rpath,$ORIGIN/../release", "-o", str(new)),
        ],
        check=True,
        timeout=120,
    )
    new.replace(program)
    return program


@functools.cache
def install_runtimes() -> str | None:
    """Runs runtimes.sh once; the reason if the originals cannot be had."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "the old runtimes exist for Linux on x86-64 only"
    try:
        ran = subprocess.run(
            ["sh", str(HERE / "runtimes.sh")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
    except subprocess.TimeoutExpired:
        return "runtimes.sh took more than 300 s"
    if ran.returncode == 0:
        return None
    return (ran.stdout.strip().splitlines() or ["runtimes.sh failed"])[-1]


def original_command(version: str) -> tuple[str, ...]:
    reason = install_runtimes()
    if reason is not None:
        raise Unavailable(reason)
    node = INTEROP / "runtimes" / version / "node"
    return (str(node), str(HERE / "peers/original.js"))


# One running peer.


class Peer:
    """A running peer program and all its output so far."""

    def __init__(
        self, kind: str, host: Host, options: dict[str, Any], cast: Cast
    ) -> None:
        if kind in ORIGINALS and not host.isolated:
            raise ValueError("an original would multicast on the real interfaces")
        self.kind = kind
        self.host = host
        self.cast = cast
        self.id = options.get("id")
        self.events: list[Event] = []
        self.may_end = False
        self._changed = threading.Condition()
        self._silent = False
        self._stderr = tempfile.TemporaryFile()
        options = dict(options)
        keys, seed = options.pop("keys", None), options.pop("identity", None)
        trust = options.pop("trust", None)
        more = {"CASTER_KEYS": " ".join(keys)} if keys else {}
        more |= {"CASTER_IDENTITY": seed} if seed else {}
        more |= {"CASTER_TRUST": " ".join(trust)} if trust else {}
        self._process = subprocess.Popen(
            [*host.prefix, *command(kind), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=os.environ
            | {"CASTER_ORIGINAL": str(INTEROP / "original/node_modules/caster")}
            | more,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __str__(self) -> str:
        return f"{self.id or 'the'} ({self.kind})"

    def _read(self) -> None:
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"ev": "garbled", "line": line.decode(errors="replace")}
            with self._changed:
                self.events.append(event)
                self._changed.notify_all()
        with self._changed:
            self._silent = True
            self._changed.notify_all()

    # Commands.

    def tell(self, line: str) -> None:
        """Gives the program one command line."""
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.check_alive()
            raise

    def send(self, message: Any) -> None:
        self.tell(f"send {json.dumps(message)}")  # ASCII: old stdins mangle the rest

    def down(self) -> None:
        """Makes the node leave, and waits for the end of that."""
        self.tell("down")
        self.wait_for(lambda event: event["ev"] == "gone", "to be down")

    def ask(self, what: str) -> Any:
        """The answer to `nodes` or `stats`."""
        since = self.mark()
        self.tell(what)
        answer = self.wait_for(lambda event: event["ev"] == what, f"{what}", since)
        return answer[what]

    def stats(self) -> dict[str, Any]:
        """The counters of a Caster peer: every datagram is counted exactly once.

        The one that is being looked at just then has not been counted yet.
        """
        end = time.monotonic() + DEADLINE
        while True:
            stats = self.ask("stats")
            counted = stats["accepted"] + sum(stats["dropped"].values())
            if stats["received"] == counted:
                return stats
            assert time.monotonic() < end, f"{self}: {stats}"

    def refused(self) -> dict[str, int]:
        """Number of dropped datagrams of others so far, by reason.

        Its own come back by each of its interfaces: all but one are copies.
        """
        dropped = self.stats()["dropped"].items()
        return {why: count for why, count in dropped if count and why not in ("own", "copy")}

    def lost(self) -> dict[str, int]:
        """As `refused`, without the drops that are normal on a machine with load.

        A peer sends from two ports, and each has a socket of its own.  A datagram
        may be read after a later one of the other socket: it is `stale`.  A piece
        may arrive after it was asked for: the repair is a `repeatedPiece`.
        """
        refused = self.refused()
        refused.pop("repeatedPiece", None)
        if refused.get("stale", 0) <= 2:
            refused.pop("stale", None)
        return refused

    # Watching.

    def mark(self) -> int:
        """A position in the events; others are selected from there on."""
        return len(self.events)

    def seen(self, kind: str, since: int = 0, **fields: Any) -> list[Event]:
        """The events of one kind so far which have these fields."""
        return [event for event in self.events[since:] if matches(event, kind, fields)]

    def wait_for(
        self,
        is_it: Callable[[Event], bool],
        what: str,
        since: int = 0,
    ) -> Event:
        """Waits for an event, and fails when the program ends before it."""
        return self.wait_until(
            lambda: next(filter(is_it, self.events[since:]), None), what
        )

    def wait_until(self, condition: Callable[[], Any], what: str) -> Any:
        """Waits until the events so far make a condition true.

        Fails at once when any peer of the cast dies meanwhile.
        """
        end = time.monotonic() + DEADLINE
        with self._changed:
            while not (result := condition()):
                left = end - time.monotonic()
                assert not self._silent, f"{self} ended, expected {what}\n{self.story}"
                assert left > 0, f"{self}: expected {what} in vain\n{self.story}"
                self._changed.wait(min(left, 0.5))
                self.cast.check_alive()
        return result

    def wait_ready(self) -> None:
        self.wait_for(lambda event: event["ev"] == "ready", "to be ready")

    def wait_up(self, other: Peer) -> Event:
        return self.wait_for(
            lambda event: matches(event, "up", {"id": other.id}),
            f"to discover {other}",
        )

    def wait_down(self, other: Peer, since: int) -> Event:
        return self.wait_for(
            lambda event: matches(event, "down", {"id": other.id}),
            f"to see {other} down",
            since,
        )

    def wait_messages(self, other: Peer, expected: list[Any], since: int = 0) -> None:
        """Waits for exactly these messages of another peer, in this order.

        One beyond a datagram travels in pieces, by another socket: it may be read earlier or later.
        """
        wanted = [canonical(message) for message in expected]

        def heard() -> list[str]:
            events = self.seen("message", since, id=other.id)
            return [canonical(event["message"]) for event in events]

        try:
            self.wait_until(lambda: len(heard()) >= len(wanted), "all the messages")
        except AssertionError as error:
            missing = [message for message in wanted if message not in heard()]
            raise AssertionError(f"{error}\nmissing: {missing}") from None
        small, large = [
            [[it for it in texts if (len(it) > PIECE) == is_large] for texts in (heard(), wanted)]
            for is_large in (False, True)
        ]
        assert small[0] == small[1], f"{self} heard something else from {other}"
        assert sorted(large[0]) == sorted(large[1]), f"{self} heard other large messages from {other}"

    def hear_large(self, sender: Peer, message: Any) -> None:
        """Hears a message of the sender that takes many IP fragments.

        The receive buffer of an original has room for two of them.  They may be
        lost while the machine has no time for it: the message is sent again.
        """
        for _ in range(5):
            since = self.mark()
            sender.send(message)
            ends = time.monotonic() + 5
            while time.monotonic() < ends:
                if self.seen("message", since, id=sender.id, message=message):
                    return
                time.sleep(0.05)
        raise AssertionError(f"{self}: the large message was sent five times in vain\n{self.story}")

    def check_alive(self) -> None:
        """Asserts that the program still runs, unless it was told to end."""
        status = None if self.may_end else self._process.poll()
        assert status is None, f"{self} died with status {status}\n{self.story}"

    @property
    def story(self) -> str:
        """The last output of the program and its stderr, for a failed assertion."""
        tail = "\n".join(json.dumps(event)[:400] for event in self.events[-12:])
        return f"--- its last events:\n{tail}\n--- its stderr:\n{self.stderr[-4000:]}"

    @property
    def stderr(self) -> str:
        """The text that the program has written there so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace").strip()

    # Pausing.

    def pause(self) -> None:
        """Stops the program, with SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continues it, with SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    # Ending.

    def crash(self) -> None:
        """Kills the program, with SIGKILL."""
        self.may_end = True
        self._process.kill()
        self._process.wait(DEADLINE)

    def quit(self) -> None:
        """Tells the program to end at once."""
        self.may_end = True
        self.tell("quit")

    def drop(self) -> int:
        """Makes the program end without calling down; returns its status."""
        self.may_end = True
        self.tell("drop")
        return self.wait_ended()

    def end_input(self) -> None:
        """Closes the program's stdin, which makes it leave and end."""
        self.may_end = True
        self._process.stdin.close()

    def wait_ended(self) -> int:
        """The exit status of a program that ends by itself, once all that it wrote has been read."""
        try:
            status = self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} does not end\n{self.story}") from None
        self._reader.join(DEADLINE)
        return status

    def dispose(self) -> None:
        """Ends the program in any case, and releases its resources."""
        if self._process.poll() is None:
            self.crash()
        self._reader.join(DEADLINE)
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.stdout.close()
        self._stderr.close()


def meet(peers: Iterable[Peer]) -> None:
    """Waits until they all have seen each other."""
    peers = list(peers)
    for peer in peers:
        peer.wait_ready()
    for peer, other in itertools.permutations(peers, 2):
        peer.wait_up(other)


def processor_time(peer: Peer) -> float:
    """Seconds that its process has used, in ticks of a hundredth."""
    fields = Path(f"/proc/{peer._process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cast:
    """The peers of one play, each on its own host of a lab."""

    def __init__(self, lab: Lab) -> None:
        self._hosts = iter(lab.hosts)
        self._peers: list[Peer] = []

    def __enter__(self) -> Cast:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self._peers:
            peer.dispose()

    def start(self, kind: str, host: Host | None = None, /, **options: Any) -> Peer:
        """Starts a peer on the next free host; does not wait until it is ready."""
        host = host or next(self._hosts)
        if host.interface and kind != "raw":
            options["address"] = host.interface
        elif host.interface:
            options["interface"] = host.interface
        peer = Peer(kind, host, options, cast=self)
        self._peers.append(peer)
        return peer

    def check_alive(self) -> None:
        """Asserts that no program ended, except those that were told to."""
        for peer in self._peers:
            peer.check_alive()


def matches(event: Event, kind: str, fields: dict[str, Any]) -> bool:
    return event["ev"] == kind and all(
        event.get(name) == value for name, value in fields.items()
    )


def canonical(value: Any) -> str:
    """JSON text which is equal for equal JSON values, and only for those."""
    return json.dumps(normal(value), sort_keys=True)


def normal(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    return value
