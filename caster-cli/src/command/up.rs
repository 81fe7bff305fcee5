//! `caster up`: announces a program while it runs and is ready.

use crate::args;
use crate::failure::{FOUND, Failure};
use crate::find::tell_trouble;
use crate::network::NetworkArgs;
use caster_core::{Node, Options};
use rustix::process::{Pid, Signal, kill_process};
use sd_notify::NotifyState;
use serde_json::{Map, Value};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Announce a program while it runs and is ready
///
/// Runs the command as a child, forwards signals to it, and ends with its status. On SIGTERM and SIGINT the node
/// leaves before the child is told. Without a command it announces until one of these signals comes. Under
/// systemd (Type=notify) the unit is ready when the node is announced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster up --meta type=http --meta port=8080 -- python3 -m http.server 8080
  caster up --id web-1 --meta type=http --ready http://127.0.0.1:8080/health -- ./server
  caster up --meta type=db --meta port=5432 --ready tcp:5432      # a server that runs already

Exit status: that of the command, 128 and the number of the signal that ended it, 127 if it does not exist, \
126 if it cannot be run; without a command 0; 2 usage, 3 network.")]
pub struct Args {
    /// Metadata: a key and its value, as JSON or text
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<Pair>,
    /// Metadata as one JSON value
    #[arg(long, value_name = "JSON", conflicts_with = "meta")]
    meta_json: Option<String>,
    /// Id of the node [default: node and random digits]
    #[arg(long)]
    id: Option<String>,
    /// Announce while this accepts connections: tcp:PORT, tcp:HOST:PORT, or an http:// address that answers with
    /// a status of 200 to 399
    #[arg(long, value_name = "CHECK")]
    ready: Option<Check>,
    /// Time between two checks
    #[arg(long, value_parser = args::time, value_name = "TIME", default_value = "1s", requires = "ready")]
    every: Duration,
    #[command(flatten)]
    network: NetworkArgs,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// A key and its value as JSON.
#[derive(Debug, Clone)]
struct Pair(String, Value);

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("give KEY=VALUE, as in type=http")?;
        let json = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        Ok(Self(key.to_owned(), json))
    }
}

/// A check whether the program can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Check {
    Tcp(String),
    Http(String),
}

/// How long one check may take.
const CHECK_TIME: Duration = Duration::from_secs(1);
/// A program that has just started is checked more often.
const FIRST_CHECKS: Duration = Duration::from_millis(100);
/// So many checks in a row have to fail before a node that was ready leaves.
const FAILURES: u32 = 3;
/// How often hints and errors of the node are told.
const LOOK: Duration = Duration::from_secs(1);

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") {
            return Ok(Self::Http(text.to_owned()));
        }
        let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        match text.strip_prefix("tcp:") {
            Some(alone) if port(alone) => Ok(Self::Tcp(format!("localhost:{alone}"))),
            Some(place) if place.rsplit_once(':').is_some_and(|(_, end)| port(end)) => {
                Ok(Self::Tcp(place.to_owned()))
            }
            _ => Err("give tcp:PORT, tcp:HOST:PORT or an address that begins with http://".into()),
        }
    }
}

impl Check {
    fn passes(&self) -> bool {
        match self {
            Self::Tcp(place) => place.to_socket_addrs().is_ok_and(|mut addresses| {
                addresses.any(|address| TcpStream::connect_timeout(&address, CHECK_TIME).is_ok())
            }),
            Self::Http(url) => minreq::get(url)
                .with_timeout(CHECK_TIME.as_secs())
                .send()
                .is_ok_and(|answer| (200..400).contains(&answer.status_code)),
        }
    }

    /// Tells of each change, the first time when it is ready.
    fn follow(&self, every: Duration, to: &Sender<News>) {
        let (mut is_ready, mut failures) = (false, 0);
        loop {
            let passes = self.passes();
            failures = if passes { 0 } else { failures + 1 };
            let now_ready = passes || (is_ready && failures < FAILURES);
            if now_ready != is_ready && to.send(News::Ready(now_ready)).is_err() {
                return;
            }
            is_ready = now_ready;
            thread::sleep(if is_ready { every } else { FIRST_CHECKS.min(every) });
        }
    }
}

/// The things that happen while the node is announced.
enum News {
    Signal(i32),
    Ready(bool),
}

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let node = Node::new(&options(args)?)?;
    let (to, news) = channel();
    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGCHLD])
            .map_err(|error| Failure::system("signals", &error))?;
    let of_signals = to.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            if of_signals.send(News::Signal(signal)).is_err() {
                return;
            }
        }
    });
    let child = match args.command.split_first() {
        None => None,
        Some((program, rest)) => Some(spawn(program, rest)?),
    };
    match args.ready.clone() {
        Some(check) => {
            let every = args.every;
            thread::spawn(move || check.follow(every, &to));
        }
        None => drop(to.send(News::Ready(true))),
    }
    let mut announced = Announced { node, child, is_leaving: false, was_told: false };
    let ended = announced.follow(&news);
    if ended.is_err() {
        announced.end_child();
    }
    ended
}

