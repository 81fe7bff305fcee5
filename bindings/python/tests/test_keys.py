"""Secure mode: keys, how they change, and that they do not appear anywhere."""

from __future__ import annotations

import base64
import gc
import json
import logging
import time
import traceback
from typing import Any, Callable, Dict

import pytest
from conftest import Network, eventually, next_of

import caster

MARKER = bytes(range(0x81, 0xA1))
"""A key that is easy to recognize."""

SHAPES = [
    MARKER.hex(),
    MARKER.hex().upper(),
    base64.b64encode(MARKER).decode().rstrip("="),
    base64.urlsafe_b64encode(MARKER).decode().rstrip("="),
    repr(MARKER)[2:-1],
    str(list(MARKER))[1:-1],
]
"""All that a text may show of it."""


def shows_the_key(text: str) -> bool:
    return any(shape in text for shape in SHAPES) or MARKER.decode("latin-1") in text


def test_a_key_is_bytes_or_text_of_an_exact_length() -> None:
    key = caster.generate_key()
    assert isinstance(key, bytes) and len(key) == 32 and key != caster.generate_key()
    forms: Dict[str, Any] = {
        "bytes": key,
        "bytearray": bytearray(key),
        "memoryview": memoryview(key),
        "hex": key.hex(),
        "base64": base64.b64encode(key).decode(),
        "base64url": base64.urlsafe_b64encode(key).decode(),
    }
    ids = {name: caster.Node(keys=[form]).key_ids for name, form in forms.items()}
    assert all(len(id) == 1 and id == ids["bytes"] for id in ids.values()), ids
    node = caster.Node(keys=[key])
    assert node.middleware == ("json", "secure") and node.port == 10103
    assert caster.Node().key_ids == [] and caster.Node(keys=None).key_ids == []


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"y" * 33, b"a password of 32 characters long", "short", "g" * 64, 5])
def test_anything_else_is_refused_with_advice(key: Any) -> None:
    with pytest.raises(caster.OptionError) as caught:
        caster.Node(keys=[key])
    assert caught.value.code == "INVALID_OPTION"
    if not isinstance(key, int):
        assert "generate_key" in str(caught.value)
        assert not key or (key if isinstance(key, str) else key.decode()) not in str(caught.value)


def test_keys_take_the_place_of_hash_and_crypto() -> None:
    for other in ({"hash": True}, {"crypto": True}, {"hash_secret": "x"}):
        with pytest.raises(caster.OptionError, match="keys"):
            caster.Node(keys=[MARKER], **other)
    with pytest.raises(caster.OptionError, match="10101"):
        caster.Node(keys=[MARKER], port=10101)


def test_nodes_talk_and_change_their_key(network: Network) -> None:
    old, new = caster.generate_key(), caster.generate_key()
    options = {"keys": [old], "heartbeat": 200, "timeout": 3000}
    with network.node(id="a", **options) as a, network.node(id="b", **options) as b:
        eventually(lambda: "b" in a.nodes and "a" in b.nodes)
        for step, key in (("add_key", new), ("use_key", new), ("remove_key", old)):
            for node in (a, b):
                getattr(node, step)(key)
            # A few heartbeats, which name the keys that may come next.
            time.sleep(1)
            a.send(step)
            assert next_of(b, caster.Message).message == step
        assert a.key_ids == b.key_ids and len(a.key_ids) == 1
        assert a.key_of("b") == a.key_ids[0] and a.key_of("c") is None
        for now in (False, True):
            with pytest.raises(caster.Error, match="seals"):
                a.remove_key(new, now=now)
        a.add_key(old)
        a.remove_key(old, now=True)
        with pytest.raises(caster.OptionError):
            a.add_key(new)
        with pytest.raises(caster.Error):
            a.use_key(caster.generate_key())
    with pytest.raises(caster.Error, match="without keys"):
        caster.Node().add_key(new)


