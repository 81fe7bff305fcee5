//! Models of the parts of Caster in which threads meet. loom runs each with every order of the operations that the
//! memory model allows, up to a number of preemptions. The parts are the files of the library themselves,
//! compiled with the locks and atomics of loom. `around.rs` has what they need around them.
//!
//!     cargo run --release [NAME]      all models, or those with NAME in their names

#![allow(dead_code, reason = "the files of the library have more than the models use")]

mod around;
mod driver;
mod models;

pub(crate) use around::{error, options, peer, protocol, stats, sync, transit};
use loom::sync::atomic;

#[path = "../../../../caster-ffi/src/slot.rs"]
mod slot;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// Preemptions of a thread in an execution at most. Faults need few of them.
const PREEMPTIONS: usize = 3;

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let mut count = 0;
    for (name, model) in models::ALL {
        if !name.contains(&wanted) {
            continue;
        }
        let executions = Arc::new(AtomicU64::new(0));
        let counted = executions.clone();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            model();
        });
        println!("{:8} executions  {name}", executions.load(Ordering::Relaxed));
        count += 1;
    }
    assert!(count > 0, "there is no model {wanted}");
    println!("{count} models hold");
}
