"""Signals, exit, fork: what happens to the process around a node."""

from __future__ import annotations

import gc
import os
import signal
import time
import weakref
from typing import Any, Callable

import pytest
from conftest import PATIENCE, Network, descriptors, eventually, finish, next_of, threads

import caster


def test_ctrl_c_ends_every_wait(network: Network) -> None:
    waits = [
        "node.next_event()",
        "node.next_event(timeout=60)",
        "list(node.events())",
        "list(node.events(timeout=60))",
    ]
    processes = [
        network.script(
            f"""
with caster.Node(options) as node:
    try:
        print("ready", flush=True)
        while True:
            {wait}
    except KeyboardInterrupt:
        print("interrupted", node.is_up)
"""
        )
        for wait in waits
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.2)  # Any moment is right; most should be inside the wait.
    for process in processes:
        process.send_signal(signal.SIGINT)
    for process in processes:
        assert finish(process) == "interrupted True\n"


BUSY = """
import threading
nodes = [caster.Node(options, id=f"{sys.argv[0]}{os.getpid()}-{n}", self=True) for n in range(3)]
called = threading.Event()

def busy(event):
    time.sleep(0.01)
    called.set()

for node in nodes:
    node.on("up", busy)
    node.on("message", busy)
    node.up()
called.wait(20)
for n in range(300):
    nodes[0].send(n)
print(len(nodes), flush=True)
"""


def test_exit_with_live_nodes_says_goodbye(network: Network) -> None:
    with network.node(id="watcher") as watcher:
        for _ in range(4):
            processes = [network.script(BUSY) for _ in range(3)]
            for process in processes:
                assert finish(process) == "3\n"
        downs = [next_of(watcher, caster.Down) for _ in range(36)]
        assert {event.reason for event in downs} == {"goodbye"}
        assert len({event.node.id for event in downs}) == 36


def test_exit_in_any_state(network: Network) -> None:
    endings = [
        # A callback that takes longer than the exit waits.
        "node.on('up', lambda e: time.sleep(60)); node.up(); time.sleep(0.3)",
        # A thread that waits for events.
        "import threading; node.up(); "
        "threading.Thread(target=lambda: list(node.events()), daemon=True).start()",
        # The same thread, not a daemon: it ends with the node, and the exit waits for it.
        "import threading; node.up(); "
        "t = threading.Thread(target=lambda: list(node.events())); t.start(); node.down()",
        # Middleware of its own.
        "node.use(type('M', (), dict(name='m', tx=lambda s, m: m, rx=lambda s, m, r: m))()); "
        "node.up(); time.sleep(0.3)",
        # Never up, dropped while up, left in a cycle.
        "pass",
        "node.up(); del node",
        "node.up(); loop = [node]; loop.append(loop); del node, loop",
        # Many at once.
        "nodes = [caster.Node(options) for _ in range(20)]; [n.up() for n in nodes]",
        # Down is done by the program.
        "node.up(); node.down()",
    ]
    processes = [network.script(f"node = caster.Node(options)\n{end}") for end in endings]
    for process in processes:
        assert finish(process) == ""


def test_an_uncaught_exception_still_says_goodbye(network: Network) -> None:
    with network.node(id="watcher") as watcher:
        process = network.script(
            "node = caster.Node(options, id='unlucky'); node.up(); time.sleep(0.2); 1 / 0"
        )
        assert next_of(watcher, caster.Down).reason == "goodbye"
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 1


