"""Nodes: discovery, messages, events."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import logging
import pickle
import select
import signal
import threading
from collections.abc import Mapping

import pytest
from conftest import PATIENCE, Network, beat, eventually, next_of

import caster

MESSAGES = [
    "plain",
    "é",
    "€",
    "😀 and \U0001f9d1\u200d\U0001f4bb",
    "",
    0,
    -1.5,
    1e300,
    2**53,
    True,
    False,
    None,
    [],
    {},
    {"a": [{"b": {"c": [1, [2, [3]]]}}], "ключ": "значение", "": None},
    "quote \" backslash \\ newline \n nul \0 del \x7f line \u2028",
    "lone \ud800 surrogate",
]


class Same:
    name = "same"

    def tx(self, message: bytes) -> bytes:
        return message


def test_nodes_find_each_other_with_their_metadata(network: Network) -> None:
    a = network.node(id="a", meta={"type": "db", "name": "café €"})
    b = network.node(id="b")
    with a, b:
        assert a.is_up and b.is_up
        seen_by_a, seen_by_b = next_of(a, caster.Up), next_of(b, caster.Up)
        assert seen_by_a.node.id == "b" and seen_by_a.node.meta is None
        assert seen_by_b.node.id == "a"
        assert seen_by_b.node.meta == {"type": "db", "name": "café €"}
        assert seen_by_b.node.address == "127.0.0.1"
        assert 1_500_000_000_000 < seen_by_b.node.first_seen <= seen_by_b.node.last_seen
        assert b.nodes["a"].meta == a.meta
    assert not a.is_up and not b.is_up


def test_messages_arrive_as_they_were_sent(network: Network) -> None:
    with network.node(id="a") as a, network.node(id="b") as b:
        next_of(b, caster.Up)
        sizes = [a.send(message) for message in MESSAGES]
        heard = [next_of(b, caster.Message) for _ in MESSAGES]
        assert [event.message for event in heard] == MESSAGES
        assert [type(event.message) for event in heard] == [type(m) for m in MESSAGES]
        assert {event.node.id for event in heard} == {"a"}
        # Digest, envelope, message.
        assert sizes[0] == 20 + len('{"id":"a","message":"plain"}')


def test_what_has_no_json_form_is_refused(network: Network) -> None:
    with network.node() as node:
        for value in (float("nan"), float("inf"), [-float("inf")]):
            with pytest.raises(ValueError, match="the message has no JSON form") as caught:
                node.send(value)
            assert isinstance(caught.value, caster.ArgumentError)
        loop: list[object] = []
        loop.append(loop)
        with pytest.raises(caster.ArgumentError, match="Circular"):
            node.send(loop)
        for wrong in (b"bytes", {1, 2}, object()):
            with pytest.raises(TypeError, match="the message has no JSON form"):
                node.send(wrong)
        with pytest.raises(caster.ArgumentError, match="the message takes 70") as large:
            node.send("x" * 70_000)
        assert large.value.code == "MESSAGE_TOO_LARGE"
        with pytest.raises(ValueError, match="the metadata has no JSON form"):
            node.set_meta(float("nan"))
        assert node.meta is None


@dataclasses.dataclass
class Point:
    x: int


class Array:
    def tolist(self) -> list[int]:
        return [1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [0, {"at": datetime.datetime(2026, 1, 1)}]}, r"at \['a'\]\[1\]\['at'\] is of type datetime; give its isofo"),
        ([Point(1)], r"at \[0\] is of type Point; give dataclasses.asdict\(\)"),
        ({"load": float("nan")}, r"at \['load'\] is nan; give a finite number or None"),
        ({"load": Array()}, r"at \['load'\] is of type Array; give its tolist\(\)"),
        ({"tags": {1}}, r"at \['tags'\] is of type set; give a list"),
        ({"key": b"x"}, r"at \['key'\] is of type bytes; give text"),
        ({(1, 2): 3}, r"is under a key of type tuple; the keys of a dict have to be strings"),
        (object(), r"it is of type object; give a dict, a list"),
        (Point, r"it is of type \w+; give a dict"),
    ],
)
def test_the_place_of_a_value_without_json_form_is_named(value: object, text: str) -> None:
    for refuse in (
        lambda: caster.Node().send(value),
        lambda: caster.Node().set_meta(value),
        lambda: caster.Node(meta=value),
        lambda: caster.Node().send_batch([value]),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            refuse()


def test_a_loop_of_values_is_searched_for_a_while_only() -> None:
    loops: list[object] = []
    loops.extend([loops] * 50)
    with pytest.raises(caster.ArgumentError, match="Circular"):
        caster.Node().send(loops)


def test_events_before_up_are_refused(network: Network) -> None:
    node = network.node()
    for take in (lambda: next(node.events()), lambda: node.next_event(timeout=0)):
        with pytest.raises(caster.StateError) as caught:
            take()
        assert caught.value.code == "NOT_UP"
    events = node.events(timeout=0)
    with node:
        assert list(events) == []
    assert node.next_event() is None, "after down there is an end"
    plain = caster.Caster(address="127.0.0.1")
    with pytest.raises(caster.StateError):
        next(plain.events())


@pytest.mark.parametrize("one", ["abc", b"abc", bytearray(b"abc"), memoryview(b"abc"), {"a": 1}])
def test_one_message_is_no_batch(one: object) -> None:
    for endpoint in (caster.Node(), caster.Caster()):
        with pytest.raises(TypeError, match="not one message of type"):
            endpoint.send_batch(one)  # type: ignore[arg-type]


def test_an_attribute_that_there_is_not_cannot_be_set() -> None:
    class Mine(caster.Node):
        count = 0

    for made in (caster.Node(), caster.Caster()):
        with pytest.raises(AttributeError, match="heartbeet"):
            made.heartbeet = 5  # type: ignore[union-attr]
        with pytest.raises(AttributeError):
            made.port = 5  # type: ignore[misc]
    mine = Mine()
    mine.count = mine.other = 1  # type: ignore[attr-defined]
    assert mine.count == 1


def test_a_node_cannot_be_pickled_or_copied() -> None:
    for made in (caster.Node(), caster.Caster()):
        for take in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="make one in each process"):
                take(made)


def test_a_goodbye_is_told_from_silence(network: Network) -> None:
    watcher = network.node(id="watcher")
    with watcher:
        with network.node(id="polite"):
            next_of(watcher, caster.Up, "polite")
        gone = next_of(watcher, caster.Down)
        assert (gone.node.id, gone.reason) == ("polite", "goodbye")
        assert "polite" not in watcher.nodes
        process = network.script(
            "node = caster.Node(options, id='victim', meta=[1]); node.up(); time.sleep(60)"
        )
        victim = next_of(watcher, caster.Up, "victim").node
        # Until its interval is known, it gets the timeout of an original node.
        eventually(lambda: watcher.nodes["victim"].last_seen > victim.first_seen + 50)
        process.send_signal(signal.SIGKILL)
        gone = next_of(watcher, caster.Down)
        assert (gone.node.id, gone.reason, gone.node.meta) == ("victim", "timeout", [1])


def test_a_restart_is_down_and_up(network: Network) -> None:
    with network.node(timeout=20_000) as watcher:
        code = "node = caster.Node(options, id='phoenix'); node.up(); time.sleep(60)"
        process = network.script(code)
        next_of(watcher, caster.Up, "phoenix")
        process.kill()
        network.script(code)
        down = next_of(watcher, caster.Down)
        assert (down.node.id, down.reason) == ("phoenix", "restart")
        up = watcher.next_event(PATIENCE)
        assert isinstance(up, caster.Up) and up.node.id == "phoenix"


def test_two_nodes_with_one_id_are_a_conflict(network: Network) -> None:
    heard: list[caster.Conflict] = []
    called = network.node(id="twin\ud800")
    called.on("conflict", heard.append)
    with network.node() as watcher, called, network.node(id="twin\ud800") as other:
        expected = caster.Conflict("twin\ud800", "127.0.0.1")
        assert next_of(watcher, caster.Conflict) == expected
        assert next_of(other, caster.Conflict) == expected, "it is told itself, too"
        assert eventually(lambda: heard) == [expected]
        with pytest.raises(dataclasses.FrozenInstanceError):
            heard[0].id = ""  # type: ignore[misc]


def test_a_suspect_is_marked_until_it_is_heard(network: Network) -> None:
    voice = network.voice()
    with network.node() as node:
        # With an interval of a minute it is not down before this test ends.
        voice.send(beat("a", incarnation=1, count=0, interval=60_000))
        assert next_of(node, caster.Up).node.suspect is False
        # A leave with a false incarnation is not believed, but the node is probed.
        voice.send({"id": "a", "suicide": True, "caster": {"b": 2}})
        eventually(lambda: node.nodes["a"].suspect)
        assert node.stats()["dropped"]["foreignGoodbye"] == 1
        voice.send(beat("a", incarnation=1, count=1, interval=60_000))
        eventually(lambda: not node.nodes["a"].suspect)


def test_who_no_longer_hears_anybody_is_isolated(network: Network) -> None:
    voice = network.voice()
    with network.node(timeout=500) as node:
        for count in (0, 1):
            for name in ("a", "b"):
                voice.send(beat(name, incarnation=1, count=count, interval=100))
        events = [node.next_event(PATIENCE) for _ in range(4)]
        events.remove(caster.Settled())
        assert [type(event) for event in events] == [caster.Up, caster.Up, caster.Isolated]
        assert [info.suspect for info in node.nodes.values()] == [True, True]
        voice.send(beat("a", incarnation=1, count=2, interval=100))
        assert node.next_event(PATIENCE) == caster.Rejoined()
    called: list[object] = []
    again = network.node(timeout=500)
    again.on("isolated", called.append)
    again.on("rejoined", called.append)
    with again:
        for count in (3, 4):
            for name in ("a", "b"):
                voice.send(beat(name, incarnation=1, count=count, interval=100))
        eventually(lambda: called == [caster.Isolated()])
        voice.send(beat("a", incarnation=1, count=5, interval=100))
        eventually(lambda: called == [caster.Isolated(), caster.Rejoined()])


def test_heartbeats_that_do_not_arrive_are_loss(network: Network) -> None:
    voice = network.voice()
    with network.node() as node:
        for count in (0, 1):
            voice.send(beat("a", incarnation=1, count=count, interval=60_000))
        eventually(lambda: node.stats()["accepted"] == 2)
        assert node.nodes["a"].loss == 0
        voice.send(beat("a", incarnation=1, count=50, interval=60_000))
        assert 0.5 < eventually(lambda: node.nodes["a"].loss) < 1


def test_who_has_another_secret_is_hinted_at(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[caster.Hint] = []
    called = network.node()
    called.on("hint", heard.append)
    with caplog.at_level(logging.WARNING, "caster"):
        with network.node(id="plain") as node, called, network.node(hash_secret="another"):
            hint = next_of(node, caster.Hint)
            assert hint.text.startswith("127.0.0.1 ") and "hashSecret" in hint.text
            assert eventually(lambda: heard) == [hint]
            with pytest.raises(dataclasses.FrozenInstanceError):
                hint.text = ""  # type: ignore[misc]
            # Each of the three receives datagrams that it cannot understand.
            eventually(lambda: len(caplog.records) == 3)
            assert node.stats()["foreign"]["127.0.0.1"] > 0
            eventually(lambda: node.stats()["dropped"]["hash"] >= 5)
    logs = {(record.name, record.levelno, record.getMessage()) for record in caplog.records}
    assert ("caster", logging.WARNING, f"plain: {hint.text}") in logs
    assert heard == [hint]


def test_a_full_table_takes_no_more_nodes(network: Network) -> None:
    voice = network.voice()
    with network.node(max_nodes=1) as node:
        for name, count in (("a", 0), ("a", 1), ("b", 0)):
            voice.send(beat(name, incarnation=1, count=count, interval=60_000))
        eventually(lambda: node.stats()["dropped"]["tableFull"] == 1)
        assert set(node.nodes) == {"a"}


def test_new_metadata_is_an_update(network: Network) -> None:
    with network.node(id="a", meta=1) as a, network.node(id="b") as b:
        next_of(b, caster.Up)
        a.set_meta({"load": 0.5})
        assert a.meta == {"load": 0.5}
        event = next_of(b, caster.Update)
        assert event.changed == ("meta",)
        assert event.node.meta == b.nodes["a"].meta == {"load": 0.5}


def test_keys_of_metadata_change_one_by_one(network: Network) -> None:
    with network.node(id="a", meta={"type": "db", "load": 0}) as a, network.node(id="b") as b:
        next_of(b, caster.Up)
        a.update_meta({"load": 0.5}, port=5432)
        assert next_of(b, caster.Update).node.meta == {"type": "db", "load": 0.5, "port": 5432}
        a.update_meta(port=None)
        assert a.meta == {"type": "db", "load": 0.5}
        with pytest.raises(TypeError, match="mapping, not list"):
            a.update_meta([1])  # type: ignore[arg-type]
        with pytest.raises(caster.ArgumentError, match="max_?[mM]eta"):
            a.update_meta(more="x" * 10_000)
        assert a.meta == {"type": "db", "load": 0.5}
        a.set_meta("text")
        with pytest.raises(caster.ArgumentError, match="the metadata is not an object"):
            a.update_meta(load=1)


def test_callbacks_run_on_a_daemon_thread_of_python(network: Network) -> None:
    a, b = network.node(id="a"), network.node(id="b")
    events: list[object] = []
    where: set[threading.Thread] = set()

    @b.on("up")
    @b.on("down")
    @b.on("message")
    def note(event: object) -> None:
        events.append(event)
        where.add(threading.current_thread())

    assert callable(note)
    updates: list[caster.Update] = []
    assert b.on("update", updates.append) == updates.append
    with b:
        with a:
            eventually(lambda: events)
            a.send({"x": 1})
            eventually(lambda: len(events) == 2)
            a.set_meta("new")
            eventually(lambda: updates)
        eventually(lambda: len(events) == 3)
    up, message, down = events
    assert isinstance(up, caster.Up) and up.node.id == "a"
    assert isinstance(message, caster.Message) and message.message == {"x": 1}
    assert isinstance(down, caster.Down) and down.reason == "goodbye"
    (thread,) = where
    assert thread.daemon and thread is not threading.main_thread()
    eventually(lambda: not thread.is_alive())


def test_a_callback_that_fails_does_not_stop_the_others(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[object] = []

    def fail(event: caster.Message) -> None:
        raise SystemExit("wrong") if event.message else LookupError("wrong")

    with network.node() as sender, network.node() as node:
        node.on("message", fail)
        node.on("message", lambda event: heard.append(event.message))
        with caplog.at_level(logging.ERROR, "caster"):
            for message in (0, 1, 2):
                sender.send(message)
            eventually(lambda: len(heard) == 3)
    assert heard == [0, 1, 2]
    assert [record.name for record in caplog.records] == ["caster"] * 3
    assert "LookupError: wrong" in caplog.text and "fail" in caplog.text


def test_off_removes_a_callback(network: Network) -> None:
    first: list[object] = []
    second: list[object] = []
    with network.node() as sender, network.node() as node:
        on_first = node.on("message", lambda event: first.append(event.message))
        node.on("message", lambda event: second.append(event.message))
        sender.send(1)
        eventually(lambda: first == second == [1])
        node.off("message", on_first)
        node.off("message", on_first)
        sender.send(2)
        eventually(lambda: second == [1, 2])
        assert first == [1]
        with pytest.raises(caster.ArgumentError, match="'massage'.* message"):
            node.off("massage", on_first)
        with pytest.raises(caster.ArgumentError, match="'massage'.* message"):
            node.on("massage")  # type: ignore[call-overload]
        with pytest.raises(caster.ArgumentError, match="callable"):
            node.on("up", 5)  # type: ignore[call-overload]


def test_callbacks_and_pulling_do_not_mix(network: Network) -> None:
    with network.node() as node:
        callback = node.on("up", lambda event: None)
        for pull in (node.next_event, node.events, node.fileno):
            with pytest.raises(caster.StateError, match="callbacks") as caught:
                pull()
            assert caught.value.code == "EVENTS_TAKEN"
        node.off("up", callback)
        assert node.next_event(timeout=0) is None


def test_down_and_up_inside_a_callback(network: Network) -> None:
    node, other = network.node(), network.node(id="other")
    ups: list[str] = []

    @node.on("up")
    def again(event: caster.Up) -> None:
        ups.append(event.node.id)
        if len(ups) == 1:
            node.down()
            node.up()

    with node, other:
        eventually(lambda: len(ups) == 2)
        assert node.is_up
    assert set(ups) == {"other"}


def test_callbacks_of_one_session_do_not_get_events_of_the_one_before(network: Network) -> None:
    node, sender = network.node(), network.node()
    heard: list[object] = []
    gate = threading.Event()

    @node.on("message")
    def note(event: caster.Message) -> None:
        heard.append(event.message)
        gate.wait(PATIENCE)

    with sender:
        with node:
            for number in range(10):
                sender.send(number)
            eventually(lambda: node.stats()["accepted"] >= 10)
            eventually(lambda: heard)
        gate.set()
        with node:
            eventually(lambda: node.nodes)
            sender.send("new")
            eventually(lambda: "new" in heard)
    assert heard == [0, "new"]


def test_waiting_for_events(network: Network) -> None:
    node = network.node(heartbeat=60_000)
    with node:
        assert node.next_event(PATIENCE) == caster.Settled()
        assert node.next_event(timeout=0) is None
        assert node.next_event(timeout=-1) is None
        assert node.next_event(timeout=0.05) is None
        assert list(node.events(timeout=0.05)) == []
        with pytest.raises(caster.ArgumentError, match="NaN"):
            node.next_event(timeout=float("nan"))
        with network.node() as other:
            assert isinstance(node.next_event(timeout=float("inf")), caster.Up)
            other.send(1)
            assert isinstance(node.next_event(1e300), caster.Message)
        eventually(lambda: not node.nodes)
    assert [type(event) for event in node.events()] == [caster.Down]
    assert node.next_event() is None


def test_down_ends_a_wait_in_another_thread(network: Network) -> None:
    node = network.node()
    node.up()
    ended: list[object] = []
    waiter = threading.Thread(target=lambda: ended.append(list(node.events())), daemon=True)
    waiter.start()
    # The wait does not hold the interpreter: this thread goes on.
    assert eventually(waiter.is_alive)
    node.down()
    waiter.join(PATIENCE)
    assert ended == [[]]


def test_the_descriptor_is_readable_while_there_are_events(network: Network) -> None:
    with network.node() as node:
        fd = node.fileno()
        assert fd == node.fileno()
        assert select.select([fd], [], [], 0) == ([], [], [])
        with network.node() as other:
            assert select.select([node], [], [], PATIENCE) == ([node], [], [])
            next_of(node, caster.Up)
            other.send(1)
            assert select.select([fd], [], [], PATIENCE)[0]
            next_of(node, caster.Message)
            assert select.select([fd], [], [], 0)[0] == []


def test_properties(network: Network) -> None:
    node = network.node(id="me", meta={"a": [1]}, expose=False)
    assert (node.id, node.multicast, node.port) == ("me", network.multicast, network.port)
    assert (node.address, node.heartbeat, node.timeout) == ("127.0.0.1", 100, 300)
    assert (node.expose, node.is_up, node.middleware) == (False, False, ("json", "hash"))
    node.meta["a"].append(2)
    assert node.meta == {"a": [1]}, "it is a copy"
    assert repr(node) == "<caster.Node me>"
    with pytest.raises(AttributeError):
        node.id = "you"  # type: ignore[misc]


def test_nodes_is_a_live_read_only_mapping(network: Network) -> None:
    node = network.node(id="me", self=True)
    nodes = node.nodes
    assert isinstance(nodes, Mapping) and len(nodes) == 0 and repr(nodes) == "<nodes: >"
    with node, network.node(id="lone\ud800", meta=[1]) as other:
        eventually(lambda: len(nodes) == 2)
        assert set(nodes) == {"me", "lone\ud800"} == nodes.keys() == set(nodes.copy())
        assert nodes["lone\ud800"].meta == [1] and "lone\ud800" in nodes
        assert nodes["me"].id == "me" and dict(nodes.items())["me"].id == "me"
        assert {peer.id for peer in nodes.values()} == {"lone\ud800", "me"}
        assert "you" not in nodes and 5 not in nodes and nodes.get("you") is None
        assert "lone\ufffd" not in nodes
        with pytest.raises(KeyError, match="you"):
            nodes["you"]
        with pytest.raises(TypeError):
            nodes["you"] = nodes["me"]  # type: ignore[index]
        with pytest.raises(dataclasses.FrozenInstanceError):
            nodes["me"].address = ""  # type: ignore[misc]
        hash(nodes["me"])
        before = nodes.copy()
        other.down()
        eventually(lambda: list(nodes) == ["me"])
        assert len(before) == 2
    assert set(nodes) == {"me"}, "after down it is as it was last"


def test_find_asks_for_keys_and_values(network: Network) -> None:
    a = network.node(id="a", meta={"type": "http", "port": 80, "tags": ["x"]})
    b = network.node(id="b", meta={"type": "db", "port": 5432})
    with network.node(id="me") as node, a, b, network.node(id="none"), network.node(id="odd", meta=5):
        eventually(lambda: len(node.nodes) == 4)
        found = lambda *keys, **values: sorted(p.id for p in node.find(*keys, **values))  # noqa: E731
        assert found(type="http") == ["a"]
        assert found("type") == found("port", "type") == ["a", "b"]
        assert found("tags", type="http", port=80) == found(tags=["x"]) == ["a"]
        assert found(type="ftp") == found("nothing") == found(port="80") == []
        assert found() == ["a", "b", "none", "odd"]
        with pytest.raises(TypeError, match="type has no JSON form"):
            node.find(type={1})


def test_waiting_for_a_node(network: Network) -> None:
    with pytest.raises(caster.StateError, match="not up"):
        network.node().wait_for(timeout=1)
    with network.node(id="me") as node, network.node(id="bare"):
        with pytest.raises(TimeoutError, match="0.05 seconds") as caught:
            node.wait_for(lambda n: n.meta["type"] == "db", timeout=0.05)
        assert isinstance(caught.value, caster.TimeoutError) and caught.value.code == "TIMED_OUT"
        starter = threading.Timer(0.1, lambda: network.node(id="db", meta={"type": "db"}).up())
        starter.start()
        found = node.wait_for(lambda n: n.meta["type"] == "db", timeout=PATIENCE)
        assert (found.id, found.meta) == ("db", {"type": "db"})
        assert node.wait_for(lambda n: n.id == "db") == node.nodes["db"], "it is there already"
        assert node.wait_for(timeout=0.0001).id in ("db", "bare")
        # No event was lost.
        ups = [next_of(node, caster.Up).node.id for _ in range(2)]
        assert sorted(ups) == ["bare", "db"]
        with pytest.raises(ZeroDivisionError):
            node.wait_for(lambda n: 1 / 0, timeout=1)
        starter.join()
        ended: list[object] = []

        def wait() -> None:
            try:
                node.wait_for(lambda n: False)
            except caster.StateError as error:
                ended.append(error.code)

        waiter = threading.Thread(target=wait, daemon=True)
        waiter.start()
        eventually(waiter.is_alive)
        node.down()
        waiter.join(PATIENCE)
        assert ended == ["NOT_UP"]


def test_waiting_for_a_node_beside_callbacks(network: Network) -> None:
    node = network.node(id="me")
    ups: list[str] = []
    inside: list[str] = []

    @node.on("up")
    def up(event: caster.Up) -> None:
        ups.append(event.node.id)
        if event.node.id == "a":
            inside.append(node.wait_for(lambda n: n.id == "b", timeout=PATIENCE).id)

    with node:
        with network.node(id="a"):
            assert node.wait_for(lambda n: n.id == "a", timeout=PATIENCE).id == "a"
            with network.node(id="b"):
                assert node.wait_for(lambda n: n.id == "b", timeout=PATIENCE).id == "b"
                eventually(lambda: inside == ["b"] and ups == ["a", "b"])
        with pytest.raises(caster.TimeoutError):
            node.wait_for(lambda n: n.id == "c", timeout=0.05)


def test_settled_comes_once_after_each_up(network: Network) -> None:
    with network.node(id="before"), network.node() as node:
        assert next_of(node, caster.Settled) == caster.Settled()
        assert list(node.nodes) == ["before"]
        assert all(event.name != "settled" for event in node.events(timeout=0.5))
    called: list[caster.Settled] = []
    node.on("settled", called.append)
    for times in (1, 2):
        with node:
            eventually(lambda: called == [caster.Settled()] * times)


def test_what_no_peer_could_take_is_refused_at_creation(network: Network) -> None:
    text = "option meta: the metadata takes 9002 bytes; the option maxMeta allows 8192"
    with pytest.raises(caster.OptionError, match=text):
        network.node(meta="x" * 9000)
    network.node(meta="x" * 9000, max_meta=9002)
    with pytest.raises(caster.OptionError, match="it takes 602 bytes as JSON"):
        network.node(id="é" * 100)


def test_counters_of_disbelief(network: Network) -> None:
    dropped = network.node().stats()["dropped"]
    assert (dropped["implausible"], dropped["unconfirmed"]) == (0, 0)


def test_records_are_frozen_dataclasses() -> None:
    peer = caster.Peer("a", "1.2.3.4", 1, 2, {"x": [1]}, loss=0.5)
    assert repr(peer) == (
        "Peer(id='a', address='1.2.3.4', first_seen=1, last_seen=2, meta={'x': [1]}, "
        "suspect=False, loss=0.5, addresses=())"
    )
    way = caster.PeerAddress("1.2.3.4", "eth0", 5)
    remote = caster.Remote("1.2.3.4", 5, "IPv4", 6)
    events: list[caster.NodeEvent | caster.CasterEvent] = [
        caster.Up(peer),
        caster.Update(peer, ("meta",)),
        caster.Down(peer, "goodbye"),
        caster.Conflict("a", "1.2.3.4"),
        caster.Isolated(),
        caster.Rejoined(),
        caster.Settled(),
        caster.Hint("text"),
        caster.Message({"m": 1}, peer),
        caster.Datagram(b"x", remote),
        caster.ErrorEvent(caster.Error("text", "LAGGED")),
    ]
    for record in (*events, peer, way, remote):
        kind = type(record)
        assert dataclasses.is_dataclass(record)
        names = [field.name for field in dataclasses.fields(record)]
        assert tuple(names) == kind.__match_args__
        assert dataclasses.replace(record) == record == copy.copy(record)
        assert hash(record) == hash(dataclasses.replace(record))
        assert record != object() and not record == 5
        with pytest.raises(TypeError):
            record < record  # type: ignore[operator]
        if not isinstance(record, caster.ErrorEvent):
            assert pickle.loads(pickle.dumps(record)) == record
            assert copy.deepcopy(record) == record
        for name in names:
            with pytest.raises(dataclasses.FrozenInstanceError, match=name):
                setattr(record, name, 1)
            with pytest.raises(dataclasses.FrozenInstanceError):
                delattr(record, name)
    assert dataclasses.asdict(caster.Message(5, peer))["message"] == 5
    changed = dataclasses.replace(peer, meta=None, suspect=True)
    assert (changed.meta, changed.suspect, changed.id) == (None, True, "a")
    assert changed != peer and hash(dataclasses.replace(peer, meta=None)) == hash(peer)
    assert [event.name for event in events] == [
        *("up", "update", "down", "conflict", "isolated", "rejoined", "settled", "hint"),
        *("message", "message", "error"),
    ]


def test_a_fault_inside_is_an_internal_error() -> None:
    from caster import _caster

    with pytest.raises(caster.InternalError, match="a fault inside caster: of this test") as caught:
        _caster.fault("of this test")
    assert caught.value.code == "INTERNAL"


def test_misuse_is_a_state_error(network: Network) -> None:
    node = network.node()
    for call, code in ((node.down, "NOT_UP"), (lambda: node.send(1), "NOT_UP")):
        with pytest.raises(caster.StateError, match="not up") as caught:
            call()
        assert caught.value.code == code
    node.up()
    with pytest.raises(RuntimeError, match="already up") as caught_again:
        node.up()
    assert isinstance(caught_again.value, caster.StateError)
    with pytest.raises(ZeroDivisionError):
        network.node().__enter__().send(1 / 0)
    node.down()
    with node:
        node.down()


def test_odd_ids_and_messages_that_cannot_be_read(network: Network) -> None:
    with network.node(hash=False, heartbeat=60_000) as node:
        assert node.next_event(PATIENCE) == caster.Settled()
        network.say(
            rb'{"id":"lone\ud800","meta":"\udfff"}',
            b'{"id":"__proto__"}',
            b'{"id":"big","meta":' + b"9" * 5000 + b"}",
            b'{"id":"big","message":' + b"9" * 5000 + b"}",
            rb'{"id":"big","message":"\ud83d"}',
            b'{"id":"big","message":1e999}',
            b'{"id":"big","suicide":true}',
        )
        events = [node.next_event(PATIENCE) for _ in range(9)]
        lone, proto, big, meta_error, error, half, huge, down, down_error = events
        assert isinstance(lone, caster.Up) and lone.node.id == "lone\ud800"
        assert lone.node.meta == "\udfff"
        assert isinstance(proto, caster.Up) and proto.node.id == "__proto__"
        assert isinstance(big, caster.Up) and big.node.meta is None
        for event, what in ((meta_error, "the metadata of 'big'"), (error, "a message from 'big'")):
            assert isinstance(event, caster.ErrorEvent) and what in str(event.error)
        assert isinstance(half, caster.Message) and half.message == "\ud83d"
        assert isinstance(huge, caster.Message) and huge.message == float("inf")
        assert isinstance(down, caster.Down) and down.reason == "goodbye"
        assert isinstance(down_error, caster.ErrorEvent)
        assert set(node.nodes) == {"lone\ud800", "__proto__"}


def test_garbage_is_counted_by_reason(network: Network) -> None:
    with network.node(id="me") as node, network.node(id="peer"):
        next_of(node, caster.Up, "peer")
        foreign = network.node(id="foreign", hash_secret="another")
        with foreign:
            foreign.send("you do not hear this")
            network.say(b"", b"abc", b"x" * 40, b"null")
            eventually(lambda: node.stats()["dropped"]["truncated"] == 3)
            eventually(lambda: node.stats()["dropped"]["hash"] >= 3)
        plain = network.caster(caster.middleware.json(), caster.middleware.hash())
        for value in (None, [1], 5, {"meta": 1}, {"id": {"toString": 1}}, {"id": "hasOwnProperty"}):
            plain.send(value)
        plain.send(b"\xff not json")
        plain.send({"id": "nobody", "suicide": True})
        eventually(lambda: node.stats()["dropped"]["unknownGoodbye"] == 1)
        stats = node.stats()
        expected = {"notAnObject": 3, "noId": 1, "badId": 1, "notJson": 1}
        assert {why: stats["dropped"][why] for why in expected} == expected
        assert stats["dropped"]["own"] > 0
        assert stats["sent"] > 0 and stats["sendErrors"] == stats["eventsLost"] == 0
        assert set(node.nodes) == {"peer", "hasOwnProperty"}
        assert stats["reassemblyFailures"] >= 0
        lo = next(it for it in stats["interfaces"] if "127.0.0.1" in it["addresses"])
        assert lo["joined"] is True and lo["up"] is True and lo["error"] is None
        assert lo["sent"] > 0 and lo["received"] >= lo["echoes"] > 0 and lo["mtu"] > 1000
        assert isinstance(lo["name"], str) and lo["index"] > 0
    stats = node.stats()
    assert stats["interfaces"] == []
    assert stats["received"] == stats["accepted"] + sum(stats["dropped"].values())


def test_a_burst_is_kept_in_order(network: Network) -> None:
    with network.node() as sender, network.node() as node:
        for number in range(500):
            sender.send(number)
        assert [next_of(node, caster.Message).message for _ in range(500)] == list(range(500))


def test_many_messages_with_one_call(network: Network) -> None:
    with network.node(id="a") as a, network.node(max_events=100_000) as b:
        next_of(b, caster.Up)
        size = a.send(0)
        assert a.send_batch(range(1, 10)) == size * 9
        assert a.send_batch([]) == 0
        assert a.send_batch({"n": n} for n in range(1000)) > 1000
        for wrong, what in (([1, {1}], "message 1 has no JSON"), ([b"x"], "message 0 has no JSON")):
            with pytest.raises(TypeError, match=what):
                a.send_batch(wrong)
        with pytest.raises(caster.ArgumentError, match="message 2.*70"):
            a.send_batch([1, 2, "x" * 70_000])
        a.use(Same())
        a.send_batch(["by middleware", "in Python"])
        heard = [next_of(b, caster.Message).message for _ in range(1010)]
        assert heard == [*range(10), *({"n": n} for n in range(1000))]
    with pytest.raises(caster.StateError, match="not up"):
        network.node().send_batch([1])
    sender, receiver = network.caster(), network.caster()
    assert sender.send_batch([b"a", bytearray(b"bc"), "é"]) == 5
    assert [next_of(receiver, caster.Datagram).message for _ in range(3)] == [b"a", b"bc", "é".encode()]


def test_a_port_that_is_not_shared_is_a_network_error(network: Network) -> None:
    import errno
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        node = network.node(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="held by a program") as caught:
            node.up()
    assert isinstance(caught.value, caster.NetworkError)
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.code == "ADDRESS_IN_USE"
    assert not node.is_up
    node.up()


@pytest.mark.parametrize("refused", ["caster-log", "caster-events", "caster-middleware"])
def test_without_a_thread_of_the_system_up_fails_and_can_be_called_again(
    network: Network, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setattr("caster._log._thread_of", None)
    heard: list[object] = []
    peer, node = network.node(), network.node()
    node.on("message", lambda event: heard.append(event.message))
    node.use(Same())
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == refused:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            node.up()
        assert not node.is_up
    node.up()
    peer.up()
    next_of(peer, caster.Up)
    peer.send("heard")
    eventually(lambda: heard == ["heard"])
    node.down()