def test_a_node_in_migration_knows_old_and_sealed_ones(network: Network) -> None:
    key = caster.generate_key()
    times = {"heartbeat": 200, "timeout": 3000}
    port = network.port + 2
    old = network.node(id="old", port=port, **times)
    node = network.node(id="both", keys=[key], plain="send", plain_port=port, **times)
    new = network.node(id="new", keys=[key], **times)
    with old, node, new:
        eventually(lambda: set(node.nodes) == {"old", "new"} and "both" in old.nodes and "both" in new.nodes)
        assert node.key_of("old") is None and node.key_of("new") == node.key_ids[0]
        assert node.stats()["plainNodes"] == 1 and node.stats()["nodes"] == 2
        node.send("to all")
        assert next_of(old, caster.Message).message == "to all"
        assert next_of(new, caster.Message).message == "to all"
        assert not node.forget_sealed("new") and not node.forget_sealed("old")
        new.down()
        eventually(lambda: "new" not in node.nodes)
        assert node.forget_sealed("new")
    with pytest.raises(caster.OptionError, match="needs keys"):
        caster.Node(plain="accept")


def test_a_caster_is_sealed_and_nodes_take_nothing_from_it(network: Network) -> None:
    key = caster.generate_key()
    a, b, stranger = (
        caster.Caster(network.options, keys=[one]) for one in (key, key, caster.generate_key())
    )
    with a, b, stranger, network.node(id="n", keys=[key]) as node:
        for each in (a, b, stranger):
            each.use(caster.middleware.json())
            assert each.middleware == ("json", "secure")
        a.send({"id": "x", "message": 1})
        message = next_of(b, caster.Datagram).message
        while message != {"id": "x", "message": 1}:
            message = next_of(b, caster.Datagram).message
        hint = next_of(node, caster.Hint)
        assert "a bare caster" in hint.text
        assert node.stats()["dropped"]["unproven"] >= 1
        eventually(lambda: stranger.stats()["dropped"]["seal"] >= 1)


def test_messages_of_a_caster_are_delivered_and_marked_if_an_option_says_so(network: Network) -> None:
    key = caster.generate_key()
    voice = caster.Caster(network.options, keys=[key])
    voice.use(caster.middleware.json())
    node = network.node(id="n", keys=[key], unproven="deliver")
    peer = network.node(id="m", keys=[key])
    with voice, node, peer:
        eventually(lambda: "m" in node.nodes and "n" in peer.nodes)
        voice.send({"id": "x", "message": [1]})
        message = next_of(node, caster.Message)
        assert (message.message, message.node.id, message.sealed, message.fresh) == ([1], "x", True, False)
        peer.send(2)
        message = next_of(node, caster.Message)
        assert (message.message, message.node.id, message.sealed, message.fresh) == (2, "m", True, True)
        assert set(node.nodes) == {"m"}
    with pytest.raises(caster.OptionError, match="needs keys"):
        caster.Node(unproven="deliver")
    with pytest.raises(caster.OptionError, match="deliver"):
        caster.Node(keys=[key], unproven="drop")


def test_nodes_sign_and_verify(network: Network) -> None:
    """A member that takes the id of another one has no effect, and a list keeps others out."""
    key = caster.generate_key()
    seeds = [caster.generate_identity() for _ in range(3)]
    publics = [caster.public_key(seed) for seed in seeds]
    assert all(len(public) == 64 for public in publics) and caster.public_key(seeds[0].hex()) == publics[0]

    def signing(id: str, seed: bytes, **more: Any) -> caster.Node:
        return network.node(id=id, keys=[key], identity=seed, sign_messages=True, **more)

    a, b = signing("a", seeds[0], trust=publics[:2]), signing("b", seeds[1])
    monitor = network.node(id="monitor", keys=[key], trust=[bytes.fromhex(publics[1])])
    with a, b, monitor:
        eventually(lambda: set(a.nodes) == {"b"} and set(monitor.nodes) == {"b"} and len(b.nodes) == 2)
        assert a.identity_of("b") == monitor.identity_of("b") == publics[1]
        assert a.identity_of("monitor") is None and not a.forget_sealed("b")
        with signing("b", seeds[2]) as forger:
            eventually(lambda: a.stats()["dropped"]["identity"] > 5)
            forger.send("forged")
            b.send(1)
            message = next_of(a, caster.Message)
            assert (message.message, message.node.id) == (1, "b")
            assert message.sealed and message.fresh and message.signed
    for wrong in (seeds[0][1:], "a", b"x" * 32, 5, [seeds[0]]):
        with pytest.raises((caster.OptionError, TypeError)):
            caster.Node(keys=[key], identity=wrong)  # type: ignore[arg-type]
        with pytest.raises((caster.OptionError, TypeError)):
            caster.public_key(wrong)  # type: ignore[arg-type]
    for trust in ([], publics[0], [publics[0][1:]], [b"\x01" + bytes(31)], {}):
        with pytest.raises(caster.OptionError):
            caster.Node(keys=[key], trust=trust)
    with pytest.raises(caster.OptionError, match="one of the keys"):
        caster.Node(keys=[key], identity=key)
    with pytest.raises(caster.OptionError, match="only nodes"):
        caster.Caster(keys=[key], identity=seeds[0])
    with pytest.raises(caster.OptionError, match="needs keys"):
        caster.Node(identity=seeds[0])