FORK = """
import warnings, threading
warnings.simplefilter("ignore")  # Python 3.12 warns of forks with threads: that is the point.
node = caster.Node(options, id="parent")
node.on("up", lambda event: None)
node.up()
plain = caster.Node(options, id="plain")
plain.up()
pid = os.fork()
if pid == 0:
    calls = [
        node.up, node.down, lambda: node.send(1), node.stats, lambda: node.nodes,
        lambda: node.is_up, lambda: node.set_meta(1), lambda: node.meta, lambda: node.use(),
        lambda: node.on("up", print), lambda: node.off("up", print),
        plain.next_event, plain.events, plain.fileno,
    ]
    for call in calls:
        try:
            call()
        except caster.StateError as error:
            assert error.code == "FORKED" and "forked child" in str(error), error
        else:
            if call is not calls[8]:
                raise AssertionError(call)
    assert node.id == "parent" and "parent" in repr(node)
    del node, plain, calls, call
    with caster.Node(options, id="child") as child:
        for event in child.events(timeout=20):
            if isinstance(event, caster.Up) and event.node.id == "parent":
                print("child found parent", flush=True)
                break
    sys.exit(0)
_, status = os.waitpid(pid, 0)
print("status", status, "up", node.is_up and plain.is_up)
node.send("still here")
"""


def test_a_forked_child_lets_go_of_the_parents_nodes(network: Network) -> None:
    with network.node(id="watcher") as watcher:
        out = finish(network.script(FORK))
        assert out == "child found parent\nstatus 0 up True\n"
        ends = {}
        while "parent" not in ends or "plain" not in ends:
            event = next_of(watcher, caster.Down)
            ends[event.node.id] = event.reason
        assert ends == {"child": "goodbye", "parent": "goodbye", "plain": "goodbye"}
        # The exit of the child did not end the parent's node.
        assert list(ends)[0] == "child"


@pytest.mark.parametrize(
    "leave, status, told",
    [
        ("os._exit(7)", 7, ""),
        ("sys.exit(7)", 7, ""),
        ("raise LookupError('of the child')", 1, "LookupError: of the child"),
        ("pass", 0, ""),
    ],
)
@pytest.mark.parametrize("style", ["with", "async with"])
def test_a_fork_inside_with_keeps_the_end_of_the_child(
    network: Network, style: str, leave: str, status: int, told: str
) -> None:
    code = f"""
import warnings, asyncio
warnings.simplefilter("ignore")

async def main():
    {style} caster.Node(options, id="parent") as node:
        pid = os.fork()
        if pid == 0:
            {leave}
        else:
            _, status = os.waitpid(pid, 0)
            print(os.WEXITSTATUS(status), node.is_up)

asyncio.run(main(), debug=False)
"""
    process = network.script(code)
    out, err = process.communicate(timeout=PATIENCE)
    assert out == f"{status} True\n", err
    assert "caster.errors" not in err and "FORKED" not in err
    # On a slow machine the node is alone for five intervals, which a hint tells.
    rest = [line for line in err.splitlines() if "no peer was heard" not in line]
    assert (told in err) if told else rest == [], err


def test_multiprocessing_with_fork(network: Network) -> None:
    code = """
import warnings, multiprocessing
warnings.simplefilter("ignore")
node = caster.Node(options, id="parent")
node.up()

def work(queue):
    with caster.Node(options, id="worker") as worker:
        queue.put(next(e.node.id for e in worker.events(timeout=20) if isinstance(e, caster.Up)))

context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=work, args=(queue,))
process.start()
print(queue.get(timeout=20))
process.join(20)
print(process.exitcode)
"""
    assert finish(network.script(code)) == "parent\n0\n"


SUBINTERPRETERS = """
try:
    import _interpreters as interpreters  # Python 3.13 and newer
except ImportError:
    import _xxsubinterpreters as interpreters
REFUSED = '''
try:
    import caster
except ImportError as error:
    assert "does not support loading in subinterpreters" in str(error), error
    print("refused", flush=True)
'''
node = caster.Node(options)
node.on("up", print)
node.up()
for _ in range(20):
    other = interpreters.create()
    interpreters.run_string(other, REFUSED)
    interpreters.destroy(other)
node.send("still up")
"""


def test_a_subinterpreter_is_refused_and_the_interpreter_goes_on(network: Network) -> None:
    assert finish(network.script(SUBINTERPRETERS)) == "refused\n" * 20


