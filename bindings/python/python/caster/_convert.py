"""Conversions between Python's objects and the JSON texts and bytes of the core."""

from __future__ import annotations

from _collections_abc import Mapping

from .errors import ArgumentError, OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union

    Payload = Union[str, bytes]
    Default = Callable[[Any], Any]
    Encode = Callable[[Any], str]
    Given = Union[Payload, List[Payload]]

_encode: Optional[Encode] = None


def _encoder() -> Encode:
    """The encoder, made at the first use: importing json takes longer than importing this package."""
    global _encode
    if _encode is None:
        _encode = _encoder_with(None)
    return _encode


def _encoder_with(default: Optional[Default]) -> Encode:
    import json

    return json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=default).encode


def to_encode(default: object) -> Optional[Encode]:
    """The encoder for the option `default`; None for the usual one."""
    if default is None:
        return None
    if not callable(default):
        text = f"option default: a function of one value, or None, not {type(default).__name__}"
        raise OptionError(text, "INVALID_OPTION")
    return _encoder_with(default)


def to_json(value: Any, what: str, encode: Optional[Encode] = None) -> str:
    """Returns `value` as JSON text. Raises ArgumentError or TypeError, which call it `what`."""
    try:
        return (encode or _encode or _encoder())(value)
    except TypeError as error:
        if encode is not None:
            # Its own `default` knows best; a text of the encoder names no place either.
            raise TypeError(f"{what} has no JSON form: {error}") from error
        from ._advice import explain

        raise TypeError(f"{what} has no JSON form: {explain(value, error)}") from None
    except (ValueError, RecursionError) as error:
        from ._advice import explain

        text = f"{what} has no JSON form: {explain(value, error)}"
        raise ArgumentError(text, "INVALID_ARGUMENT") from None


def each(messages: Iterable[Any]) -> Iterable[Tuple[int, Any]]:
    """The messages with their indices. Raises TypeError if this is one message, not many."""
    if isinstance(messages, (str, bytes, bytearray, memoryview, Mapping)):
        kind = type(messages).__name__
        raise TypeError(f"send_batch takes an iterable of messages, not one message of type {kind}")
    if not hasattr(messages, "__iter__") and not hasattr(messages, "__getitem__"):
        raise TypeError(f"send_batch takes an iterable of messages, not {type(messages).__name__}")
    return enumerate(messages)


def to_payload(
    message: Any, what: str = "the message", encode: Optional[Encode] = None
) -> Payload:
    """Returns bytes-like objects as bytes, all others as JSON text."""
    if isinstance(message, (bytes, bytearray, memoryview)):
        return bytes(message)
    return to_json(message, what, encode)


def from_json(text: str) -> Any:
    """The value of a JSON text."""
    import json

    return json.loads(text)


def from_payload(payload: Payload) -> Any:
    """Bytes, or the value of a JSON text."""
    return payload if isinstance(payload, bytes) else from_json(payload)


def to_key(key: object) -> Payload:
    """A key of secure mode: bytes, or text."""
    if isinstance(key, str):
        return key
    if isinstance(key, (bytes, bytearray, memoryview)):
        return bytes(key)
    raise OptionError(f"a key is bytes or text, not {type(key).__name__}", "INVALID_OPTION")


def to_keys(name: str, keys: object) -> List[Payload]:
    """The keys of secure mode, or those of identities."""
    if not isinstance(keys, (list, tuple)):
        text = f"option {name}: a list of keys, not {type(keys).__name__}"
        raise OptionError(text, "INVALID_OPTION")
    return [to_key(key) for key in keys]


def to_options(
    given: Optional[Mapping[str, Any]], more: Mapping[str, Any]
) -> Tuple[Dict[str, Given], Optional[Encode]]:
    """Options as JSON texts by name, and the encoder of `default`. Bytes, for secrets and keys, stay bytes."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"options have to be a mapping or keyword arguments, not {type(given).__name__}")
    options: Dict[str, Given] = {}
    merged = {**(given or {}), **more}
    encode = to_encode(merged.pop("default", None))
    for name, value in merged.items():
        if not isinstance(name, str):
            text = f"the name of an option has to be a string, not {name!r}"
            raise OptionError(text, "UNKNOWN_OPTION")
        if name in ("keys", "identity", "trust"):
            # Not as JSON, which ends in texts of errors.
            if value is not None:
                options[name] = to_key(value) if name == "identity" else to_keys(name, value)
            continue
        try:
            options[name] = value if isinstance(value, bytes) else to_json(value, "it", encode)
        except (TypeError, ArgumentError) as error:
            text = f"option {name}: {error}"
            raise OptionError(text, "INVALID_OPTION") from None
    return options, encode
