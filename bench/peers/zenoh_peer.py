"""zenoh (PyPI eclipse-zenoh) in the benchmarks: peers that find each other by multicast and talk
over TCP, as it does by default."""

import queue
import time

import bench
import zenoh

arguments = bench.Arguments()
size = arguments.number("size", 64)
session = zenoh.open(zenoh.Config())
tally = bench.Tally()


def receive():
    session.declare_subscriber("bench/q", lambda sample: tally.message(sample.payload.to_bytes()))
    bench.serve(tally)
    bench.threading.Event().wait()


def linked():
    """Waits until the other side is there."""
    deadline = time.monotonic() + 10
    while not list(session.info.peers_zid()) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)


def send():
    linked()
    publisher = session.declare_publisher("bench/q", congestion_control=zenoh.CongestionControl.BLOCK)
    time.sleep(0.3)
    bench.send(arguments, lambda sequence: publisher.put(bench.raw("Q", sequence, size)))
    time.sleep(0.5)


def ping():
    heard = queue.SimpleQueue()
    session.declare_subscriber("bench/r", lambda sample: heard.put(int(bytes(sample.payload)[1:9])))
    publisher = session.declare_publisher("bench/q")
    linked()

    def wait(timeout):
        try:
            return heard.get(timeout=timeout)
        except queue.Empty:
            return None

    bench.ping(arguments, lambda sequence: publisher.put(bench.raw("Q", sequence, size)), wait)


def pong():
    publisher = session.declare_publisher("bench/r")

    def answer(sample):
        publisher.put(bench.raw("R", int(bytes(sample.payload)[1:9]), size))

    session.declare_subscriber("bench/q", answer)
    bench.serve(tally)
    bench.threading.Event().wait()


def idle():
    bench.tell(ev="ready")
    bench.threading.Event().wait()


def peer():
    """Presence is a transport to the other side: there are but two. (Liveliness tokens that were
    declared before the two were linked are missed now and then.)"""
    other = "b" if arguments.text("id") == "a" else "a"

    def heard(event):
        name = "up" if event.kind == zenoh.SampleKind.PUT else "down"
        bench.tell(ev=name, id=other, t=time.monotonic_ns())

    session.info.declare_transport_events_listener(heard, history=True)
    bench.tell(ev="ready", began=bench.STARTED)
    bench.on_end(session.close)
    bench.threading.Event().wait()


globals()[arguments.role]()
