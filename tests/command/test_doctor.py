"""`caster doctor` names the cause in broken networks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from commands import CASTER, ROOT, Lan, hosts

Report = dict[str, Any]

HARMLESS = {"small-buffer", "no-capture", "port-shared"}
"""Notes that depend on the machine."""


def doctor(lan: Lan, host: int, *arguments: str, **variables: str) -> tuple[int, Report]:
    """The exit status and the report."""
    done = lan.caster(host, "doctor", "--json", *arguments, **variables)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def codes(report: Report) -> set[str]:
    return {finding["code"] for finding in report["findings"]} - HARMLESS


def announce(lan: Lan, host: int, *arguments: str, **variables: str) -> None:
    """A node on a host, which is up when this returns."""
    node = lan.start(host, "up", "--id", f"node {host}", *arguments, **variables)
    time.sleep(0.5)
    assert node.poll() is None, node.communicate()


def expect(lan: Lan, code: str, *arguments: str, status: int = 1, **variables: str) -> Report:
    """The doctor on host 0 finds this and nothing else."""
    ended, report = doctor(lan, 0, *arguments, **variables)
    assert codes(report) == {code}, report
    assert ended == status, report
    finding = next(it for it in report["findings"] if it["code"] == code)
    assert finding["text"] and finding["advice"]
    return report


@hosts(3)
def test_nothing_is_found_in_a_sound_network(lan: Lan) -> None:
    announce(lan, 1)
    announce(lan, 2)
    status, report = doctor(lan, 0)
    assert (status, codes(report)) == (0, set()), report
    assert {node["id"] for node in report["nodes"]} == {"node 1", "node 2"}
    assert all(node["answers"] >= 4 for node in report["nodes"]), report
    eth0 = next(it for it in report["interfaces"] if it["name"] == "eth0")
    assert eth0["joined"] and eth0["echoes"] > 0 and eth0["peers"] == 2 and eth0["kind"] == "ethernet"
    text = lan.caster(0, "doctor")
    assert text.stdout.endswith("No problem was found.\n"), text.stdout
    listed = lan.caster(1, "ls", "--wait", "2s", "--format", "json")
    assert {node["id"] for node in json.loads(listed.stdout)} == {"node 1", "node 2"}


def test_a_firewall_that_drops_what_arrives(lan: Lan) -> None:
    announce(lan, 1)
    lan.netfilter(0, "drop", "eth0")
    expect(lan, "firewall-in")


def test_a_firewall_that_refuses_to_send(lan: Lan) -> None:
    announce(lan, 1)
    lan.netfilter(0, "drop-out")
    report = expect(lan, "firewall-out")
    assert "not permitted" in report["findings"][0]["text"]


def test_nodes_on_an_interface_that_is_not_used(lan: Lan) -> None:
    announce(lan, 1)
    lan.run(0, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far")
    lan.run(0, "ip", "addr", "add", "10.99.0.1/24", "dev", "eth1")
    lan.run(0, "sh", "-ec", "ip link set eth1 up; ip link set far up")
    report = expect(lan, "wrong-interface", "--interface", "eth1")
    assert "node 1 is heard on eth0" in report["findings"][0]["text"]


def test_no_route_to_the_group(lan: Lan) -> None:
    announce(lan, 1)
    lan.run(0, "ip", "route", "del", "224.0.0.0/4")
    expect(lan, "no-route", status=0)


def test_nodes_with_another_secret(lan: Lan) -> None:
    announce(lan, 1, CASTER_SECRET="another")
    report = expect(lan, "other-secret")
    assert "10.77.0.2" in report["findings"][0]["text"]


def test_nodes_with_the_default_secret(lan: Lan) -> None:
    announce(lan, 1)
    expect(lan, "default-secret", CASTER_SECRET="another")


def key_file(tmp_path: Path, name: str) -> str:
    path = str(tmp_path / name)
    subprocess.run([CASTER, "keygen", path], check=True, capture_output=True, timeout=60)
    return path


def test_sealed_groups(lan: Lan, tmp_path: Path) -> None:
    own, other = key_file(tmp_path, "own"), key_file(tmp_path, "other")
    announce(lan, 1, "--key-file", own)
    status, report = doctor(lan, 0, "--key-file", own)
    assert (status, codes(report)) == (0, set()), report
    assert report["nodes"][0]["id"] == "node 1"
    report = expect(lan, "other-key", "--key-file", other)
    assert "10.77.0.2" in report["findings"][0]["text"]
    # Without keys the default port is another one.
    _, report = doctor(lan, 0)
    assert "other-group" in codes(report), report
    expect(lan, "sealed", "--port", "10103")


def test_nodes_without_keys_on_the_port_of_a_sealed_group(lan: Lan, tmp_path: Path) -> None:
    announce(lan, 1, "--port", "10103")
    report = expect(lan, "not-sealed", "--key-file", key_file(tmp_path, "own"))
    assert "10.77.0.2" in report["findings"][0]["text"]


def test_nodes_of_another_group(lan: Lan) -> None:
    announce(lan, 1, "--group", "224.0.0.99", "-o", "heartbeat=300")
    report = expect(lan, "other-group")
    assert "10.77.0.2 sends to 224.0.0.99:10101" in report["findings"][0]["text"]


HOLD_TUN = """
import fcntl, struct, sys
with open("/dev/net/tun", "r+b", buffering=0) as tun:
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))
    print("ready", flush=True)
    sys.stdin.read()
