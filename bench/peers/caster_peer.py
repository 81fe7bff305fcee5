"""Our Python package in the benchmarks."""

import json

import bench
import caster

arguments = bench.Arguments()
stack = arguments.text("stack", "hash")
size = arguments.number("size", 64)
options = {"port": arguments.number("port", 10101), "maxDatagrams": 1_000_000_000}
if arguments.role == "send":
    options["loopback"] = False
tally = bench.Tally()


def make_caster():
    it = caster.Caster(options)
    if stack != "raw":
        it.use(caster.middleware.json(), caster.middleware.hash())
    if stack == "crypto":
        it.use(caster.middleware.crypto())
    return it


def make_node():
    more = {"maxNodes": 1_000_000, "maxNewNodes": 1_000_000, **json.loads(arguments.text("options", "{}"))}
    if stack == "crypto":
        more["crypto"] = True
    if arguments.text("id"):
        more["id"] = arguments.text("id")
    return caster.Node({**options, **more})


def fill(tag, sequence):
    if stack == "raw":
        return bench.raw(tag, sequence, size)
    return {"id": "bench", "message": f"{tag}{sequence:08}".ljust(size - len(bench.HEAD) - 2, "x")}


def read(message):
    text = message.decode() if stack == "raw" else message["message"]
    return text[0], int(text[1:9])


def receive():
    def on_message(event):
        tally.message(event.message)

    if stack == "node":
        node = make_node()
        node.on("message", on_message)
        node.up()
    else:
        it = make_caster()
        it.on("message", on_message)
        it.bind()
    bench.serve(tally)
    bench.threading.Event().wait()


def send():
    it = make_caster()
    it.bind()
    bench.send(arguments, lambda sequence: it.send(fill("Q", sequence)))


def ping():
    it = make_caster()
    it.bind()

    def wait(timeout):
        event = it.next_event(timeout)
        if event is None:
            return None
        tag, sequence = read(event.message)
        return sequence if tag == "R" else -1

    bench.ping(arguments, lambda sequence: it.send(fill("Q", sequence)), wait)


def pong():
    it = make_caster()
    it.bind()
    bench.serve(tally)
    while True:
        tag, sequence = read(it.next_event().message)
        if tag == "Q":
            it.send(fill("R", sequence))


def follow():
    node = make_node()

    def up(event):
        tally.ups += 1

    def down(event):
        tally.downs += 1

    node.on("up", up)
    node.on("down", down)
    node.up()
    bench.serve(tally)
    bench.threading.Event().wait()


def idle():
    node = make_node()
    node.up()
    bench.tell(ev="ready")
    bench.threading.Event().wait()


globals()[arguments.role]()
