//! The requests that are answered: those of this page and of programs, by a name of this server. A page of another
//! origin, also one whose name was pointed at this host (DNS rebinding), gets nothing.

use std::net::{IpAddr, Ipv6Addr};

/// The names by which the server may be called.
#[derive(Debug, Clone)]
pub struct Names {
    listening: IpAddr,
    more: Vec<String>,
}

impl Names {
    /// The names of a server that listens on this address, and more of them.
    pub fn new(listening: IpAddr, more: &[String]) -> Self {
        let more = more.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { listening, more }
    }

    /// Whether the header `Host` names this server. An address cannot be pointed elsewhere, a name can.
    fn has(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) if address.is_loopback() => true,
            Ok(address) => self.listening.is_unspecified() || self.listening == address,
            Err(_) => name == "localhost" || self.more.contains(&name),
        }
    }

    /// Why a request with these headers is refused, if it is.
    pub fn refuse(
        &self,
        host: Option<&str>,
        origin: Option<&str>,
        site: Option<&str>,
    ) -> Option<String> {
        let Some(host) = host else { return Some("the header Host is missing".into()) };
        if !self.has(host) {
            return Some(format!("{host} is not a name of this server; --name accepts one"));
        }
        // `origin` is there for requests of pages; browsers name the kind of all others in `site`.
        let same = |origin: &str| origin.split_once("://").is_some_and(|(_, rest)| rest == host);
        if origin.is_some_and(|origin| !same(origin)) {
            return Some("pages of other origins are refused".into());
        }
        let is_own = |site: &str| matches!(site, "same-origin" | "none");
        if site.is_some_and(|site| !is_own(site)) {
            return Some("requests of other sites are refused".into());
        }
        None
    }
}

/// The name in a header `Host`.
fn without_port(host: &str) -> &str {
    // An IPv6 address without brackets has no port.
    if host.parse::<Ipv6Addr>().is_ok() {
        return host;
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listening: &str) -> Names {
        Names::new(listening.parse().unwrap(), &["Dash.lan".to_owned()])
    }

    #[test]
    fn only_names_of_this_server_are_accepted() {
        let local = names("127.0.0.1");
        for host in
            ["127.0.0.1:9464", "localhost", "LOCALHOST:1", "[::1]:9464", "127.9.9.9", "dash.lan:80"]
        {
            assert_eq!(local.refuse(Some(host), None, None), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "localhost.",
            ":9464",
            "[::1",
            "0",
        ] {
            assert!(local.refuse(Some(host), None, None).is_some(), "{host}");
        }
        assert!(local.refuse(None, None, None).is_some());
        assert!(names("10.0.0.1").has("10.0.0.1:9464") && !names("10.0.0.1").has("10.0.0.2"));
        assert!(names("0.0.0.0").has("10.0.0.2:1") && names("::").has("[fd00::1]:9464"));
        assert!(!names("0.0.0.0").has("evil.example"));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let local = names("127.0.0.1");
        let refused = |origin, site| local.refuse(Some("localhost:9464"), origin, site).is_some();
        assert!(!refused(Some("http://localhost:9464"), Some("same-origin")));
        assert!(!refused(None, Some("none")));
        for origin in
            ["http://evil.example", "null", "http://localhost:80", "http://127.0.0.1:9464", ""]
        {
            assert!(refused(Some(origin), None), "{origin}");
        }
        for site in ["cross-site", "same-site", "x"] {
            assert!(refused(None, Some(site)), "{site}");
        }
    }
}
