//! Options: one table, from which every language takes names, types, defaults and texts.

#![forbid(unsafe_code)]

mod config;
mod environment;
mod range;
mod read;
mod table;
mod typed;

#[cfg(test)]
mod tests;

pub(crate) use config::{
    Budgets, EndpointLimits, NodeConfig, Originals, PrivatePort, TransportConfig,
};
pub(crate) use environment::Environment;
pub(crate) use range::Range;
pub use read::{Dialect, Options};
pub use table::{Kind, Spec, TABLE, snake_case, table_markdown};
