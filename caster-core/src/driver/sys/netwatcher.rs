//! Tells when interfaces or their addresses change, by netwatcher: a thread of its own on the systems of Apple and
//! the BSDs, a thread of the system on Windows.

use crate::sync::lock;
use mio::{Registry, Token, Waker};
use std::io;
use std::mem;
use std::sync::{Arc, Mutex};

pub(in crate::driver) struct Watch {
    news: Arc<Mutex<News>>,
    _handle: netwatcher::WatchHandle,
}

/// Changes of interfaces.
#[derive(Debug, Default)]
pub(in crate::driver) struct News {
    pub any: bool,
    /// Interfaces that went away.
    pub broken: Vec<u32>,
}

impl Watch {
    /// Whether the waker of the thread tells of news, instead of the token.
    pub const WAKES: bool = true;

    pub fn new(_registry: &Registry, _token: Token, waker: &Arc<Waker>) -> io::Result<Self> {
        let news = Arc::<Mutex<News>>::default();
        let (told, waker) = (news.clone(), waker.clone());
        let tell = move |update: netwatcher::Update| {
            if !update.is_initial {
                let mut news = lock(&told);
                news.any = true;
                news.broken.extend(update.diff.removed.into_keys());
                drop(news);
                // If waking fails the change is found at the next listing.
                let _ = waker.wake();
            }
        };
        let handle = netwatcher::watch_interfaces_with_callback(tell).map_err(io::Error::other)?;
        Ok(Self { news, _handle: handle })
    }

    /// Takes what is there.
    pub fn read(&mut self) -> News {
        mem::take(&mut *lock(&self.news))
    }
}
