//! `caster keygen`: keys of sealed groups.

use crate::failure::{FOUND, Failure};
use crate::network::read_keys;
use crate::show::print;
use caster_core::Key;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make the key of a sealed group
///
/// Nodes with the same key and realm form a sealed group: others can neither read nor forge its datagrams
/// (docs/security.md). The file is made with mode 600 and is never overwritten. Ids of keys are public.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster keygen group.keys                # prints the id of the key
  caster keygen --add group.keys          # the next key, accepted but not yet used
  caster keygen --ids group.keys
  caster keygen | ssh camera 'umask 077; cat > group.keys'

Exit status: 0 done, 2 the file exists, cannot be written or is not one of keys.")]
pub struct Args {
    /// File for the key; without it the key goes to standard output
    file: Option<PathBuf>,
    /// Add a key at the end of a file of keys: nodes accept it, the first key seals
    #[arg(long, requires = "file")]
    add: bool,
    /// Print the ids of the keys of a file, the one that seals first
    #[arg(long, requires = "file", conflicts_with = "add")]
    ids: bool,
}

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.file {
        Some(path) if args.ids => {
            read_keys(path)?.iter().try_for_each(|key| print(key.id()))?;
        }
        Some(path) => {
            let key = Key::generate()?;
            let failed = |error: io::Error| failure(path, &error);
            let mut file = open(path, args.add)?;
            file.write_all(lines(&key).as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(failed)?;
            print(key.id())?;
        }
        None => {
            let key = Key::generate()?;
            if others_can_read(io::stdout()) {
                anstream::eprintln!("warning: other users can read this file; use chmod 600");
            }
            print(lines(&key).trim_end())?;
        }
    }
    Ok(FOUND.into())
}

/// The key as a part of a file.
fn lines(key: &Key) -> String {
    format!("# {}\n{}\n", key.id(), *key.to_hex())
}

/// A new file of this user alone, or the end of a file of keys.
fn open(path: &Path, add: bool) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    if add {
        read_keys(path)?;
        let mut file = options.append(true).open(path).map_err(|error| failure(path, &error))?;
        // The last line may have no end.
        file.write_all(b"\n").map_err(|error| failure(path, &error))?;
        return Ok(file);
    }
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map_err(|error| failure(path, &error))
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::file(path, error);
    match error.kind() {
        io::ErrorKind::AlreadyExists => failure
            .advise("Keys are never overwritten: give another name, or add a key with --add."),
        _ => failure,
    }
}

/// Whether this is a file, and its mode lets other users read it.
fn others_can_read(output: impl AsFd) -> bool {
    let metadata = output.as_fd().try_clone_to_owned().and_then(|it| File::from(it).metadata());
    metadata.is_ok_and(|it| it.is_file() && it.mode() & 0o077 != 0)
}
