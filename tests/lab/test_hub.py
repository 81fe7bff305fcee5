"""The hub treats frames as its commands say."""

from __future__ import annotations

import socket
import struct
from collections import Counter

import pytest

from hub import Hub, corrupted, udp_port, with_checksum


def frame(payload: bytes = b"payload", port: int = 10101, version: int = 4) -> bytes:
    """An Ethernet frame around a UDP datagram, its checksum not filled in."""
    udp = struct.pack("!4H", 4321, port, 8 + len(payload), 0xDEAD) + payload
    if version == 4:
        size = 20 + len(udp)
        ip = struct.pack("!2B3H2BH", 0x45, 0, size, 7, 0, 64, 17, 0) + bytes(8)
        return bytes(12) + b"\x08\x00" + ip + udp
    addresses = socket.inet_pton(socket.AF_INET6, "fe80::1") + bytes(15) + b"\1"
    ip = struct.pack("!IH2B", 6 << 28, len(udp), 17, 64) + addresses
    return bytes(12) + b"\x86\xdd" + ip + udp


def fates(hub: Hub, frames: int = 2000, sender: int = 1) -> Counter[int]:
    """Number of copies that each host gets of this number of frames, sent in 100 s."""
    copies: Counter[int] = Counter()
    for number in range(frames):
        for _, host, _ in hub.hear(sender, frame(), number * 100 / frames):
            copies[host] += 1
    return copies


def hub(*commands: str, hosts: int = 3, seed: int = 7) -> Hub:
    result = Hub(hosts, seed)
    for command in commands:
        result.command(command)
    return result


def test_without_weather_everybody_else_gets_everything() -> None:
    plain = hub()
    assert fates(plain, 100) == {2: 100, 3: 100}
    assert plain.said[1] == {10101: 100}
    (due, _, copy), *_ = plain.hear(2, frame(), 5.0)
    assert due == 5.0
    assert copy == with_checksum(frame())


@pytest.mark.parametrize(
    ("command", "least", "most"),
    [
        ("loss 30", 1300, 1500),
        ("loss 100", 0, 0),
        ("duplicate 50", 2900, 3100),
        ("bursts 1000 4000", 1200, 1900),
        ("bursts 0 0", 2000, 2000),
    ],
)
def test_how_many_arrive(command: str, least: int, most: int) -> None:
    copies = fates(hub(command))
    assert all(least <= copies[host] <= most for host in (2, 3)), copies
    assert copies[2] != copies[3] or least == most, "each path has its own draws"


def test_the_same_seed_is_the_same_weather() -> None:
    def dues(seed: int) -> list[tuple[float, int, bytes]]:
        some = hub("loss 20", "duplicate 5", "delay 1 9", "corrupt 9", seed=seed)
        return [out for n in range(300) for out in some.hear(1, frame(), float(n))]

    assert dues(1) == dues(1)
    assert dues(1) != dues(2)


def test_a_command_does_not_shift_the_draws_of_another() -> None:
    lossy, lossy_and_late = hub("loss 20"), hub("loss 20", "delay 5 9", "duplicate 9")
    for n in range(200):
        heard = {host for _, host, _ in lossy.hear(1, frame(), float(n))}
        assert heard == {
            host for _, host, _ in lossy_and_late.hear(1, frame(), float(n))
        }


def test_delay_and_reordering() -> None:
    late = [due for due, *_ in hub("delay 10 20").hear(1, frame(), 1.0)]
    assert all(1.01 <= due <= 1.02 for due in late)
    assert len(set(late)) == 2
    held = hub("reorder 50 100")
    dues = [due for n in range(100) for due, *_ in held.hear(1, frame(), float(n))]
    assert 60 <= sum(due % 1 > 0.09 for due in dues) <= 140


def test_cuts_and_sides() -> None:
    some = hub("part 1,2/3,4", hosts=4)
    assert set(fates(some, 1)) == {2}
    assert set(fates(some, 1, sender=3)) == {4}
    some.command("heal")
    assert set(fates(some, 1)) == {2, 3, 4}
    some.command("cut 1 3")
    assert set(fates(some, 1)) == {2, 4}
    assert set(fates(some, 1, sender=3)) == {1, 2, 4}
    some.command("cut 4")
    assert set(fates(some, 1)) == {2}
    assert not fates(some, 1, sender=4)


