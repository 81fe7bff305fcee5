"""The exceptions of this package. All of them are a `caster.Error`."""

from __future__ import annotations

import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple, Type

__all__ = [
    "ArgumentError",
    "Error",
    "InternalError",
    "MiddlewareError",
    "NetworkError",
    "OptionError",
    "StateError",
    "TimeoutError",
]


class Error(Exception):
    """The base class of all exceptions of this package.

    `code` is the stable name of the error, the same in every language: `NOT_UP`, for example.
    `errno` is the error number of the operating system if a system call failed, else None.
    """

    code: str
    errno: Optional[int]

    def __init__(
        self, message: str = "", code: str = "INTERNAL", errno: Optional[int] = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.errno = errno

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (str(self), self.code, self.errno)


class OptionError(Error, ValueError):
    """An option is not known or its value is not accepted."""


class ArgumentError(Error, ValueError):
    """An argument of a call is not accepted."""


class StateError(Error, RuntimeError):
    """The call does not fit the state: `send` on a node that is not up, for example."""


class NetworkError(Error, OSError):
    """The operating system refused; `errno` has its reason."""


class MiddlewareError(Error):
    """A middleware failed, rejected a message or was used wrongly."""


class TimeoutError(Error, builtins.TimeoutError):
    """A wait ended without a result."""


class InternalError(Error):
    """A fault inside Caster itself. Please report it."""


_CLASSES: Dict[str, Type[Error]] = {
    "INVALID_OPTION": OptionError,
    "UNKNOWN_OPTION": OptionError,
    "INVALID_ARGUMENT": ArgumentError,
    "MESSAGE_TOO_LARGE": ArgumentError,
    "ALREADY_UP": StateError,
    "NOT_UP": StateError,
    "ALREADY_BOUND": StateError,
    "NOT_BOUND": StateError,
    "EVENTS_TAKEN": StateError,
    "FORKED": StateError,
    "IO": NetworkError,
    "ADDRESS_IN_USE": NetworkError,
    "HASH_MISMATCH": MiddlewareError,
    "DECRYPT": MiddlewareError,
    "MIDDLEWARE": MiddlewareError,
    "TIMED_OUT": TimeoutError,
    "INTERNAL": InternalError,
}


def from_core(code: str, message: str, errno: Optional[int]) -> Error:
    """Returns the exception for an error of the core."""
    return _CLASSES.get(code, Error)(message, code, errno)
