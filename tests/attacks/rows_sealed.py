"""The rows of secure mode: recordings, damage, floods, other keys, and a holder of the key.

The speakers are those of rows.py, and one more:

    insider     has the key, a sender of its own and an id of its own, and is believed
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sealed
import wire
from arena import (
    ATTACKER,
    BEAT,
    EMPTY_BLOCK,
    FIRST_PORT,
    GROUP_KEY,
    KEY,
    MODES,
    SEALED,
    SIGNED,
    Place,
    Scene,
    processor_time,
)
from insider import HIGHEST, Insider
from peers import Peer, meet
from rows import Voice, row

ONLY = (SEALED,)
BOTH = (SEALED, SIGNED)
FLOOD = 2000
MADE_UP = 8000
"""Nearly twice the default of the option maxNodes."""
MEMORY = 64 << 10
"""How many KiB they may take."""
NEWCOMER = 10.0
"""Seconds in which a newcomer is up during a flood; twelve rows share the machine. In virtual time 3."""


def recorded(scene: Scene, since: int = 0) -> list[tuple[Place, bytes]]:
    """All that the victims have sent to the group."""
    victims = {peer.host.address for peer in (scene.v, scene.w, scene.x)}
    said = scene.attacker.said
    heard = scene.attacker.peer.seen("datagram", since)
    read = [((it["address"], it["port"]), bytes.fromhex(it["hex"])) for it in heard]
    return [(place, data) for place, data in read if place[0] in victims and data not in said]


def memory(peer: Peer) -> int:
    """The most memory that a peer has had, in KiB."""
    status = Path(f"/proc/{peer._process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


def replay(scene: Scene, datagrams: Iterable[tuple[Place, bytes]]) -> int:
    """From the address of the attacker and from the one that it was recorded from."""
    count = 0
    for place, data in datagrams:
        scene.attacker.send(data, scene.group)
        scene.attacker.send(data, scene.group, place)
        count += 1
    return count


def check_replayed_in_vain(scene: Scene, recording: list[tuple[Place, bytes]]) -> None:
    scene.mark()
    for _ in range(2):
        replay(scene, recording)
        scene.pass_time(0.5)
    scene.check_not_delivered(["pay 100"])
    scene.check_unharmed(conflicts=0)


def dropped(peer: Peer, *reasons: str) -> int:
    return sum(peer.refused().get(reason, 0) for reason in reasons)


def say_and_record(scene: Scene) -> list[tuple[Place, bytes]]:
    """W has said something that must not count twice."""
    scene.w.send("pay 100")
    for peer in (scene.v, scene.x):
        peer.wait_messages(scene.w, ["pay 100"], scene.since[peer])
    # Longer than copies are suppressed.
    time.sleep(BEAT)
    all_of_it = recorded(scene)
    assert len(all_of_it) > 10, "the attacker has heard nothing"
    return all_of_it


def wait_again(peer: Peer, other: str, since: int) -> None:
    peer.wait_for(lambda it: it["ev"] == "up" and it["id"] == other, f"{other} again", since)


# Recordings.


@row("recording", "replayer", modes=BOTH)
def of_the_session(scene: Scene, voice: Voice) -> None:
    recording = say_and_record(scene)
    scene.mark()
    before = dropped(scene.v, "replayed", "own")
    count = replay(scene, recording)
    scene.pass_time(1)
    refused = dropped(scene.v, "replayed", "own") - before
    scene.note(f"{refused} refusals of {count} datagrams, each sent twice")
    assert refused > 0
    scene.check_not_delivered(["pay 100"])
    scene.check_unharmed(conflicts=0)


@row("recording", "replayer", modes=BOTH)
def after_a_restart_of_the_sender(scene: Scene, voice: Voice) -> None:
    recording = say_and_record(scene)
    since = {peer: peer.mark() for peer in (scene.v, scene.x)}
    scene.w.crash()
    scene.w = scene.start("W", 2)
    scene.w.wait_ready()
    for peer, mark in since.items():
        wait_again(peer, "W", mark)
    time.sleep(2.5 * BEAT)
    check_replayed_in_vain(scene, recording)


@row("recording", "replayer", modes=ONLY)
def after_a_restart_of_the_receiver(scene: Scene, voice: Voice) -> None:
    recording = say_and_record(scene)
    since = scene.v.mark()
    scene.v.down()
    scene.v.tell("up")
    for other in ("W", "X"):
        wait_again(scene.v, other, since)
    time.sleep(2.5 * BEAT)
    check_replayed_in_vain(scene, recording)


@row("recording", "replayer", modes=BOTH)
def after_a_restart_of_both(scene: Scene, voice: Voice) -> None:
    recording = say_and_record(scene)
    since = {peer: peer.mark() for peer in (scene.v, scene.w)}
    for peer in since:
        peer.down()
    for peer in since:
        peer.tell("up")
    wait_again(scene.v, "W", since[scene.v])
    wait_again(scene.w, "V", since[scene.w])
    wait_again(scene.x, "W", scene.since[scene.x])
    time.sleep(2.5 * BEAT)
    check_replayed_in_vain(scene, recording)


@row("recording", "replayer", modes=ONLY)
def where_messages_of_casters_are_delivered(scene: Scene, voice: Voice) -> None:
    """Messages alone, as a caster sends them, to a node that was not there and delivers those."""
    recording = say_and_record(scene)
    messages = [(place, data) for place, data in recording if data[5] & 0x7F == sealed.DATA]
    assert messages
    since = {peer: peer.mark() for peer in (scene.w, scene.x)}
    scene.v.crash()
    scene.v = scene.start("V", 1, unproven="deliver")
    for other in ("W", "X"):
        wait_again(scene.v, other, 0)
    for peer, mark in since.items():
        wait_again(peer, "V", mark)
    time.sleep(2.5 * BEAT)
    check_replayed_in_vain(scene, messages)


@row("recording", "replayer", modes=ONLY)
def of_one_that_has_left(scene: Scene, voice: Voice) -> None:
    """Its own datagrams, and what the others have stated about it."""
    recording = say_and_record(scene)
    scene.w.down()
    for peer in (scene.v, scene.x):
        peer.wait_down(scene.w, scene.since[peer])
    scene.mark()
    for _ in range(3):
        replay(scene, recording)
        scene.pass_time(1)
    for peer in (scene.v, scene.x):
        assert not scene.told(peer, "up", "update", "down", "conflict", "isolated"), peer.story
    scene.check_not_delivered(["pay 100"])
    assert dropped(scene.v, "unproven") > 0


@row("recording", "replayer", modes=ONLY)
def of_the_receiver_itself(scene: Scene, voice: Voice) -> None:
    scene.v.send("of its own")
    scene.x.wait_messages(scene.v, ["of its own"], scene.since[scene.x])
    time.sleep(BEAT)
    own = [it for it in recorded(scene) if it[0][0] == scene.v.host.address]
    assert own
    scene.mark()
    for place, data in own:
        scene.attacker.send(data, (scene.v.host.address, scene.port))
        scene.attacker.send(data, scene.group, scene.place(scene.x))
    scene.pass_time(1)
    assert not scene.v.seen("message", scene.since[scene.v], id="V")
    scene.check_unharmed(conflicts=0)


@row("recording", "forger", modes=ONLY)
def in_the_name_of_an_innocent_address(scene: Scene, voice: Voice) -> None:
    """Authentic, but of a sender that is gone: it is not worth more bytes than it has."""
    recording = say_and_record(scene)
    scene.w.down()
    for peer in (scene.v, scene.x):
        peer.wait_down(scene.w, scene.since[peer])
    scene.mark()
    for _, data in recording[-40:]:
        scene.attacker.send(data, (scene.v.host.address, scene.port), scene.innocent)
    scene.pass_time(6)
    came_in = scene.attacker.bytes - scene.bytes_before
    datagrams, size, messages = scene.sent_to(scene.innocent[0])
    scene.note(f"{came_in} B in, {datagrams} datagrams, {size} B out")
    assert messages == 0 and size <= came_in


# Datagrams that are not authentic.


@row("damage", "insider", modes=ONLY)
def a_flip_in_each_byte_and_a_cut_at_each_length(scene: Scene, voice: Voice) -> None:
    insider = Insider(scene)
    insider.join()
    scene.mark()
    good = insider.seal(insider.message("true"))
    other = insider.seal(insider.message("else"))
    broken = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    broken += [good[:at] for at in range(1, len(good))]
    broken += [good[:40] + other[40:], other[:40] + good[40:], good + b"\0"]
    broken += [good[:5] + bytes([kind]) + good[6:] for kind in (1, 2, 0x80)]
    frame = sealed.Frame(insider.sender, insider.counter + 1, insider.message("true"))
    broken.append(sealed.seal(frame, sealed.Derived.of(KEY, "another realm")))
    before = dropped(scene.v, "seal", "unsealed")
    for data in broken:
        insider.say(data)
    insider.beat()
    scene.pass_time(1)
    refused = dropped(scene.v, "seal", "unsealed") - before
    scene.note(f"{refused} of {len(broken)} counted")
    assert not scene.v.seen("message", scene.since[scene.v], id="insider")
    # The others were lost on the way, if at all.
    assert refused >= 0.9 * len(broken)
    insider.say(good)
    scene.v.wait_for(lambda it: it.get("message") == "true", "the true one", scene.since[scene.v])
    scene.check_unharmed(conflicts=0)


def flood(scene: Scene, datagrams: list[bytes], *reasons: str) -> None:
    """V refuses them, cheaply, and a newcomer comes up meanwhile."""
    before, spent = scene.v.stats(), processor_time(scene.v)
    to = (scene.v.host.address, scene.port)
    for data in datagrams:
        scene.attacker.send(data, to)
    time.sleep(0.3)
    after = scene.v.stats()
    spent = processor_time(scene.v) - spent
    came = after["received"] - before["received"]
    refused = sum(after["dropped"].get(it, 0) - before["dropped"].get(it, 0) for it in reasons)
    scene.note(f"{spent / came:.0f} ns of processor time a datagram, with the system")
    assert refused > 0.5 * len(datagrams), f"{refused} of {len(datagrams)}: {after['dropped']}"
    began = time.monotonic_ns()
    newcomer = scene.start("newcomer", 3)
    while not scene.v.seen("up", id="newcomer"):
        assert time.monotonic_ns() - began < NEWCOMER * 1e9, scene.v.story
        for data in datagrams[:100]:
            scene.attacker.send(data, scene.group)
    up = scene.v.wait_up(newcomer)
    scene.note(f"a newcomer is up after {(up['t'] - began) / 1e9:.2f} s")
    scene.check_unharmed(conflicts=0)


@row("flood", "stranger", modes=ONLY)
def of_garbage(scene: Scene, voice: Voice) -> None:
    flood(scene, [os.urandom(200) for _ in range(FLOOD)], "unsealed", "tooMany")


@row("flood", "stranger", modes=ONLY)
def of_the_right_magic(scene: Scene, voice: Voice) -> None:
    start = sealed.MAGIC + bytes([sealed.AES_GCM, sealed.HEARTBEAT, 0, 0])
    flood(scene, [start + os.urandom(200) for _ in range(FLOOD)], "seal", "tooMany")


@row("flood", "insider", modes=ONLY)
def of_the_right_hint(scene: Scene, voice: Voice) -> None:
    """The tag of each is wrong, and each sender is new: recorded elsewhere, and damaged."""

    def damaged(number: int) -> bytes:
        frame = sealed.Frame(secrets.token_bytes(12), 1, bytes(150), kind=sealed.HEARTBEAT, x=number)
        data = sealed.seal(frame, GROUP_KEY)
        return data[:-1] + bytes([data[-1] ^ 1])

    flood(scene, [damaged(number) for number in range(FLOOD)], "seal", "tooMany")


@row("flood", "replayer", modes=ONLY)
def of_recorded_headers(scene: Scene, voice: Voice) -> None:
    headers = [data[:40] for _, data in recorded(scene)]
    assert headers
    bodies = [headers[at % len(headers)] + os.urandom(160) for at in range(FLOOD)]
    flood(scene, bodies, "seal", "replayed", "tooMany")


@row("flood", "insider", modes=ONLY)
def of_senders_that_do_not_answer(scene: Scene, voice: Voice) -> None:
    """Each is authentic, as a recording of another session is."""

    def recorded_hello(number: int) -> bytes:
        text = json.dumps({"id": f"old{number}", "meta": None, "caster": {"b": number, "n": 0}})
        payload = bytes(3) + secrets.token_bytes(8) + text.encode()
        frame = sealed.Frame(secrets.token_bytes(12), 1, payload, kind=sealed.HEARTBEAT)
        return sealed.seal(frame, GROUP_KEY)

    flood(scene, [recorded_hello(number) for number in range(FLOOD)], "unproven", "tooMany")
    assert not [it for it in scene.told(scene.v, "up") if it["id"].startswith("old")]


@row("plain", "stranger", modes=ONLY)
def on_the_port_of_a_sealed_group(scene: Scene, voice: Voice) -> None:
    extension = scene.extension(scene.w)
    before = dropped(scene.v, "unsealed")
    for envelope in (
        {"id": "W", "meta": {"is": "another"}, "caster": extension},
        {"id": "W", "message": "forged"},
        {"id": "W", "suicide": True, "caster": extension},
        {"id": "W", "meta": None, "caster": extension | {"b": 77}},
        {"id": "new", "meta": None},
        {"caster": {"b": 1, "a": 1, "u": 1}},
    ):
        for source in (None, scene.place(scene.w)):
            scene.attacker.send(json.dumps(envelope).encode(), scene.group, source)
    scene.pass_time(1)
    # Equal bytes from two addresses are copies.
    assert dropped(scene.v, "unsealed") >= before + 5
    assert not scene.told(scene.v, "up")
    scene.check_not_delivered(["forged"])
    scene.check_unharmed(conflicts=0)


# Other keys and realms.


@row("realm", "stranger", modes=ONLY)
def two_groups_with_one_key(scene: Scene, voice: Voice) -> None:
    others = [scene.start(id, host, realm="another") for id, host in (("R", 1), ("S", 2))]
    meet(others)
    others[0].send("for the other group")
    others[1].wait_messages(others[0], ["for the other group"])
    scene.pass_time(2)
    for peer in (scene.v, scene.x):
        assert not scene.told(peer, "up", "conflict"), peer.story
    assert not others[0].seen("up", id="V")
    scene.check_not_delivered(["for the other group"])
    scene.check_unharmed(conflicts=0)


@row("rotation", "insider", modes=ONLY)
def the_old_key_after_its_removal(scene: Scene, voice: Voice) -> None:
    """A node that was left out has the old key only, and a recording of everything."""
    insider = Insider(scene)
    insider.join()
    recording = say_and_record(scene)
    new, victims = secrets.token_hex(32), (scene.v, scene.w, scene.x)
    for command, key in (("add_key", new), ("use_key", new), ("remove_key", KEY.hex())):
        for peer in victims:
            since = peer.mark()
            peer.tell(f"{command} {key}")
            peer.wait_for(lambda event: event["ev"] == "keys", command, since)
        end = time.monotonic() + 3 * BEAT
        while command != "remove_key" and time.monotonic() < end:
            insider.beat()
            time.sleep(BEAT / 2)
    # A key that was removed is accepted for two timeouts.
    time.sleep(5 * BEAT)
    scene.v.wait_for(lambda it: it["ev"] == "down" and it["id"] == "insider", "its end")
    scene.mark()
    before = dropped(scene.v, "seal")
    for number in range(20):
        insider.beat()
        insider.say(insider.seal(insider.message(f"forged {number}")))
        time.sleep(0.1)
    replay(scene, recording[-100:])
    scene.pass_time(1, say=False)
    assert dropped(scene.v, "seal") >= before + 40
    scene.check_not_delivered([f"forged {number}" for number in range(20)] + ["pay 100"])
    for peer in (scene.v, scene.x):
        assert not scene.told(peer, "up", "down", "conflict", "isolated"), peer.story
    since = scene.v.mark()
    scene.w.send("under the new key")
    scene.v.wait_messages(scene.w, ["under the new key"], since)


# The holder of the key.


@row("insider", "insider", modes=ONLY)
def a_message_for_one_is_for_no_other(scene: Scene, voice: Voice) -> None:
    insider = Insider(scene)
    insider.join()
    scene.mark()
    before = dropped(scene.x, "seal")
    data = insider.seal(insider.message("for V"), to=insider.senders["V"])
    insider.say(data)
    scene.v.wait_for(lambda it: it.get("message") == "for V", "it", scene.since[scene.v])
    for to in (scene.group, (scene.x.host.address, scene.port)):
        scene.attacker.send(data, to)
    insider.beat()
    scene.pass_time(1)
    assert dropped(scene.x, "seal") >= before + 1
    for peer in (scene.w, scene.x):
        assert not peer.seen("message", scene.since[peer], id="insider"), peer.story
    told = scene.v.seen("message", scene.since[scene.v], id="insider")
    assert len(told) == 1, told
    scene.check_unharmed(conflicts=0)


@row("insider", "insider", modes=ONLY)
def states_counters_that_were_never_sent(scene: Scene, voice: Voice) -> None:
    """A newcomer is heard although a member states that it is current from the highest counter on."""
    insider = Insider(scene)
    insider.join()
    newcomer = scene.start("newcomer", 3)
    newcomer.wait_ready()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        insider.hear()
        sender = insider.senders.get("newcomer", bytes(12))
        insider.beat(statements=[(sender, HIGHEST), (secrets.token_bytes(12), 1)])
        time.sleep(0.05)
    meet([scene.v, newcomer])
    since = scene.v.mark()
    newcomer.send("heard")
    scene.v.wait_messages(newcomer, ["heard"], since)
    scene.check_unharmed(conflicts=0)


@row("insider", "insider", modes=ONLY)
def asks_without_end(scene: Scene, voice: Voice) -> None:
    insider = Insider(scene)
    insider.join()
    time.sleep(BEAT)
    before, seconds = scene.sent_to_group(), 4.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for id in ("V", "W", "X"):
            asks = [insider.senders[id] + secrets.token_bytes(8) for _ in range(16)]
            insider.beat(asks=asks)
    # Ten heartbeats an interval may be brought forward, each with a datagram of statements.
    scene.check_sent(before, most=2 * (1 + 10) * (seconds / BEAT + 2), seconds=seconds)
    scene.check_unharmed(conflicts=0)


@row("insider", "insider", modes=BOTH)
def in_the_name_of_another(scene: Scene, voice: Voice) -> None:
    """From its own address. With W's address it would be believed: any holder of the key may be W."""
    insider = Insider(scene)
    insider.join()
    scene.mark()
    extension = scene.extension(scene.w)
    leave: dict[str, Any] = {"id": "W", "suicide": True, "caster": scene.incarnation(scene.w)}
    beat = {"id": "W", "meta": {"is": "another"}, "caster": extension}
    for envelope in (beat, leave, beat | {"caster": extension | {"b": 77}}):
        payload = insider.block() + json.dumps(envelope).encode()
        insider.say(insider.seal(payload, sealed.PRESENCE))
        insider.say(insider.seal(insider.message("forged", id="W")))
        scene.pass_time(0.5)
    scene.pass_time(1)
    scene.check_not_delivered(["forged"])
    scene.check_unharmed()


