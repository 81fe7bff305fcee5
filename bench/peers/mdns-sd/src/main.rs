//! mdns-sd (crates.io) in the benchmarks: `bench-mdns-sd peer|idle id=NAME address=ADDRESS`.

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
use std::io::{Read, Write};

const TYPE: &str = "_bench._udp.local.";

fn now_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives until the call returns.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn tell(line: String) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str, otherwise: &str| {
        let value = arguments.iter().find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or(otherwise).to_owned()
    };
    let (id, address) = (text("id", "idle"), text("address", "127.0.0.1"));
    let began = now_ns();
    let daemon = ServiceDaemon::new()?;
    let events = daemon.browse(TYPE)?;
    daemon.register(ServiceInfo::new(TYPE, &id, &format!("{id}.local."), address, 8080, None)?)?;
    tell(format!("{{\"ev\":\"ready\",\"began\":{began}}}"));
    if arguments[0] == "peer" {
        let (daemon, name) = (daemon.clone(), format!("{id}.{TYPE}"));
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            tell(format!("{{\"ev\":\"gone\",\"began\":{}}}", now_ns()));
            if let Ok(left) = daemon.unregister(&name) {
                let _ = left.recv();
            }
            std::process::exit(0);
        });
    }
    loop {
        let (event, name) = match events.recv()? {
            ServiceEvent::ServiceFound(_, name) => ("up", name),
            ServiceEvent::ServiceRemoved(_, name) => ("down", name),
            _ => continue,
        };
        let id = name.split('.').next().unwrap_or_default();
        tell(format!("{{\"ev\":\"{event}\",\"id\":\"{id}\",\"t\":{}}}", now_ns()));
    }
}
