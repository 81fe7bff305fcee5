"""Networks to run peers in: private ones made of namespaces, or loopback.

A `Lab` is a handful of hosts on one LAN.  The good kind is a bridge with one
network namespace per host, inside a user namespace, so that neither root nor
any cleaning up is needed: everything is gone when the last process is.  Where
the system refuses namespaces, all the hosts are 127.0.0.1.
"""

from __future__ import annotations

import functools
import os
import select
import subprocess
import time
from dataclasses import dataclass

HOSTS = 7
SETUP_DEADLINE = 20.0

# Runs inside the new namespaces, then holds them until its stdin is closed.
SETUP = r"""
set -e
mount -t tmpfs none /run
mkdir /run/netns
ip link set lo up
if [ "$2" = bridge ]; then
    ip link add br0 type bridge mcast_snooping 0
    ip link set br0 up
fi
i=1
while [ "$i" -le "$1" ]; do
    ip netns add "h$i"
    ip link add "v$i" type veth peer name eth0 netns "h$i"
    if [ "$2" = bridge ]; then
        ip link set "v$i" master br0
    else
        ip link set "v$i" addrgenmode none
    fi
    ip link set "v$i" up
    ip -n "h$i" addr add "10.77.0.$i/24" dev eth0
    ip -n "h$i" link set lo up
    ip -n "h$i" link set eth0 up
    ip -n "h$i" route add 224.0.0.0/4 dev eth0
    i=$((i + 1))
done
echo ready
exec cat
"""


class NamespacesUnavailable(Exception):
    """The system refuses network namespaces; the message is the reason."""


@dataclass(frozen=True)
class Host:
    """A place to run a process: an address and how to get there."""

    address: str
    prefix: tuple[str, ...] = ()
    isolated: bool = False

    @property
    def interface(self) -> str | None:
        """The address to bind multicast to, where the routes do not decide."""
        return None if self.isolated else self.address


class Lab:
    """A LAN of hosts.  Close it when done."""

    hosts: list[Host]

    def close(self) -> None:
        """Releases the resources of the lab."""


class LoopbackLab(Lab):
    """Several hosts with the address 127.0.0.1, for Caster peers only."""

    def __init__(self) -> None:
        self.hosts = [Host("127.0.0.1")] * HOSTS


class NamespaceLab(Lab):
    """Hosts 10.77.0.1 … on a bridge, each in its own network namespace.

    Without the bridge nothing connects them: the other ends of their cables,
    `v1` …, lie in the namespace where commands run with the prefix `middle`.
    """

    middle: tuple[str, ...]

    def __init__(self, hosts: int = HOSTS, bridge: bool = True) -> None:
        reasons = []
        for user in (["--user", "--map-root-user"], []):
            try:
                self._start(user, hosts, "bridge" if bridge else "cables")
            except NamespacesUnavailable as reason:
                reasons.append(str(reason))
                if os.geteuid() != 0:
                    break  # without root there is no other way
            else:
                return
        raise NamespacesUnavailable("; ".join(reasons))

    def _start(self, user: list[str], hosts: int, kind: str) -> None:
        command = ["unshare", *user, "--net", "--mount", "--propagation", "private"]
        try:
            self._holder = subprocess.Popen(
                [*command, "sh", "-c", SETUP, "lab", str(hosts), kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise NamespacesUnavailable(f"unshare: {error.strerror}") from None
        readable, _, _ = select.select([self._holder.stdout], [], [], SETUP_DEADLINE)
        if not readable or self._holder.stdout.readline() != b"ready\n":
            self._holder.kill()
            stderr = self._holder.communicate()[1].decode(errors="replace").strip()
            raise NamespacesUnavailable(stderr or "setting up took too long")

        pid = str(self._holder.pid)
        enter = ["nsenter", "--target", pid]
        if user:
            enter += ["--user", "--preserve-credentials"]
        self.middle = (*enter, "--net", "--mount", "--")
        self.hosts = [
            Host(
                address=f"10.77.0.{i}",
                prefix=(*enter, f"--net=/proc/{pid}/root/run/netns/h{i}", "--"),
                isolated=True,
            )
            for i in range(1, hosts + 1)
        ]
        try:
            self._check()
        except NamespacesUnavailable:
            self.close()
            raise

    def _check(self) -> None:
        """Makes sure that commands really run on the hosts."""
        host = self.hosts[0]
        try:
            shown = subprocess.run(
                [*host.prefix, "ip", "-o", "-4", "addr", "show", "dev", "eth0"],
                capture_output=True,
                text=True,
                timeout=SETUP_DEADLINE,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NamespacesUnavailable(f"nsenter: {error}") from None
        if host.address not in shown.stdout:
            raise NamespacesUnavailable(f"nsenter: {shown.stderr.strip()}")

    def close(self) -> None:
        self._holder.stdin.close()
        try:
            self._holder.wait(5)
        except subprocess.TimeoutExpired:
            self._holder.kill()
            self._holder.wait(5)
        self._holder.stdout.close()
        self._holder.stderr.close()


@dataclass(frozen=True)
class Network:
    """The kind of lab that this system allows, and the reason if it is loopback."""

    isolated: bool
    reason: str

    def lab(self) -> Lab:
        return NamespaceLab() if self.isolated else LoopbackLab()

    @property
    def workers(self) -> int:
        """Number of labs that can be in use at once; loopback allows one."""
        return 4 if self.isolated else 1

    def __str__(self) -> str:
        mode = "network namespaces" if self.isolated else "loopback, no originals"
        return f"{mode} ({self.reason})"


@functools.cache
def detect() -> Network:
    """Probes once for the kind of lab that this system allows.

    `INTEROP_NETWORK=loopback` asks for loopback where both would do.
    """
    if os.environ.get("INTEROP_NETWORK") == "loopback":
        return Network(False, "INTEROP_NETWORK=loopback")
    started = time.monotonic()
    try:
        NamespaceLab(1).close()
    except NamespacesUnavailable as error:
        return Network(False, f"namespaces refused: {error}")
    return Network(True, f"made one in {time.monotonic() - started:.2f} s")
