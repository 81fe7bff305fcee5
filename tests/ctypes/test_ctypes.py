"""The C API from another language, by ctypes and the standard library alone.

LIBCASTER names the library; without it, it is target/release/libcaster.so.
"""

import os
import pathlib
import queue
import random
import select
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import libcaster  # noqa: E402
from libcaster import CasterError, Node  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEADLINE = 20


@pytest.fixture(scope="session")
def lib():
    return libcaster.load(os.environ.get("LIBCASTER", str(ROOT / "target/release/libcaster.so")))


@pytest.fixture
def local():
    """Options that keep a node on this machine and in a group of its own."""
    group = f"239.{random.randint(1, 250)}.{random.randint(0, 255)}.{random.randint(0, 255)}"
    return {"address": "127.0.0.1", "multicast": group, "port": random.randint(22000, 32000), "heartbeat": 100}


def next_event(node, name):
    for _ in range(100):
        event = node.poll(DEADLINE)
        assert event is not None, f"no {name} came"
        if event.name == name:
            return event
    raise AssertionError(f"no {name} came")


def test_two_nodes_meet_and_talk_by_polling(lib, local):
    with Node(lib, {**local, "id": "a", "meta": {"lang": "python", "n": [1, None]}}) as a, Node(lib, local) as b:
        a.up()
        b.up()
        event = next_event(b, "up")
        assert (event.id, event.address, event.meta) == ("a", "127.0.0.1", {"lang": "python", "n": [1, None]})
        next_event(a, "up")
        assert a.send({"text": "grüße", "numbers": [1, 2.5, None]}) > 40
        assert next_event(b, "message").message == {"text": "grüße", "numbers": [1, 2.5, None]}
        assert b.find("lang") == ["a"] and b.find("lang", "python") == ["a"] and b.find("lang", "c") == []
        a.set_meta("new")
        assert next_event(b, "update").meta == "new"
        a.down()
        assert next_event(b, "down").reason == "goodbye"


def test_callbacks_come_on_another_thread_and_are_dropped_once(lib, local):
    events, drops = queue.Queue(), []
    with Node(lib, {**local, "id": "a"}) as a, Node(lib, {**local, "id": "b"}) as b:
        for name in ("up", "message", "down"):
            b.on(name, events.put, lambda: drops.append(1))
        b.up()
        a.up()
        assert events.get(timeout=DEADLINE).name == "up"
        a.send("hello")
        event = events.get(timeout=DEADLINE)
        assert (event.name, event.id, event.message) == ("message", "a", "hello")
        with pytest.raises(CasterError) as caught:
            b.poll(0)
        assert caught.value.name == "EVENTS_TAKEN"
        a.down()
        assert events.get(timeout=DEADLINE).reason == "goodbye"
        assert drops == []
    assert len(drops) == 3


def test_the_descriptor_works_with_select(lib, local):
    with Node(lib, local) as a, Node(lib, {**local, "expose": False}) as b:
        assert select.select([b], [], [], 0)[0] == []
        b.up()
        a.up()
        assert select.select([b], [], [], DEADLINE)[0] == [b]
        assert b.poll(0).name == "up"
        assert b.poll(0) is None
        assert select.select([b], [], [], 0)[0] == []


@pytest.mark.parametrize(
    "options, name, part",
    [
        ({"port": 0}, "INVALID_OPTION", "port"),
        ({"prot": 1}, "UNKNOWN_OPTION", 'did you mean "port"?'),
        ({"heartbeat": "soon"}, "INVALID_OPTION", "milliseconds"),
        (["port"], None, "object"),
    ],
)
def test_bad_options_are_refused_by_name(lib, options, name, part):
    with pytest.raises(CasterError) as caught:
        Node(lib, options)
    assert part in str(caught.value)
    assert name is None or caught.value.name == name


def test_what_is_wrong_is_said(lib, local):
    with Node(lib, local) as node:
        with pytest.raises(CasterError, match="not up") as caught:
            node.send(1)
        assert caught.value.name == "NOT_UP"
    with pytest.raises(CasterError, match="node is NULL"):
        node.up()
    assert lib.caster_version().decode().count(".") == 2
    assert lib.caster_status_text(-4)


def test_a_smaller_stats_structure_is_not_overrun(lib):
    network = lib.caster_network_new(1)
    with Node(lib, {"id": "a"}, network) as a, Node(lib, {"id": "b"}, network) as b:
        a.up()
        b.up()
        assert lib.caster_network_advance(network, 60_000) == 0
        stats, whole = b.stats(), b.stats_json()
        assert stats.received == whole["received"] > 60
        assert stats.accepted == whole["accepted"]
        assert stats.dropped == sum(whole["dropped"].values())
    lib.caster_network_free(network)


def test_a_virtual_network_takes_no_time(lib):
    network = lib.caster_network_new(1)
    with Node(lib, {"id": "a"}, network) as a, Node(lib, {"id": "b"}, network) as b:
        a.up()
        b.up()
        assert next_event(a, "up").id == "b"
        assert lib.caster_network_set_loss(network, 1.0) == 0
        assert next_event(a, "down").reason == "timeout"
        assert b.id == "b"
    lib.caster_network_free(network)
