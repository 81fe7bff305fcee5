use super::*;
use crate::error::ErrorCode;
use std::net::IpAddr;
use std::time::Duration;

fn refusal(json: &str) -> String {
    Options::for_node().merge_json(json).unwrap_err().message().to_owned()
}

#[test]
fn the_defaults_of_the_table_are_the_defaults_in_force() {
    let mut given = Options::for_node();
    for spec in TABLE {
        given.set_json(spec.name, spec.default).unwrap();
    }
    let mut given = given.resolve_node().unwrap();
    let silent = Options::for_node().resolve_node().unwrap();
    assert!(given.id.as_str().starts_with("node") && silent.id.as_str().starts_with("node"));
    assert_ne!(given.id, silent.id);
    given.id = silent.id.clone();
    if let Some(hash) = &mut given.hash {
        hash.algorithm.clear();
    }
    assert_eq!(format!("{given:?}"), format!("{silent:?}"));
}

#[test]
fn a_refusal_names_the_key_the_value_and_what_is_accepted() {
    let text = refusal(r#"{"ttl": 256}"#);
    assert_eq!(text, "option ttl: 256 is not accepted; give a whole number from 1 to 255");
    let text = refusal(r#"{"hashAlgorithm": "whirlpool"}"#);
    assert!(text.contains("whirlpool") && text.contains("sha256"), "{text}");
    for bad in [
        r#"{"port": 0}"#,
        r#"{"port": 70000}"#,
        r#"{"port": "10101"}"#,
        r#"{"heartbeat": 1.5}"#,
        r#"{"heartbeat": -1}"#,
        r#"{"multicast": "10.0.0.1"}"#,
        r#"{"address": "localhost"}"#,
        r#"{"id": ""}"#,
        r#"{"id": 5}"#,
        r#"{"meta": 0}"#,
        r#"{"id": {"a": 1}}"#,
        r#"{"expose": 1}"#,
        r#"{"compat": "0.1.2"}"#,
        r#"{"cryptoAlgorithm": "des3"}"#,
        r#"{"hashSecret": 5}"#,
        r#"{"seeds": "host"}"#,
        r#"{"seeds": ["host:0"]}"#,
        r#"{"seeds": ["host:x"]}"#,
        r#"{"seeds": [""]}"#,
        r#"{"interfaces": "eth0"}"#,
        r#"{"interfaces": [1]}"#,
        r#"{"interfaces": ["!"]}"#,
        r#"{"multicast6": "239.0.0.1"}"#,
    ] {
        let key = bad.split('"').nth(1).unwrap();
        assert!(refusal(bad).contains(&format!("option {key}:")), "{bad}");
    }
}

#[test]
fn an_id_is_no_longer_than_a_small_datagram_holds() {
    // Two bytes of UTF-8, six of ASCII JSON.
    let id = |n: usize| "é".repeat(n);
    assert!(Options::for_node().set("id", &id(85)).is_ok(), "512 bytes");
    let text = Options::for_node().set("id", &id(86)).unwrap_err().message().to_owned();
    assert!(text.contains("it takes 518 bytes as JSON"), "{text}");
    assert!(text.ends_with("give a string of 1 to 255 bytes that takes at most 512 as ASCII JSON"));
    assert!(Options::for_node().set("id", &"x".repeat(255)).is_ok());
    assert!(Options::for_node().set("id", &"x".repeat(256)).is_err());
}

#[test]
fn metadata_beyond_the_limit_is_refused_in_any_order_of_options() {
    let node = |options: Options| options.resolve_node().map(|config| config.meta);
    // Two bytes are the quotes.
    let fits = Options::for_node().with("meta", &"x".repeat(8190));
    assert_eq!(node(fits.clone()).unwrap().len(), 8192);
    let refusal = |options| {
        let error = node(options).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidOption);
        error.message().to_owned()
    };
    let text = refusal(Options::for_node().with("meta", &"x".repeat(8191)));
    let want = "option meta: the metadata takes 8193 bytes; the option maxMeta allows 8192";
    assert_eq!(text, want);
    // Escapes count as on the wire.
    let text = refusal(Options::for_node().with("meta", &"é".repeat(2000)));
    assert!(text.contains("takes 12002 bytes"), "{text}");
    assert!(refusal(fits.clone().with("maxMeta", &8191)).contains("allows 8191"));
    assert!(
        refusal(Options::for_node().with("maxMeta", &8191).with("meta", &"x".repeat(8190)))
            .contains("allows 8191")
    );
    assert!(node(fits.with("maxMeta", &9000)).is_ok());
    let npm = Options::for_node().dialect(Dialect::Npm).with("meta", &"x".repeat(9000));
    assert!(refusal(npm).contains("maxMeta"));
}

#[test]
fn only_nodes_limit_datagrams_by_default() {
    let limit = |options: Options| options.resolve_limits().datagrams_per_second;
    assert_eq!(limit(Options::for_node()), 20_000);
    assert_eq!(limit(Options::for_caster()), u32::MAX);
    assert_eq!(limit(Options::for_caster().with("maxDatagrams", &5)), 5);
}

#[test]
fn seeds_may_have_ports_and_be_addresses() {
    let seeds = ["db", "db:5", "10.0.0.1", "10.0.0.1:7", "::1", "[::1]:9"];
    let config = Options::for_node().with("seeds", &seeds).with("port", &3).resolve_node();
    let want = [("db", 3), ("db", 5), ("10.0.0.1", 3), ("10.0.0.1", 7), ("::1", 3), ("::1", 9)];
    assert_eq!(config.unwrap().seeds, want.map(|(host, port)| (host.to_owned(), port)));
}

#[test]
fn a_secret_is_not_repeated_in_the_refusal() {
    assert!(!refusal(r#"{"hashSecret": ["hush"]}"#).contains("hush"));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    assert!(refusal(r#"{"heartbeet": 1}"#).contains("did you mean \"heartbeat\"?"));
    assert!(refusal(r#"{"hash_secert": "x"}"#).contains("hashSecret"));
    assert!(refusal(r#"{"zzzzzzzzzzz": 1}"#).contains("there are id, meta"));
    let caster = Options::for_caster().set_json("meta", "1").unwrap_err();
    assert_eq!(caster.code(), ErrorCode::UnknownOption);
}

#[test]
fn a_secret_that_would_have_no_effect_is_refused() {
    let refused = |json: &str| {
        let mut options = Options::for_node();
        options.merge_json(json).unwrap();
        options.resolve_node().map_err(|error| error.message().to_owned())
    };
    for (json, name) in [
        (r#"{"cryptoKey": "a"}"#, "option cryptoKey: crypto is off; set crypto to true"),
        (
            r#"{"hashSecret": "a", "hash": false}"#,
            "option hashSecret: hash is off; set hash to true",
        ),
    ] {
        let text = refused(json).expect_err(json);
        assert!(text.starts_with(name), "{text}");
    }
    let used = r#"{"cryptoKey": "a", "crypto": true, "hashSecret": "b", "hashAlgorithm": "md5"}"#;
    assert!(refused(used).is_ok() && refused(r#"{"compat": "0.1.1", "cryptoKey": "a"}"#).is_ok());
}

#[test]
fn an_empty_list_of_keys_is_refused() {
    let error =
        crate::Node::new(&Options::for_node().keys([])).expect_err("no node without a word");
    assert_eq!(error.code(), ErrorCode::InvalidOption);
    assert!(error.message().starts_with("option keys: it is empty; give at least one"), "{error}");
    let text = Options::for_node().set("keys", &["a"]).unwrap_err();
    assert!(
        text.message().ends_with("keys are added one by one, and not as JSON: texts end in logs")
    );
}

#[test]
fn an_option_of_nodes_is_called_so() {
    let error = Options::for_caster().set("heartbeat", &500).unwrap_err();
    assert_eq!(error.message(), "a caster has no option \"heartbeat\"; it is an option of nodes");
}

#[test]
fn a_value_without_json_form_names_its_option() {
    let error = Options::for_node().set("meta", &f64::NAN).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidOption);
    assert!(error.message().starts_with("option meta: not JSON: a number is NaN"), "{error}");
}

#[test]
fn npm_takes_no_text_for_a_boolean() {
    for name in ["hash", "loopback", "expose", "crypto"] {
        let mut options = Options::for_node().dialect(Dialect::Npm);
        let error = options.set(name, "no").unwrap_err();
        assert!(error.message().ends_with("\"no\" is not accepted; give true or false"), "{error}");
        assert!(options.set(name, "").is_ok() && options.set(name, &1).is_ok());
    }
}

#[test]
fn both_spellings_are_accepted() {
    let mut options = Options::for_node();
    options.merge_json(r#"{"hash_secret": "a", "cryptoKey": "b", "crypto": true}"#).unwrap();
    let config = options.resolve_node().unwrap();
    assert_eq!(config.hash.unwrap().secret, "a".into());
    assert_eq!(config.crypto.unwrap().key, "b".into());
}

#[test]
fn both_spellings_of_one_option_at_once_are_refused() {
    for dialect in [Dialect::Strict, Dialect::Npm] {
        let mut options = Options::for_node().dialect(dialect);
        let given = r#"{"hashSecret": "a", "hash_secret": "a", "port": 5}"#;
        let error = options.merge_json(given).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidOption);
        assert!(error.message().contains("hashSecret and as hash_secret"), "{error}");
        assert!(options.value("port").is_none(), "none is set");
    }
}

#[test]
fn a_caster_refuses_options_that_only_nodes_have() {
    let refused = |options: &Options| crate::Caster::new(options).expect_err("a refusal");
    let error = refused(&Options::for_node().with("port", &5).with("heartbeat", &500));
    assert_eq!(error.code(), ErrorCode::UnknownOption);
    assert!(error.message().contains("a caster has no option \"heartbeat\""), "{error}");
    assert!(crate::Caster::new(&Options::for_node().with("port", &5)).is_ok());
    for options in [Options::for_node(), Options::for_caster()] {
        let keys = || [crate::Key::generate().unwrap()];
        let caster = crate::Caster::new(&options.clone().keys(keys())).unwrap();
        assert_eq!((caster.port(), caster.stage_names()), (10103, vec!["secure".to_owned()]));
        assert!(
            refused(&options.clone().keys(keys()).with("port", &10101)).message().contains("0.1.1")
        );
        assert!(refused(&options.with("realm", "x")).message().contains("keys"));
    }
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let refusal = |json| {
        let mut options = Options::for_caster();
        options.merge_json(json).unwrap();
        options.resolve_transport().unwrap_err().message().to_owned()
    };
    let text = refusal(r#"{"address": "127.0.0.1", "interfaces": ["eth0"]}"#);
    assert!(text.contains("127.0.0.1"), "{text}");
    let text = refusal(r#"{"multicast": "ff02::1", "multicast6": "ff02::2"}"#);
    assert!(text.contains("ff02::2"), "{text}");
}

fn environment(range: &str, seeds: &str) -> crate::error::Result<Environment> {
    Environment::read(|name| match name {
        "CASTER_RANGE" => Some(range.into()),
        "CASTER_SEEDS" => Some(seeds.into()),
        _ => None,
    })
}

#[test]
fn the_stricter_of_option_and_variable_limits_the_range() {
    let limited = |option: &str, variable: &str| {
        let mut options = Options::for_node().with("seeds", &["10.0.0.1", "127.0.0.1:5"]);
        if !option.is_empty() {
            options = options.with("range", option);
        }
        let mut config = options.resolve_node().unwrap();
        config.limit(&environment(variable, "").unwrap());
        config
    };
    for (option, variable, range) in [
        ("", "", Range::Any),
        ("link", "", Range::Link),
        ("", "link", Range::Link),
        ("link", "host", Range::Host),
        ("host", "link", Range::Host),
        ("off", "link", Range::Off),
        ("link", "off", Range::Off),
        ("host", " host ", Range::Host),
    ] {
        let config = limited(option, variable);
        assert_eq!(config.transport.range, range, "{option} {variable}");
        assert_eq!(config.ignores_seeds, range < Range::Any);
        let on_host = ("127.0.0.1".to_owned(), 5);
        assert!(config.seeds.contains(&on_host));
        assert_eq!(config.seeds.len() == 1, config.ignores_seeds);
    }
    let link = limited("link", "").transport;
    assert_eq!((link.ttl, link.private_port.unwrap().ttl), (1, Some(1)));
    let off = limited("host", "").transport;
    assert_eq!(off.address, IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn the_range_of_the_host_overrides_interfaces_and_addresses() {
    for options in [
        Options::for_caster().with("interfaces", &["eth*", "!lo"]),
        Options::for_caster().with("address", "10.0.0.1"),
        Options::for_caster().with("multicast", "ff02::1").with("address", "fe80::1%eth0"),
    ] {
        let mut config = options.with("range", "host").resolve_transport().unwrap();
        config.limit(&Environment::default());
        assert!(config.address.is_loopback() && config.scope.is_none());
        assert!(config.interfaces.is_empty());
        assert_eq!(config.address.is_ipv4(), config.multicast.is_ipv4());
    }
}

#[test]
fn seeds_of_the_environment_are_added() {
    let own = Options::for_node().with("port", &7).with("seeds", &["db", "10.0.0.1:9"]);
    let mut config = own.resolve_node().unwrap();
    config.limit(&environment("", " db:7, [fe80::1%eth0]:3 ,,10.0.0.2 ").unwrap());
    let want = [("db", 7), ("10.0.0.1", 9), ("fe80::1%eth0", 3), ("10.0.0.2", 7)];
    assert_eq!(config.seeds, want.map(|(host, port)| (host.to_owned(), port)));
    let mut config = Options::for_node().with("ttl", &3).resolve_node().unwrap();
    assert_eq!(config.transport.private_port.unwrap().ttl, Some(3));
    config.limit(&environment("", "10.0.0.2").unwrap());
    assert_eq!(config.transport.private_port.unwrap().ttl, None, "seeds lie beyond routers");
}

#[test]
fn a_bad_variable_is_refused_with_its_name_its_value_and_what_is_accepted() {
    let text = environment("hosts", "").unwrap_err().message().to_owned();
    for part in ["CASTER_RANGE", "\"hosts\"", "\"off\" or \"host\" or \"link\""] {
        assert!(text.contains(part), "{text}");
    }
    let text = environment("", "10.0.0.1, db:x").unwrap_err().message().to_owned();
    for part in ["CASTER_SEEDS", "\"db:x\"", "\"host:port\""] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(environment("", "").unwrap(), Environment::default());
}

#[test]
fn npm_reads_options_as_0_1_1_did() {
    let mut options = Options::for_node().dialect(Dialect::Npm);
    options
        .merge_json(
            r#"{"port": "10102", "ttl": 0, "heartbeat": 0, "id": 0, "meta": "",
                "coalesce": 0, "expose": null, "loopback": 0, "crypto": 1, "cryptoKey": "", "colour": "red"}"#,
        )
        .unwrap();
    assert!(options.warnings()[0].contains("\"colour\""));
    let config = options.resolve_node().unwrap();
    assert_eq!(config.transport.port, 10102);
    assert_eq!(config.transport.ttl, 64);
    assert!(config.transport.coalesce.is_zero(), "a number that was unknown to 0.1.1");
    assert!(config.transport.loopback && !config.expose && config.crypto.is_some());
    assert_eq!(config.heartbeat, Duration::from_secs(1));
    assert_eq!(&*config.meta, "null");
    assert!(config.observe_self);
    let mut options = Options::for_node().dialect(Dialect::Npm);
    options.merge_json(r#"{"id": 1e21}"#).unwrap();
    assert_eq!(options.resolve_node().unwrap().id, "1e+21");
}

#[test]
fn compat_inverts_hash_and_slows_the_beat() {
    let hashes = |json| {
        let mut options = Options::for_node();
        options.merge_json(json).unwrap();
        options.resolve_node().unwrap().hash.is_some()
    };
    assert!(hashes("{}") && !hashes(r#"{"hash": false}"#));
    assert!(hashes(r#"{"compat": "0.1.1"}"#));
    assert!(!hashes(r#"{"compat": "0.1.1", "hash": true}"#));
    assert!(hashes(r#"{"compat": "0.1.1", "hash": false}"#));
    let compat = Options::for_node().with("compat", "0.1.1").resolve_node().unwrap();
    assert_eq!(compat.heartbeat, Duration::from_secs(2));
}

#[test]
fn a_link_local_address_may_have_a_scope() {
    let scoped = Options::for_node().with("multicast", "ff02::1").with("address", "fe80::1%eth0");
    let config = scoped.resolve_node().unwrap().transport;
    assert_eq!(config.scoped_address(), "fe80::1%eth0");
    assert_ne!(config, Options::for_node().resolve_transport().unwrap());
    let seeds = ["fe80::1%eth0", "[fe80::1%2]:9", "[fe80::1%eth0]"];
    let config = Options::for_node().with("seeds", &seeds).with("port", &3).resolve_node();
    let want = [("fe80::1%eth0", 3), ("fe80::1%2", 9), ("fe80::1%eth0", 3)];
    assert_eq!(config.unwrap().seeds, want.map(|(host, port)| (host.to_owned(), port)));
    for refused in ["10.0.0.1%eth0", "2001:db8::1%eth0", "fe80::1%", "ff02::1%eth0"] {
        let error = Options::for_node().set("address", refused).unwrap_err();
        assert!(error.message().contains("fe80::1%eth0"), "{error}");
    }
}
