use super::speak::ANSWERS_PER_INTERVAL;
use super::*;
use crate::options::Options;
use crate::protocol::destination::Destination;
use crate::protocol::envelope::Envelope;
use crate::protocol::event::Changed;
use crate::protocol::paths::Content;
use std::net::{Ipv4Addr, SocketAddrV4};

const HERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 10101));
const THERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 10101));

const SECRET: u128 = 5;

fn at(ms: u64) -> Now {
    Now { mono: Duration::from_millis(ms), unix_ms: 1_000_000 + ms }
}

fn engine_with(options: Options) -> Engine {
    let options = options.with("id", "me").with("meta", &[1]);
    let config = options.resolve_node().unwrap();
    let mut engine = Engine::new(&config, 1);
    engine.interfaces(&[HERE.ip()], None, at(0));
    engine.start(config.announce, SECRET, at(0));
    engine
}

/// An engine that has announced itself.
fn engine() -> Engine {
    let mut engine = engine_with(Options::for_node());
    outputs(&mut engine);
    engine
}

/// All outputs as text: heartbeats with what they say beyond 0.1.1, and events.
fn outputs(engine: &mut Engine) -> Vec<String> {
    let text = |output| match output {
        Output::Transmit(message, Destination::These(to) | Destination::TheseFrom(_, to)) => {
            let envelope = Envelope::parse(message.as_json().unwrap()).unwrap();
            let extension = envelope.extension.unwrap();
            assert!(extension.unicast);
            let hello = if extension.hello { " hello" } else { "" };
            format!("beat to {to:?}{hello} {:?}", extension.known)
        }
        Output::Transmit(_, Destination::PortProbe(address)) => format!("port_probe {address}"),
        Output::Transmit(message, _) => {
            let envelope = Envelope::parse(message.as_json().unwrap()).unwrap();
            assert_eq!(envelope.id.as_json(), "\"me\"");
            let mut text = format!("beat {}", envelope.meta.unwrap());
            let Some(extension) = envelope.extension else { return text + " plain" };
            if extension.hello {
                text += " hello";
            }
            for id in &extension.probes {
                text += &format!(" {id}?");
            }
            for (id, age) in &extension.corroborations {
                text += &format!(" {id}:{age}");
            }
            text
        }
        Output::Event(Event::Update { peer, changed }) => {
            let Changed { meta, address } = changed;
            format!("update {} meta={meta} address={address}", peer.id)
        }
        Output::Event(Event::Message { message, peer }) => {
            format!("message {} {}", peer.id, message.as_json().unwrap())
        }
        Output::Event(Event::Down { peer, reason }) => {
            format!("down {} {}", peer.id, reason.as_str())
        }
        Output::Event(Event::Conflict { id, address }) => format!("conflict {id} {address}"),
        Output::Event(event) => match event.lifecycle_of() {
            Some(id) => format!("{} {id}", event.name()),
            None => event.name().into(),
        },
    };
    let settled = |output: &Output| matches!(output, Output::Event(Event::Settled));
    let all = std::iter::from_fn(|| engine.poll_output());
    all.filter(|output| !settled(output)).map(text).collect()
}

fn hear(engine: &mut Engine, text: &str, from: SocketAddr, ms: u64) -> Vec<String> {
    let _ = engine.receive(text, from, at(ms));
    outputs(engine)
}

/// The heartbeat of a Caster node; `rest` goes into its extension.
fn beat_of(id: &str, incarnation: u32, count: u32, rest: &str) -> String {
    format!(r#"{{"id":"{id}","meta":1,"caster":{{"b":{incarnation},"h":1000,"n":{count}{rest}}}}}"#)
}

/// Lets time pass as the driver does: nothing is done before or after it is due.
fn run(engine: &mut Engine, until: u64) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    while let Some(due) = engine.poll_timeout()
        && due <= Duration::from_millis(until)
    {
        let now = Now { mono: due, unix_ms: 1_000_000 + due.as_millis() as u64 };
        engine.handle_timeout(now, false);
        all.extend(outputs(engine).into_iter().map(|text| (due.as_millis() as u64, text)));
    }
    all
}

const BEAT: &str = "beat [1]";

#[test]
fn it_announces_itself_and_beats_on() {
    let mut engine = engine_with(Options::for_node());
    assert_eq!(outputs(&mut engine), ["beat [1] hello"]);
    let all = run(&mut engine, 2000);
    let hello = "beat [1] hello".to_owned();
    let beat = BEAT.to_owned();
    assert_eq!(all[..2], [(30, hello.clone()), (150, hello)]);
    let beats: Vec<u64> = all[2..].iter().map(|(ms, _)| *ms).collect();
    assert!(matches!(beats[..], [950..=1050] | [950..=1050, 1900..=2000]), "{all:?}");
    assert!(all[2..].iter().all(|(_, text)| *text == beat));
    // A pause is followed by one heartbeat, not by all that were missed.
    engine.handle_timeout(at(11_500), false);
    let after = outputs(&mut engine);
    assert_eq!(after.iter().filter(|text| *text == BEAT).count(), 1, "{after:?}");
    let next = engine.poll_timeout().unwrap().as_millis();
    assert!((12_450..=12_550).contains(&next), "{next}");
}

