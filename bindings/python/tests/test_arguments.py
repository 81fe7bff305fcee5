"""Arguments that would be taken for something else without a word are refused, with what is accepted."""

from __future__ import annotations

import signal
from typing import Any, Callable, Tuple, Type

import pytest
from conftest import Network

import caster
import caster.testing
from caster import middleware

Calls = Tuple[Callable[[Any], Any], Type[Exception], str]


@pytest.mark.parametrize("timeout", ["1", b"1", True, [1]])
def test_a_timeout_is_a_number(network: Network, timeout: Any) -> None:
    node = network.node()
    node.up()
    for call in (node.next_event, node.events, lambda timeout: node.wait_for(timeout=timeout)):
        with pytest.raises(TypeError, match="^a timeout is a number of seconds or None, not "):
            call(timeout)
    node.down()


@pytest.mark.parametrize("predicate", ["db", 5, {"type": "db"}])
def test_a_predicate_is_a_function(network: Network, predicate: Any) -> None:
    node = network.node()
    node.up()
    with pytest.raises(caster.ArgumentError, match="^a predicate is a function of one peer, or None, not "):
        node.wait_for(predicate, timeout=10)
    node.down()


def test_a_predicate_with_other_arguments_is_an_error() -> None:
    network = caster.testing.Network()
    with network.node(id="a") as a, network.node(id="b", meta={"type": "db"}):
        wrong: Any = lambda: True
        with pytest.raises(TypeError, match="takes 0 positional arguments but 1 was given"):
            a.wait_for(wrong, timeout=5)


def test_a_wait_that_times_out_tells_of_a_predicate_that_raised() -> None:
    network = caster.testing.Network()
    with network.node(id="a") as a, network.node(id="b", meta={"kind": "db"}):
        text = "within 5 seconds; the predicate raised KeyError for b: 'type'$"
        with pytest.raises(caster.TimeoutError, match=text):
            a.wait_for(lambda peer: peer.meta["type"] == "db", timeout=5)
        with pytest.raises(caster.TimeoutError, match="within 5 seconds$"):
            a.wait_for(lambda peer: False, timeout=5)


CALLS = [
    (lambda node: node.send_batch(5), TypeError, "send_batch takes an iterable of messages, not int$"),
    (lambda node: node.send_batch(None), TypeError, "send_batch takes an iterable of messages, not NoneType$"),
    (lambda node: node.find({"type": "db"}), TypeError, r"find takes keys as strings .* not {\'type\': \'db\'}$"),
    (lambda node: node.find(5), TypeError, "find takes keys as strings"),
    (lambda node: node.remove_key(caster.generate_key(), now="no"), TypeError, "now is a bool, not"),
    (lambda node: node.use(5), caster.MiddlewareError, r"one of caster.middleware, as in json\(\), .* not 5$"),
    (lambda node: node.use(middleware.json), caster.MiddlewareError, r"as in json\(\), .*function json"),
    (lambda _: caster.Node(keys=[]), caster.OptionError, "option keys: it is empty; give at least one key"),
    (lambda _: caster.Caster(keys=[]), caster.OptionError, "option keys: it is empty"),
    (lambda _: caster.Node(crypto_key="a"), caster.OptionError, "option cryptoKey: crypto is off"),
    (lambda _: caster.Node(hash_secret="a", hash=False), caster.OptionError, "option hashSecret: hash is off"),
    (lambda _: caster.leave_on_signals("SIGTERM"), TypeError, "takes signals, as in signal.SIGTERM, not"),
    (lambda _: caster.leave_on_signals(signal.SIGKILL), ValueError, "SIGKILL cannot be handled$"),
    (lambda _: caster.testing.Network("a"), TypeError, "seed: give a whole number from 0"),
    (lambda _: caster.testing.Network(-1), ValueError, "seed: give a whole number from 0"),
    (lambda _: caster.testing.Network().advance("1"), TypeError, "give seconds, a number that is not negative, not"),
    (lambda _: caster.testing.Network().set_loss(None), TypeError, "give a share from 0 to 1, not None$"),
    (lambda _: caster.testing.Network().set_delay(True), TypeError, "give seconds, .* not True$"),
    (lambda _: caster.testing.Network().unplug(5), TypeError, "give a node or its id, not 5$"),
    (lambda _: caster.testing.Network().plug(None), TypeError, "give a node or its id, not None$"),
]


@pytest.mark.parametrize("calls", CALLS, ids=lambda calls: calls[2])
def test_a_wrong_argument_is_named(network: Network, calls: Calls) -> None:
    call, error, text = calls
    node = network.node()
    node.up()
    with pytest.raises(error, match=text):
        call(node)
    node.down()
