"""A small client of libcaster.so by ctypes alone: what a language without a binding of its own has
to do. It is for the tests, and an example of the rules of caster.h; programs use the package `caster`.
"""

import ctypes
import json
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_double, c_int, c_int64, c_size_t,
                    c_uint64, c_void_p)

OK = 0
TIMED_OUT = -16
UP, UPDATE, DOWN, MESSAGE, ERROR = 1, 2, 3, 4, 5

# The library calls these on a thread of its own; ctypes takes the interpreter's lock by itself.
NodeEventFn = CFUNCTYPE(None, c_void_p, c_void_p, c_void_p)
DropFn = CFUNCTYPE(None, c_void_p)


class Stats(Structure):
    """The first fields of caster_stats_t, as a program that was made for an older version has them."""

    _fields_ = [("size", c_size_t), ("received", c_uint64), ("accepted", c_uint64), ("dropped", c_uint64)]


def load(path=None):
    lib = ctypes.CDLL(path or os.environ["LIBCASTER"])

    def declare(result, name, *arguments):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments

    # A string that is borrowed is a c_char_p, which ctypes copies at once. One that is to be freed
    # must be a c_void_p, or its address would be lost.
    for name in ("caster_version", "caster_last_error"):
        declare(c_char_p, name)
    for name in ("caster_status_name", "caster_status_text"):
        declare(c_char_p, name, c_int)
    for name in ("caster_options_new_node",):
        declare(c_void_p, name)
    for name in ("caster_options_free", "caster_node_free", "caster_event_free", "caster_peer_free",
                 "caster_nodes_free", "caster_string_free", "caster_network_free"):
        declare(None, name, c_void_p)
    declare(c_int, "caster_options_merge_json", c_void_p, c_char_p)
    declare(c_int, "caster_options_set_int", c_void_p, c_char_p, c_int64)
    declare(c_int, "caster_node_new", c_void_p, POINTER(c_void_p))
    declare(c_int, "caster_node_up", c_void_p)
    declare(c_int, "caster_node_down", c_void_p)
    declare(c_char_p, "caster_node_id", c_void_p)
    declare(c_int, "caster_node_send_json", c_void_p, c_char_p, POINTER(c_size_t))
    declare(c_int, "caster_node_set_meta_json", c_void_p, c_char_p)
    declare(c_int, "caster_node_poll", c_void_p, c_int, POINTER(c_void_p))
    declare(c_int, "caster_node_fd", c_void_p, POINTER(c_int))
    declare(c_int, "caster_node_find", c_void_p, c_char_p, c_char_p, POINTER(c_void_p))
    declare(c_int, "caster_node_stats", c_void_p, POINTER(Stats))
    declare(c_int, "caster_node_stats_json", c_void_p, POINTER(c_void_p))
    for name in ("caster_node_on_up", "caster_node_on_message", "caster_node_on_down"):
        declare(c_int, name, c_void_p, NodeEventFn, c_void_p, DropFn)
    declare(c_size_t, "caster_nodes_count", c_void_p)
    declare(c_void_p, "caster_nodes_at", c_void_p, c_size_t)
    declare(c_int, "caster_event_type", c_void_p)
    declare(c_void_p, "caster_event_peer", c_void_p)
    for name in ("caster_event_name", "caster_event_message_json", "caster_event_reason_name",
                 "caster_peer_id_json", "caster_peer_meta_json", "caster_peer_address"):
        declare(c_char_p, name, c_void_p)
    declare(c_void_p, "caster_network_new", c_uint64)
    declare(c_int, "caster_network_node", c_void_p, c_void_p, POINTER(c_void_p))
    declare(c_int, "caster_network_advance", c_void_p, c_uint64)
    declare(c_int, "caster_network_set_loss", c_void_p, c_double)
    return lib


class CasterError(Exception):
    """A call that returned a status: its name, and the text of caster_last_error."""

    def __init__(self, name, text):
        super().__init__(text)
        self.name = name


