"""A system call fails once: at its first call, at its second, and so on. The program gets an error that it can act on,
or the library recovers by itself; in both cases the node meets the other one in the end. Or a call fails always: then
the program gets errors with a text, and can go on.

strace lets the calls fail. CASTER_LONG=1 takes each of the first fifty calls of each thread, not some of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from obstacles import skip

ROOT = Path(__file__).resolve().parents[3]
RELEASE = ROOT / "target/release"
HERE = Path(__file__).parent
OPTIONS = json.dumps({"port": 23700, "heartbeat": 100, "timeout": 1000})
MOST = 50
SAMPLE = 5
"""How many calls fail in turn, without CASTER_LONG."""

FAULTS = [
    ("socket", "EMFILE"),
    ("socket", "EACCES"),
    ("bind", "EADDRINUSE"),
    ("bind", "ENOMEM"),
    ("setsockopt", "ENOBUFS"),
    ("getsockname", "ENOBUFS"),
    ("ioctl", "ENODEV"),
    ("fcntl", "EMFILE"),
    ("epoll_create1", "EMFILE"),
    ("epoll_ctl", "ENOMEM"),
    ("epoll_wait", "EINVAL"),
    ("eventfd2", "EMFILE"),
    ("socketpair", "EMFILE"),
    ("listen", "EADDRINUSE"),
    ("clone3", "EAGAIN"),
    ("getrandom", "ENOSYS"),
    ("sendto", "ENOBUFS"),
    ("sendto", "ENETUNREACH"),
    ("recvmmsg", "ENOMEM"),
    ("recvmmsg", "ECONNREFUSED"),
    ("recvmsg", "ENOBUFS"),
    ("sendto", "EPERM"),
    ("write", "ENOMEM"),
    ("openat", "EMFILE"),
]


class Arena:
    """A network with one host, on which the other node is up."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "program"
        self.log = folder / "calls"
        compiler = os.environ.get("CC", "cc").split()
        flags = ["-Wall", "-Wextra", "-Werror", "-O1", f"-I{ROOT}/include", f"-L{RELEASE}", f"-Wl,-rpath,{RELEASE}"]
        subprocess.run([*compiler, *flags, str(HERE / "program.c"), "-lcaster", "-o", str(self.program)], check=True)
        self.lab = lab.NamespaceLab(1)
        self.prefix = self.lab.hosts[0].prefix
        self.other = subprocess.Popen([*self.prefix, str(self.program), OPTIONS, "other", ""], stdout=subprocess.DEVNULL)

    def run(self, call: str, injected: str | None = None, *more: str) -> subprocess.CompletedProcess[str]:
        inject = ["-e", f"inject={call}:{injected}"] if injected else []
        strace = ["strace", "-f", "-qq", "-o", str(self.log), "-e", f"trace={call},chdir", "-e", "signal=none", *inject]
        command = [*self.prefix, *strace, str(self.program), OPTIONS, "subject", "other", *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def close(self) -> None:
        self.other.kill()
        self.other.wait()
        self.lab.close()


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    if not lab.detect().isolated:
        skip(f"it needs network namespaces: {lab.detect().reason}")
    if not shutil.which("strace"):
        skip("it needs strace")
    arena = Arena(tmp_path_factory.mktemp("faults"))
    yield arena
    arena.close()


def numbers(log: str, call: str) -> list[int]:
    """The numbers of the calls of each thread that can fail, those before the program begins left out."""
    lines = [line.split(maxsplit=1) for line in log.splitlines()]
    begins = next(at for at, (_, text) in enumerate(lines) if text.startswith("chdir("))
    is_call = re.compile(rf"{call}\(").match
    before = sum(1 for _, text in lines[:begins] if is_call(text))
    after = Counter(thread for thread, text in lines if is_call(text))
    return list(range(before + 1, min(max(after.values(), default=0), before + MOST) + 1))


def some(all_of_them: list[int]) -> list[int]:
    """The first, the last, and some between."""
    if os.environ.get("CASTER_LONG") or len(all_of_them) <= SAMPLE:
        return all_of_them
    return sorted({all_of_them[(len(all_of_them) - 1) * n // (SAMPLE - 1)] for n in range(SAMPLE)})


@pytest.mark.parametrize(("call", "error"), FAULTS)
def test_a_call_that_fails_once(arena: Arena, call: str, error: str) -> None:
    clean = arena.run(call)
    assert (clean.returncode, clean.stdout) == (0, "begins\n"), clean
    failed = 0
    for number in some(numbers(arena.log.read_text(), call)):
        done = arena.run(call, f"error={error}:when={number}")
        told = f"{call} {number}: status {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, told
        failed += "(INJECTED)" in arena.log.read_text()
    assert failed > 0, "no call has failed"


@pytest.mark.parametrize(
    ("call", "error"),
    [("sendto", "EPERM"), ("sendto", "ENOBUFS"), ("recvmsg", "ENOBUFS"), ("recvmsg", "EAGAIN"), ("recvmsg", "EINTR")],
)
def test_an_error_of_netlink_is_no_error_of_up(arena: Arena, call: str, error: str) -> None:
    """strace counts the calls of each thread: the call of that number of another one may be a datagram, which fails too.
    It is an event then, and the only thing told."""
    arena.run(call)
    of_thread: Counter[str] = Counter()
    of_netlink = set()
    for line in arena.log.read_text().splitlines():
        if f"{call}(" in line:
            of_thread[thread := line.split()[0]] += 1
            if "nl_pid" in line or "nlmsg" in line:
                of_netlink.add(of_thread[thread])
    assert of_netlink
    for number in sorted(of_netlink):
        done = arena.run(call, f"error={error}:when={number}")
        failed = [line for line in arena.log.read_text().splitlines() if "(INJECTED)" in line]
        datagrams = sum("sin_addr" in line for line in failed)
        begins, *told = done.stdout.splitlines()
        assert (done.returncode, begins) == (0, "begins"), (number, done)
        assert len(told) <= datagrams < len(failed), (number, done, failed)
        assert all(line.startswith("event: cannot send to ") for line in told), (number, done)


@pytest.mark.parametrize(
    ("call", "error", "meets"),
    [
        ("getrandom", "EIO", False),
        ("socket", "EMFILE", False),
        ("bind", "EACCES", False),
        ("epoll_create1", "EMFILE", False),
        ("eventfd2", "EMFILE", False),
        ("socketpair", "EMFILE", False),
        ("sendto", "ENETUNREACH", False),
        ("recvmmsg", "ENOMEM", False),
        ("openat", "EMFILE", True),
        ("listen", "EACCES", True),
        ("epoll_wait", "EINVAL", True),
        ("recvmmsg", "ENOSYS", True),
    ],
)
def test_a_call_that_fails_for_ever(arena: Arena, call: str, error: str, meets: bool) -> None:
    """`meets`: whether there is another way."""
    arena.run(call)
    first = numbers(arena.log.read_text(), call)[0]
    done = arena.run(call, f"error={error}:when={first}+", *([] if meets else ["40"]))
    lines = done.stdout.splitlines()
    assert "(INJECTED)" in arena.log.read_text()
    if meets:
        assert done.returncode == 0, done
    else:
        assert (done.returncode, lines[0], lines[-1]) == (5, "begins", "never met"), done
        assert len(lines) > 2, "an error or an event tells of it"