def test_a_key_is_in_no_text(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    """Not in errors and tracebacks, logs, reprs, statistics, events and the state of the objects."""
    caplog.set_level(1, logger="caster")
    texts = []

    def fails(call: Callable[[], Any]) -> None:
        with pytest.raises(Exception) as caught:
            call()
        texts.append("".join(traceback.format_exception(caught.type, caught.value, caught.tb)))
        texts.append(repr(caught.value) + str(caught.value.args))

    key = MARKER
    fails(lambda: caster.Node(keys=[key[:31]]))
    fails(lambda: caster.Node(keys=[key, key]))
    fails(lambda: caster.Node(keys=[key.hex() + "0"]))
    fails(lambda: caster.Node(keys=key.hex()))
    fails(lambda: caster.Node(keys={"a": key}))
    fails(lambda: caster.Node(keys=[[key]]))
    fails(lambda: caster.Node(keys=[key], hash=True))
    fails(lambda: caster.Node(keys=[key], heartbeat=-1))
    fails(lambda: caster.Node([("keys", [key])]))  # type: ignore[arg-type]
    fails(lambda: caster.Node(key=key))
    fails(lambda: caster.Node(keyss=[key.hex()]))
    fails(lambda: caster.Node(port=key))
    fails(lambda: caster.Caster(keys=[key, key]))
    group = caster.generate_key()
    fails(lambda: caster.Node(keys=[key], identity=key))
    fails(lambda: caster.Node(keys=[group], identity=key[1:]))
    fails(lambda: caster.Node(keys=[group], identity=[key]))
    fails(lambda: caster.Node(keys=[group], identity=key, heartbeat=-1))
    fails(lambda: caster.Node(keys=[group], identity=key, trust=[key.hex() + "0"]))
    fails(lambda: caster.Node(identity=key))
    fails(lambda: caster.Caster(keys=[group], identity=key))
    fails(lambda: caster.public_key(key + key))
    with network.node(id="c", keys=[group], identity=key) as c:
        texts += [repr(c), repr(gc.get_referents(c)), json.dumps(c.stats(), default=repr)]
    fails(lambda: caster.Node().add_key(key))
    with network.node(id="a", keys=[key]) as a, network.node(id="b", keys=[key.hex()]) as b:
        fails(lambda: a.add_key(key))
        fails(lambda: a.remove_key(key))
        fails(lambda: a.use_key(key[1:] + b"x"))
        eventually(lambda: "b" in a.nodes)
        b.send("hello")
        events = [a.next_event(timeout=5)]
        texts += [repr(a), str(a), repr(vars(a) if hasattr(a, "__dict__") else a)]
        texts += [json.dumps(a.stats(), default=repr), repr(a.nodes), repr(a.nodes["b"]), repr(events)]
        texts.append(repr(a.key_ids))
        texts += [repr(referent) for referent in gc.get_referents(a)]
    texts += [record.getMessage() + repr(record.__dict__) for record in caplog.records]
    assert len(texts) > 40
    for text in texts:
        assert not shows_the_key(text), text
    assert shows_the_key(repr(MARKER)) and shows_the_key(f"key {MARKER.hex()}")
    assert logging.getLogger("caster").level == 1
