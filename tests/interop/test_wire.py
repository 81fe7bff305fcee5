"""The datagrams of this harness are those of the original, byte for byte."""

from __future__ import annotations

import base64
import json

import pytest

import hostile
import vectors
import wire

BUILDERS = {"heartbeat": wire.heartbeat, "send": wire.message, "down": wire.goodbye}
UNSUPPORTED_OPTIONS = {"crypto", "cryptoKey", "hash"}


def node_cases() -> list[str]:
    return [
        name
        for name, case in vectors.cases().items()
        if case["kind"] == "node_tx"
        and not UNSUPPORTED_OPTIONS & case["node_options"].keys()
        and not isinstance(case["node_options"]["id"], dict)
        and name != "node_tx/send/lone"  # what that is depends on the runtime
    ]


@pytest.mark.parametrize("name", node_cases())
def test_what_a_node_sends_equals_the_golden_vector(name: str) -> None:
    case = vectors.cases()[name]
    options = case["node_options"]
    arguments = [options["id"]]
    if case["action"] == "heartbeat":
        arguments.append(options.get("meta") or None)
    elif case["action"] == "send":
        arguments.append(json.loads(case["input"]["json"]))
    for result in case["results"]:
        built = BUILDERS[case["action"]](
            *arguments,
            secret=options.get("hashSecret", wire.SECRET),
            era="binary" if result["era"] == "both" else result["era"],
            algorithm=options.get("hashAlgorithm", "sha1"),
        )
        assert built == base64.b64decode(result["wire_base64"])


def test_a_sealed_null_equals_the_golden_vector() -> None:
    assert wire.seal(b"null") == vectors.heard("node_rx/top_level/null")


def test_an_object_as_id_equals_the_golden_vector() -> None:
    payload = b'{"id":{"toString":"x","valueOf":1}}'
    assert wire.seal(payload) == vectors.heard("node_rx/id_object_unprintable2")


@pytest.mark.parametrize("era", ["binary", "utf8"])
def test_a_datagram_of_either_era_opens(era: str) -> None:
    payload = wire.to_json({"id": "caf\u00e9"})
    assert wire.open_datagram(wire.seal(payload, era=era)) == payload


@pytest.mark.parametrize("reason", ["truncated", "hash"])
def test_hostile_datagrams_without_a_valid_digest_do_not_open(reason: str) -> None:
    for datagram in hostile.unverifiable():
        if datagram.reason == reason:
            assert wire.open_datagram(datagram.datagram) is None, datagram.name
            short = len(datagram.datagram) < wire.DIGEST_SIZE
            assert short == (reason == "truncated"), datagram.name


def test_hostile_datagrams_with_a_valid_digest_open() -> None:
    for datagram in hostile.verifiable():
        assert wire.open_datagram(datagram.datagram) is not None, datagram.name
        assert len(datagram.datagram) <= wire.MAX_DATAGRAM, datagram.name


@pytest.mark.parametrize(
    "payload",
    [
        b'{"id":"a","meta":"caf\xc3\xa9"}',
        b"null",
        b'{"id":5}',
        b'{"id":"a","suicide":true,"message":1}',
        b'{"id":"a","meta":' + hostile.nested(64) + b"}",
    ],
)
def test_an_offence_is_noticed(payload: bytes) -> None:
    assert wire.offence(wire.seal(payload)) is not None


def test_a_plain_heartbeat_is_no_offence() -> None:
    assert wire.offence(wire.heartbeat("a", {"b": [1, "\\"]})) is None
