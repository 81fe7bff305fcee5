"""`to_plain`: the usual values without JSON form as values with one. Imported when it is used."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from uuid import UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def to_plain(value: Any) -> Any:
    """Returns a value with JSON form in place of one without, for the option `default`.

        node = caster.Node(meta=Printer("laser"), default=caster.to_plain)

    A dataclass becomes a dict, a date, time or datetime its `isoformat()`, a timedelta its
    `total_seconds()`, an enumeration its value, a Decimal, UUID or path its text, a set a list, and an
    array of numpy its `tolist()`. Raises TypeError for others.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Decimal, UUID, PurePath)):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    to_list = getattr(value, "tolist", None)
    if callable(to_list):
        return to_list()
    raise TypeError(f"{type(value).__name__} has no JSON form")