fn options(args: &Args) -> Result<Options, Failure> {
    let mut options = args.network.options()?;
    if let Some(id) = &args.id {
        options.set("id", id)?;
    }
    match &args.meta_json {
        Some(text) => options.set_json("meta", text)?,
        None if args.meta.is_empty() => {}
        None => {
            let pairs = args.meta.iter().map(|Pair(key, value)| (key.clone(), value.clone()));
            options.set("meta", &pairs.collect::<Map<_, _>>())?;
        }
    }
    Ok(options)
}

fn spawn(program: &str, arguments: &[String]) -> Result<Child, Failure> {
    // Only this process tells systemd.
    let child = Command::new(program).args(arguments).env_remove("NOTIFY_SOCKET").spawn();
    child.map_err(|error| {
        let (status, advice) = match error.kind() {
            io::ErrorKind::NotFound => (127, "Give the name or the path of a program that exists."),
            _ => (126, "Give a program that this user may run."),
        };
        Failure::usage(format!("{program}: {error}"), advice).with_status(status)
    })
}

struct Announced {
    node: Node,
    child: Option<Child>,
    /// It leaves for good.
    is_leaving: bool,
    /// Whether systemd was told that the node is ready.
    was_told: bool,
}

impl Announced {
    /// Until the child has ended, or without a child until a signal.
    fn follow(&mut self, news: &Receiver<News>) -> Result<ExitCode, Failure> {
        loop {
            while let Some(event) = self.node.event_source().try_next() {
                tell_trouble(&event);
            }
            match news.recv_timeout(LOOK) {
                Ok(News::Ready(ready)) => self.set_ready(ready)?,
                Ok(News::Signal(SIGCHLD)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(News::Signal(signal)) => self.signal(signal),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::network(
                        "the thread of the signals has ended",
                        "Start the command again.",
                    ));
                }
            }
            let ended = match &mut self.child {
                Some(child) => {
                    child.try_wait().map_err(|error| Failure::system("wait", &error))?.map(code_of)
                }
                None => self.is_leaving.then_some(FOUND.into()),
            };
            if let Some(code) = ended {
                // The error of a node that has left already says nothing new.
                let _ = self.node.down();
                return Ok(code);
            }
        }
    }

    fn set_ready(&mut self, ready: bool) -> Result<(), Failure> {
        if self.is_leaving {
            return Ok(());
        }
        match ready {
            true => {
                self.node.up()?;
                if !self.was_told {
                    self.was_told = true;
                    tell_systemd(NotifyState::Ready);
                }
            }
            false => {
                anstream::eprintln!("The check fails: the node leaves until it passes again.");
                self.node.start_down()?;
            }
        }
        Ok(())
    }

    fn signal(&mut self, signal: i32) {
        if matches!(signal, SIGTERM | SIGINT) {
            self.is_leaving = true;
            tell_systemd(NotifyState::Stopping);
            // Before the child is told, so that no other node calls a program that is about to end.
            let _ = self.node.start_down();
        }
        // The terminal sends these to the child as well.
        let by_terminal = matches!(signal, SIGINT | SIGQUIT) && io::stdin().is_terminal();
        if !by_terminal {
            self.forward(signal);
        }
    }

    fn forward(&self, signal: i32) {
        let Some(child) = &self.child else { return };
        if let (Some(pid), Some(signal)) =
            (Pid::from_raw(child.id().cast_signed()), Signal::from_named_raw(signal))
        {
            // It fails if the child has just ended.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends the child after a failure of the node.
    fn end_child(&mut self) {
        self.forward(SIGTERM);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    u8::try_from(code.unwrap_or(1)).unwrap_or(u8::MAX).into()
}

/// Without systemd it has no effect.
fn tell_systemd(state: NotifyState<'_>) {
    let _ = sd_notify::notify(&[state]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn checks_are_read() {
        let check = |text: &str| text.parse::<Check>().ok();
        assert_eq!(check("tcp:80"), Some(Check::Tcp("localhost:80".into())));
        assert_eq!(check("tcp:[::1]:80"), Some(Check::Tcp("[::1]:80".into())));
        assert_eq!(check("http://a/b"), Some(Check::Http("http://a/b".into())));
        for wrong in ["tcp:", "tcp:0", "tcp:99999", "tcp:host:", "https://a", "8080", ""] {
            assert_eq!(check(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_port_is_ready_while_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let check = Check::Tcp(listener.local_addr().unwrap().to_string());
        assert!(check.passes());
        drop(listener);
        assert!(!check.passes());
    }
}
