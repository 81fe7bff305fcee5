//! The options as methods with types, for Rust.

use super::Options;
use serde::Serialize;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Methods that set one option each: name, type, and the name in the table.
macro_rules! setters {
    ($($(#[$doc:meta])* $method:ident: $kind:tt = $name:literal;)*) => {
        /// One method for each option. [The table] has the accepted values and the defaults; a value that is not
        /// accepted is an error of `new`, as with [`Options::with`].
        ///
        /// ```
        /// use caster_core::Options;
        /// use std::time::Duration;
        ///
        /// let options = Options::for_node()
        ///     .id("printer-1")
        ///     .meta(&serde_json::json!({"type": "printer"}))
        ///     .heartbeat(Duration::from_millis(500))
        ///     .seeds(["10.0.0.7", "office.example:10101"]);
        /// ```
        ///
        /// [The table]: super::TABLE
        impl Options {
            $(setters!($(#[$doc])* $method $kind $name);)*

            /// Metadata of this node, of any type that serde can write.
            #[must_use]
            pub fn meta(self, meta: &(impl Serialize + ?Sized)) -> Self {
                self.with("meta", meta)
            }
        }

        /// The options that have methods.
        #[cfg(test)]
        const TYPED: &[&str] = &["meta", $($name),*];
    };
    ($(#[$doc:meta])* $method:ident text $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $method(self, $method: impl AsRef<str>) -> Self {
            self.with($name, $method.as_ref())
        }
    };
    ($(#[$doc:meta])* $method:ident list $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $method(self, $method: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
            let list: Vec<String> = $method.into_iter().map(|it| it.as_ref().to_owned()).collect();
            self.with($name, &list)
        }
    };
    ($(#[$doc:meta])* $method:ident millis $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $method(self, $method: Duration) -> Self {
            match u64::try_from($method.as_millis()) {
                Ok(millis) if $method.subsec_nanos() % 1_000_000 == 0 => self.with($name, &millis),
                // Not a whole number of milliseconds, or too many: refused with the accepted values.
                _ => self.with($name, &($method.as_secs_f64() * 1e3)),
            }
        }
    };
    ($(#[$doc:meta])* $method:ident IpAddr $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $method(self, $method: impl Into<IpAddr>) -> Self {
            self.with($name, &$method.into())
        }
    };
    ($(#[$doc:meta])* $method:ident $kind:ident $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $method(self, $method: $kind) -> Self {
            self.with($name, &$method)
        }
    };
}

setters! {
    /// The id of this node in the group.
    id: text = "id";
    /// Whether heartbeats are sent.
    expose: bool = "expose";
    /// Interval of the heartbeats, in whole milliseconds.
    heartbeat: millis = "heartbeat";
    /// Silence after which a peer is down, in whole milliseconds.
    timeout: millis = "timeout";
    /// The multicast group.
    multicast: IpAddr = "multicast";
    /// The local address of the only interface to use.
    address: IpAddr = "address";
    /// The interfaces to use: names, addresses and patterns.
    interfaces: list = "interfaces";
    /// An IPv6 group in addition to the IPv4 one.
    multicast6: Ipv6Addr = "multicast6";
    /// The UDP port.
    port: u16 = "port";
    /// Whether programs on this host receive the datagrams.
    loopback: bool = "loopback";
    /// Maximum number of routers that a datagram may cross, plus one.
    ttl: u8 = "ttl";
    /// Limits how far datagrams go: `off`, `host` or `link`.
    range: text = "range";
    /// Whether every datagram carries a digest.
    hash: bool = "hash";
    /// The secret of the digest.
    hash_secret: text = "hash_secret";
    /// The algorithm of the digest.
    hash_algorithm: text = "hash_algorithm";
    /// Whether datagrams are encrypted in the way of caster 0.1.1, which is not security.
    crypto: bool = "crypto";
    /// The key of the encryption.
    crypto_key: text = "crypto_key";
    /// The cipher.
    crypto_algorithm: text = "crypto_algorithm";
    /// In secure mode: one key and realm are one group.
    realm: text = "realm";
    /// In secure mode: integrity without secrecy.
    hmac: bool = "hmac";
    /// In secure mode: nodes without keys are heard (`accept`), or are peers (`send`).
    plain: text = "plain";
    /// In secure mode: the port of the nodes without keys.
    plain_port: u16 = "plain_port";
    /// In secure mode: `believe`, for refused ports.
    refusals: text = "refusals";
    /// In secure mode: `deliver`, for messages of a caster.
    unproven: text = "unproven";
    /// With an identity: messages are signed, too.
    sign_messages: bool = "sign_messages";
    /// Whether the node discovers and hears itself.
    observe_self: bool = "self";
    /// Whether the first heartbeat is sent at once.
    announce: bool = "announce";
    /// Which behaviour is restored.
    compat: text = "compat";
    /// Digest of non-ASCII bytes in sent datagrams.
    hash_era: text = "hash_era";
    /// When the rules for peers that run caster 0.1.1 apply.
    originals: text = "originals";
    /// Hosts that get heartbeats and messages by unicast.
    seeds: list = "seeds";
    /// Maximum number of known nodes.
    max_nodes: u64 = "max_nodes";
    /// Maximum number of new nodes a second from one address.
    max_new_nodes: u64 = "max_new_nodes";
    /// Maximum number of heartbeats a second on request of peers.
    max_answers: u64 = "max_answers";
    /// Maximum size of metadata in bytes.
    max_meta: u64 = "max_meta";
    /// Maximum size of a message in bytes.
    max_message: u64 = "max_message";
    /// Maximum nesting of arrays and objects in received JSON.
    max_depth: u64 = "max_depth";
    /// Maximum number of datagrams a second from one IP address.
    max_datagrams: u64 = "max_datagrams";
    /// Maximum delay of received datagrams under load, in whole milliseconds.
    coalesce: millis = "coalesce";
    /// Time in microseconds for which the thread polls after a datagram.
    spin: u64 = "spin";
    /// The port of this process for unicast.
    unicast_port: u16 = "unicast_port";
    /// Requested size of the receive buffer in bytes.
    receive_buffer: u64 = "receive_buffer";
    /// Maximum number of events in the queue.
    max_events: u64 = "max_events";
    /// Maximum size of the messages in the queue, in bytes.
    max_event_bytes: u64 = "max_event_bytes";
    /// Whether JSON is sent as UTF-8 instead of ASCII with escapes.
    raw_utf8: bool = "raw_utf8";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{TABLE, snake_case};
    use crate::{ErrorCode, Node};
    use std::net::Ipv4Addr;

    #[test]
    fn every_option_has_a_method() {
        let missing: Vec<_> = TABLE
            .iter()
            .map(|it| snake_case(it.name))
            .filter(|it| !TYPED.contains(&&**it))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(TYPED.len(), TABLE.len());
    }

    #[test]
    fn methods_set_what_the_table_has() {
        let node = Node::new(
            &Options::for_node()
                .id("é")
                .meta(&[1, 2])
                .heartbeat(Duration::from_millis(500))
                .timeout(Duration::from_secs(3))
                .multicast(Ipv4Addr::new(239, 1, 2, 3))
                .multicast6("ff02::7".parse().unwrap())
                .interfaces(["lo", "!eth*"])
                .port(4001)
                .ttl(1)
                .hash_secret(String::from("quiet"))
                .max_nodes(7)
                .seeds(&[String::from("localhost:4001")]),
        )
        .unwrap();
        assert_eq!(node.id(), "é");
        assert_eq!(&*node.meta_json(), "[1,2]");
        assert_eq!(node.heartbeat(), Duration::from_millis(500));
        assert_eq!(node.multicast(), Ipv4Addr::new(239, 1, 2, 3));
        assert_eq!((node.port(), node.ttl()), (4001, 1));
    }

    #[test]
    fn values_that_the_table_refuses_are_errors_of_new() {
        for (options, text) in [
            (Options::for_node().heartbeat(Duration::from_micros(10_500)), "heartbeat"),
            (Options::for_node().timeout(Duration::MAX), "timeout"),
            (Options::for_node().port(0), "port"),
            (Options::for_node().range("far"), "range"),
            (Options::for_caster().heartbeat(Duration::from_secs(1)), "heartbeat"),
        ] {
            let error = Node::new(&options).unwrap_err();
            assert!(matches!(error.code(), ErrorCode::InvalidOption | ErrorCode::UnknownOption));
            assert!(error.message().contains(text), "{error}");
        }
    }
}
