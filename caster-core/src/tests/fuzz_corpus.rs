//! The fuzz targets of `fuzz/`, without a fuzzer: their corpus, and bytes from a seed.

use crate::fuzzing::{
    engine_sequence, envelope, options, pieces, received, sealed, signed, stages,
};
use crate::protocol::random::Random;
use std::path::Path;

/// Runs each file of a corpus; returns how many there were.
fn replay(name: &str, target: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let files = std::fs::read_dir(&folder).expect("the corpus is in the repository");
    let mut count = 0;
    for file in files {
        let path = file.expect("the folder can be read").path();
        target(&std::fs::read(&path).expect("the file can be read"));
        count += 1;
    }
    count
}

#[test]
fn the_corpus_of_the_envelope() {
    assert!(replay("envelope", envelope) >= 10);
}

#[test]
fn the_corpus_of_the_engine() {
    assert!(replay("engine_sequence", engine_sequence) >= 5);
}

#[test]
fn the_corpus_of_the_pieces() {
    assert!(replay("pieces", pieces) >= 5);
}

#[test]
fn the_corpus_of_the_sealed_frame() {
    assert!(replay("sealed", sealed) >= 10);
}

#[test]
#[cfg(feature = "identity")]
fn the_corpus_of_the_signed_frame() {
    assert!(replay("signed", signed) >= 8);
}

#[test]
fn the_corpus_of_received_datagrams() {
    assert!(replay("received", received) >= 5);
}

#[test]
fn the_corpus_of_the_stages() {
    assert!(replay("stages", stages) >= 5);
}

#[test]
fn the_corpus_of_the_options() {
    assert!(replay("options", options) >= 5);
}

#[test]
fn what_goes_out_comes_in_and_what_was_changed_does_not() {
    let mut random = Random::new(14);
    for _ in 0..5000 {
        let data: Vec<u8> = (0..32).flat_map(|_| random.next().to_le_bytes()).collect();
        stages(&data);
        received(&data);
        options(&data);
    }
}

#[test]
fn only_what_was_sealed_opens() {
    let mut random = Random::new(13);
    for _ in 0..5000 {
        let data: Vec<u8> = (0..32).flat_map(|_| random.next().to_le_bytes()).collect();
        sealed(&data);
    }
}

#[test]
#[cfg(feature = "identity")]
fn a_trailer_is_valid_only_as_it_was_signed() {
    let mut random = Random::new(15);
    for _ in 0..2000 {
        let data: Vec<u8> = (0..32).flat_map(|_| random.next().to_le_bytes()).collect();
        signed(&data);
    }
}

#[test]
fn pieces_are_put_together_or_given_up_whatever_arrives() {
    let mut random = Random::new(12);
    for _ in 0..2000 {
        let data: Vec<u8> = (0..64).flat_map(|_| random.next().to_le_bytes()).collect();
        pieces(&data);
    }
}

#[test]
fn an_engine_keeps_its_promises_whatever_it_is_fed() {
    let mut random = Random::new(11);
    for _ in 0..2000 {
        let data: Vec<u8> = (0..64).flat_map(|_| random.next().to_le_bytes()).collect();
        engine_sequence(&data);
    }
}
