//! Arguments, clocks, and how such a program talks with `bench.py`.

use serde_json::{Value, json};
use std::io::{BufRead, Write};

/// `ROLE name=value …`
pub struct Arguments(Vec<String>);

impl Arguments {
    pub fn of_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    pub fn role(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    pub fn text<'a>(&'a self, name: &str, otherwise: &'a str) -> &'a str {
        let value = |it: &'a String| it.strip_prefix(name)?.strip_prefix('=');
        self.0.iter().find_map(value).unwrap_or(otherwise)
    }

    pub fn number(&self, name: &str, otherwise: f64) -> f64 {
        self.text(name, "").parse().unwrap_or(otherwise)
    }
}

/// Writes one line.
pub fn tell(line: &Value) {
    let mut out = std::io::stdout().lock();
    // If no process reads any more, the error cannot be told.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Says `ready`, then answers each line on standard input with a `report`, and its end with `done`
/// and the end of the program.
pub fn serve(mut report: impl FnMut(&str) + Send + 'static) {
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            report("report");
        }
        report("done");
        std::process::exit(0);
    });
    tell(&json!({"ev": "ready"}));
}

/// The clock that all processes of this machine share, in nanoseconds.
pub fn monotonic_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives until the call returns.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// CPU time of the whole process, user and system, in microseconds.
pub fn cpu_us() -> i64 {
    // SAFETY: rusage is plain numbers, for which zero is a value.
    let mut use_: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a rusage that lives until the call returns.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut use_) };
    let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    micros(use_.ru_utime) + micros(use_.ru_stime)
}

/// Memory that is this process's own and not backed by a file, in KiB.
pub fn private_kb() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let private = text.lines().filter(|line| line.starts_with("Private_Dirty:"));
    let kb = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    private.filter_map(kb).sum()
}