def test_up_and_down_leave_nothing_behind(network: Network) -> None:
    node, other = network.node(), network.node(id="other")
    bound = network.caster()
    bound.close()
    ups: list[object] = []
    node.on("up", ups.append)

    def cycle() -> None:
        before = len(ups)
        with other, node, bound:
            eventually(lambda: len(ups) > before)

    cycle()
    before = (descriptors(), threads())
    for _ in range(10):
        cycle()
    eventually(lambda: (descriptors(), threads()) == before)


def test_a_dropped_node_is_down(network: Network) -> None:
    with network.node():
        pass  # The thread of the log stays.
    before = threads()
    with network.node(id="watcher") as watcher:
        node = caster.Node(network.node_options, id="dropped")
        node.up()
        next_of(watcher, caster.Up, "dropped")
        del node
        assert next_of(watcher, caster.Down).reason == "goodbye"
    eventually(lambda: threads() == before)


@pytest.mark.parametrize("uses", ["callback", "middleware", "both"])
def test_a_dropped_node_with_a_callback_is_collected(network: Network, uses: str) -> None:
    class Same:
        name = "same"

        def tx(self, message: Any) -> Any:
            return message

    with network.node():
        pass  # The thread of the log stays.
    before = threads()
    with network.node(id="watcher") as watcher:
        node = caster.Node(network.node_options, id="dropped")
        if uses != "callback":
            node.use(Same())
        if uses != "middleware":
            node.on("up", lambda event: node.send("hello"))  # A cycle.
        node.up()
        next_of(watcher, caster.Up, "dropped")
        time.sleep(0.2)  # Its threads wait.
        reference = weakref.ref(node)
        del node
        gc.collect()
        assert reference() is None
        down = next_of(watcher, caster.Down)
        # The announcement passes the middleware, which is gone; the others notice the silence.
        assert down.reason == ("goodbye" if uses == "callback" else "timeout")
    eventually(lambda: threads() == before)


