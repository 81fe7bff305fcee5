"""Transformations of messages between the program and the wire.

The built-in middlewares are `json`, `hash` and `crypto`. A middleware of a program is any object
with a `name` and one or both of these methods:

`tx(message)`
    returns the message that is passed on towards the wire.
`rx(message, remote)`
    returns the message that is passed on towards the program. `remote` is a `caster.Remote`.

`functions` makes one of two functions.

A message is `bytes` on the side of the wire and a JSON value on the program's side of `json`.
A method that gets bytes must not return None.

An exception drops the message: for an outgoing message `send` raises it as
`caster.MiddlewareError`, an incoming message is counted
(`stats()["dropped"]["middleware"]`).

`tx` runs on the thread that calls `send`. `rx`, and `tx` for heartbeats, run on a daemon thread
of this package or, in the asyncio style, on the event loop.
"""

from __future__ import annotations

from ._caster import Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Union

    from ._caster import Remote

__all__ = ["Functions", "Stage", "crypto", "functions", "hash", "json"]


class Functions:
    """A middleware made of functions; see `functions`."""

    __slots__ = ("name", "rx", "tx")

    def __init__(
        self,
        name: str,
        tx: Optional[Callable[[Any], Any]],
        rx: Optional[Callable[[Any, Remote], Any]],
    ) -> None:
        self.name, self.tx, self.rx = name, tx, rx

    def __repr__(self) -> str:
        return f"<caster.middleware.functions {self.name}>"


def functions(
    name: str,
    tx: Optional[Callable[[Any], Any]] = None,
    rx: Optional[Callable[[Any, Remote], Any]] = None,
) -> Functions:
    """Makes a middleware of one or two functions.

        node.use(middleware.functions("reverse", lambda m: m[::-1], lambda m, remote: m[::-1]))
    """
    return Functions(name, tx, rx)


def json() -> Stage:
    """Converts between JSON values and JSON texts. Messages that are not JSON pass as bytes."""
    return Stage.json()


def hash(
    *,
    secret: Union[str, bytes, None] = None,
    algorithm: Optional[str] = None,
    era: Optional[str] = None,
) -> Stage:
    """Puts a digest in front of every message and drops messages whose digest does not match.

    It separates groups and detects damage; it is not security. Defaults are those of the options
    `hash_secret`, `hash_algorithm` and `hash_era` of a node.

    Raises `caster.OptionError` if the algorithm or era is not known.
    """
    return Stage.hash(secret, algorithm, era)


def crypto(
    *, key: Union[str, bytes, None] = None, algorithm: Optional[str] = None
) -> Stage:
    """Encrypts messages as caster 0.1.1 does, which is not security.

    Defaults are those of the options `crypto_key` and `crypto_algorithm` of a node.

    Raises `caster.OptionError` if the algorithm is not known.
    """
    return Stage.crypto(key, algorithm)
