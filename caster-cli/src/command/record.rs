//! `caster record`: the datagrams of the group, in a file.

use crate::capture::live::Listener;
use crate::capture::pcapng::Writer;
use crate::command::ending::Ending;
use crate::failure::{FOUND, Failure};
use crate::network::NetworkArgs;
use crate::progress::Progress;
use caster_core::Node;
use std::fs::OpenOptions;
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Record the datagrams of the group
///
/// Writes a pcapng file, which Wireshark and tcpdump read as well. Datagrams are written as they are: sealed and
/// encrypted ones stay so. Nothing is sent. Datagrams to single hosts are not seen.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster record fault.pcapng --time 1m
  caster record fault.pcapng --count 1000

Exit status: 0 ended by a signal, the time or the count, 2 usage, 3 network.")]
pub struct Args {
    /// File to write; it must not exist
    file: PathBuf,
    #[command(flatten)]
    ending: Ending,
    #[command(flatten)]
    network: NetworkArgs,
}

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let node = Node::new(&args.network.options()?)?;
    let failed = |error: io::Error| Failure::file(&args.file, &error);
    // Metadata and messages may be secrets.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.file);
    let mut writer = Writer::new(BufWriter::new(file.map_err(failed)?)).map_err(failed)?;
    let mut ending = args.ending.begin()?;
    let listener = Listener::open(&args.network, &node)?;
    anstream::eprintln!("Recording {}:{} …", node.multicast(), node.port());
    let progress = Progress::begin("Recording", args.ending.time());
    let mut count = 0u64;
    'listening: while let Some(wait) = ending.left() {
        for datagram in listener.next(wait)? {
            writer.write(&datagram).map_err(failed)?;
            count += 1;
            if ending.count(1) {
                break 'listening;
            }
        }
        progress.count(count, "datagrams");
        // A command that is killed leaves what it has heard.
        writer.flush().map_err(failed)?;
    }
    writer.flush().map_err(failed)?;
    drop(progress);
    anstream::eprintln!("{count} datagrams");
    Ok(FOUND.into())
}
