"""python-zeroconf (PyPI zeroconf) in the benchmarks: multicast DNS."""

import socket
import time

import bench
from zeroconf import ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

arguments = bench.Arguments()
TYPE = "_bench._udp.local."
NAMES = {ServiceStateChange.Added: "up", ServiceStateChange.Removed: "down"}


def on_change(zeroconf, service_type, name, state_change):
    if state_change in NAMES:
        bench.tell(ev=NAMES[state_change], id=name.split(".")[0], t=time.monotonic_ns())


began = time.monotonic_ns()
zeroconf = Zeroconf()
me = arguments.text("id", "idle")
address = socket.inet_aton(arguments.text("address", "127.0.0.1"))
info = ServiceInfo(TYPE, f"{me}.{TYPE}", addresses=[address], port=8080, server=f"{me}.local.")
ServiceBrowser(zeroconf, TYPE, handlers=[on_change])
bench.tell(ev="ready", began=began)
zeroconf.register_service(info)
if arguments.role == "peer":
    bench.on_end(zeroconf.close)
bench.threading.Event().wait()
