"""LCM (PyPI lcm) in the benchmarks. It has no JSON, no digest and no discovery: raw messages."""

import bench
import lcm

arguments = bench.Arguments()
size = arguments.number("size", 64)
buffer = f"&recv_buf_size={4 << 20}" if arguments.text("tuned", "1") == "1" else ""
bus = lcm.LCM(f"udpm://224.0.0.42:{arguments.number('port', 10101)}?ttl=1{buffer}")
tally = bench.Tally()


def receive():
    bus.subscribe("c", tally.message)
    bench.serve(tally)
    while True:
        bus.handle_timeout(1000)


def send():
    bench.send(arguments, lambda sequence: bus.publish("c", bench.raw("Q", sequence, size)))


def ping():
    heard = []

    def on_message(_, data):
        if data[:1] == b"R":
            heard.append(int(data[1:9]))

    bus.subscribe("c", on_message)

    def wait(timeout):
        heard.clear()
        while bus.handle_timeout(int(timeout * 1000)):
            if heard:
                return heard[-1]
        return None

    bench.ping(arguments, lambda sequence: bus.publish("c", bench.raw("Q", sequence, size)), wait)


def pong():
    def on_message(_, data):
        if data[:1] == b"Q":
            bus.publish("c", bench.raw("R", int(data[1:9]), size))

    bus.subscribe("c", on_message)
    bench.serve(tally)
    while True:
        bus.handle_timeout(1000)


globals()[arguments.role]()