"""
"""Holds a tunnel open, which gives it a carrier."""


def test_a_vpn_as_the_only_network(lan: Lan) -> None:
    with lan.program(0, sys.executable, "-c", HOLD_TUN):
        lan.run(0, "sh", "-ec", "ip link set eth0 down; ip addr add 10.99.0.1 peer 10.99.0.2 dev tun0; ip link set tun0 up")
        lan.run(0, "ip", "route", "add", "224.0.0.0/4", "dev", "tun0")
        expect(lan, "vpn-only")


def test_the_bridge_of_containers_as_the_only_network(lan: Lan) -> None:
    lan.run(0, "sh", "-ec", "ip link set eth0 down; ip link set eth0 name docker0; ip link set docker0 up")
    lan.run(0, "ip", "route", "add", "224.0.0.0/4", "dev", "docker0")
    expect(lan, "container-only")


def test_a_path_that_carries_datagrams_one_way(lan: Lan) -> None:
    announce(lan, 1, "-o", "heartbeat=3000")
    lan.middle(f"{sys.executable} {lan.NETFILTER} drop v1")
    report = expect(lan, "not-heard", "--time", "5s")
    assert "node 1 at 10.77.0.2" in report["findings"][0]["text"]


@hosts(3)
def test_a_path_that_carries_datagrams_to_one_node_only(lan: Lan) -> None:
    announce(lan, 1)
    announce(lan, 2, "-o", "heartbeat=3000")
    # Host 2 sends and hears nothing.
    lan.netfilter(2, "drop", "eth0")
    report = expect(lan, "one-way", "--time", "5s")
    assert "node 2 at 10.77.0.3" in report["findings"][0]["text"]


def test_an_mtu_that_differs(lan: Lan) -> None:
    announce(lan, 1)
    lan.run(0, "ip", "link", "set", "eth0", "mtu", "1200")
    expect(lan, "mtu", status=0)
    lan.run(0, "ip", "link", "set", "eth0", "mtu", "500")
    expect(lan, "mtu")


FLOOD = """
import socket, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.2"))
print("ready", flush=True)
ends = time.monotonic() + 20
while time.monotonic() < ends:
    for _ in range(3000):
        out.sendto(b"x" * 1000, ("224.0.0.42", 10101))
    time.sleep(0.1)
"""


def test_a_receive_buffer_that_is_full(lan: Lan) -> None:
    announce(lan, 1)
    with lan.program(1, sys.executable, "-c", FLOOD):
        _, report = doctor(lan, 0, "-o", "receiveBuffer=4096")
    assert "kernel-drops" in codes(report), report


FRAGMENTS = """
import socket, struct, time
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def fragment(number, offset, size, more):
    flags = (0x2000 if more else 0) | offset // 8
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + size, number, flags, 9, 17, 0,
                       socket.inet_aton("10.77.0.2"), socket.inet_aton("10.77.0.1"))
    out.sendto(head + bytes(size), ("10.77.0.1", 0))
print("ready", flush=True)
for number in range(1, 200):
    # The second one overlaps the first: the system gives the datagram up at once.
    fragment(number, 0, 800, True)
    fragment(number, 400, 800, False)
    time.sleep(0.1)