def test_many_dropped_nodes_leave_nothing(network: Network) -> None:
    """Each is up, in a cycle with its callback, and dropped; CASTER_LIVES says how many there are."""
    lives = int(os.environ.get("CASTER_LIVES", "60"))

    def resident() -> int:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 10

    def live(count: int) -> None:
        for number in range(count):
            node = caster.Node(network.node_options, id=f"dropped-{number}", self=True)
            node.on("message", lambda event, node=node: node.nodes)
            node.up()
            node.send(number)
            del node
            if number % 10 == 9:
                gc.collect()
        eventually(is_as_before)

    def is_as_before() -> bool:
        gc.collect()  # Again: a callback may have held its node just now.
        return threads() <= before[0] and descriptors() <= before[1]

    with network.node():
        pass  # The thread of the log stays.
    before = threads(), descriptors()
    live(lives // 3)
    first = resident()
    live(lives - lives // 3)
    assert resident() - first < 8 << 10, f"{first} KiB after a third, {resident()} KiB after {lives} lives"


REST = """
import logging; logger = logging.getLogger("caster")
logger.setLevel("ERROR")  # No hint that it is alone.

def switches():
    total = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status") as status:
            total += sum(int(line.split()[1]) for line in status if line.startswith("voluntary"))
    return total

node = caster.Node(options, heartbeat=1000, timeout=3000)
if kind == "callback":
    node.on("up", print)
with node:
    time.sleep(3)
    counts = []
    for _ in range(4):
        before = switches()
        time.sleep(4)
        counts.append(switches() - before)
    print(min(counts))
"""


def test_a_node_with_a_callback_wakes_seldom_at_rest() -> None:
    """No more often than one without; that is for its heartbeats.

    The quietest of four times 4 s counts, as threads that wait for the interpreter's lock on a busy machine wake more
    often. One wake-up a second more would be four.
    """
    networks = [Network(), Network()]
    processes = [
        network.script(f"kind = {kind!r}{REST}")
        for network, kind in zip(networks, ("plain", "callback"))
    ]
    plain, with_callback = (int(finish(process, patience=3 * PATIENCE)) for process in processes)
    assert with_callback <= plain + 2, (plain, with_callback)


def test_many_threads_use_one_node(network: Network) -> None:
    import threading

    node = network.node(self=True)
    errors: list[Exception] = []

    def hammer() -> None:
        try:
            for n in range(100):
                node.send(n)
                node.next_event(0)
                node.set_meta(n)
                node.nodes.copy()
                node.stats()
        except Exception as error:
            errors.append(error)

    with node:
        workers = [threading.Thread(target=hammer) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(PATIENCE)
        assert errors == []
        assert not any(worker.is_alive() for worker in workers)
        assert node.stats()["sent"] >= 800


def test_sending_and_waiting_let_other_threads_run(network: Network) -> None:
    """With this interval no thread loses the GIL: others run only if it is released."""
    import sys
    import threading

    with network.node(self=True) as node:
        calls: dict[str, Callable[[], Any]] = {
            "send": lambda: node.send("x" * 1000),
            "send_batch": lambda: node.send_batch(["x" * 1000] * 10),
            "next_event": lambda: node.next_event(0.01),
            "events": lambda: list(node.events(0.01)),
            "wait_for": lambda: pytest.raises(
                caster.TimeoutError, node.wait_for, lambda n: False, timeout=0.01
            ),
        }
        for name, call in calls.items():
            go, ran = threading.Event(), threading.Event()

            def work(go: threading.Event = go, ran: threading.Event = ran) -> None:
                go.wait()
                ran.set()

            thread = threading.Thread(target=work)
            interval = sys.getswitchinterval()
            sys.setswitchinterval(1000)
            try:
                thread.start()  # It runs until it waits.
                go.set()
                for _ in range(100_000):
                    pass
                assert not ran.is_set(), "this loop gives nothing up"
                end = time.monotonic() + PATIENCE
                while not ran.is_set() and time.monotonic() < end:
                    call()
                assert ran.is_set(), name
            finally:
                sys.setswitchinterval(interval)
            thread.join(PATIENCE)


def test_racing_up_and_down(network: Network) -> None:
    import threading

    node = network.node()
    node.on("up", lambda event: None)

    def toggle() -> None:
        for _ in range(30):
            for call in (node.up, node.down):
                try:
                    call()
                except caster.StateError:
                    pass

    workers = [threading.Thread(target=toggle) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert not any(worker.is_alive() for worker in workers)
    if node.is_up:
        node.down()
    node.up()
    assert node.is_up


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name, who", [("hello.py", "Python"), ("hello_async.py", "asyncio")])
def test_the_examples_say_goodbye_on_signals(
    network: Network, name: str, who: str, signal_number: int
) -> None:
    import json
    import pathlib
    import subprocess
    import sys

    example = pathlib.Path(__file__).parents[3] / "examples" / name
    options = json.dumps({**network.node_options, "id": "example"})
    with network.node(id="watcher", meta={"é": 1}) as watcher:
        process = subprocess.Popen(
            [sys.executable, str(example), options], stdout=subprocess.PIPE, text=True
        )
        network.processes.append(process)
        assert next_of(watcher, caster.Up).node.meta == {"lang": "python"}
        assert next_of(watcher, caster.Message).message == f"hello from {who}"
        sent = watcher.stats()["sent"]
        eventually(lambda: watcher.stats()["sent"] > sent + 1)
        watcher.send([1])
        time.sleep(0.2)  # It is somewhere in its loop.
        process.send_signal(signal_number)
        assert next_of(watcher, caster.Down).reason == "goodbye"
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert 'up watcher {"\\u00e9": 1}\n' in out and "message watcher [1]\n" in out
