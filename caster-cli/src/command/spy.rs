//! `caster spy`: the datagrams of the group, decoded.

use crate::capture::decode::{Candidate, Decoder};
use crate::capture::live::Listener;
use crate::capture::{Datagram, pcapng};
use crate::command::ending::Ending;
use crate::failure::{FOUND, Failure};
use crate::network::{NetworkArgs, read_keys, read_secret};
use crate::show::{self, printable};
use caster_core::Node;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show the datagrams of the group, decoded
///
/// A line for each datagram: its sender, its kind, and whether a node with the same options accepts it. If not, the
/// check that it fails, and the secret that would fit. Nothing is sent. Datagrams to single hosts are not seen.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster spy --time 10s
  caster spy --payload | grep refused
  caster spy --try-secret-file old-secret --json
  caster spy --file fault.pcapng

Exit status: 0 ended by a signal, the time or the count, 2 usage, 3 network.")]
pub struct Args {
    #[command(flatten)]
    ending: Ending,
    /// Read the datagrams of a recording, of `caster record` or of another program (pcapng)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print the payload below each line
    #[arg(long)]
    payload: bool,
    /// Print a JSON object for each datagram
    #[arg(long)]
    json: bool,
    /// Try the secret of this file on datagrams with another digest
    #[arg(long, value_name = "FILE")]
    try_secret_file: Vec<PathBuf>,
    /// Try the keys of this file on sealed datagrams
    #[arg(long, value_name = "FILE")]
    try_key_file: Vec<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
}

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let settings = args.network.settings()?;
    let node = Node::new(&settings.options)?;
    let decoder = Decoder::new(node.stages(), &candidates(args)?);
    let mut ending = args.ending.begin()?;
    if let Some(path) = &args.file {
        let mut reader = open(path)?;
        while let Some(datagram) = reader.next().map_err(|error| unreadable(path, &error))? {
            print(args, &decoder, &datagram)?;
            if ending.count(1) {
                break;
            }
        }
        return Ok(FOUND.into());
    }
    let listener = Listener::open(&args.network, &node)?;
    while let Some(wait) = ending.left() {
        for datagram in listener.next(wait)? {
            print(args, &decoder, &datagram)?;
            if ending.count(1) {
                return Ok(FOUND.into());
            }
        }
    }
    Ok(FOUND.into())
}

/// The secrets and keys that are tried.
fn candidates(args: &Args) -> Result<Vec<Candidate>, Failure> {
    let mut found = Vec::new();
    for path in &args.try_secret_file {
        let (name, secret) = (path.display().to_string(), read_secret(path)?);
        found.push(Candidate::CryptoKey(name.clone(), secret.clone()));
        found.push(Candidate::Secret(name, secret));
    }
    for path in &args.try_key_file {
        for key in read_keys(path)? {
            found.push(Candidate::Key(format!("key {} of {}", key.id(), path.display()), key));
        }
    }
    Ok(found)
}

/// Opens a recording.
///
/// # Errors
/// It cannot be read, or is none.
pub fn open(path: &Path) -> Result<pcapng::Reader<BufReader<File>>, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    pcapng::Reader::new(BufReader::new(file)).map_err(|error| unreadable(path, &error))
}

/// The failure to read a recording.
pub fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::file(path, error);
    match error.kind() {
        io::ErrorKind::InvalidData => failure.advise(
            "`caster record FILE` makes recordings; editcap converts those of other programs.",
        ),
        io::ErrorKind::NotFound => failure.advise("`caster record FILE` makes recordings."),
        _ => failure,
    }
}

fn print(args: &Args, decoder: &Decoder, datagram: &Datagram) -> Result<(), Failure> {
    let decoded = decoder.decode(datagram);
    let interface = datagram.interface.as_deref();
    if args.json {
        let mut value = decoded.to_json();
        let more = json!({
            "at": datagram.at as f64 / 1e6,
            "from": datagram.from.to_string(),
            "to": datagram.to.to_string(),
            "interface": interface,
            "size": datagram.data.len(),
        });
        if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
            value.extend(more);
        }
        return show::print(value);
    }
    let place = interface.map(|it| format!(" {}", printable(it))).unwrap_or_default();
    let time = show::clock(datagram.at);
    show::print(format!(
        "{time} {}{place} {} B {}",
        datagram.from,
        datagram.data.len(),
        decoded.to_line()
    ))?;
    match decoded.payload.filter(|_| args.payload) {
        Some(payload) => show::print(format!("  {}", printable(&payload))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_recording_says_what_to_do() {
        let failure = open(Path::new("/dev/null")).err().unwrap();
        assert!(failure.to_styled().contains("caster record"), "{failure:?}");
        assert!(open(Path::new("/nonexistent")).is_err());
    }
}
