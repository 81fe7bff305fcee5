"""Private networks, and the programs that run in them.

A lab is one host with nothing but its loopback interface, or two hosts with a cable between them.
They are network namespaces inside a user namespace, so that no root is needed, nothing reaches the
machine's own interfaces, and everything is gone when the lab is closed.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import threading
import time

READY_WITHIN = 20.0
DONE_WITHIN = 60.0

SETUP = r"""
set -e
prepare() { ip link set lo up; ip link set lo multicast on; }
prepare
if [ "$1" = 1 ]; then
    ip route add 224.0.0.0/4 dev lo
    echo "$$"
    exec cat
fi
unshare -n sleep 3600 &
other=$!
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
ip link add eth0 type veth peer name eth0 netns "$other"
link() { ip link set eth0 addrgenmode none mtu 65000; ip addr add "10.77.0.$1/24" brd + dev eth0; ip link set eth0 up; ip route add 224.0.0.0/4 dev eth0; }
link 1
nsenter -t "$other" -n sh -ec "$(cat <<END
ip link set lo up; ip link set lo multicast on
ip link set eth0 addrgenmode none mtu 65000; ip addr add 10.77.0.2/24 brd + dev eth0; ip link set eth0 up; ip route add 224.0.0.0/4 dev eth0
END
)"
echo "$$ $other"
cat
kill "$other"
"""


class Failed(Exception):
    """A program did not do what it was asked to."""


class Lab:
    """`hosts` is 1 or 2; each has `address` and can start programs."""

    def __init__(self, hosts: int = 1) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "-rn", "sh", "-c", SETUP, "lab", str(hosts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        pids = self._holder.stdout.readline().split()
        if len(pids) != hosts:
            self._holder.kill()
            raise Failed("this system refuses network namespaces (unshare -rn)")
        addresses = ["127.0.0.1"] if hosts == 1 else ["10.77.0.1", "10.77.0.2"]
        self.hosts = [Host(pid, address) for pid, address in zip(pids, addresses)]

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_) -> None:
        for host in self.hosts:
            host.close()
        self._holder.stdin.close()
        try:
            self._holder.wait(5)
        except subprocess.TimeoutExpired:
            self._holder.kill()
            self._holder.wait()


class Host:
    def __init__(self, pid: str, address: str) -> None:
        self.address = address
        self._enter = ["nsenter", "-t", pid, "-U", "-n", "--preserve-credentials", "--"]
        self._programs: list[Program] = []

    def start(self, command: list[str], env: dict[str, str] | None = None) -> Program:
        """Starts a program and waits until it says that it is ready."""
        program = self.spawn(command, env)
        program.ready = program.expect("ready", READY_WITHIN)
        return program

    def spawn(self, command: list[str], env: dict[str, str] | None = None) -> Program:
        program = Program([*self._enter, *command], env)
        self._programs.append(program)
        return program

    def run(self, command: list[str], env: dict[str, str] | None = None) -> dict:
        """Runs a program to its end, and returns what it said then."""
        program = self.spawn(command, env)
        try:
            return program.expect("done", DONE_WITHIN)
        finally:
            program.kill()

    def close(self) -> None:
        for program in self._programs:
            program.kill()


class Program:
    """A program that speaks the protocol of bench/README.md."""

    ready: dict

    def __init__(self, command: list[str], env: dict[str, str] | None) -> None:
        self._command = command
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            text=True,
        )
        self.pid = self._process.pid
        self._lines: queue.Queue = queue.Queue()
        self._complaints: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            try:
                self._lines.put(json.loads(line))
            except ValueError:
                pass
        self._lines.put(None)

    def _read_errors(self) -> None:
        for line in self._process.stderr:
            self._complaints = [*self._complaints[-5:], line]

    def expect(self, event: str, within: float, **fields) -> dict:
        """The next line with this event and these fields; others are passed over."""
        deadline = time.monotonic() + within
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Failed(f"no {event!r} within {within:g} s from {self._what()}") from None
            if line is None:
                self._process.wait()
                raise Failed(f"{self._what()} ended: {''.join(self._complaints).strip()}")
            if line.get("ev") == event and all(line.get(k) == v for k, v in fields.items()):
                return line

    def _what(self) -> str:
        return " ".join(word for word in self._command[6:] if "/" not in word or word == self._command[6])

    def report(self) -> dict:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.expect("report", DONE_WITHIN)

    def end(self) -> None:
        """Ends its standard input, which asks it to end."""
        self._process.stdin.close()

    def finish(self) -> dict:
        self.end()
        return self.expect("done", DONE_WITHIN)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def drops(self) -> int:
        """Datagrams that the kernel threw away because a socket of its host was full. The column `drops` of
        /proc/net/udp also counts what a filter of the program refuses, as own copies."""
        total = 0
        with open(f"/proc/{self.pid}/net/snmp") as file:
            names, values = (line.split()[1:] for line in file if line.startswith("Udp:"))
            total += int(dict(zip(names, values))["RcvbufErrors"])
        with open(f"/proc/{self.pid}/net/snmp6") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Udp6RcvbufErrors"))
        return total

    def usage(self) -> dict:
        """Resources used so far: CPU time in ns, switches, and what it has now: private memory
        in KiB, threads."""
        cpu = switches = 0
        tasks = os.listdir(f"/proc/{self.pid}/task")
        for task in tasks:
            with open(f"/proc/{self.pid}/task/{task}/schedstat") as file:
                cpu += int(file.read().split()[0])
            with open(f"/proc/{self.pid}/task/{task}/status") as file:
                switches += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M)[1])
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            private = sum(int(kb) for kb in re.findall(r"^Private_Dirty:\s+(\d+)", file.read(), re.M))
        return {"cpu_ns": cpu, "switches": switches, "private_kb": private, "threads": len(tasks)}
