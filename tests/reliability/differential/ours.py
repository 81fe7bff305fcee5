"""The same datagrams through libcaster.so: a node on a virtual network, and a caster that sends it bytes."""

from __future__ import annotations

import ctypes
import json
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p
from typing import Any

UP, UPDATE, DOWN, MESSAGE, REJECT = 1, 2, 3, 4, 10


def load(path: str) -> ctypes.CDLL:
    lib = ctypes.CDLL(path)
    for name, result, arguments in [
        ("caster_network_new", c_void_p, [c_uint64]),
        ("caster_options_new_node", c_void_p, []),
        ("caster_options_merge_json", c_int, [c_void_p, c_char_p]),
        ("caster_network_node", c_int, [c_void_p, c_void_p, POINTER(c_void_p)]),
        ("caster_network_caster", c_int, [c_void_p, c_void_p, POINTER(c_void_p)]),
        ("caster_node_up", c_int, [c_void_p]),
        ("caster_node_watch_rejects", c_int, [c_void_p, c_int]),
        ("caster_bind", c_int, [c_void_p]),
        ("caster_send", c_int, [c_void_p, c_char_p, c_size_t, POINTER(c_size_t)]),
        ("caster_network_advance", c_int, [c_void_p, c_uint64]),
        ("caster_node_poll_batch", c_int, [c_void_p, c_int, POINTER(c_void_p), c_size_t, POINTER(c_size_t)]),
        ("caster_event_type", c_int, [c_void_p]),
        ("caster_event_peer", c_void_p, [c_void_p]),
        ("caster_event_message_json", c_char_p, [c_void_p]),
        ("caster_event_free", None, [c_void_p]),
        ("caster_peer_id_json", c_char_p, [c_void_p]),
        ("caster_peer_meta_json", c_char_p, [c_void_p]),
        ("caster_node_free", None, [c_void_p]),
        ("caster_free", None, [c_void_p]),
        ("caster_network_free", None, [c_void_p]),
        ("caster_options_free", None, [c_void_p]),
        ("caster_last_error", c_char_p, []),
    ]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def value(text: bytes | None) -> Any:
    return None if text is None else json.loads(text)


class Receiver:
    """A node that has just gone up. It hears one datagram, and is gone."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        self.lib = lib
        self.options = lib.caster_options_new_node()
        self.ok(lib.caster_options_merge_json(self.options, b'{"id":"receiver","expose":false,"hashEra":"auto"}'))
        self.events = (c_void_p * 16)()

    def ok(self, status: int) -> None:
        assert status == 0, (status, self.lib.caster_last_error())

    def hear(self, datagram: bytes) -> list[list[Any]]:
        lib = self.lib
        network = lib.caster_network_new(1)
        node, caster = c_void_p(), c_void_p()
        self.ok(lib.caster_network_node(network, self.options, byref(node)))
        self.ok(lib.caster_network_caster(network, None, byref(caster)))
        self.ok(lib.caster_node_watch_rejects(node, 1))
        self.ok(lib.caster_node_up(node))
        self.ok(lib.caster_bind(caster))
        self.ok(lib.caster_send(caster, datagram, len(datagram), None))
        self.ok(lib.caster_network_advance(network, 1))
        count = c_size_t()
        told = []
        if lib.caster_node_poll_batch(node, 0, self.events, 16, byref(count)) == 0:
            for event in self.events[: count.value]:
                told += self.told(event)
                lib.caster_event_free(event)
        lib.caster_node_free(node)
        lib.caster_free(caster)
        lib.caster_network_free(network)
        return told

    def told(self, event: int) -> list[list[Any]]:
        lib = self.lib
        kind = lib.caster_event_type(event)
        peer = lib.caster_event_peer(event)
        if kind == UP:
            return [["up", value(lib.caster_peer_id_json(peer)), value(lib.caster_peer_meta_json(peer))]]
        if kind == MESSAGE:
            return [["message", value(lib.caster_event_message_json(event))]]
        return [["down"]] if kind == DOWN else [["reject"]] if kind == REJECT else []
