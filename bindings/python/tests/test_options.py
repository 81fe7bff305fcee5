"""Options go to the core as they are given; errors say what is wrong."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import pickle
import uuid
from typing import Any, Set

import pytest

import caster
from caster import errors
from caster.testing import Network


def test_options_are_keywords_or_a_mapping_in_either_spelling() -> None:
    assert caster.Node({"id": "a", "port": 4000}, port=4001).port == 4001
    for options in ({"hashAlgorithm": "md5"}, {"hash_algorithm": "md5"}):
        assert caster.Node(**options).middleware == ("json", "hash")
    caster.Node(self=True)
    caster.Node(**{"self": True})
    assert caster.Node(id=None, meta=None, port=None).port == 10101
    assert caster.Node().id.startswith("node")
    assert caster.Caster({"port": 4000}, ttl=1).port == 4000


@pytest.mark.parametrize(
    "options, code, words",
    [
        ({"heartbaet": 1}, "UNKNOWN_OPTION", ["heartbaet", 'did you mean "heartbeat"?']),
        ({"hash_sceret": "x"}, "UNKNOWN_OPTION", ["hash_sceret", 'did you mean "hashSecret"?']),
        ({"colour": 1}, "UNKNOWN_OPTION", ["colour", "there are id, meta"]),
        ({"port": "10101"}, "INVALID_OPTION", ["port", '"10101"', "from 1 to 65535"]),
        ({"port": 0}, "INVALID_OPTION", ["port", "0", "from 1 to 65535"]),
        ({"timeout": 2.5}, "INVALID_OPTION", ["timeout", "2.5", "milliseconds"]),
        ({"multicast": "10.0.0.1"}, "INVALID_OPTION", ["multicast", "10.0.0.1", "224.0.0.0"]),
        ({"id": ""}, "INVALID_OPTION", ["id", "1 to 255 bytes"]),
        ({"cryptoAlgorithm": "bf"}, "INVALID_OPTION", ["cryptoAlgorithm", "aes256"]),
        ({"meta": {1, 2}}, "INVALID_OPTION", ["meta", "set"]),
        ({"heartbeat": float("nan")}, "INVALID_OPTION", ["heartbeat", "no JSON form"]),
        ({"port": b"\x01"}, "INVALID_OPTION", ["port", "from 1 to 65535"]),
        ({5: 1}, "UNKNOWN_OPTION", ["5", "string"]),
    ],
)
def test_a_wrong_option_is_named(options: Any, code: str, words: list[str]) -> None:
    with pytest.raises(caster.OptionError) as caught:
        caster.Node(options)
    assert isinstance(caught.value, ValueError)
    assert caught.value.code == code
    for word in words:
        assert word in str(caught.value)


def test_a_secret_is_not_repeated_in_an_error() -> None:
    with pytest.raises(caster.OptionError) as caught:
        caster.Node(hash_secret=["hidden"])
    assert "hashSecret" in str(caught.value) and "hidden" not in str(caught.value)


def test_a_caster_has_only_its_own_options() -> None:
    with pytest.raises(caster.OptionError, match="a caster has no option"):
        caster.Caster(heartbeat=100)


def test_every_code_has_its_class() -> None:
    builtin = {
        "INVALID_OPTION": ValueError,
        "INVALID_ARGUMENT": ValueError,
        "NOT_UP": RuntimeError,
        "ALREADY_BOUND": RuntimeError,
        "IO": OSError,
        "TIMED_OUT": TimeoutError,
    }
    for code, also in builtin.items():
        error = errors.from_core(code, "the text", 5)
        assert isinstance(error, caster.Error) and isinstance(error, also)
        assert (str(error), error.code, error.errno) == ("the text", code, 5)
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.code, copy.errno) == (
            type(error),
            "the text",
            code,
            5,
        )
    assert type(errors.from_core("INTERNAL", "", None)) is caster.InternalError
    assert type(errors.from_core("MIDDLEWARE", "", None)) is caster.MiddlewareError
    assert type(errors.from_core("LAGGED", "", None)) is caster.Error
    assert type(errors.from_core("OF_THE_FUTURE", "", None)) is caster.Error


def test_an_option_has_one_spelling() -> None:
    for given, more in (({"hashSecret": "a", "hash_secret": "b"}, {}), ({"hashSecret": "a"}, {"hash_secret": "a"})):
        with pytest.raises(caster.OptionError, match="hashSecret and as hash_secret"):
            caster.Node(given, **more)
    assert caster.Node({"port": 5}, port=6).port == 6, "a keyword replaces the same name"


@pytest.mark.parametrize("given", [5, "id", [("id", "x")], b"", 0.0])
def test_options_that_are_no_mapping_are_refused(given: Any) -> None:
    for make in (caster.Node, caster.Caster):
        with pytest.raises(TypeError, match="options have to be a mapping or keyword arguments, not"):
            make(given)


@dataclasses.dataclass
class Printer:
    kind: str
    since: datetime.date
    pages: Set[int]


class Colour(enum.Enum):
    RED = "red"


PRINTER = Printer("laser", datetime.date(2020, 2, 29), {7})
PLAIN = {"kind": "laser", "since": "2020-02-29", "pages": [7]}


def test_values_without_json_form_go_through_default() -> None:
    network = Network()
    a = network.node(id="a", meta=PRINTER, default=caster.to_plain)
    with a, network.node(id="b") as b:
        assert a.meta == PLAIN and b.wait_for(timeout=5).meta == PLAIN
        a.send([PRINTER, datetime.timedelta(minutes=1), Colour.RED, decimal.Decimal("1.10")])
        a.send_batch([uuid.UUID(int=1), pathlib.PurePosixPath("/a")])
        network.advance(0.1)
        heard = [e.message for e in b.events(timeout=0) if isinstance(e, caster.Message)]
        assert heard == [[PLAIN, 60.0, "red", "1.10"], str(uuid.UUID(int=1)), "/a"]
        a.update_meta(since=datetime.datetime(2021, 1, 2, 3, 4))
        assert a.meta["since"] == "2021-01-02T03:04:00"
        a.set_meta({"is": Colour.RED})
        network.advance(1)
        assert b.find(is_=1) == [] and [peer.id for peer in b.find(**{"is": "red"})] == ["a"]
        with pytest.raises(TypeError, match="the message has no JSON form: object has no JSON form"):
            a.send({"x": object()})
        with pytest.raises(TypeError, match="give dataclasses.asdict"):
            b.send(PRINTER)
        with pytest.raises(caster.ArgumentError, match="NaN|nan"):
            a.send(float("nan"))


def test_a_default_of_the_program() -> None:
    network = Network()
    with network.caster(default=lambda value: f"<{value!r}>") as made:
        made.use(caster.middleware.json())
        assert made.send({"at": 1j}) == len('{"at":"<1j>"}')

    def refuses(value: object) -> object:
        raise ZeroDivisionError

    with network.node(default=refuses) as node, pytest.raises(ZeroDivisionError):
        node.send(1j)
    for wrong in (5, "to_plain"):
        with pytest.raises(caster.OptionError, match="option default: a function of one value"):
            caster.Node(default=wrong)  # type: ignore[arg-type]
