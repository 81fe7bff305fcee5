//! The options that all commands share: the group, the interfaces, secrets and profiles.

use crate::failure::Failure;
use caster_core::{ErrorCode, Key, Node, Options};
use etcetera::BaseStrategy;
use std::fs;
use std::path::{Path, PathBuf};

/// Secrets are not accepted as arguments, because all users of the host can read these.
const SECRETS: [(&str, &str); 5] = [
    ("hashSecret", "secret-file"),
    ("hash_secret", "secret-file"),
    ("cryptoKey", "crypto-key-file"),
    ("crypto_key", "crypto-key-file"),
    ("keys", "key-file"),
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
    /// File with the keys of a sealed group, as `caster keygen` makes it: the first one seals, all are accepted
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// File with the key of the encryption of caster 0.1.1; turns it on
    #[arg(long, value_name = "FILE")]
    pub crypto_key_file: Option<PathBuf>,
    /// Options of this table in the file of profiles
    ///
    /// The file is caster/profiles.toml in the user's configuration folder (~/.config on Linux). Each table is a
    /// profile; its keys are the options of docs/options.md, `secret-file`, `key-file` and `crypto-key-file`.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Any other option of docs/options.md, its value as JSON or text
    #[arg(short = 'o', long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
}

/// The options that are about sockets, which a bare caster has as well.
const OF_SOCKETS: [&str; 8] = [
    "multicast",
    "multicast6",
    "interfaces",
    "address",
    "loopback",
    "ttl",
    "range",
    "receiveBuffer",
];

/// The options of a node, and the secrets among them.
#[derive(Debug)]
pub struct Settings {
    pub options: Options,
    pub secret: Option<String>,
    pub crypto_key: Option<String>,
    pub keys: Vec<Key>,
    /// Whether only the options of sockets are taken.
    sockets_only: bool,
}

impl Settings {
    fn new(options: Options, sockets_only: bool) -> Self {
        Self { options, secret: None, crypto_key: None, keys: Vec::new(), sockets_only }
    }

    /// Whether an option of this name is taken.
    fn takes(&self, name: &str) -> bool {
        !self.sockets_only || OF_SOCKETS.contains(&name)
    }

    /// Sets the secrets as options.
    fn set_secrets(&mut self) -> Result<(), Failure> {
        if self.sockets_only {
            return Ok(());
        }
        if let Some(secret) = &self.secret {
            self.options.set("hashSecret", secret)?;
        }
        if let Some(key) = &self.crypto_key {
            self.options.set("cryptoKey", key)?;
            self.options.set("crypto", &true)?;
        }
        self.keys.iter().for_each(|key| self.options.add_key(key.clone()));
        Ok(())
    }
}

impl NetworkArgs {
    /// The options of a node. Arguments are stronger than the profile, and the profile than variables.
    ///
    /// # Errors
    /// A value is not accepted, or a file cannot be read.
    pub fn options(&self) -> Result<Options, Failure> {
        Ok(self.settings()?.options)
    }

    /// The options of a node, and the secrets among them.
    ///
    /// # Errors
    /// As [`NetworkArgs::options`].
    pub fn settings(&self) -> Result<Settings, Failure> {
        self.read(Settings::new(Options::for_node(), false))
    }

    /// The options of a bare caster on another port of the same network.
    ///
    /// # Errors
    /// As [`NetworkArgs::options`].
    pub fn bare_options(&self, port: u16) -> Result<Options, Failure> {
        let mut options = self.read(Settings::new(Options::for_caster(), true))?.options;
        options.set("port", &port)?;
        Ok(options)
    }

