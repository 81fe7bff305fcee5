"""Which part of a value has no JSON form, and what to give instead. Imported only for an error."""

from __future__ import annotations

from dataclasses import is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from uuid import UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Optional, Tuple

DEPTH = 64
"""No message nests deeper (`MAX_SENT_DEPTH` in the core)."""
MOST = 100_000
"""Of this number of parts a value is searched: one that contains itself has no end."""


def explain(value: Any, error: BaseException) -> str:
    """Names the place in `value` that caused the error of the encoder, and a way out."""
    for place, part in islice(_parts(value, "", 0), MOST):
        advice = _advice(part)
        if advice is not None:
            where = f"the value at {place}" if place else "it"
            return f"{where} is {_name(part)}; {advice}"
    return str(error)


def _parts(value: Any, place: str, depth: int) -> Iterator[Tuple[str, Any]]:
    """All values inside, with their places as Python writes them."""
    yield place, value
    if depth == DEPTH:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, (str, int, float, bool, type(None))):
                yield f"{place}[{key!r}]", _Key(key)
            yield from _parts(part, f"{place}[{key!r}]", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _parts(part, f"{place}[{index}]", depth + 1)


class _Key:
    """A key of a dict that is no text."""

    def __init__(self, key: Any) -> None:
        self.key = key


def _name(part: Any) -> str:
    if isinstance(part, float):
        return repr(part)
    if isinstance(part, _Key):
        return f"under a key of type {type(part.key).__name__}"
    return f"of type {type(part).__name__}"


def _advice(part: Any) -> Optional[str]:
    """None if the value has a JSON form, apart from its parts."""
    if isinstance(part, float):
        return None if part - part == 0 else "give a finite number or None"
    if isinstance(part, (str, int, dict, list, tuple, type(None))):
        return None
    if isinstance(part, _Key):
        return "the keys of a dict have to be strings"
    if isinstance(part, (date, time)):
        return "give its isoformat()"
    if isinstance(part, timedelta):
        return "give its total_seconds()"
    if isinstance(part, (bytes, bytearray, memoryview)):
        return "give text, as base64 for example"
    if isinstance(part, (set, frozenset)):
        return "give a list"
    if isinstance(part, Enum):
        return "give its value"
    if isinstance(part, (Decimal, UUID, PurePath)):
        return "give str() of it"
    if is_dataclass(part) and not isinstance(part, type):
        return "give dataclasses.asdict() of it"
    if hasattr(part, "tolist"):
        return "give its tolist()"
    return "give a dict, a list, a string, a number, a bool or None"
