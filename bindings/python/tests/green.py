"""The libraries of green threads that are tested, here and with programs of other languages in tests/networks."""

from __future__ import annotations

PATCH = {
    "gevent": "from gevent import monkey, sleep, spawn; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch(); from eventlet import sleep, spawn",
}
"""The lines at the start of a program by name. `sleep` and `spawn` are of the library then."""