    fn read(&self, mut settings: Settings) -> Result<Settings, Failure> {
        // The keys of the argument are in front of those of the profile: the first one seals.
        if let Some(path) = &self.key_file {
            settings.keys.extend(read_keys(path)?);
        }
        if let Some(name) = &self.profile {
            let path = profiles_file()?;
            let text = fs::read_to_string(&path).map_err(|error| {
                Failure::file(&path, &error)
                    .advise(format!("Create it with a table [{name}], as in docs/command.md."))
            })?;
            apply_profile(&mut settings, &text, name, &path)?;
        }
        if let Some(path) = &self.secret_file {
            settings.secret = Some(read_secret(path)?);
        }
        if settings.secret.is_none()
            && settings.keys.is_empty()
            && let Some(secret) = std::env::var_os("CASTER_SECRET").filter(|it| !it.is_empty())
        {
            let secret = secret.into_string().map_err(|_| {
                Failure::usage(
                    "the variable CASTER_SECRET is not UTF-8",
                    "Give the secret with --secret-file.",
                )
            })?;
            settings.secret = Some(secret);
        }
        if let Some(path) = &self.crypto_key_file {
            settings.crypto_key = Some(read_secret(path)?);
        }
        settings.set_secrets()?;
        if let Some(port) = self.port {
            settings.options.set("port", &port)?;
        }
        if let Some(group) = &self.group {
            settings.options.set("multicast", group)?;
        }
        if !self.interfaces.is_empty() {
            settings.options.set("interfaces", &self.interfaces)?;
        }
        if let Some(range) = &self.range {
            settings.options.set("range", range)?;
        }
        for option in &self.options {
            set_option(&mut settings, option)?;
        }
        Ok(settings)
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
///
/// # Errors
/// The file cannot be read, or is empty.
pub fn read_secret(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        let text = format!("{} is empty", path.display());
        return Err(Failure::usage(text, "Write the secret into its first line."));
    }
    Ok(line.to_owned())
}

/// The keys of a file.
///
/// # Errors
/// The file cannot be read, other users can read it, or it is not one of keys.
pub fn read_keys(path: &Path) -> Result<Vec<Key>, Failure> {
    Key::read_file(path).map_err(|error| {
        let advice = match error.code() {
            ErrorCode::Io => "`caster keygen FILE` makes one.",
            _ => "`caster keygen FILE` makes one; chmod 600 keeps it from other users.",
        };
        Failure::usage(error.message(), advice)
    })
}

fn set_option(settings: &mut Settings, text: &str) -> Result<(), Failure> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Failure::usage(
            format!("option {text} has no value"),
            "Give NAME=VALUE, as in ttl=1.",
        ));
    };
    refuse_secret(name, "--")?;
    match settings.takes(name) {
        true => set_json_or_text(&mut settings.options, name, value),
        false => Ok(()),
    }
}

fn refuse_secret(name: &str, dashes: &str) -> Result<(), Failure> {
    match SECRETS.iter().find(|(secret, _)| *secret == name) {
        None => Ok(()),
        Some((_, file)) => Err(Failure::usage(
            format!("{name} is a secret"),
            format!("Write it into a file and name the file with {dashes}{file}."),
        )),
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
        Failure::usage(format!("no configuration folder: {error}"), "Set HOME.")
    })?;
    Ok(strategy.config_dir().join("caster").join("profiles.toml"))
}

fn apply_profile(
    settings: &mut Settings,
    text: &str,
    name: &str,
    path: &Path,
) -> Result<(), Failure> {
    let file = path.display();
    let profiles: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::usage(format!("{file}: {error}"), "docs/command.md has an example of a profile.")
    })?;
    let Some(toml::Value::Table(profile)) = profiles.get(name) else {
        let names: Vec<&str> = profiles.keys().map(String::as_str).collect();
        let advice = match names.is_empty() {
            true => format!("Add a table [{name}]."),
            false => format!("It has: {}.", names.join(", ")),
        };
        return Err(Failure::usage(format!("{file} has no profile {name}"), advice));
    };
    for (key, value) in profile {
        let file_of = |value: &toml::Value| {
            let named = value.as_str().ok_or_else(|| {
                Failure::usage(
                    format!("{file}: {name}.{key} is not the path of a file"),
                    format!("Write {key} = \"FILE\"."),
                )
            })?;
            // A relative path is one from the folder of the profiles.
            Ok::<_, Failure>(path.parent().unwrap_or(Path::new("")).join(named))
        };
        match key.as_str() {
            "secret-file" => settings.secret = Some(read_secret(&file_of(value)?)?),
            "key-file" => settings.keys.extend(read_keys(&file_of(value)?)?),
            "crypto-key-file" => settings.crypto_key = Some(read_secret(&file_of(value)?)?),
            key => {
                refuse_secret(key, "")?;
                if !settings.takes(key) {
                    continue;
                }
                settings
                    .options
                    .set(key, value)
                    .map_err(|error| Failure::from(error).within(&format!("{file}: {name}")))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_profile(text: &str) -> Result<Node, Failure> {
        let mut settings = Settings::new(Options::for_node(), false);
        apply_profile(&mut settings, text, "office", Path::new("/etc/x/profiles.toml"))?;
        Ok(Node::new(&settings.options)?)
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
        for secret in ["hashSecret", "hash_secret", "cryptoKey", "crypto_key", "keys"] {
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
        let missing = failed("[office]\nkey-file = 'none'");
        assert!(missing.contains("/etc/x/none") && missing.contains("caster keygen"), "{missing}");
    }

    #[test]
    fn options_are_json_or_text_and_never_secrets() {
        let with = |text: &str| {
            let mut settings = Settings::new(Options::for_node(), false);
            set_option(&mut settings, text).and_then(|()| Ok(Node::new(&settings.options)?))
        };
        assert_eq!(with("ttl=7").unwrap().ttl(), 7);
        assert_eq!(with("address=127.0.0.1").unwrap().address().to_string(), "127.0.0.1");
        assert_eq!(with("id=12").unwrap().id().as_str(), "12");
        assert!(with("hashSecret=x").err().unwrap().to_styled().contains("--secret-file"));
        assert!(with("keys=x").err().unwrap().to_styled().contains("--key-file"));
        assert!(with("ttl").is_err() && with("ttl=x").is_err());
    }
}
