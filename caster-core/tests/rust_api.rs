//! Handles and events as Rust programs use them.

use caster_core::{ErrorCode, Event, Node, Options, VirtualNetwork};
use serde_json::{Value, json};
use std::time::Duration;

fn pair(network: &VirtualNetwork) -> (Node, Node) {
    let node = |id: &str| {
        let options = Options::for_node().id(id).meta(&json!({"n": 1}));
        let node = network.node(&options).unwrap();
        node.up().unwrap();
        node
    };
    let pair = (node("a"), node("b"));
    network.advance(Duration::from_secs(2));
    pair
}

#[test]
fn events_can_be_cloned_and_written() {
    let network = VirtualNetwork::new(1);
    let (a, b) = pair(&network);
    b.send(&json!([1, "\u{e9}"])).unwrap();
    b.update_meta(&json!({"n": 2})).unwrap();
    network.advance(Duration::from_secs(2));
    b.down().unwrap();
    network.advance(Duration::from_secs(2));
    let events: Vec<Event> = std::iter::from_fn(|| a.event_source().try_next()).collect();
    let written: Vec<Value> =
        events.clone().iter().map(|it| serde_json::to_value(it).unwrap()).collect();
    let of = |kind: &str| written.iter().find(|it| it["type"] == kind).unwrap();
    assert_eq!(of("up")["node"]["meta"], json!({"n": 1}));
    assert_eq!(of("message")["message"], json!([1, "\u{e9}"]));
    assert_eq!(of("message")["node"]["id"], "b");
    assert_eq!(of("update")["changed"], json!(["meta"]));
    assert_eq!(of("update")["node"]["meta"], json!({"n": 2}));
    assert_eq!(of("down")["reason"], "goodbye");
    assert_eq!(of("settled"), &json!({"type": "settled"}));
}

#[test]
fn handles_show_what_they_are_and_no_secret() {
    let network = VirtualNetwork::new(1);
    let options =
        Options::for_node().id("a").hash_secret("MARKER").crypto(true).crypto_key("MARKER");
    let text = format!("{options:?} {:?}", network.node(&options).unwrap());
    assert!(text.contains("id: \"a\"") && text.contains("is_up: false"), "{text}");
    assert!(!text.contains("MARKER"), "{text}");
}

#[test]
fn metadata_over_the_limit_is_refused_at_creation() {
    let options = Options::for_node().meta(&"x".repeat(9000));
    let error = Node::new(&options).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidOption);
    let text = "option meta: the metadata takes 9002 bytes; the option maxMeta allows 8192";
    assert_eq!(error.to_string(), text);
    assert!(Node::new(&options.max_meta(9002)).is_ok());
}

#[cfg(feature = "async")]
mod asynchronous {
    use super::*;
    use futures_core::Stream;
    use futures_core::stream::FusedStream;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::thread::{self, Thread};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_stream_is_woken_for_each_event_after_it_was_empty() {
        let network = VirtualNetwork::new(1);
        let (a, b) = pair(&network);
        let mut stream = a.stream();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut next = || Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
        while next().is_ready() {}
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        for count in 1..=3 {
            b.send(&count).unwrap();
            network.advance(Duration::from_secs(1));
            assert_eq!(wakes.0.load(Ordering::Relaxed), count);
            assert!(matches!(next(), Poll::Ready(Some(Event::Message { .. }))));
            assert!(next().is_pending());
        }
        a.down().unwrap();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 4);
        while !matches!(next(), Poll::Ready(None)) {}
        assert!(matches!(next(), Poll::Ready(None)) && stream.is_terminated());
    }

    #[test]
    fn a_stream_before_up_ends_at_once_and_one_after_it_has_what_was_not_taken() {
        let network = VirtualNetwork::new(1);
        let a = network.node(&Options::for_node().id("a")).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut a.stream()).poll_next(&mut context), Poll::Ready(None)));
        a.up().unwrap();
        let b = network.node(&Options::for_node().id("b")).unwrap();
        b.up().unwrap();
        network.advance(Duration::from_secs(2));
        drop(a.stream());
        let event = Pin::new(&mut a.stream()).poll_next(&mut context);
        assert!(matches!(event, Poll::Ready(Some(Event::Up(_)))), "{event:?}");
    }

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn a_thread_that_sleeps_until_it_is_woken_gets_all_of_a_thousand_messages() {
        let options = || Options::for_node().address([127, 0, 0, 1]).port(22_417);
        let (a, b) = (Node::new(&options()).unwrap(), Node::new(&options()).unwrap());
        a.up().unwrap();
        b.up().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..1000 {
                    b.send(&n).unwrap();
                    if n % 50 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
            let mut stream = a.stream();
            let waker = Waker::from(Arc::new(Unpark(thread::current())));
            let mut context = Context::from_waker(&waker);
            let mut expected = 0;
            while expected < 1000 {
                match Pin::new(&mut stream).poll_next(&mut context) {
                    Poll::Ready(Some(Event::Message { message, .. })) => {
                        assert_eq!(message.parse::<u32>().unwrap(), expected);
                        expected += 1;
                    }
                    Poll::Ready(event) => assert!(event.is_some()),
                    Poll::Pending => {
                        let began = std::time::Instant::now();
                        thread::park_timeout(Duration::from_secs(60));
                        assert!(began.elapsed() < Duration::from_secs(55), "it was not woken");
                    }
                }
            }
        });
    }
}
