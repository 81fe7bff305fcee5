"""Rules of nf_tables, made by netlink, as the tool for them may be missing.

    python3 netfilter.py masquerade INTERFACE
    python3 netfilter.py drop INTERFACE
    python3 netfilter.py drop-udp INTERFACE
    python3 netfilter.py drop-out

`masquerade`: packets that leave by the interface get its address (source NAT). `drop`: datagrams that
arrive by it are dropped, as by the default of a host's firewall; `drop-udp`: those of UDP only. `drop-out`: the host refuses to
send anything.
"""

from __future__ import annotations

import socket
import struct
import sys

NETLINK_NETFILTER = 12
REQUEST, ACK, CREATE, APPEND = 0x1, 0x4, 0x400, 0x800
NESTED = 1 << 15
BATCH_BEGIN, BATCH_END = 16, 17
NF_TABLES = 10
NEW_TABLE, NEW_CHAIN, NEW_RULE = 0, 3, 6
INET_LOCAL_OUT = 3
INET_POST_ROUTING = 4
PRIORITY_SOURCE_NAT = 100
IPV4, NETDEV = 2, 5
OUTPUT_INTERFACE_NAME, TRANSPORT_PROTOCOL = 7, 16
DROP, ACCEPT = 0, 1
REGISTER = 1


def attribute(kind: int, value: bytes) -> bytes:
    whole = struct.pack("=HH", 4 + len(value), kind) + value
    return whole + bytes(-len(whole) % 4)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def expression(name: str, data: bytes) -> bytes:
    return attribute(1 | NESTED, text(1, name) + attribute(2 | NESTED, data))


def message(kind: int, family: int, resource: int, data: bytes = b"", flags: int = 0) -> bytes:
    header = struct.pack("=IHHII", 20 + len(data), kind, REQUEST | flags, 0, 0)
    return header + struct.pack(">BBH", family, 0, resource) + data


def apply(*messages: tuple[int, int, bytes]) -> None:
    """Makes these tables, chains and rules, or none of them."""
    inner = b"".join(
        message(NF_TABLES << 8 | kind, family, 0, data, ACK | CREATE | APPEND)
        for kind, family, data in messages
    )
    begin = message(BATCH_BEGIN, 0, NF_TABLES)
    end = message(BATCH_END, 0, NF_TABLES)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(10)
        netlink.send(begin + inner + end)
        for _ in messages:
            (code,) = struct.unpack_from("=i", netlink.recv(65536), 16)
            if code != 0:
                raise OSError(-code, "nf_tables refused a rule")


def masquerade(interface: str) -> None:
    table = text(1, "nat")
    hook = attribute(4 | NESTED, number(1, INET_POST_ROUTING) + number(2, PRIORITY_SOURCE_NAT))
    chain = table + text(3, "post") + hook + text(7, "nat")
    name = attribute(1, interface.encode().ljust(16, b"\0"))
    expressions = [
        expression("meta", number(1, REGISTER) + number(2, OUTPUT_INTERFACE_NAME)),
        expression("cmp", number(1, REGISTER) + number(2, 0) + attribute(3 | NESTED, name)),
        expression("masq", b""),
    ]
    rule = table + text(2, "post") + attribute(4 | NESTED, b"".join(expressions))
    apply((NEW_TABLE, IPV4, table), (NEW_CHAIN, IPV4, chain), (NEW_RULE, IPV4, rule))


def arriving(interface: str, policy: int) -> tuple[bytes, bytes]:
    """A table, and a chain of what arrives by an interface."""
    table = text(1, "firewall")
    hook = attribute(4 | NESTED, number(1, 0) + number(2, 0) + text(3, interface))
    return table, table + text(3, "in") + hook + number(5, policy) + text(7, "filter")


def drop(interface: str) -> None:
    table, chain = arriving(interface, DROP)
    apply((NEW_TABLE, NETDEV, table), (NEW_CHAIN, NETDEV, chain))


def drop_udp(interface: str) -> None:
    table, chain = arriving(interface, ACCEPT)
    end = attribute(2 | NESTED, number(1, DROP))
    expressions = [
        expression("meta", number(1, REGISTER) + number(2, TRANSPORT_PROTOCOL)),
        expression("cmp", number(1, REGISTER) + number(2, 0) + attribute(3 | NESTED, attribute(1, b"\x11"))),
        expression("immediate", number(1, 0) + attribute(2 | NESTED, end)),
    ]
    rule = table + text(2, "in") + attribute(4 | NESTED, b"".join(expressions))
    apply((NEW_TABLE, NETDEV, table), (NEW_CHAIN, NETDEV, chain), (NEW_RULE, NETDEV, rule))


def drop_out() -> None:
    table = text(1, "firewall")
    hook = attribute(4 | NESTED, number(1, INET_LOCAL_OUT) + number(2, 0))
    chain = table + text(3, "out") + hook + number(5, 0) + text(7, "filter")
    apply((NEW_TABLE, IPV4, table), (NEW_CHAIN, IPV4, chain))


if __name__ == "__main__":
    {"masquerade": masquerade, "drop": drop, "drop-udp": drop_udp, "drop-out": drop_out}[sys.argv[1]](*sys.argv[2:])