class Event:
    """A copy of the attributes of an event; the event itself can be freed."""

    def __init__(self, lib, event):
        peer = lib.caster_event_peer(event)
        text = lib.caster_event_message_json(event)
        reason = lib.caster_event_reason_name(event)
        self.type = lib.caster_event_type(event)
        self.name = lib.caster_event_name(event).decode()
        self.message = json.loads(text) if text is not None else None
        self.reason = reason.decode() if reason else None
        self.id = json.loads(lib.caster_peer_id_json(peer)) if peer else None
        self.address = lib.caster_peer_address(peer).decode() if peer else None
        meta = lib.caster_peer_meta_json(peer) if peer else None
        self.meta = json.loads(meta) if meta else None


class Node:
    """A node, on the system's network or on a virtual one."""

    def __init__(self, lib, options, network=None):
        self._lib = lib
        self._node = c_void_p()
        self._kept = []  # what the library calls must live as long as it may be called
        made = lib.caster_options_new_node()
        try:
            self._check(lib.caster_options_merge_json(made, json.dumps(options).encode()))
            if network is None:
                self._check(lib.caster_node_new(made, byref(self._node)))
            else:
                self._check(lib.caster_network_node(network, made, byref(self._node)))
        finally:
            lib.caster_options_free(made)

    def _check(self, status):
        if status != OK:
            name = self._lib.caster_status_name(status).decode()
            raise CasterError(name, self._lib.caster_last_error().decode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        node, self._node = self._node, c_void_p()
        self._lib.caster_node_free(node)

    @property
    def id(self):
        return self._lib.caster_node_id(self._node).decode()

    def up(self):
        self._check(self._lib.caster_node_up(self._node))

    def down(self):
        self._check(self._lib.caster_node_down(self._node))

    def send(self, value):
        """Returns the number of bytes on the wire."""
        sent = c_size_t()
        self._check(self._lib.caster_node_send_json(self._node, json.dumps(value).encode(), byref(sent)))
        return sent.value

    def set_meta(self, value):
        self._check(self._lib.caster_node_set_meta_json(self._node, json.dumps(value).encode()))

    def poll(self, timeout):
        """The next event; None after `timeout` seconds without one."""
        event = c_void_p()
        status = self._lib.caster_node_poll(self._node, int(timeout * 1000), byref(event))
        if status == TIMED_OUT:
            return None
        self._check(status)
        try:
            return Event(self._lib, event)
        finally:
            self._lib.caster_event_free(event)

    def fileno(self):
        descriptor = c_int()
        self._check(self._lib.caster_node_fd(self._node, byref(descriptor)))
        return descriptor.value

    def find(self, key, *value):
        """The ids of those whose metadata has this key, and this value if one is given."""
        nodes = c_void_p()
        wanted = json.dumps(value[0]).encode() if value else None
        self._check(self._lib.caster_node_find(self._node, key.encode(), wanted, byref(nodes)))
        try:
            count = self._lib.caster_nodes_count(nodes)
            peers = [self._lib.caster_nodes_at(nodes, at) for at in range(count)]
            return [json.loads(self._lib.caster_peer_id_json(peer)) for peer in peers]
        finally:
            self._lib.caster_nodes_free(nodes)

    def stats(self):
        stats = Stats(size=ctypes.sizeof(Stats))
        self._check(self._lib.caster_node_stats(self._node, byref(stats)))
        return stats

    def stats_json(self):
        text = c_void_p()
        self._check(self._lib.caster_node_stats_json(self._node, byref(text)))
        try:
            return json.loads(ctypes.cast(text, c_char_p).value)
        finally:
            self._lib.caster_string_free(text)

    def on(self, name, function, dropped=None):
        """Calls `function(event)` on a thread of the library; name is up, message or down."""

        def call(_node, event, _user_data):
            function(Event(self._lib, event))

        callback = NodeEventFn(call)
        drop = DropFn(lambda _: dropped() if dropped else None)
        self._kept += [callback, drop]
        register = getattr(self._lib, f"caster_node_on_{name}")
        self._check(register(self._node, callback, None, drop))