@row("insider", "insider", modes=BOTH)
def the_highest_counter(scene: Scene, voice: Voice) -> None:
    """Of its own it may say anything. It mutes itself and no other."""
    insider = Insider(scene)
    insider.join()
    insider.say(insider.seal(insider.message("last"), counter=HIGHEST))
    scene.pass_time(1)
    scene.check_unharmed(conflicts=0)


def made_up(number: int, echoes: list[bytes], signs: bool) -> bytes:
    """The first heartbeat of a node that there is not, and of a sender that has answered."""
    extension = {"b": number, "n": 0, "h": 1000, "c": 0}
    text = json.dumps({"id": f"made up {number}", "meta": None, "caster": extension})
    payload = bytes([0, len(echoes), 0]) + secrets.token_bytes(8) + b"".join(echoes) + text.encode()
    identity = sealed.Identity(secrets.token_bytes(32), secrets.token_bytes(16))
    sender = identity.sender if signs else secrets.token_bytes(12)
    frame = sealed.Frame(sender, 1, payload, kind=sealed.HEARTBEAT)
    return sealed.seal(identity.sign(frame, GROUP_KEY) if signs else frame, GROUP_KEY)


@row("insider", "insider", modes=BOTH)
def makes_up_more_ids_than_a_table_holds(scene: Scene, voice: Voice) -> None:
    """Each has a sender, and an identity, of its own. Peers stay up, and a newcomer comes up meanwhile."""
    insider, signs = Insider(scene), scene.mode is MODES[SIGNED]
    scene.mark()
    before = memory(scene.v)
    places = [(f"10.77.0.{200 + number}", scene.port) for number in range(50)]
    told = 0
    newcomer = None
    for part in range(MADE_UP // 500):
        insider.hear()
        echoes = [insider.challenges[id] for id in ("V", "W", "X")]
        numbers = range(500 * part, 500 * (part + 1))
        crowd = [(made_up(it, echoes, signs), places[it % len(places)]) for it in numbers]
        scene.attacker.send_all(crowd, scene.group)
        told += len(crowd)
        if told == MADE_UP // 2:
            began = time.monotonic_ns()
            newcomer = scene.start("newcomer", 3)
    assert newcomer
    up = scene.v.wait_up(newcomer)
    took, nodes = (up["t"] - began) / 1e9, scene.v.stats()["nodes"]
    heard = len([it for it in scene.told(scene.v, "up") if it["id"].startswith("made up")])
    grown = memory(scene.v) - before
    scene.note(f"{heard} of {told} were up, {nodes} at once; {grown} KiB; a newcomer is up after {took:.2f} s")
    assert heard > 0.5 * told, scene.v.stats()
    assert took <= NEWCOMER and grown <= MEMORY
    # They are gone as any node that falls silent.
    scene.v.wait_until(lambda: scene.v.stats()["nodes"] == 3, "W, X and the newcomer alone")
    assert not scene.told(scene.v, "down", about="newcomer")
    scene.check_unharmed(conflicts=0)


@row("insider", "insider", modes=(SIGNED,))
def under_the_sender_of_another(scene: Scene, voice: Voice) -> None:
    """From the address of W and under its sender, with counters far ahead: nothing of W moves."""
    insider = Insider(scene)
    insider.join()
    place, extension = scene.place(scene.w), scene.extension(scene.w)
    beat = {"id": "W", "meta": {"is": "another"}, "caster": extension}
    leave: dict[str, Any] = {"id": "W", "suicide": True, "caster": scene.incarnation(scene.w)}
    scene.mark()
    before = dropped(scene.v, "identity")
    own = sealed.Identity(secrets.token_bytes(32), secrets.token_bytes(16))
    for ahead in (1, 2**40, 2**63):
        insider.hear()
        sender, counter = insider.senders["W"], insider.counters["W"] + ahead
        frames = [
            sealed.Frame(sender, counter, EMPTY_BLOCK + json.dumps(said).encode(), kind=kind)
            for said in (beat, leave)
            for kind in (sealed.HEARTBEAT, sealed.PRESENCE)
        ]
        frames.append(sealed.Frame(sender, counter, insider.message("forged", id="W")))
        for frame in frames:
            for said in (frame, own.sign(frame, GROUP_KEY)):
                scene.attacker.send(sealed.seal(said, GROUP_KEY), scene.group, place)
        scene.pass_time(0.5)
    scene.check_not_delivered(["forged"])
    refused = dropped(scene.v, "identity") - before
    scene.note(f"{refused} of 30 refused")
    assert refused >= 20
    scene.check_unharmed()


@row("insider", "insider", modes=(SIGNED,))
def takes_the_id_of_one_that_is_gone(scene: Scene, voice: Voice) -> None:
    """A node of its own, with another identity and with none."""
    scene.mark()
    since = scene.v.mark()
    scene.w.crash()
    scene.v.wait_down(scene.w, since)
    seeds = (secrets.token_hex(32), None)
    for seed in seeds:
        since = scene.v.mark()
        options = {"identity": seed, "signMessages": seed is not None}
        taker = scene.start("W", ATTACKER, **options)
        taker.wait_ready()
        taker.wait_for(lambda it: it["ev"] == "up" and it["id"] == "V", "V")
        taker.send("forged")
        time.sleep(4 * BEAT)
        assert not scene.v.seen("up", since, id="W"), scene.v.story
        assert not scene.v.seen("message", since, id="W"), scene.v.story
        taker.crash()
    since = scene.v.mark()
    scene.w = scene.start("W", 2)
    wait_again(scene.v, "W", since)


# The plain port.


@row("downgrade", "stranger", "forger", modes=ONLY)
def on_the_plain_port(scene: Scene, voice: Voice) -> None:
    """A node in migration hears a plain port, too. Nothing that is said there moves W, which it has believed sealed."""
    port = FIRST_PORT + 2 * scene.arena.number()
    both = scene.start("M", 1, plain="accept", plainPort=port)
    meet([both, scene.v, scene.w])
    time.sleep(2.5 * BEAT)
    scene.mark()
    scene.since[both] = both.mark()
    source = scene.place(scene.w) if voice.speaker == "forger" else None
    extension = scene.extension(scene.w)

    def say_plainly(envelope: dict[str, Any]) -> None:
        data = wire.seal(wire.to_json(envelope))
        for to in ((wire.GROUP, port), (both.host.address, port)):
            scene.attacker.send(data, to, source)

    def say_all() -> None:
        for beat in (extension, extension | {"b": 77, "n": 0}):
            say_plainly({"id": "W", "meta": "forged", "caster": beat})
            say_plainly({"id": "W", "message": "forged"})
            say_plainly({"id": "W", "suicide": True, "caster": {"b": beat["b"]}})
            scene.pass_time(0.3)
        say_plainly({"id": "W", "suicide": True})
        say_plainly({"id": "liar", "meta": None, "caster": {"b": 5, "n": 0, "d": [["W", extension["b"]]], "p": ["W"]}})
        scene.pass_time(0.3)

    say_all()
    refused = dropped(both, "downgrade")
    scene.note(f"{refused} refused")
    assert refused >= 12
    told = [it for it in scene.told(both, "up", "update", "down", "conflict") if it.get("id") != "liar"]
    assert not told, both.story
    assert not both.seen("message", scene.since[both], message="forged")
    scene.check_unharmed(conflicts=0)
    # Nor is W plain after it has left.
    scene.w.down()
    both.wait_down(scene.w, scene.since[both])
    scene.since[both] = both.mark()
    say_all()
    scene.pass_time(1)
    assert not [it for it in both.seen("up", scene.since[both]) if it["id"] == "W"], both.story


# Honest nodes.


@row("start", "stranger", modes=ONLY)
def up_send_leave(scene: Scene, voice: Voice) -> None:
    brief = scene.start("brief", 3)
    meet([brief, scene.v, scene.w])
    brief.down()
    scene.v.wait_down(brief, scene.since[scene.v])
    time.sleep(BEAT)
    since = {peer: peer.mark() for peer in (scene.v, scene.w)}
    brief.tell("up")
    brief.send("only")
    brief.tell("down")
    for peer, mark in since.items():
        peer.wait_messages(brief, ["only"], mark)
        peer.wait_down(brief, mark)
    scene.check_unharmed(conflicts=0)


@row("refused port", "forger", modes=ONLY)
def no_death_before_the_timeout(scene: Scene, voice: Voice) -> None:
    """W is stopped for 1.5 s. Forged refusals of its port kill it in no less than its timeout."""
    of, to = scene.place(scene.v), scene.place(scene.w)
    beat = scene.last_beat(scene.w)
    end = time.monotonic() + 2
    while scene.last_beat(scene.w) == beat and time.monotonic() < end:
        time.sleep(0.01)
    scene.w.pause()
    try:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            scene.attacker.refuse(of, to)
            time.sleep(0.02)
    finally:
        scene.w.resume()
    scene.pass_time(1)
    scene.check_unharmed(conflicts=0)
