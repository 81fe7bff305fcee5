//! The options that all commands share: the group, the interfaces, secrets and profiles.

use crate::failure::Failure;
use caster_core::{Node, Options};
use etcetera::BaseStrategy;
use std::fs;
use std::path::{Path, PathBuf};

/// Secrets are not accepted as arguments, because all users of the host can read these.
const SECRETS: [(&str, &str); 4] = [
    ("hashSecret", "secret-file"),
    ("hash_secret", "secret-file"),
    ("cryptoKey", "key-file"),
    ("crypto_key", "key-file"),
];

/// The group of nodes, and how it is reached.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// UDP port of the group [default: 10101]
    #[arg(long)]
    pub port: Option<u16>,
    /// Multicast group [default: 224.0.0.42]
    #[arg(long, value_name = "ADDRESS")]
    pub group: Option<String>,
    /// Interfaces to use: names, addresses or patterns; `!` in front excludes one
    #[arg(long = "interface", value_name = "NAME")]
    pub interfaces: Vec<String>,
    /// How far datagrams go
    #[arg(long, value_parser = ["off", "host", "link"])]
    pub range: Option<String>,
    /// File with the secret of the group; the variable CASTER_SECRET has it otherwise
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// File with the key of the encryption of caster 0.1.1; turns it on
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Options of this table in the file of profiles
    ///
    /// The file is caster/profiles.toml in the user's configuration folder (~/.config on Linux). Each table is a
    /// profile; its keys are the options of docs/options.md, `secret-file` and `key-file`.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Any other option of docs/options.md, its value as JSON or text
    #[arg(short = 'o', long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
}

impl NetworkArgs {
    /// The options of a node. Arguments are stronger than the profile, and the profile than variables.
    ///
    /// # Errors
    /// A value is not accepted, or a file cannot be read.
    pub fn options(&self) -> Result<Options, Failure> {
        let mut options = Options::for_node();
        if let Some(secret) = std::env::var_os("CASTER_SECRET").filter(|it| !it.is_empty()) {
            let secret = secret.into_string().map_err(|_| {
                Failure::usage("the variable CASTER_SECRET is not UTF-8")
                    .advise("Give the secret with --secret-file.")
            })?;
            options.set("hashSecret", &secret)?;
        }
        if let Some(name) = &self.profile {
            let path = profiles_file()?;
            let text = fs::read_to_string(&path).map_err(|error| {
                Failure::usage(format!("{}: {error}", path.display()))
                    .advise(format!("Create it with a table [{name}], as in docs/command.md."))
            })?;
            apply_profile(&mut options, &text, name, &path)?;
        }
        if let Some(path) = &self.secret_file {
            options.set("hashSecret", &read_secret(path)?)?;
        }
        if let Some(path) = &self.key_file {
            options.set("cryptoKey", &read_secret(path)?)?;
            options.set("crypto", &true)?;
        }
        if let Some(port) = self.port {
            options.set("port", &port)?;
        }
        if let Some(group) = &self.group {
            options.set("multicast", group)?;
        }
        if !self.interfaces.is_empty() {
            options.set("interfaces", &self.interfaces)?;
        }
        if let Some(range) = &self.range {
            options.set("range", range)?;
        }
        for option in &self.options {
            set_option(&mut options, option)?;
        }
        Ok(options)
    }

    /// Whether a secret is given in any way but by a profile, which may have one.
    pub fn has_secret(&self) -> bool {
        let variable = std::env::var_os("CASTER_SECRET").is_some_and(|it| !it.is_empty());
        variable || self.secret_file.is_some() || self.profile.is_some()
    }

    /// A node that sees its peers and is unseen by them.
    ///
    /// # Errors
    /// The options are not accepted, or the network refuses.
    pub fn hidden(&self) -> Result<Node, Failure> {
        let node = Node::new(&self.options()?.with("expose", &false))?;
        node.up()?;
        Ok(node)
    }
}

/// A file's content without the end of its last line.
fn read_secret(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        let text = format!("{} is empty", path.display());
        return Err(Failure::usage(text).advise("Write the secret into its first line."));
    }
    Ok(line.to_owned())
}

fn set_option(options: &mut Options, text: &str) -> Result<(), Failure> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Failure::usage(format!("option {text}: give NAME=VALUE, as in ttl=1")));
    };
    refuse_secret(name, "--")?;
    set_json_or_text(options, name, value)
}

