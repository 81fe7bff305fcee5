"""The vectors of the sealed frame, checked by an implementation that is independent of the core."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sealed

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(sealed.FILE.read_text())


def test_the_file_is_what_the_program_writes() -> None:
    assert sealed.FILE.read_text() == sealed.text()


def test_siphash_has_the_figures_of_its_authors() -> None:
    key, data = bytes(range(16)), bytes(range(15))
    assert sealed.siphash(key, b"").hex() == "dcc40f055801acab"
    assert sealed.siphash(key, data).hex() == "5699512a6dd820d3"


def test_each_case_seals_and_opens() -> None:
    assert len(VECTORS["cases"]) == 72
    for case in VECTORS["cases"]:
        derived = sealed.Derived.of(bytes.fromhex(case["key"]), case["realm"])
        own = case["to"] and bytes.fromhex(case["to"])
        datagram = bytes.fromhex(case["datagram"])
        frame = sealed.open_frame(datagram, derived, own)
        assert frame.payload.hex() == case["payload"]
        assert str(frame.counter) == case["counter"]
        assert sealed.seal(frame, derived) == datagram
        for at in range(len(datagram)):
            changed = bytearray(datagram)
            changed[at] ^= 1
            with pytest.raises(sealed.Refused):
                sealed.open_frame(bytes(changed), derived, own)


def test_each_refused_case_is_refused_at_its_step() -> None:
    assert len(VECTORS["refused"]) == 66
    for case in VECTORS["refused"]:
        derived = sealed.Derived.of(bytes.fromhex(case["key"]), case["realm"])
        with pytest.raises(sealed.Refused, match=f"^{case['reason']}$"):
            sealed.open_frame(
                bytes.fromhex(case["datagram"]), derived, bytes.fromhex(case["own"])
            )


def test_each_signature_is_valid_or_refused_at_its_step() -> None:
    assert len(VECTORS["signed"]) == 144
    for case in VECTORS["signed"]:
        derived = sealed.Derived.of(bytes.fromhex(case["key"]), case["realm"])
        own = case["to"] and bytes.fromhex(case["to"])
        frame = sealed.open_frame(bytes.fromhex(case["datagram"]), derived, own)
        if not case["reason"]:
            assert sealed.verify(frame, derived).hex() == case["public"]
            assert frame.payload[: -sealed.TRAILER].hex() == case["content"]
            continue
        with pytest.raises(sealed.Refused, match=f"^{case['reason']}$"):
            sealed.verify(frame, derived)
