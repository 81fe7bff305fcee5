//! The block in front of the JSON of a control datagram: challenges, asks, echoes and statements.
//!
//! ```text
//!  0   1  number of asks
//!  1   1  number of echoes
//!  2   1  number of statements
//!  3   8  challenge of this sender
//! 11  20  each ask: the sender asked, and what it has to echo
//! ..   8  each echo
//! ..  20  each statement: a sender, and its counter (big-endian)
//! ```

use super::names::SenderId;

/// Eight bytes that their sender makes up, and that prove freshness when they come back.
pub(crate) type Challenge = [u8; 8];

/// The most asks and echoes in one datagram.
pub(crate) const MAX_ASKS: usize = 16;
pub(crate) const MAX_ECHOES: usize = 32;
/// As many statements as fit into a datagram of 1,400 bytes.
pub(crate) const MAX_STATEMENTS: usize = 60;

/// The size of a block without entries.
pub(crate) const BLOCK: usize = 11;
/// The sizes of its entries.
pub(crate) const ASK: usize = 20;
pub(crate) const ECHO: usize = 8;
pub(crate) const STATEMENT: usize = 20;

/// A block that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub challenge: Challenge,
    asks: &'a [[u8; ASK]],
    echoes: &'a [[u8; ECHO]],
    statements: &'a [[u8; STATEMENT]],
}

impl<'a> Block<'a> {
    /// Reads the block at the beginning of a payload; returns it with the rest.
    pub fn read(payload: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = payload.split_first_chunk::<BLOCK>()?;
        let [asks, echoes, statements] = [head[0], head[1], head[2]].map(usize::from);
        if asks > MAX_ASKS || echoes > MAX_ECHOES || statements > MAX_STATEMENTS {
            return None;
        }
        let (asks, rest) = take(rest, asks)?;
        let (echoes, rest) = take(rest, echoes)?;
        let (statements, rest) = take(rest, statements)?;
        let challenge = *head.last_chunk().expect("eleven bytes");
        Some((Self { challenge, asks, echoes, statements }, rest))
    }

    /// The senders asked, and what each has to echo.
    pub fn asks(&self) -> impl Iterator<Item = (SenderId, Challenge)> {
        self.asks.iter().map(|ask| {
            let (sender, challenge) = ask.split_first_chunk().expect("20 bytes");
            (SenderId(*sender), challenge.try_into().expect("8 bytes"))
        })
    }

    pub fn echoes(&self) -> &'a [Challenge] {
        self.echoes
    }

    /// The senders that are current, with the highest counter heard of each.
    pub fn statements(&self) -> impl Iterator<Item = (SenderId, u64)> {
        self.statements.iter().map(|statement| {
            let (sender, counter) = statement.split_first_chunk().expect("20 bytes");
            (SenderId(*sender), u64::from_be_bytes(counter.try_into().expect("8 bytes")))
        })
    }
}

fn take<const N: usize>(bytes: &[u8], count: usize) -> Option<(&[[u8; N]], &[u8])> {
    let (entries, rest) = bytes.split_at_checked(count * N)?;
    Some((entries.as_chunks().0, rest))
}

/// A block to send.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub challenge: Challenge,
    pub asks: Vec<(SenderId, Challenge)>,
    pub echoes: Vec<Challenge>,
    pub statements: Vec<(SenderId, u64)>,
}

impl Outgoing {
    pub fn write(&self) -> Vec<u8> {
        let size = BLOCK
            + ASK * self.asks.len()
            + ECHO * self.echoes.len()
            + STATEMENT * self.statements.len();
        let mut bytes = Vec::with_capacity(size);
        for count in [self.asks.len(), self.echoes.len(), self.statements.len()] {
            bytes.push(count as u8);
        }
        bytes.extend_from_slice(&self.challenge);
        for (sender, challenge) in &self.asks {
            bytes.extend_from_slice(&sender.0);
            bytes.extend_from_slice(challenge);
        }
        bytes.extend(self.echoes.iter().flatten());
        for (sender, counter) in &self.statements {
            bytes.extend_from_slice(&sender.0);
            bytes.extend_from_slice(&counter.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let sender = |first: u8| SenderId([first; 12]);
        for count in 0..=16 {
            let block = Outgoing {
                challenge: [9; 8],
                asks: (0..count).map(|at| (sender(at), [at; 8])).collect(),
                echoes: (0..2 * count).map(|at| [at; 8]).collect(),
                statements: (0..3 * count).map(|at| (sender(at), u64::MAX - 7)).collect(),
            };
            let mut bytes = block.write();
            bytes.extend_from_slice(b"{}");
            let (read, rest) = Block::read(&bytes).unwrap();
            assert_eq!(rest, b"{}");
            assert_eq!(read.challenge, block.challenge);
            assert!(read.asks().eq(block.asks.iter().copied()));
            assert_eq!(read.echoes(), block.echoes);
            assert!(read.statements().eq(block.statements.iter().copied()));
            for cut in 0..bytes.len() - 2 {
                assert_eq!(Block::read(&bytes[..cut]), None);
            }
        }
        for (at, most) in [(0, MAX_ASKS), (1, MAX_ECHOES), (2, MAX_STATEMENTS)] {
            let mut bytes = vec![0; 4000];
            bytes[at] = most as u8;
            assert!(Block::read(&bytes).is_some());
            bytes[at] += 1;
            assert_eq!(Block::read(&bytes), None);
        }
    }
}
