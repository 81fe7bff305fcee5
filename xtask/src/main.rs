//! `cargo run -p xtask -- header|docs [--check]`: writes the files of this repository that are
//! generated and committed, or tells whether they are up to date.

mod docs;
mod header;
mod python;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

const USAGE: &str = "usage: cargo run -p xtask -- header|docs [--check]

  header   writes include/caster.h
  docs     writes docs/options.md, what README.md quotes, and the typed dictionaries of Python
  --check  writes nothing, and fails if a file is not up to date";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (outputs, check) = match arguments[..] {
        ["header"] => (header::outputs(), false),
        ["header", "--check"] => (header::outputs(), true),
        ["docs"] => (docs::outputs(), false),
        ["docs", "--check"] => (docs::outputs(), true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = outputs.and_then(|outputs| {
        outputs.iter().try_for_each(|output| output.write_or_check(check, arguments[0]))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::FAILURE
        }
    }
}

/// A file as it should be. The path is relative to the root of the repository.
struct Output {
    path: &'static str,
    text: String,
}

impl Output {
    fn write_or_check(&self, check: bool, task: &str) -> Result<(), String> {
        let path = root().join(self.path);
        let current = fs::read_to_string(&path).unwrap_or_default();
        match (current == self.text, check) {
            (true, _) => println!("{} is up to date", self.path),
            (false, true) => {
                let changed = current.lines().zip(self.text.lines()).take_while(|(a, b)| a == b);
                return Err(format!(
                    "{} is not up to date, from line {} on; run `cargo run -p xtask -- {task}` \
                     and commit it",
                    self.path,
                    changed.count() + 1
                ));
            }
            (false, false) => {
                fs::write(&path, &self.text).map_err(|error| format!("{}: {error}", self.path))?;
                println!("wrote {}", self.path);
            }
        }
        Ok(())
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask is in the repository").to_owned()
}