def test_silence_is_noticed() -> None:
    some = hub()
    for now in (1.0, 1.5, 3.5, 4.0):
        list(some.hear(1, frame(), now))
    list(some.hear(2, frame(), 4.0))
    silences = [(host, ended, took) for host, _, ended, took in some.take_silences(4.1)]
    second = 10**9
    assert silences == [
        (1, 3 * second // 2, 0.5),
        (1, 7 * second // 2, 2.0),
        (1, 4 * second, 0.5),
    ]
    assert [took for *_, took in some.take_silences(8.0)] == [4.0, 4.0]


def test_a_hub_without_time_says_so() -> None:
    some = hub()
    some.note_stall(due=1.0, now=1.05)
    some.note_stall(due=1.0, now=1.5)
    assert some.take_silences(2.0) == [(0, 0, 1_500_000_000, 0.5)]


def test_a_closed_port_is_closed_to_multicast_or_to_unicast() -> None:
    def heard(hub: Hub, to: bytes, port: int) -> int:
        return len(list(hub.hear(1, to * 6 + b"\1" * 6 + frame(port=port)[12:], 0.0)))

    some = hub("close 10102 group", "close 21101 host")
    assert heard(some, b"\xff", 10102) == 0
    assert heard(some, b"\2", 10102) == 2
    assert heard(some, b"\xff", 21101) == 2
    assert heard(some, b"\2", 21101) == 0
    assert heard(some, b"\xff", 10101) == 2
    some.command("heal")
    assert heard(some, b"\xff", 10102) == 2


@pytest.mark.parametrize(
    "command",
    ["loss", "loss x", "loss -1", "cut", "cut 9", "part 1/9", "storm 5", "delay 1", "close 1 x"],
)
def test_a_bad_command_is_refused(command: str) -> None:
    with pytest.raises(ValueError):
        hub(command)


def test_corruption_is_behind_the_udp_header() -> None:
    whole = frame()
    for where in (0.0, 0.5, 0.999):
        bad = corrupted(whole, where)
        assert bad[:42] == whole[:42]
        differences = [a ^ b for a, b in zip(bad, whole, strict=True) if a != b]
        assert [bits.bit_count() for bits in differences] == [1]


@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_are_found_and_get_a_checksum(version: int) -> None:
    whole = frame(b"odd", 4711, version)
    assert udp_port(whole) == 4711
    fixed = with_checksum(whole)
    if version == 4:
        assert fixed[40:42] == b"\0\0"
        return
    # With the right checksum the sum over everything is all ones.
    data = fixed[22:] + b"\0" * (len(fixed) % 2)
    total = 17 + len(fixed) - 54 + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


def test_other_frames_are_let_through() -> None:
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    assert udp_port(arp) is None
    assert [copy for *_, copy in hub().hear(1, arp, 0.0)] == [arp, arp]
    first_fragment = bytearray(frame())
    first_fragment[20] = 0x20
    assert udp_port(bytes(first_fragment)) is None


def test_unicast_to_a_host_that_rejects_comes_back_as_a_refusal() -> None:
    def from_to(sender: bytes, receiver: bytes) -> bytes:
        return receiver * 6 + sender * 6 + frame()[12:]

    rejecting = hub("reject 2")
    list(rejecting.hear(2, from_to(b"\2", b"\1"), 0.0))
    ((due, host, answer),) = rejecting.hear(1, from_to(b"\1", b"\2"), 5.0)
    assert (due, host) == (5.0, 1)
    assert answer[:12] == b"\1" * 6 + b"\2" * 6
    assert answer[23] == socket.IPPROTO_ICMP
    assert answer[34:36] == b"\3\3", "port unreachable"
    assert answer[42:] == frame()[14:42], "the header that was refused"
    group = b"\xff" * 6 + b"\1" * 6 + frame()[12:]
    assert len(list(rejecting.hear(1, group, 6.0))) == 2
    rejecting.command("heal")
    assert len(list(rejecting.hear(1, from_to(b"\1", b"\2"), 7.0))) == 2