#[test]
fn in_compat_it_beats_as_0_1_1_did() {
    let mut engine = engine_with(Options::for_node().with("compat", "0.1.1"));
    assert_eq!(outputs(&mut engine), ["beat [1] plain"]);
    assert_eq!(engine.leave_message(), r#"{"id":"me","suicide":true}"#);
}

#[test]
fn without_announce_the_first_beat_waits_unless_a_message_needs_it() {
    let mut engine = engine_with(Options::for_node().with("announce", &false));
    assert!(outputs(&mut engine).is_empty());
    engine.introduce(at(10));
    assert_eq!(outputs(&mut engine), [BEAT]);
    engine.introduce(at(20));
    assert!(outputs(&mut engine).is_empty());
}

#[test]
fn ids_that_do_not_ask_bring_one_heartbeat_forward_in_an_interval() {
    let mut engine = engine();
    let mut answers = 0;
    for n in 0..8 {
        let text = format!(r#"{{"id":"x{n}","meta":1}}"#);
        let said = hear(&mut engine, &text, HERE, 100 + 40 * n);
        answers += said.iter().filter(|it| it.starts_with("beat")).count();
    }
    assert_eq!(answers, 1);
}

#[test]
fn a_new_address_is_told_at_once() {
    let mut engine = engine();
    run(&mut engine, 500);
    let both = [HERE.ip(), THERE.ip()];
    engine.interfaces(&both, None, at(600));
    let said = said(&mut engine);
    assert_eq!((said.len(), &said[0].own[..]), (1, &both[..]));
    engine.interfaces(&both, None, at(700));
    assert_eq!(engine.poll_output().map(|_| ()), None);
}

#[test]
fn hidden_it_never_beats() {
    let mut engine = engine_with(Options::for_node().with("expose", &false));
    engine.introduce(at(1));
    hear(&mut engine, &beat_of("a", 1, 0, ",\"a\":1,\"p\":[\"me\"]"), HERE, 2);
    assert!(run(&mut engine, 2000).is_empty());
    engine.set_meta("2".into(), at(2001));
    assert!(outputs(&mut engine).is_empty());
}

#[test]
fn a_newcomer_is_answered_at_once_and_only_once() {
    let mut engine = engine();
    let answer = hear(&mut engine, &beat_of("a", 1, 0, ",\"a\":1"), HERE, 500);
    assert_eq!(answer, ["up a", BEAT]);
    assert!(hear(&mut engine, &beat_of("a", 1, 1, ""), HERE, 600).is_empty());
    // It has not heard the answer.
    assert_eq!(hear(&mut engine, &beat_of("a", 1, 2, ",\"a\":1"), HERE, 700), [BEAT]);
    // An original cannot ask, and is answered all the same.
    assert_eq!(hear(&mut engine, r#"{"id":"old","meta":1}"#, HERE, 800), ["up old", BEAT]);
}

#[test]
fn a_hello_without_an_id_is_answered_and_enters_nobody() {
    let mut engine = engine();
    let hello = r#"{"caster":{"a":1}}"#;
    assert_eq!(hear(&mut engine, hello, THERE, 500), [BEAT]);
    assert_eq!(engine.peer_count(), 0);
    assert_eq!(engine.receive("{}", THERE, at(600)), Err(DropReason::NoId));
}

#[test]
fn in_a_large_group_answers_spread_out_and_a_beat_is_an_answer() {
    let mut engine = engine();
    for n in 0..400 {
        hear(&mut engine, &beat_of(&format!("n{n}"), n, 0, ""), HERE, 100);
    }
    run(&mut engine, 1100);
    let heard = hear(&mut engine, &beat_of("late", 9, 0, ",\"a\":1"), HERE, 1100);
    assert_eq!(heard, ["up late"]);
    let due = engine.poll_timeout().unwrap();
    assert!(due > Duration::from_millis(1100) && due <= Duration::from_millis(2000));
}

#[test]
fn a_flood_of_newcomers_costs_one_answer_in_twenty_ms() {
    let mut engine = engine();
    let mut beats = 0;
    run(&mut engine, 199);
    for n in 0..200 {
        let id = beat_of(&n.to_string(), n as u32, 0, ",\"a\":1");
        let heard = hear(&mut engine, &id, HERE, 200 + n);
        beats += heard.iter().filter(|text| text.starts_with("beat")).count();
        beats += run(&mut engine, 200 + n).iter().filter(|(_, t)| t.contains("beat")).count();
    }
    assert!((2..=11).contains(&beats), "{beats}");
    // Each newcomer had an answer of its own or shared one; the last one may still wait.
    let answered = engine.answers_merged + beats as u64;
    assert!((199..=201).contains(&answered), "{answered}");
}

#[test]
fn a_node_comes_changes_speaks_and_goes() {
    let mut engine = engine();
    let first = hear(&mut engine, r#"{"id":"a","message":0}"#, HERE, 1);
    assert_eq!(first, ["up a", "message a 0"]);
    let late = hear(&mut engine, r#"{"id":"a","meta":{"x":1}}"#, HERE, 2);
    assert_eq!(late, ["update a meta=true address=false"]);
    let again = hear(&mut engine, r#"{"id":"a","meta":{"x":1}}"#, HERE, 3);
    assert_eq!(again, ["port_probe 10.0.0.1:10101"], "does the host of an original refuse?");
    let mut moved = Vec::new();
    for ms in (1000..=7000).step_by(1000) {
        moved.extend(run(&mut engine, ms));
        hear(&mut engine, r#"{"id":"a"}"#, THERE, ms);
    }
    // It is believed to have moved once it was silent at its address through all questions.
    let moved: Vec<_> = moved.iter().filter(|(_, text)| text.starts_with("update")).collect();
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!(moved[0].1, "update a meta=false address=true");
    assert!(moved[0].0 > 1300 && moved[0].0 < 2000, "{moved:?}");
    let peer = engine.peers().next().unwrap();
    assert_eq!((peer.first_seen, peer.last_seen), (1_000_001, 1_007_000));
    assert_eq!(peer.meta.as_deref(), Some(r#"{"x":1}"#));
    let gone = hear(&mut engine, r#"{"id":"a","suicide":true,"message":"lost"}"#, THERE, 7005);
    assert_eq!(gone, ["down a goodbye"]);
    assert_eq!(engine.peer_count(), 0);
}

#[test]
fn a_crash_is_down_after_suspicion_and_probes() {
    let mut engine = engine();
    for n in 0..3 {
        run(&mut engine, u64::from(n) * 1000);
        hear(&mut engine, &beat_of("a", 7, n, ""), HERE, u64::from(n) * 1000);
    }
    let all = run(&mut engine, 6000);
    let probes: Vec<_> = all.iter().filter(|(_, text)| text.contains("a?")).collect();
    // Two that are less than 20 ms apart go out together.
    assert!((17..=20).contains(&probes.len()), "{probes:?}");
    assert!(probes.iter().all(|(ms, _)| (4000..4500).contains(ms)), "{probes:?}");
    let down = all.iter().find(|(_, text)| text == "down a timeout").unwrap();
    assert_eq!(down.0, 4500);
}

#[test]
fn a_suspect_that_answers_stays() {
    let mut engine = engine();
    hear(&mut engine, &beat_of("a", 7, 0, ""), HERE, 0);
    run(&mut engine, 2100);
    assert!(engine.peers().next().unwrap().suspect);
    assert!(hear(&mut engine, &beat_of("a", 7, 1, ""), HERE, 2100).is_empty());
    assert!(!engine.peers().next().unwrap().suspect);
}

#[test]
fn it_answers_probes_and_corroborates_others() {
    let mut engine = engine();
    hear(&mut engine, &beat_of("a", 7, 0, ""), HERE, 0);
    hear(&mut engine, &beat_of("a", 7, 1, ""), HERE, 1);
    run(&mut engine, 500);
    let probe = |ids: &str| beat_of("b", 8, 0, &format!(",\"p\":[{ids}]"));
    // Heard once, it may have been invented, and another new id was answered in this interval.
    assert_eq!(hear(&mut engine, &probe("\"me\""), THERE, 500), ["up b"]);
    assert_eq!(hear(&mut engine, &probe("\"me\""), THERE, 501), [BEAT]);
    assert!(hear(&mut engine, &probe("\"a\",\"nobody\""), THERE, 520).is_empty());
    let all = run(&mut engine, 600);
    assert_eq!(all.len(), 1, "{all:?}");
    let (ms, text) = &all[0];
    assert!((525..=570).contains(ms) && *text == format!("beat [1] a:{}", ms - 1), "{all:?}");
    // Others were quicker. One that was heard once does not count.
    for id in ["c", "d"] {
        hear(&mut engine, &beat_of(id, 9, 0, ""), THERE, 650);
    }
    hear(&mut engine, &probe("\"a\""), THERE, 700);
    for (id, ms) in [("c", 701), ("d", 702)] {
        // The probe was repeated: two are needed.
        hear(&mut engine, &beat_of(id, 9, 1, ",\"v\":[[\"a\",100]]"), THERE, ms);
    }
    assert!(run(&mut engine, 900).iter().all(|(_, text)| !text.contains("a:")));
    assert_eq!(engine.peer(&NodeId::new("a").unwrap()).unwrap().last_seen, 1_000_601);
}

#[test]
fn a_repeated_probe_is_corroborated_although_another_node_has() {
    let mut engine = engine();
    for count in 0..2 {
        hear(&mut engine, &beat_of("a", 7, count, ""), HERE, count.into());
    }
    let mut corroborated = Vec::new();
    for (id, incarnation) in [("b", 8), ("c", 9)] {
        hear(&mut engine, &beat_of(id, incarnation, 0, ""), THERE, 400);
    }
    for (count, ms) in [(1, 500), (2, 600)] {
        run(&mut engine, ms);
        hear(&mut engine, &beat_of("b", 8, count, ",\"p\":[\"a\"]"), THERE, ms);
        let other = beat_of("c", 9, count, ",\"v\":[[\"a\",100]]");
        hear(&mut engine, &other, THERE, ms + 1);
        let all = run(&mut engine, ms + 90);
        corroborated.push(all.iter().any(|(_, text)| text.contains("a:")));
    }
    assert_eq!(corroborated, [false, true]);
}

#[test]
fn beats_are_frequent_while_an_original_is_in_sight() {
    let beats = |engine: &mut Engine, from, until| {
        run(engine, from);
        run(engine, until).iter().filter(|(_, text)| text.starts_with("beat")).count()
    };
    let mut engine = engine();
    assert!((2..=4).contains(&beats(&mut engine, 900, 3900)));
    for ms in [4000, 5000, 6000] {
        run(&mut engine, ms);
        hear(&mut engine, r#"{"id":"old","meta":1}"#, HERE, ms);
    }
    assert!((6..=7).contains(&beats(&mut engine, 6000, 8000)));
    hear(&mut engine, r#"{"id":"old","suicide":true}"#, HERE, 8001);
    run(&mut engine, 9000);
    let all = run(&mut engine, 19_000);
    let count = all.iter().filter(|(_, text)| text.starts_with("beat")).count();
    assert!((9..=11).contains(&count), "{all:?}");
}

#[test]
fn an_original_is_dead_when_its_host_refuses_the_port() {
    let mut engine = engine();
    for (id, from) in [("old", HERE), ("other", THERE)] {
        for ms in [0, 2000, 4000] {
            run(&mut engine, ms);
            hear(&mut engine, &format!(r#"{{"id":"{id}","meta":1}}"#), from, ms);
        }
    }
    let all = run(&mut engine, 9001);
    assert!(all.contains(&(9000, "port_probe 10.0.0.1:10101".into())), "{all:?}");
    engine.refused(HERE, at(9001));
    assert_eq!(outputs(&mut engine), ["down old timeout"]);
    assert_eq!(engine.peer_count(), 1);
}

const PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 21101));

/// An engine that hears a peer each second, whose port answers, until it falls silent at 4000.
fn engine_with_a_peer_that_has_a_port() -> Engine {
    let mut engine = engine();
    hear_a_peer_that_has_a_port(&mut engine);
    engine
}

fn hear_a_peer_that_has_a_port(engine: &mut Engine) {
    for n in 0..5 {
        let ms = u64::from(n) * 1000;
        run(engine, ms);
        hear(engine, &beat_of("a", 7, n, ",\"o\":21101"), THERE, ms);
        if n == 3 {
            run(engine, ms + 5);
            let answer = r#"{"id":"a","caster":{"b":7,"h":1000,"n":4,"o":21101,"u":1}}"#;
            hear(engine, answer, PORT, ms + 5);
        }
    }
}

/// Runs while the host of the peer refuses its port after 1 ms. Returns when the peer is down.
fn down_of_refused(engine: &mut Engine, until: u64) -> Option<u64> {
    let mut refusal = None;
    for ms in 4001..until {
        if refusal == Some(ms) {
            engine.refused(PORT, at(ms));
        }
        let mut all: Vec<String> = outputs(engine);
        all.extend(run(engine, ms).into_iter().map(|(_, text)| text));
        if all.iter().any(|text| *text == format!("port_probe {PORT}")) {
            refusal = Some(ms + 1);
        }
        if all.iter().any(|text| text == "down a timeout") {
            return Some(ms);
        }
    }
    None
}

#[test]
fn a_peer_whose_port_is_refused_is_down_within_1400_ms_of_its_last_heartbeat() {
    let mut engine = engine_with_a_peer_that_has_a_port();
    let down = down_of_refused(&mut engine, 10_000).expect("it is down");
    assert!((5100..5400).contains(&down), "{down}");
}

#[test]
fn a_frame_of_data_has_a_message_and_no_other_one_has() {
    let mut engine = engine();
    let mut heard = |text: &str, content: Content| {
        engine.receive(text, Origin { content, ..HERE.into() }, at(300))
    };
    let beat = beat_of("a", 7, 0, "");
    let message = r#"{"id":"a","message":1}"#;
    let leave = r#"{"id":"a","suicide":true,"message":1}"#;
    for (text, content, refused) in [
        (beat.as_str(), Content::Message { signed: false }, true),
        (beat.as_str(), Content::Presence, false),
        (message, Content::Presence, true),
        (message, Content::Message { signed: false }, false),
        (leave, Content::Message { signed: false }, true),
    ] {
        assert_eq!(heard(text, content) == Err(DropReason::Seal), refused, "{text} {content:?}");
    }
}

#[test]
fn in_secure_mode_a_refusal_is_no_death_before_the_timeout_unless_an_option_says_so() {
    for (believes, expected) in [(false, 6000..6800), (true, 5100..5400)] {
        let key = crate::Key::generate().unwrap();
        let mut options = Options::for_node().keys([key.clone()]);
        if believes {
            options = options.with("refusals", "believe");
        }
        let mut engine = engine_with(options);
        outputs(&mut engine);
        hear_a_peer_that_has_a_port(&mut engine);
        let sealer = Arc::new(crate::secure::sealer::Sealer::new(&[key], "", false).unwrap());
        let clocks = crate::secure::session::testing::Clocks::new(at(0).mono);
        let session = Arc::new(sealer.begin(clocks));
        let (interval, timeout) = engine.times();
        engine.set_sealed(Some(Box::new(Sealed::new(&session, sealer, interval, timeout))));
        let down = down_of_refused(&mut engine, 10_000).expect("it is down");
        assert!(expected.contains(&down), "{believes}: {down}");
    }
}

#[test]
fn a_peer_that_is_heard_after_the_refusal_of_its_port_is_never_down_of_it() {
    let mut engine = engine_with_a_peer_that_has_a_port();
    assert_eq!(down_of_refused(&mut engine, 5150), None);
    for n in 6..60 {
        let ms = 5150 + u64::from(n - 6) * 1000;
        hear(&mut engine, &beat_of("a", 7, n, ",\"o\":21101"), THERE, ms);
        engine.refused(PORT, at(ms + 1));
        let all = run(&mut engine, ms + 999);
        assert!(all.iter().all(|(_, text)| !text.starts_with("down")), "{all:?}");
    }
}

#[test]
fn a_process_of_this_host_that_has_ended_takes_only_its_own_nodes_along() {
    let mut engine = engine();
    for (id, from, port) in [("a", HERE, 1), ("b", HERE, 1), ("c", HERE, 2), ("d", THERE, 1)] {
        hear(&mut engine, &beat_of(id, 7, 0, &format!(",\"o\":{port}")), from, 10);
    }
    assert_eq!(engine.host_ports(), [1, 1, 2], "of other hosts it is not known here");
    engine.process_ended(1, at(100));
    assert_eq!(
        hear(&mut engine, r#"{"id":"b","suicide":true,"caster":{"b":7}}"#, HERE, 105),
        ["down b goodbye"]
    );
    let all = run(&mut engine, 121);
    let downs: Vec<_> = all.iter().filter(|(_, text)| text.starts_with("down")).collect();
    assert_eq!(downs, [&(120, "down a timeout".to_owned())]);
}

#[test]
fn an_original_whose_host_refuses_while_it_lives_is_not_dead_of_a_refusal() {
    let mut engine = engine();
    for ms in [0, 2000, 4000] {
        run(&mut engine, ms);
        let heard = hear(&mut engine, r#"{"id":"old","meta":1}"#, HERE, ms);
        if heard.contains(&"port_probe 10.0.0.1:10101".to_owned()) {
            engine.refused(HERE, at(ms + 1));
        }
    }
    let all = run(&mut engine, 9001);
    assert!(!all.iter().any(|(_, text)| text.contains("port_probe")), "{all:?}");
    engine.refused(HERE, at(9001));
    assert!(outputs(&mut engine).is_empty());
}

#[test]
fn a_goodbye_that_is_not_its_own_makes_suspect_and_kills_nobody() {
    let mut engine = engine();
    hear(&mut engine, &beat_of("a", 7, 3, ""), HERE, 1);
    let cases = [
        (r#"{"id":"a","suicide":true}"#.to_owned(), HERE),
        (r#"{"id":"a","suicide":true,"caster":{"b":6,"n":9}}"#.to_owned(), HERE),
        (r#"{"id":"a","suicide":true,"caster":{"b":7,"n":9}}"#.to_owned(), THERE),
    ];
    for (ms, (goodbye, from)) in (10..).step_by(100).zip(&cases) {
        assert_eq!(engine.receive(goodbye, *from, at(ms)), Err(DropReason::ForeignGoodbye));
        assert!(engine.peers().next().unwrap().suspect);
        let probed = run(&mut engine, ms + 25);
        assert!(probed.iter().any(|(_, text)| text.contains("a?")), "{probed:?}");
        hear(&mut engine, &beat_of("a", 7, 4, ""), HERE, ms + 25);
    }
    assert_eq!(engine.receive(&cases[2].0, HERE, at(420)), Ok(()));
    assert_eq!(outputs(&mut engine), ["down a goodbye"]);
    assert_eq!(engine.receive(&cases[2].0, HERE, at(421)), Ok(()), "it is repeated");
    assert!(outputs(&mut engine).is_empty());
    assert_eq!(engine.receive(&cases[0].0, HERE, at(421)), Err(DropReason::UnknownGoodbye));
    let late = beat_of("a", 7, 8, "");
    assert_eq!(engine.receive(&late, HERE, at(422)), Err(DropReason::Stale));
}

#[test]
fn a_hidden_node_that_has_spoken_can_say_goodbye() {
    let mut engine = engine();
    hear(&mut engine, r#"{"id":"a","message":"psst"}"#, HERE, 1);
    let goodbye = r#"{"id":"a","suicide":true,"caster":{"b":6,"n":0}}"#;
    assert_eq!(hear(&mut engine, goodbye, HERE, 2), ["down a goodbye"]);
}

#[test]
fn it_contradicts_its_own_death_but_not_without_end() {
    let mut engine = engine();
    let goodbye = r#"{"id":"me","suicide":true}"#;
    assert!(hear(&mut engine, goodbye, THERE, 10).is_empty(), "it has only just sent a heartbeat");
    assert_eq!(run(&mut engine, 25), [(20, BEAT.to_owned())]);
    assert_eq!(hear(&mut engine, goodbye, THERE, 500), [BEAT]);
    engine.stop();
    assert!(hear(&mut engine, goodbye, THERE, 900).is_empty(), "this time it is true");
}

#[test]
fn a_restart_is_down_and_up() {
    let mut engine = engine();
    hear(&mut engine, &beat_of("a", 7, 3, ""), HERE, 1);
    let again = hear(&mut engine, &beat_of("a", 8, 0, ",\"a\":1"), HERE, 500);
    assert_eq!(again, ["down a restart", "up a", BEAT]);
}

#[test]
fn two_nodes_with_one_id_are_told_of_as_is_one_with_this_id() {
    let mut engine = engine();
    hear(&mut engine, &beat_of("a", 7, 3, ""), HERE, 1);
    hear(&mut engine, &beat_of("a", 8, 3, ""), THERE, 2);
    let told = hear(&mut engine, &beat_of("a", 7, 4, ""), HERE, 3);
    assert_eq!(told, ["conflict a 10.0.0.2"], "no restart is told");
    assert!(hear(&mut engine, &beat_of("a", 8, 4, ""), THERE, 4).is_empty());
    let own = beat_of("me", 7, 0, "");
    assert_eq!(hear(&mut engine, &own, THERE, 5), ["conflict me 10.0.0.2"]);
    assert!(hear(&mut engine, &own, THERE, 6).is_empty());
}

#[test]
fn being_stopped_for_a_while_is_nobodys_death() {
    let mut engine = engine();
    for name in ["a", "b"] {
        hear(&mut engine, &beat_of(name, 7, 0, ""), HERE, 100);
    }
    run(&mut engine, 900);
    engine.poll_timeout();
    // SIGSTOP for half a minute; what waits in the socket is read first.
    hear(&mut engine, &beat_of("a", 7, 1, ""), HERE, 31_000);
    engine.handle_timeout(at(31_001), false);
    outputs(&mut engine);
    let all = run(&mut engine, 32_000);
    assert!(all.iter().all(|(_, text)| !text.starts_with("down")), "{all:?}");
    assert_eq!(engine.peer_count(), 2);
}

#[test]
fn when_all_fall_silent_at_once_it_is_isolated_and_withholds_transitions() {
    let mut engine = engine();
    for n in 0..3 {
        for (name, ms) in [("a", 100), ("b", 500), ("c", 900)] {
            let ms = u64::from(n) * 1000 + ms;
            run(&mut engine, ms);
            hear(&mut engine, &beat_of(name, 7, n, ""), HERE, ms);
        }
    }
    let all = run(&mut engine, 10_000);
    let events: Vec<_> = all.iter().filter(|(_, text)| !text.starts_with("beat")).collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].1, "isolated");
    assert_eq!(hear(&mut engine, &beat_of("b", 7, 9, ""), HERE, 10_001), ["rejoined"]);
    run(&mut engine, 11_500);
    assert_eq!(engine.peer_count(), 3);
    // A peer that does not come back is down after all.
    hear(&mut engine, &beat_of("b", 7, 10, ""), HERE, 11_500);
    run(&mut engine, 12_300);
    hear(&mut engine, &beat_of("b", 7, 11, ""), HERE, 12_300);
    let downs = run(&mut engine, 13_400);
    let downs = downs.iter().filter(|(_, text)| text.starts_with("down")).count();
    assert_eq!(downs, 2);
}

#[test]
fn while_it_probes_a_peer_and_hears_none_it_probes_one_that_is_no_suspect() {
    for is_heard in [false, true] {
        let mut engine = engine();
        for n in 0..4u32 {
            let ms = u64::from(n) * 1000;
            run(&mut engine, ms);
            if n < 3 {
                hear(&mut engine, &beat_of("a", 7, n, ""), HERE, ms);
            }
            hear(&mut engine, &beat_of("b", 8, n, ""), THERE, ms + 900);
        }
        let mut all = Vec::new();
        for n in 4..36u32 {
            let ms = 3800 + 50 * u64::from(n);
            all.extend(run(&mut engine, ms));
            if is_heard {
                hear(&mut engine, &beat_of("b", 8, n, ""), THERE, ms);
            }
        }
        assert!(count(&all, "a?") > 0, "{all:?}");
        assert_eq!(count(&all, "b?") > 0, !is_heard, "{all:?}");
    }
}

#[test]
fn isolation_does_not_hold_for_ever() {
    let mut engine = engine();
    for count in 0..2 {
        for name in ["a", "b"] {
            hear(&mut engine, &beat_of(name, 7, count, ""), HERE, 100);
        }
    }
    let all = run(&mut engine, 60_000);
    let events: Vec<_> = all.iter().filter(|(_, text)| !text.starts_with("beat")).collect();
    assert_eq!(events[0].1, "isolated");
    assert_eq!(events.len(), 3, "{events:?}");
    // Due after 2.5 s, and withheld for three timeouts.
    assert!((8_400..=9_200).contains(&events[1].0), "{events:?}");
    assert_eq!(engine.peer_count(), 0);
}

#[test]
fn not_hearing_itself_any_more_is_isolation_too() {
    let mut engine = engine();
    let own = beat_of("me", engine.incarnation, 0, "");
    hear(&mut engine, &own, HERE, 0);
    let all = run(&mut engine, 5000);
    assert_eq!(all.iter().filter(|(_, text)| text == "isolated").count(), 1, "{all:?}");
    assert_eq!(hear(&mut engine, &own, HERE, 5001), ["rejoined"]);
}

/// The token of a challenge among these outputs, and its receiver.
fn challenge_in(engine: &mut Engine) -> Option<(SocketAddr, u64)> {
    let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
    outputs.iter().find_map(|output| {
        let Output::Transmit(message, Destination::These(to) | Destination::TheseFrom(_, to)) =
            output
        else {
            return None;
        };
        let envelope = Envelope::parse(message.as_json().unwrap()).unwrap();
        Some((to[0], envelope.extension?.challenge?))
    })
}

fn proven(engine: &mut Engine, id: &str, address: SocketAddr, ms: u64) {
    let asked = beat_of(id, 1, 0, ",\"u\":1");
    engine.receive(&asked, address, at(ms)).unwrap();
    let (to, token) = challenge_in(engine).unwrap();
    assert_eq!(to, address);
    let echo = beat_of(id, 1, 1, &format!(",\"u\":1,\"e\":\"{token:016x}\""));
    engine.receive(&echo, address, at(ms + 1)).unwrap();
}

#[test]
fn seeds_are_greeted_and_a_proven_address_gets_heartbeats_and_messages() {
    let mut engine = engine();
    let seed: SocketAddr = "10.0.0.9:10101".parse().unwrap();
    engine.set_seeds(&[seed], at(500));
    assert_eq!(outputs(&mut engine), ["beat to [10.0.0.9:10101] hello []"]);
    assert!(engine.unicast_targets(at(500)).is_empty(), "it has not answered");
    proven(&mut engine, "s", seed, 501);
    outputs(&mut engine);
    assert_eq!(engine.unicast_targets(at(600)), [seed]);
    // An address that it tells of is challenged, and gets nothing else until it answers.
    let told = ",\"u\":1,\"k\":[\"10.0.0.8:10101\"]";
    engine.receive(&beat_of("s", 1, 2, told), seed, at(700)).unwrap();
    let (other, token) = challenge_in(&mut engine).unwrap();
    assert_eq!(other.to_string(), "10.0.0.8:10101");
    assert_eq!(engine.unicast_targets(at(701)), [seed]);
    let echo = format!(",\"u\":1,\"e\":\"{token:016x}\"");
    engine.receive(&beat_of("o", 2, 0, &echo), other, at(710)).unwrap();
    assert_eq!(engine.unicast_targets(at(711)), [other, seed]);
}

#[test]
fn an_address_that_never_answers_gets_three_times_its_bytes_and_no_message() {
    let mut engine = engine();
    let innocent: SocketAddr = "10.0.0.7:40000".parse().unwrap();
    let (mut came, mut sent) = (0, 0);
    for n in 0..200 {
        let text = format!(r#"{{"id":"x{n}","caster":{{"b":1,"u":1,"t":"00000000000000aa"}}}}"#);
        let whole = beat_of("liar", 1, n, ",\"u\":1,\"k\":[\"10.0.0.7:40000\"]");
        for text in [text, whole] {
            let size = text.len() + 20;
            came += size;
            let origin = Origin { size, ..innocent.into() };
            let now = at(u64::from(n) * 50);
            let _ = engine.receive(&text, origin, now);
            engine.handle_timeout(now, false);
            assert!(engine.unicast_targets(now).is_empty());
            while let Some(output) = engine.poll_output() {
                let Output::Transmit(
                    message,
                    Destination::These(to) | Destination::TheseFrom(_, to),
                ) = output
                else {
                    continue;
                };
                let text = message.as_json().unwrap();
                assert_eq!(to[0].ip(), innocent.ip());
                assert!(!text.contains("meta"), "{text}");
                sent += text.len() + 20;
            }
        }
    }
    assert!(sent <= 3 * came, "{sent} bytes for {came}");
    assert!(sent > 0);
}

#[test]
fn without_an_interface_it_is_isolated_and_blames_nobody() {
    let mut engine = engine();
    for count in 0..2 {
        hear(&mut engine, &beat_of("a", 7, count, ""), HERE, 0);
    }
    engine.interfaces(&[HERE.ip()], Some(1), at(1));
    assert!(outputs(&mut engine).is_empty());
    engine.interfaces(&[HERE.ip()], Some(0), at(100));
    engine.interfaces(&[HERE.ip()], Some(0), at(101));
    assert_eq!(outputs(&mut engine), ["isolated"]);
    // A peer on this host is still heard, as the node is by itself.
    for n in 1..8 {
        let own = beat_of("me", engine.incarnation, n, "");
        hear(&mut engine, &own, HERE, u64::from(n) * 1000);
        hear(&mut engine, &beat_of("local", 8, n, ""), HERE, u64::from(n) * 1000);
        let all = run(&mut engine, u64::from(n) * 1000 + 900);
        assert!(all.iter().all(|(_, text)| text.starts_with("beat")), "{all:?}");
    }
    engine.interfaces(&[HERE.ip()], Some(1), at(8000));
    assert_eq!(outputs(&mut engine), ["rejoined"]);
    // A peer that does not come back is down after all.
    hear(&mut engine, &beat_of("local", 8, 8, ""), HERE, 8000);
    let mut all = Vec::new();
    for ms in (8000..=11_000).step_by(20) {
        let own = beat_of("me", engine.incarnation, 9, "");
        hear(&mut engine, &own, HERE, ms);
        if ms == 10_460 {
            hear(&mut engine, &beat_of("local", 8, 9, ""), HERE, ms);
        }
        all.extend(run(&mut engine, ms));
    }
    let events: Vec<_> = all.iter().filter(|(_, text)| !text.starts_with("beat")).collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(*events[0], (10_500, "down a timeout".to_owned()));
}

#[test]
fn it_sees_itself_only_if_asked_to() {
    let mut engine = engine();
    let own = r#"{"id":"me","meta":[1]}"#;
    assert_eq!(engine.receive(own, HERE, at(1)), Err(DropReason::Own));
    let mut engine = engine_with(Options::for_node().with("self", &true));
    outputs(&mut engine);
    assert_eq!(hear(&mut engine, own, HERE, 1), ["up me"]);
    let said = hear(&mut engine, r#"{"id":"me","message":"x"}"#, HERE, 2);
    assert_eq!(said, ["message me \"x\""]);
}

#[test]
fn falsy_messages_are_heard_unless_compat_forbids() {
    let messages = |engine: &mut Engine, text: &str| {
        let heard = hear(engine, text, HERE, 1);
        heard.iter().filter(|text| text.starts_with("message")).count()
    };
    for falsy in ["0", "\"\"", "false", "null", "-0.0"] {
        let text = format!(r#"{{"id":"a","message":{falsy}}}"#);
        assert_eq!(messages(&mut engine(), &text), 1, "{falsy}");
        let mut compat = engine_with(Options::for_node().with("compat", "0.1.1"));
        assert_eq!(messages(&mut compat, &text), 0, "{falsy}");
    }
}

#[test]
fn new_metadata_goes_out_at_once_and_with_every_beat() {
    let mut engine = engine();
    run(&mut engine, 500);
    engine.set_meta(r#"{"v":2}"#.into(), at(510));
    assert_eq!(outputs(&mut engine), [r#"beat {"v":2}"#]);
    let next = run(&mut engine, 1100);
    assert!(matches!(&next[..], [(950..=1050, text)] if text == r#"beat {"v":2}"#), "{next:?}");
}

#[test]
fn up_again_starts_with_nobody_known() {
    let mut engine = engine();
    hear(&mut engine, &beat_of("a", 7, 0, ""), HERE, 1);
    engine.stop();
    assert_eq!(engine.peer_count(), 1, "the last peers can still be asked for");
    assert_eq!(engine.poll_timeout(), None);
    engine.start(true, SECRET, at(5000));
    assert_eq!(engine.peer_count(), 0);
    let all = hear(&mut engine, &beat_of("a", 7, 1, ""), HERE, 5100);
    assert_eq!(all, ["beat [1] hello", "up a", BEAT]);
}

fn id(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

/// The texts of the heartbeats to the group that were sent since.
fn said(engine: &mut Engine) -> Vec<Extension> {
    let outputs = std::iter::from_fn(|| engine.poll_output());
    let extension = |output| match output {
        Output::Transmit(message, Destination::Group) => {
            Envelope::parse(message.as_json().unwrap()).unwrap().extension
        }
        _ => None,
    };
    outputs.filter_map(extension).collect()
}

/// Heartbeats of a peer at HERE with the port 21101, one a second from 0 on.
fn beats(engine: &mut Engine, name: &str, count: u32) {
    for n in 0..count {
        run(engine, u64::from(n) * 1000);
        let beat = beat_of(name, 7, n, ",\"c\":4,\"o\":21101");
        hear(engine, &beat, HERE, u64::from(n) * 1000);
    }
}

fn count(all: &[(u64, String)], part: &str) -> usize {
    all.iter().filter(|(_, text)| text.contains(part)).count()
}

#[test]
fn a_claim_is_not_believed_when_the_peer_was_heard_meanwhile() {
    for alive in [false, true] {
        let mut engine = engine();
        beats(&mut engine, "a", 2);
        let claim = beat_of("a", 7, 2, "");
        assert_eq!(engine.receive(&claim, THERE, at(1500)), Err(DropReason::Unconfirmed));
        let mut all = run(&mut engine, 1600);
        if alive {
            hear(&mut engine, &beat_of("a", 7, 2, ",\"c\":4"), HERE, 1600);
        }
        all.extend(run(&mut engine, 2100));
        assert_eq!(engine.members.uses(&id("a"), THERE.ip()), !alive);
        assert_eq!(count(&all, "update"), usize::from(!alive));
        assert!(count(&all, "a?") >= 2, "{all:?}");
    }
}

#[test]
fn questions_of_others_about_a_claim_stand_for_the_own() {
    let mut engine = engine();
    beats(&mut engine, "a", 2);
    let _ = engine.receive(&beat_of("a", 7, 2, ""), THERE, at(1500));
    let mut all = Vec::new();
    for n in 0..16u32 {
        let ms = 1503 + 20 * u64::from(n);
        hear(&mut engine, &beat_of("b", 8, n, ",\"p\":[\"a\"]"), THERE, ms);
        all.extend(run(&mut engine, ms + 1));
    }
    assert_eq!(count(&all, "a?"), 0, "{all:?}");
}

#[test]
fn the_answer_to_a_question_by_name_tells_the_addresses() {
    let mut engine = engine();
    hear(&mut engine, &beat_of("b", 8, 0, ""), THERE, 300);
    engine.receive(&beat_of("b", 8, 1, ",\"p\":[\"me\"]"), THERE, at(500)).unwrap();
    let said = said(&mut engine);
    assert_eq!((said.len(), &said[0].own), (1, &vec![HERE.ip()]));
}

#[test]
fn a_clone_of_the_machine_is_a_conflict_and_a_replay_is_not() {
    for (counts, conflicts) in [([5, 6, 7], 1), ([5, 5, 4], 0)] {
        let mut engine = engine();
        let mut told = Vec::new();
        for (ms, count) in (10..).zip(counts) {
            let own = beat_of("me", engine.incarnation, count, "");
            told.extend(hear(&mut engine, &own, THERE, ms));
        }
        let told = told.iter().filter(|text| text.starts_with("conflict")).count();
        assert_eq!(told, conflicts, "{counts:?}");
    }
}

#[test]
fn a_leave_needs_the_secret_of_the_hash_from_any_address() {
    let mut engine = engine();
    let hash = format!(",\"l\":\"{:016x}\"", leave_hash(9));
    hear(&mut engine, &beat_of("a", 7, 0, &hash), HERE, 0);
    let leave =
        |rest: &str| format!(r#"{{"id":"a","suicide":true,"caster":{{"b":7,"n":1{rest}}}}}"#);
    let secret = |secret: u128| leave(&format!(",\"s\":\"{secret:032x}\""));
    for forged in [leave(""), secret(8)] {
        let dropped = engine.receive(&forged, HERE, at(10));
        assert_eq!(dropped, Err(DropReason::ForeignGoodbye));
    }
    assert_eq!(engine.receive(&secret(9), THERE, at(20)), Ok(()));
    assert!(outputs(&mut engine).contains(&"down a goodbye".to_owned()));
}

#[test]
fn only_a_proven_leave_in_its_own_name_raises_its_count_and_by_little() {
    let mut engine = engine();
    let (incarnation, secret) = (engine.incarnation, engine.leave_secret);
    let leave = |count: u32, secret: u128| {
        format!(
            r#"{{"id":"me","suicide":true,"caster":{{"b":{incarnation},"n":{count},"s":"{secret:032x}"}}}}"#
        )
    };
    let cases = [
        (500, leave(600, secret ^ 1), 1),
        (600, format!(r#"{{"id":"me","suicide":true,"caster":{{"b":{incarnation},"n":600}}}}"#), 2),
        (700, leave(600, secret), 35),
        (800, leave(700, secret), 36),
        (1800, leave(40, secret), 41),
    ];
    for (ms, leave, count) in cases {
        let _ = engine.receive(&leave, THERE, at(ms));
        let said = said(&mut engine);
        assert_eq!((said.len(), said[0].count), (1, Some(count)), "{leave}");
    }
}

#[test]
fn what_another_program_says_first_does_not_silence_the_peer() {
    let mut engine = engine();
    beats(&mut engine, "a", 3);
    let message = r#"{"id":"a","message":"tick"}"#;
    for ms in [3000, 3100] {
        assert_eq!(engine.receive(message, THERE, at(ms)), Err(DropReason::Unconfirmed));
        engine.receive_copy(message, HERE, at(ms + 40));
        assert!(outputs(&mut engine).contains(&"message a \"tick\"".to_owned()), "{ms}");
        // A second interface of the peer: the same datagram once more.
        engine.receive_copy(message, HERE, at(ms + 41));
        assert_eq!(outputs(&mut engine), [""; 0], "{ms}");
    }
    // The answer to the claim, said in advance: the peer is heard, and keeps its address.
    let answer = beat_of("a", 7, 3, ",\"y\":[\"10.0.0.2\"]");
    assert_eq!(engine.receive(&answer, THERE, at(3190)), Err(DropReason::Unconfirmed));
    engine.receive_copy(&answer, HERE, at(3200));
    let all = run(&mut engine, 4200);
    assert!(!all.iter().any(|(_, text)| text.contains("address=true")), "{all:?}");
}

#[test]
fn a_peer_whose_new_address_is_believed_was_heard_there() {
    let mut engine = engine();
    beats(&mut engine, "a", 3);
    run(&mut engine, 3500);
    let _ = engine.receive(&beat_of("a", 7, 3, ""), THERE, at(3500));
    let all = run(&mut engine, 10_000);
    let when = |part| all.iter().find(|(_, text)| text.contains(part)).map(|(ms, _)| *ms);
    assert!((3800..4000).contains(&when("address=true").unwrap()), "{all:?}");
    assert!((6000..6100).contains(&when("down a").unwrap()), "{all:?}");
}

#[test]
fn a_refusal_that_ends_an_isolation_begins_an_inquiry() {
    let mut engine = engine();
    for name in ["a", "b"] {
        beats(&mut engine, name, 12);
        engine.members.note_port_answered(&id(name), 21101);
    }
    let all = run(&mut engine, 13_700);
    assert_eq!(count(&all, "isolated"), 1, "{all:?}");
    engine.refused(SocketAddr::new(HERE.ip(), 21101), at(13_700));
    let all = outputs(&mut engine);
    assert!(all.contains(&"rejoined".to_owned()), "{all:?}");
    assert!(count(&run(&mut engine, 13_760), "port_probe") > 0);
}

#[test]
fn ports_are_asked_for_a_sign_while_no_peer_is_heard() {
    // How many of two peers are heard on, and whether the ports were asked again and again.
    for (heard, port, again) in [(0, 21101, true), (1, 21101, false), (0, 0, false)] {
        let mut engine = engine();
        for name in ["a", "b"] {
            for n in 0..12 {
                run(&mut engine, u64::from(n) * 1000);
                let beat = beat_of(name, 7, n, &format!(",\"o\":{port}"));
                hear(&mut engine, &beat, HERE, u64::from(n) * 1000);
            }
        }
        let mut all = run(&mut engine, 12_900);
        for n in 0..heard {
            hear(&mut engine, &beat_of("b", 7, 12 + n, ",\"o\":21101"), HERE, 12_900);
        }
        all.extend(run(&mut engine, 13_400));
        let asked = count(&all, "port_probe");
        assert_eq!(asked > 10, again, "{heard} {port}: {asked}");
    }
}

#[test]
fn a_young_peer_is_asked_for_a_sign_if_its_port_has_answered() {
    for answered in [false, true] {
        let mut engine = engine();
        for name in ["a", "b"] {
            beats(&mut engine, name, 4);
            if answered {
                engine.members.note_port_answered(&id(name), 21101);
            }
        }
        run(&mut engine, 4900);
        let asked = count(&run(&mut engine, 5400), "port_probe");
        assert_eq!(asked > 10, answered, "{asked}");
    }
}

#[test]
fn an_address_is_of_another_node_once_it_was_denied_twice() {
    let eight = r#","y":["10.0.1.1","10.0.1.2","10.0.1.3","10.0.1.4","10.0.1.5","10.0.1.6","10.0.1.7","10.0.1.8"]"#;
    let one = r#","y":["10.0.0.1"]"#;
    for (list, conflict) in [(one, true), (eight, false)] {
        let mut engine = engine();
        beats(&mut engine, "a", 3);
        for (n, told) in [(3, false), (4, conflict)] {
            let ms = u64::from(n) * 1000;
            run(&mut engine, ms);
            assert_eq!(
                engine.receive(&beat_of("a", 7, n, ",\"y\":[\"10.0.0.2\"]"), THERE, at(ms)),
                Err(DropReason::Unconfirmed)
            );
            let all = hear(&mut engine, &beat_of("a", 7, n, list), HERE, ms + 20);
            let conflicts = all.iter().filter(|text| text.starts_with("conflict a")).count();
            assert_eq!(conflicts, usize::from(told), "{n}: {all:?}");
        }
    }
}

#[test]
fn nothing_said_to_the_group_is_answered_by_unicast() {
    let mut engine = engine();
    beats(&mut engine, "a", 12);
    let group = |text: &str, engine: &mut Engine| {
        let origin = Origin { to_group: true, ..HERE.into() };
        let _ = engine.receive(text, origin, at(11_500));
        run(engine, 11_900).into_iter().filter(|(_, it)| it.contains(" to ")).count()
    };
    let token = ",\"t\":\"0123456789abcdef\",\"u\":1,\"p\":[\"me\"]";
    assert_eq!(group(&beat_of("a", 7, 12, token), &mut engine), 0);
    let slim = format!(r#"{{"id":"new","caster":{{"b":1,"n":0,"h":1000{token}}}}}"#);
    assert_eq!(group(&slim, &mut engine), 0);
}

#[test]
fn one_that_was_heard_once_asks_nobody_and_a_young_one_asks_for_one() {
    let mut engine = engine();
    beats(&mut engine, "a", 12);
    beats(&mut engine, "b", 12);
    let names = ",\"p\":[\"a\",\"b\"]";
    let mut corroborated = Vec::new();
    for count in 0..2 {
        let ms = 11_400 + 150 * u64::from(count);
        hear(&mut engine, &beat_of("c", 9, count, names), THERE, ms);
        let all = run(&mut engine, ms + 120);
        corroborated.push(all.iter().map(|(_, it)| it.matches(':').count()).sum::<usize>());
    }
    assert_eq!(corroborated, [0, 1]);
}

#[test]
fn ports_of_other_services_get_nothing() {
    let mut engine = engine();
    let beat = |count| beat_of("a", 7, count, ",\"o\":53,\"t\":\"0123456789abcdef\",\"u\":1");
    let from = SocketAddr::new(HERE.ip(), 123);
    for n in 0..4 {
        hear(&mut engine, &beat(n), from, u64::from(n) * 100);
    }
    let all = run(&mut engine, 4000);
    assert!(!all.iter().any(|(_, it)| it.contains(":53") || it.contains(":123")), "{all:?}");
}

#[test]
fn a_port_that_has_never_answered_is_not_asked_when_the_peer_is_late() {
    let mut asked = 0;
    for name in 0..40 {
        let mut engine = engine();
        for other in 0..40 {
            beats(&mut engine, &format!("o{other}"), 2);
        }
        let beat = beat_of(&format!("n{name}"), 7, 0, ",\"o\":5353");
        hear(&mut engine, &beat, THERE, 1000);
        asked += run(&mut engine, 5000).iter().filter(|(_, it)| it.contains("5353")).count();
    }
    assert_eq!(asked, 0);
}

#[test]
fn while_datagrams_wait_unread_no_peer_is_suspect() {
    let mut engine = engine();
    beats(&mut engine, "a", 3);
    for ms in (2000..10_000).step_by(100) {
        engine.handle_timeout(at(ms), true);
    }
    assert!(!engine.peer(&id("a")).unwrap().suspect);
}

#[test]
fn a_pause_ends_inquiries_and_does_not_count_for_claims() {
    let mut engine = engine();
    beats(&mut engine, "a", 2);
    let _ = engine.receive(&beat_of("a", 7, 2, ""), THERE, at(1500));
    engine.inquiries.begin(&id("a"), 7, THERE, at(1500).mono, &mut Random::new(1));
    engine.poll_timeout();
    hear(&mut engine, &beat_of("b", 8, 0, ""), THERE, 31_500);
    assert_eq!(engine.inquiries.next_due(), None);
    assert!(engine.claims.next_due().unwrap() > at(31_500).mono);
}

#[test]
fn invented_peers_do_not_withhold_the_death_of_the_only_one() {
    let mut engine = engine();
    beats(&mut engine, "a", 3);
    for n in 0..10 {
        hear(&mut engine, &beat_of(&format!("x{n}"), 1, 0, ""), THERE, 2001);
    }
    let all = run(&mut engine, 4600);
    assert_eq!(count(&all, "down a timeout"), 1, "{all:?}");
}

#[test]
fn new_ids_of_one_address_are_limited() {
    let mut engine = engine();
    engine.budgets.new_nodes_per_second = 5;
    for n in 0..20 {
        hear(&mut engine, &beat_of(&n.to_string(), 1, 0, ""), HERE, 100 + n);
    }
    assert_eq!(engine.peer_count(), 5);
    hear(&mut engine, &beat_of("other", 1, 0, ""), THERE, 200);
    assert_eq!(engine.peer_count(), 6);
}

#[test]
fn about_ten_answer_the_unasked_and_all_answer_a_hello_over_a_while() {
    let mut engine = engine();
    for n in 0..199 {
        hear(&mut engine, &beat_of(&n.to_string(), 1, 0, ""), HERE, 100);
    }
    let mut answers = |asked: bool| -> Vec<Duration> {
        let mut answer = || {
            engine.answer = None;
            engine.brought_forward = (Duration::ZERO, [0; 2]);
            match asked {
                true => engine.answer_hello(at(500)),
                false => engine.answer_newcomer(at(500)),
            }
            engine.answer
        };
        (0..1000).filter_map(|_| answer()).collect()
    };
    let (asked, unasked) = (answers(true), answers(false));
    assert!((25..100).contains(&unasked.len()), "{}", unasked.len());
    assert_eq!(asked.len(), 1000);
    let late = asked.iter().filter(|due| **due > at(700).mono).count();
    assert!((400..600).contains(&late), "200 nodes answer over 400 ms");
}

#[test]
fn at_most_ten_heartbeats_are_brought_forward_in_one_interval() {
    let mut engine = engine();
    let mut all = Vec::new();
    for n in 0..26 {
        let ms = 210 + 30 * u64::from(n);
        all.extend(hear(&mut engine, &beat_of("a", 1, n, ",\"a\":1"), HERE, ms));
    }
    let beats = all.iter().filter(|text| *text == BEAT).count();
    assert_eq!(beats, ANSWERS_PER_INTERVAL as usize, "{all:?}");
}

#[test]
fn answers_by_unicast_have_a_budget_and_no_more_bytes_than_their_cause() {
    let mut engine = engine();
    let mut answers = |size, from_ms: u64| {
        let mut answers = 0;
        for n in 0..200u64 {
            let text = beat_of("a", 1, 0, ",\"u\":1,\"t\":\"00000000000000aa\"");
            let now = at(from_ms + n);
            engine.receive(&text, Origin { size, ..THERE.into() }, now).unwrap();
            engine.handle_timeout(now, false);
            while let Some(output) = engine.poll_output() {
                let Output::Transmit(message, Destination::These(_) | Destination::TheseFrom(..)) =
                    output
                else {
                    continue;
                };
                answers += usize::from(message.as_json().unwrap().contains("\"e\":"));
            }
        }
        answers
    };
    assert_eq!(answers(200, 1000), 50);
    assert_eq!(answers(60, 2000), 0);
}

/// Outputs after a member has said at 1200 that the port of `a` is refused and, if it was
/// asked, its host has refused it. `then` is heard from another member at 1300.
fn inquired(incarnation: u32, then: &str, from: SocketAddr) -> Vec<(u64, String)> {
    let mut engine = engine();
    beats(&mut engine, "a", 2);
    for n in 0..2 {
        hear(&mut engine, &beat_of("b", 8, n, ""), THERE, 1100);
    }
    let claim = beat_of("b", 8, 2, &format!(",\"d\":[[\"a\",{incarnation}]]"));
    hear(&mut engine, &claim, THERE, 1200);
    let mut all = run(&mut engine, 1260);
    if count(&all, "port_probe") > 0 {
        engine.refused(SocketAddr::new(HERE.ip(), 21101), at(1261));
    }
    all.extend(run(&mut engine, 1300));
    hear(&mut engine, then, from, 1300);
    all.extend(run(&mut engine, 1900));
    all
}

#[test]
fn a_refusal_told_by_a_member_leads_to_the_port_and_probes_and_death() {
    let all = inquired(7, "{}", THERE);
    assert_eq!(count(&all, "port_probe 10.0.0.1:21101"), 1, "{all:?}");
    assert_eq!(count(&all, "a?"), 6, "{all:?}");
    assert_eq!(count(&all, "down a timeout"), 1, "{all:?}");
    let all = inquired(6, "{}", THERE);
    assert_eq!(count(&all, "port_probe"), 0, "of another incarnation: {all:?}");
}

#[test]
fn a_datagram_or_a_corroboration_ends_an_inquiry() {
    let alive = beat_of("a", 7, 2, ",\"c\":4,\"o\":21101");
    let heard = beat_of("b", 8, 3, ",\"v\":[[\"a\",20]]");
    for (then, from) in [(alive, HERE), (heard, THERE)] {
        let all = inquired(7, &then, from);
        assert_eq!(count(&all, "port_probe 10.0.0.1:21101"), 1, "{all:?}");
        assert_eq!(count(&all, "down"), 0, "{all:?}");
    }
}

#[test]
fn few_watch_a_peer_of_a_large_group_and_only_watchers_are_believed() {
    let mut engine = engine();
    let mut watched = 0;
    for n in 0..2 {
        for name in 0..200 {
            let beat = beat_of(&format!("peer{name}"), 7, n, ",\"o\":21101");
            let heard = hear(&mut engine, &beat, HERE, 100 + u64::from(n));
            watched += heard.iter().filter(|text| text.starts_with("port_probe")).count();
        }
    }
    assert!((1..15).contains(&watched), "{watched}");
    let mut believed = 0;
    for name in 1..200 {
        let beat = beat_of(&format!("peer{name}"), 7, 2, ",\"d\":[[\"peer0\",7]]");
        hear(&mut engine, &beat, HERE, 200);
        believed += usize::from(engine.inquiries.next_due().is_some());
        engine.inquiries.clear();
    }
    assert!((1..30).contains(&believed), "{believed}");
}

/// A node at HERE and one somewhere have sent so many heartbeats, and say that the own port was refused:
/// the first at 20,000. When the second says it, and whether this node believes both.
fn is_misreported(count: u32, second: SocketAddr, ms: u64) -> bool {
    let mut engine = engine();
    let heartbeats = [("b", HERE, 20_000), ("c", second, ms)];
    for (name, from, _) in heartbeats {
        (0..count).for_each(|n| drop(hear(&mut engine, &beat_of(name, 8, n, ""), from, 300)));
    }
    for (name, from, ms) in heartbeats {
        let claim = format!(",\"d\":[[\"me\",{}]]", engine.incarnation);
        let _ = engine.receive(&beat_of(name, 8, count, &claim), from, at(ms));
        assert_eq!(said(&mut engine).len(), 1, "it answers");
    }
    engine.misreported.is_some()
}

#[test]
fn two_members_at_different_addresses_are_believed_that_the_own_port_was_refused() {
    assert!(is_misreported(9, THERE, 20_100), "the claim itself is the tenth heartbeat");
    assert!(!is_misreported(8, THERE, 20_100));
    assert!(!is_misreported(9, HERE, 20_100), "one address is one witness");
    assert!(is_misreported(9, THERE, 79_999));
    assert!(!is_misreported(9, THERE, 80_000));
}

#[test]
fn a_node_that_was_taken_for_dead_says_so_for_a_minute() {
    let mut engine = engine();
    engine.misreported = Some(at(60_500).mono);
    for (ms, misreported) in [(60_400, true), (60_600, false)] {
        engine.handle_timeout(at(ms), false);
        said(&mut engine);
        engine.set_meta("1".into(), at(ms));
        assert_eq!(said(&mut engine)[0].misreported, misreported, "{ms}");
    }
}

#[test]
fn a_port_that_was_refused_before_the_peer_was_heard_proves_nothing() {
    for (refused, proves) in [(true, false), (false, true)] {
        let mut engine = engine();
        beats(&mut engine, "a", 2);
        (0..2).for_each(|n| drop(hear(&mut engine, &beat_of("b", 8, n, ""), THERE, 1100)));
        hear(&mut engine, &beat_of("b", 8, 2, ",\"d\":[[\"a\",7]]"), THERE, 1200);
        run(&mut engine, 1260);
        if refused {
            engine.refused(SocketAddr::new(HERE.ip(), 21101), at(1261));
        }
        hear(&mut engine, &beat_of("a", 7, 2, ",\"c\":4,\"o\":21101"), HERE, 1300);
        assert_eq!(engine.members.port(&id("a"), 0).is_some(), proves);
    }
}

#[test]
fn probes_of_another_node_stand_for_some_of_its_own() {
    for (beats_of_a, probes) in [(12, 12..=18), (3, 1..=11)] {
        let mut engine = engine();
        beats(&mut engine, "a", beats_of_a);
        let since = u64::from(beats_of_a) * 1000 + 1001;
        let mut all = run(&mut engine, since);
        for n in 0..10 {
            hear(&mut engine, &beat_of("b", 8, n, ",\"p\":[\"a\"]"), THERE, since);
        }
        all.extend(run(&mut engine, since + 600));
        // Of a peer that was heard a few times only, each probe of another stands for one.
        assert!(probes.contains(&count(&all, "a?")), "{all:?}");
    }
}

#[test]
fn the_answer_of_the_peer_makes_a_corroboration_needless() {
    let mut engine = engine();
    beats(&mut engine, "a", 2);
    hear(&mut engine, &beat_of("b", 8, 0, ",\"p\":[\"a\"]"), THERE, 1300);
    hear(&mut engine, &beat_of("a", 7, 2, ""), HERE, 1304);
    assert_eq!(count(&run(&mut engine, 1500), "a:"), 0);
}

#[test]
fn a_peer_that_answers_again_and_again_is_corroborated_unasked() {
    // When it answers after 12,000 ms, and whether another node corroborates it.
    for (answers, another, told) in [
        (&[0][..], false, 0),
        (&[0, 190], false, 1),
        (&[0, 201], false, 0),
        (&[0, 40, 41], false, 1),
        (&[0, 40], true, 0),
    ] {
        let mut engine = engine();
        beats(&mut engine, "a", 12);
        beats(&mut engine, "b", 12);
        let mut all = run(&mut engine, 12_000);
        for (n, after) in (12..).zip(answers) {
            all.extend(run(&mut engine, 12_000 + after));
            let answer = beat_of("a", 7, n, ",\"y\":[\"10.0.0.1\"]");
            hear(&mut engine, &answer, HERE, 12_000 + after);
        }
        let suppressed_by = engine.corroborations.first().map(|it| it.suppressed_by);
        let in_vain = told > 0 || another;
        assert_eq!(suppressed_by, in_vain.then_some(1), "{answers:?}");
        if another {
            hear(&mut engine, &beat_of("b", 7, 12, ",\"v\":[[\"a\",2]]"), HERE, 12_042);
        }
        all.extend(run(&mut engine, 12_300));
        assert_eq!(count(&all, "a:"), told, "{answers:?} {another}: {all:?}");
    }
}

#[test]
fn a_late_peer_is_asked_by_its_watchers_only() {
    let mut engine = engine();
    let mut watched = 0;
    for n in 0..3 {
        for name in 0..40 {
            let beat = beat_of(&format!("n{name}"), 7, n, ",\"o\":21101");
            hear(&mut engine, &beat, HERE, 100 + u64::from(n) * 1000);
        }
    }
    for name in 0..40 {
        let name = id(&format!("n{name}"));
        engine.members.note_port_answered(&name, 21101);
        watched += usize::from(engine.watches(&name));
    }
    let asked = count(&run(&mut engine, 3900), "port_probe");
    assert_eq!(asked, watched);
    assert!((1..20).contains(&watched), "{watched}");
}

#[test]
fn addresses_told_by_a_peer_of_the_link_count_after_five_heartbeats() {
    let mut engine = engine();
    for n in 0..5u32 {
        let told = beat_of("a", 7, n, ",\"k\":[\"10.0.0.8:10101\"]");
        let heard = hear(&mut engine, &told, THERE, 100 + u64::from(n));
        let challenges = heard.iter().filter(|text| text.contains("10.0.0.8")).count();
        assert_eq!(challenges, usize::from(n == 4), "{heard:?}");
    }
}

/// Lets time pass as `run` does; the times of the event `settled`, and the texts of hints.
fn notices(engine: &mut Engine, until: u64) -> (Vec<u64>, Vec<(u64, String)>) {
    let (mut settled, mut hints) = (Vec::new(), Vec::new());
    while let Some(due) = engine.poll_timeout()
        && due <= Duration::from_millis(until)
    {
        let ms = due.as_millis() as u64;
        engine.handle_timeout(Now { mono: due, unix_ms: 1_000_000 + ms }, false);
        for output in std::iter::from_fn(|| engine.poll_output()) {
            match output {
                Output::Event(Event::Settled) => settled.push(ms),
                Output::Event(Event::Hint(text)) => hints.push((ms, text.to_string())),
                _ => {}
            }
        }
    }
    (settled, hints)
}

#[test]
fn a_flood_of_hellos_delays_settled_by_three_seconds_at_most() {
    assert_eq!(notices(&mut engine(), 6000).0, [200]);
    let mut engine = engine();
    let mut settled = Vec::new();
    for ms in (20..6000).step_by(20) {
        settled.extend(notices(&mut engine, ms).0);
        let hello = beat_of(&format!("n{ms}"), 7, 0, ",\"a\":1");
        let _ = engine.receive(&hello, THERE, at(ms));
    }
    assert_eq!(settled, [3000]);
}

#[test]
fn who_hears_nobody_for_five_intervals_says_once_what_is_known() {
    let joined = "the group was joined at 10.0.0.1";
    let no_interface = "no interface has joined the group";
    let (echo, no_echo) = ("own heartbeats come back", "own heartbeats do not come back");
    let nobody = "no other sender was heard on this port";
    let foreign = "senders on this port that could not be understood: 2";
    for (addresses, echoes, senders, known) in [
        (&[HERE.ip()][..], true, 0, [joined, echo, nobody]),
        (&[HERE.ip()], false, 0, [joined, no_echo, nobody]),
        (&[HERE.ip()], true, 2, [joined, echo, foreign]),
        (&[], false, 0, [no_interface, no_echo, nobody]),
    ] {
        let mut engine = engine();
        engine.set_joined(addresses.to_vec());
        if echoes {
            let own = engine.incarnation;
            hear(&mut engine, &beat_of("me", own, 0, ""), HERE, 10);
        }
        for n in 0..senders {
            let from = Ipv4Addr::new(10, 0, 0, 7 + n);
            engine.rejected(DropReason::Hash, b"no digest", IpAddr::from(from).into(), at(20));
        }
        let text = format!("no peer was heard in 5 intervals: {}", known.join("; "));
        assert_eq!(told_alone(&mut engine), [(5000, text)]);
    }
    let mut engine = engine();
    hear(&mut engine, &beat_of("a", 7, 0, ""), THERE, 4900);
    assert_eq!(told_alone(&mut engine), []);
}

/// The hints that no peer was heard, and when.
fn told_alone(engine: &mut Engine) -> Vec<(u64, String)> {
    let hints = notices(engine, 20_000).1;
    hints.into_iter().filter(|(_, text)| text.contains("no peer was heard")).collect()
}

#[test]
fn a_sender_that_is_no_peer_is_a_sender() {
    let nobody = "no other sender was heard on this port";
    let foreign = "senders on this port that could not be understood: 1";
    let others = "other senders were heard on this port, and none is a peer";
    // A bare caster of this process, and a program of this host.
    let (own_caster, beside) = (HERE, SocketAddr::new(HERE.ip(), 999));
    let large = format!(r#"{{"id":"a","meta":"{}"}}"#, "x".repeat(9000));
    let own = beat_of("me", 7, 0, "");
    for (text, from, known) in [
        ("[1]", THERE, foreign),
        (r#"{"a":1}"#, THERE, foreign),
        (r#"{"id":{}}"#, THERE, foreign),
        (r#"{"a":1}"#, beside, foreign),
        (r#"{"a":1}"#, own_caster, nobody),
        (&own, own_caster, nobody),
        (r#"{"caster":{}}"#, THERE, nobody),
        (&large, THERE, others),
        (r#"{"id":"a","suicide":true}"#, THERE, others),
        (r#"{"caster":{"b":1,"a":1}}"#, THERE, others),
        (r#"{"caster":{"b":1,"a":1}}"#, own_caster, nobody),
    ] {
        let mut engine = engine();
        hear(&mut engine, text, from, 20);
        let told = told_alone(&mut engine);
        assert!(told.len() == 1 && told[0].1.ends_with(known), "{text} {from}: {told:?}");
    }
    for (from, known) in [(THERE, foreign), (own_caster, nobody)] {
        let mut engine = engine();
        engine.rejected(DropReason::TooDeep, b"[[", from.into(), at(20));
        let _ = engine.receive_frame(b"text", from, at(20));
        let told = told_alone(&mut engine);
        assert!(told.len() == 1 && told[0].1.ends_with(known), "{from}: {told:?}");
    }
}