"""


def test_datagrams_that_cannot_be_assembled(lan: Lan) -> None:
    announce(lan, 1)
    with lan.program(1, sys.executable, "-c", FRAGMENTS):
        report = expect(lan, "fragments-lost", status=0)
    assert report["reassemblyFailures"] > 0


STEP = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int (*real)(clockid_t, struct timespec *);
static time_t started;
int clock_gettime(clockid_t clock, struct timespec *time) {
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    struct timespec now;
    real(CLOCK_MONOTONIC, &now);
    if (!started) started = now.tv_sec;
    int done = real(clock, time);
    if (clock == CLOCK_REALTIME && now.tv_sec > started + 1) time->tv_sec += SECONDS;
    return done;
}
"""
"""A wall clock that is set a second or two after the start of the program."""


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_that_is_set_meanwhile(lan: Lan, tmp_path: Path, seconds: int) -> None:
    source, library = tmp_path / "step.c", tmp_path / "step.so"
    source.write_text(STEP)
    compile_it = [os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-DSECONDS={seconds}", source, "-o", library, "-ldl"]
    subprocess.run(compile_it, check=True, timeout=60)
    announce(lan, 1)
    report = expect(lan, "clock-step", status=0, LD_PRELOAD=str(library))
    assert "1h 0m" in report["findings"][0]["text"] or "59m" in report["findings"][0]["text"], report
    assert all(node["answers"] >= 4 for node in report["nodes"]), report


def test_snooping_without_a_querier(lan: Lan) -> None:
    lan.middle("mount -t sysfs none /sys; ip link set br0 type bridge mcast_snooping 1")
    lan.middle("ip addr add 10.77.0.254/24 dev br0; ip route add 224.0.0.0/4 dev br0")
    announce(lan, 1)

    def found() -> Report:
        return json.loads(lan.middle(f"{lan.CASTER} doctor --json"))

    report = found()
    assert codes(report) == {"snooping-without-querier"}, report
    lan.middle("ip link set br0 type bridge mcast_querier 1")
    # The querier is one of IGMPv2.
    assert codes(found()) <= {"igmp-old"}


def test_a_range_that_keeps_datagrams_on_the_host(lan: Lan) -> None:
    announce(lan, 1)
    _, report = doctor(lan, 0, CASTER_RANGE="host")
    assert "range" in codes(report), report


def test_a_host_without_network(lan: Lan) -> None:
    lan.run(0, "ip", "link", "set", "eth0", "down")
    _, report = doctor(lan, 0)
    assert "no-interface" in codes(report), report


def both(lan: Lan, status: int, *arguments: str, **variables: str) -> tuple[Report, Report]:
    """The reports of host 0, which asks, and of host 1, which serves."""
    served = lan.start(1, "doctor", "--serve", "--json", **variables)
    assert served.stderr is not None and "Waiting on TCP 0.0.0.0:9465" in served.stderr.readline()
    done = lan.caster(0, "doctor", "--json", "--with", "10.77.0.2", *arguments)
    assert done.returncode == status, (done.stdout, done.stderr)
    assert served.stdout is not None
    return json.loads(done.stdout), json.loads(served.stdout.readline())


def test_two_hosts_that_hear_each_other(lan: Lan) -> None:
    announce(lan, 1)
    here, there = both(lan, 0)
    assert (here["with"]["findings"], there["with"]["findings"]) == ([], [])
    assert here["with"]["host"] == "10.77.0.2" and there["with"]["host"] == "10.77.0.1"
    assert here["with"]["report"]["findings"] == there["findings"]
    assert codes(here) == codes(there) == set()
    text = lan.caster(0, "doctor", "--with", "10.77.0.2")
    assert text.stdout.endswith("Both hosts hear and understand each other.\n"), text.stderr + text.stdout


def test_two_hosts_of_which_one_is_deaf(lan: Lan) -> None:
    # Multicast is dropped, and TCP passes.
    lan.netfilter(1, "drop-udp", "eth0")
    here, there = both(lan, 1)
    assert codes(here["with"]) == {"between-deaf-there"} and codes(there["with"]) == {"between-deaf-here"}
    assert "firewall-in" in codes(there), there


def test_two_hosts_with_different_secrets(lan: Lan) -> None:
    here, there = both(lan, 1, CASTER_SECRET="another")
    assert codes(here["with"]) == codes(there["with"]) == {"between-secret"}


def test_two_hosts_in_different_groups(lan: Lan) -> None:
    here, _ = both(lan, 1, "--port", "10105")
    assert codes(here["with"]) == {"between-group"}


def test_a_host_that_does_not_serve_is_status_3(lan: Lan) -> None:
    done = lan.caster(0, "doctor", "--with", "10.77.0.2", "--time", "1s")
    assert done.returncode == 3 and "caster doctor --serve" in done.stderr


def test_the_served_doctor_answers_no_pages_of_browsers(lan: Lan) -> None:
    served = lan.start(1, "doctor", "--serve")
    assert served.stderr is not None and served.stderr.readline()
    ask = (
        "import http.client, sys\n"
        "link = http.client.HTTPConnection('10.77.0.2', 9465, timeout=20)\n"
        "link.request(*sys.argv[1:3], body='{\"version\":1,\"milliseconds\":1}')\n"
        "print(link.getresponse().status)\n"
    )
    for method, path in [("GET", "/"), ("POST", "/begin"), ("OPTIONS", "/begin"), ("POST", "/view")]:
        assert lan.run(0, sys.executable, "-c", ask, method, path) == "403\n"


def test_the_document_has_every_code() -> None:
    rules = (ROOT / "caster-cli/src/command/doctor/rules.rs").read_text()
    used = re.findall(r'list\.(?:problem|warning|note)\(\s*"([a-z-]+)"', rules)
    documented = re.findall(r"^\| `([a-z-]{3,})` \| (?:problem|warning|note)", (ROOT / "docs/command.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(set(used)) and len(documented) > 20


@pytest.mark.parametrize("arguments", [["--time", "soon"], ["-o", "ttl=0"]])
def test_wrong_use_is_status_2(lan: Lan, arguments: list[str]) -> None:
    assert lan.caster(0, "doctor", *arguments).returncode == 2
