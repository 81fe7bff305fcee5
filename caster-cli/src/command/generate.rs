//! `caster completions` and `caster man`: for packages, written from the command line's own description.

use crate::args;
use crate::failure::{FOUND, Failure};
use crate::show::print;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster completions fish > ~/.config/fish/completions/caster.fish
  caster completions bash > ~/.local/share/bash-completion/completions/caster")]
pub struct CompletionArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Print the manual page, or write those of all commands
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster man | man -l -
  caster man --to ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Folder for one page of each command
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub fn completions(args: &CompletionArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::describe(), "caster", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(FOUND.into())
}

pub fn man(args: &ManArgs) -> Result<ExitCode, Failure> {
    match &args.to {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(args::describe())
                .render(&mut page)
                .map_err(|error| Failure::file(Path::new("manual page"), &error))?;
            print(String::from_utf8_lossy(&page).trim_end())?;
        }
        Some(folder) => write_pages(folder)?,
    }
    Ok(FOUND.into())
}

fn write_pages(folder: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::file(folder, &error);
    fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(args::describe(), folder).map_err(failed)
}
