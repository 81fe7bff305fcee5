"""Any JSON value that is sent arrives as it was, and so does metadata."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import caster
from caster import middleware
from caster.testing import Network

text = st.text(st.characters(codec=None, exclude_categories=())) | st.text("\ud800\udfff\x00\"\\é€😀")
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5)
)
SETTINGS = settings(
    max_examples=int(os.environ.get("CASTER_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down."""
    return json.dumps(a) == json.dumps(b)


@given(values)
@SETTINGS
def test_messages(value: Any) -> None:
    network = Network()
    with network.node() as a, network.node() as b:
        b.wait_for(timeout=5)
        a.send(value)
        heard = [e.message for e in b.events(timeout=0.1) if isinstance(e, caster.Message)]
        assert len(heard) == 1 and same(heard[0], value)


@given(values, st.sampled_from(["sha1", "md5", "SHA256"]), text, st.booleans())
@SETTINGS
def test_datagrams(value: Any, algorithm: str, secret: str, crypto: bool) -> None:
    network = Network()
    stages = [middleware.json(), middleware.hash(secret=secret, algorithm=algorithm)]
    a, b = network.caster(), network.caster()
    for each in (a, b):
        each.use(*stages, *([middleware.crypto(key=secret)] if crypto else []))
    with a, b:
        a.send(value)
        (event,) = b.events(timeout=0.1)
        assert isinstance(event, caster.Datagram) and same(event.message, value)


@given(st.binary(max_size=2000))
@SETTINGS
def test_bytes(data: bytes) -> None:
    network = Network()
    with network.caster() as a, network.caster() as b:
        assert a.send(data) == len(data)
        (event,) = b.events(timeout=0.1)
        assert event == caster.Datagram(data, caster.Remote("10.0.0.1", 10101, "IPv4", len(data)))


# Metadata that JavaScript takes for false stands for none.
@given(values.filter(lambda value: value not in (0, "", False)))
@SETTINGS
def test_metadata(value: Any) -> None:
    network = Network()
    with network.node(id="a", meta=value) as a, network.node() as b:
        assert same(b.wait_for(timeout=5).meta, value)
        a.set_meta([value])
        network.advance(1)
        assert same(b.nodes["a"].meta, [value]) and same(a.meta, [value])


@given(st.lists(scalars, max_size=20))
@SETTINGS
def test_asyncio(messages: list[Any]) -> None:
    network = Network()

    async def main() -> None:
        async with network.node() as a, network.node() as b:
            await b.wait_for(timeout=5)
            for message in messages:
                a.send(message)
            events = [event async for event in b.events(timeout=0.1)]
            heard = [e.message for e in events if isinstance(e, caster.Message)]
            assert same(heard, messages)

    asyncio.run(main())