fn refuse_secret(name: &str, dashes: &str) -> Result<(), Failure> {
    match SECRETS.iter().find(|(secret, _)| *secret == name) {
        None => Ok(()),
        Some((_, file)) => Err(Failure::usage(format!("{name} is a secret"))
            .advise(format!("Write it into a file and name the file with {dashes}{file}."))),
    }
}

/// Sets an option whose value is JSON, or text where that is not accepted.
fn set_json_or_text(options: &mut Options, name: &str, value: &str) -> Result<(), Failure> {
    if serde_json::from_str::<serde_json::Value>(value).is_ok()
        && options.set_json(name, value).is_ok()
    {
        return Ok(());
    }
    Ok(options.set(name, value)?)
}

/// The file of profiles.
///
/// # Errors
/// The user has no home folder.
pub fn profiles_file() -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        Failure::usage(format!("no configuration folder: {error}")).advise("Set HOME.")
    })?;
    Ok(strategy.config_dir().join("caster").join("profiles.toml"))
}

fn apply_profile(
    options: &mut Options,
    text: &str,
    name: &str,
    path: &Path,
) -> Result<(), Failure> {
    let file = path.display();
    let profiles: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| Failure::usage(format!("{file}: {error}")))?;
    let Some(toml::Value::Table(profile)) = profiles.get(name) else {
        let names: Vec<&str> = profiles.keys().map(String::as_str).collect();
        let advice = match names.is_empty() {
            true => format!("Add a table [{name}]."),
            false => format!("It has: {}.", names.join(", ")),
        };
        return Err(Failure::usage(format!("{file} has no profile {name}")).advise(advice));
    };
    for (key, value) in profile {
        let file_of = |value: &toml::Value| {
            let named = value.as_str().ok_or_else(|| {
                Failure::usage(format!("{file}: {name}.{key} has to be the path of a file"))
            })?;
            // A relative path is one from the folder of the profiles.
            Ok::<_, Failure>(path.parent().unwrap_or(Path::new("")).join(named))
        };
        match key.as_str() {
            "secret-file" => options.set("hashSecret", &read_secret(&file_of(value)?)?)?,
            "key-file" => {
                options.set("cryptoKey", &read_secret(&file_of(value)?)?)?;
                options.set("crypto", &true)?;
            }
            key => {
                refuse_secret(key, "")?;
                options.set(key, value).map_err(|error| {
                    Failure::usage(format!("{file}: {name}: {}", error.message()))
                })?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_profile(text: &str) -> Result<Node, Failure> {
        let mut options = Options::for_node();
        apply_profile(&mut options, text, "office", Path::new("/etc/x/profiles.toml"))?;
        Ok(Node::new(&options)?)
    }

    #[test]
    fn a_profile_sets_options() {
        let node = with_profile("[office]\nport = 4005\nmulticast = '224.0.0.9'\nttl = 3").unwrap();
        assert_eq!((node.port(), node.ttl()), (4005, 3));
        assert_eq!(node.multicast().to_string(), "224.0.0.9");
    }

    #[test]
    fn a_profile_holds_no_secrets_and_is_checked() {
        let failed = |text: &str| with_profile(text).err().unwrap().to_styled();
        for secret in ["hashSecret", "hash_secret", "cryptoKey", "crypto_key"] {
            let text = failed(&format!("[office]\n{secret} = 'abc'"));
            assert!(text.contains("is a secret") && !text.contains("abc"), "{text}");
        }
        assert!(failed("[home]\n[lab]").contains("It has: home, lab."));
        assert!(failed("office = 1").contains("no profile office"));
        assert!(failed("[office]\nprot = 1").contains("office: "));
        assert!(failed("[office]\nport = 0").contains("1 to 65535"));
        assert!(failed("[office").contains("profiles.toml: TOML parse error"));
        let missing = failed("[office]\nsecret-file = 'none'");
        assert!(missing.contains("/etc/x/none: No such file"), "{missing}");
    }

    #[test]
    fn options_are_json_or_text_and_never_secrets() {
        let with = |text: &str| {
            let mut options = Options::for_node();
            set_option(&mut options, text).and_then(|()| Ok(Node::new(&options)?))
        };
        assert_eq!(with("ttl=7").unwrap().ttl(), 7);
        assert_eq!(with("address=127.0.0.1").unwrap().address().to_string(), "127.0.0.1");
        assert_eq!(with("id=12").unwrap().id().as_str(), "12");
        assert!(with("hashSecret=x").err().unwrap().to_styled().contains("--secret-file"));
        assert!(with("ttl").is_err() && with("ttl=x").is_err());
    }
}
