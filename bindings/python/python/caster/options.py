"""The options of nodes and casters, for type checkers. The core has the table.

Each has two spellings, `hashSecret` and `hash_secret`; None stands for the default.
"""

from __future__ import annotations

from typing import Any, Literal, Optional, Sequence, TypedDict, Union

__all__ = ["CasterOptions", "NodeOptions"]


class CasterOptions(TypedDict, total=False):
    """The options of a `caster.Caster`."""

    multicast: Optional[str]
    address: Optional[str]
    interfaces: Optional[Sequence[str]]
    multicast6: Optional[str]
    port: Optional[int]
    loopback: Optional[bool]
    ttl: Optional[int]
    range: Optional[Literal["off", "host", "link"]]
    maxDatagrams: Optional[int]
    max_datagrams: Optional[int]
    maxEvents: Optional[int]
    max_events: Optional[int]
    maxEventBytes: Optional[int]
    max_event_bytes: Optional[int]
    coalesce: Optional[int]
    spin: Optional[int]
    receiveBuffer: Optional[int]
    receive_buffer: Optional[int]


class NodeOptions(CasterOptions, total=False):
    """The options of a `caster.Node`."""

    id: Optional[str]
    meta: Any
    expose: Optional[bool]
    heartbeat: Optional[int]
    timeout: Optional[int]
    hash: Optional[bool]
    hashSecret: Optional[Union[str, bytes]]
    hash_secret: Optional[Union[str, bytes]]
    hashAlgorithm: Optional[str]
    hash_algorithm: Optional[str]
    crypto: Optional[bool]
    cryptoKey: Optional[Union[str, bytes]]
    crypto_key: Optional[Union[str, bytes]]
    cryptoAlgorithm: Optional[str]
    crypto_algorithm: Optional[str]
    keys: Optional[Sequence[Union[str, bytes]]]
    realm: Optional[Union[str, bytes]]
    hmac: Optional[bool]
    self: Optional[bool]
    announce: Optional[bool]
    compat: Optional[Literal["0.1.1"]]
    hashEra: Optional[Literal["auto", "binary", "utf8"]]
    hash_era: Optional[Literal["auto", "binary", "utf8"]]
    originals: Optional[Literal["auto", "expect", "never"]]
    seeds: Optional[Sequence[str]]
    unicastPort: Optional[int]
    unicast_port: Optional[int]
    maxNodes: Optional[int]
    max_nodes: Optional[int]
    maxNewNodes: Optional[int]
    max_new_nodes: Optional[int]
    maxAnswers: Optional[int]
    max_answers: Optional[int]
    maxMeta: Optional[int]
    max_meta: Optional[int]
    maxMessage: Optional[int]
    max_message: Optional[int]
    maxDepth: Optional[int]
    max_depth: Optional[int]
    rawUtf8: Optional[bool]
    raw_utf8: Optional[bool]
