"""Finds the harness of the interop tests; makes networks that are in trouble."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "interop"))
pytest.register_assert_rewrite("peers")

import lab  # noqa: E402
from obstacles import skip  # noqa: E402


def pytest_report_header() -> str:
    return f"networks: {lab.detect()}"


class Net:
    """A LAN of hosts in namespaces, and commands on them."""

    def __init__(self, of: lab.NamespaceLab) -> None:
        self.lab = of
        self.hosts = of.hosts

    def run(self, host: lab.Host, *command: str, timeout: float = 60) -> str:
        """Runs a command on a host; returns what it wrote. It has to succeed."""
        done = subprocess.run(
            [*host.prefix, *command], capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, host: lab.Host, *command: str, **more: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*host.prefix, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,  # type: ignore[call-overload]
        )

    def route(self, *subnets: list[int]) -> list[str]:
        """Puts these hosts into subnets with a router between them; returns the addresses of all hosts.

        The router is the namespace in the middle. Subnet 0 is 10.80.0.0/24, the next 10.81.0.0/24.
        """
        addresses = [""] * len(self.hosts)
        lines = [
            "echo 1 >/proc/sys/net/ipv4/ip_forward",
            # Packets that a bridge forwards do not pass the router.
            "nf=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $nf ] || echo 0 >$nf",
        ]
        for at, subnet in enumerate(subnets):
            bridge, network = f"lan{at}", f"10.{80 + at}.0"
            lines.append(f"ip link add {bridge} type bridge mcast_snooping 0")
            lines.append(f"ip addr add {network}.254/24 dev {bridge}")
            lines.append(f"ip link set {bridge} up")
            for host in subnet:
                addresses[host] = f"{network}.{host + 1}"
                lines.append(f"ip link set v{host + 1} master {bridge}")
                # A change of the address alone: a route that goes with it is added again.
                lines.append(f"ip -n h{host + 1} addr flush dev eth0")
                lines.append(f"ip -n h{host + 1} addr add {addresses[host]}/24 dev eth0")
                lines.append(f"ip -n h{host + 1} route replace 224.0.0.0/4 dev eth0")
                lines.append(f"ip -n h{host + 1} route replace default via {network}.254")
        self.middle("sh", "-ec", "\n".join(lines))
        return addresses

    def middle(self, *command: str) -> str:
        """Runs a command in the namespace that the cables of the hosts lead to."""
        return self.run(lab.Host("", self.lab.middle), *command)

    @contextlib.contextmanager
    def sniff(self, host: lab.Host, address: str) -> Iterator[Callable[[], int]]:
        """Counts the packets of this address that arrive at a host, until the number is asked for."""
        program = str(Path(__file__).with_name("sniff.py"))
        process = self.start(host, sys.executable, program, "eth0", address)
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield lambda: int(process.communicate(timeout=20)[0])
        finally:
            process.kill()
            process.communicate()

    def cut(self, host: lab.Host) -> None:
        """Takes every interface of a host down, with one program: what is told of a change in between is sent in vain."""
        lines = r"link set eth0 down\nlink set lo down\n"
        self.run(host, "sh", "-c", f"printf '{lines}' | ip -batch -")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "longest: runs first, so that the others run beside it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    """Two hosts on a LAN, or as many as the test has as its parameter."""
    if not lab.detect().isolated:
        skip(f"it needs network namespaces: {lab.detect().reason}")
    here = lab.NamespaceLab(getattr(request, "param", 2))
    try:
        yield Net(here)
    finally:
        here.close()


def hosts(number: int) -> pytest.MarkDecorator:
    """A mark: the network of the test has this number of hosts."""
    return pytest.mark.parametrize("net", [number], indirect=True, ids=[f"{number} hosts"])
