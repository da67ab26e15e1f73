//! Traffic: what was asked when, as metadata. No prompt and no answer is in it, only how long they were.
//!
//! Texts that many requests share (models, preferences, keys, sessions) are kept once; a request is 64 bytes.
//! Deliberately absent: the file (a reader is passed in), and what became of a request.

pub mod read;
pub mod synthetic;

use core::hash::Hash;
use core::time::Duration;
use std::collections::HashMap;

use crate::policy::catalog::Parameters;
use crate::policy::filter::TierAsk;

/// Most requests of one run.
pub const REQUESTS_MAX: usize = 20_000_000;
/// Most different models, preferences or keys.
const TEXTS_MAX: usize = 100_000;
/// Most tokens of one prompt or answer.
pub const TOKENS_MAX: u32 = 10_000_000;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// Nanoseconds since the first request.
    pub at: u64,
    /// Place in [`Traffic::choices`].
    pub choice: u32,
    /// Place in [`Traffic::preferences`]; `None` without a `provider` member.
    pub preferences: Option<u32>,
    /// Place in [`Traffic::keys`].
    pub key: Option<u32>,
    /// What its conversation has in common: requests of one session begin with the same prompt.
    pub session: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// The longest answer it allows.
    pub max_tokens: Option<u32>,
    /// Parameters it uses.
    pub parameters: Parameters,
    /// The service tier it asks for.
    pub tier: TierAsk,
    /// It wants a stream.
    pub stream: bool,
}

/// Requests in order of time.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// The requests.
    pub requests: Vec<Request>,
    /// What requests name: `model`, then the entries of `models`.
    pub choices: Vec<Vec<Box<str>>>,
    /// Texts of `provider` members, valid.
    pub preferences: Vec<Box<str>>,
    /// Names of client keys.
    pub keys: Vec<Box<str>>,
    /// Nanoseconds since 1970 of the first request.
    pub start: u64,
}

impl Traffic {
    /// From the first request to the last.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.requests.last().map_or(0, |last| last.at))
    }

    /// Minutes since midnight, UTC, so many nanoseconds after the first request.
    #[must_use]
    pub const fn minute_at(&self, at: u64) -> u16 {
        ((self.start + at) / 60_000_000_000 % 1_440) as u16
    }

    /// The longest prompt, in tokens.
    #[must_use]
    pub fn longest_prompt(&self) -> u32 {
        self.requests.iter().map(|request| request.prompt_tokens).max().unwrap_or(0)
    }
}

/// Texts by number, each once.
#[derive(Debug)]
struct Texts<T> {
    ids: HashMap<T, u32>,
    list: Vec<T>,
}

impl<T: Clone + Eq + Hash> Texts<T> {
    fn new() -> Self {
        Self { ids: HashMap::new(), list: Vec::new() }
    }

    /// The number of a text; `None` when there are too many different ones.
    fn id<Q>(&mut self, text: &Q) -> Option<u32>
    where
        Q: Eq + Hash + ToOwned + ?Sized,
        T: core::borrow::Borrow<Q>,
        T: for<'q> From<&'q Q>,
    {
        if let Some(id) = self.ids.get(text) {
            return Some(*id);
        }
        let id = u32::try_from(self.list.len()).ok().filter(|_| self.list.len() < TEXTS_MAX)?;
        let text = T::from(text);
        self.list.push(text.clone());
        self.ids.insert(text, id);
        Some(id)
    }
}
