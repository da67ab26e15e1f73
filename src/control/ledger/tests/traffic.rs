//! Records as a journal would hold them, from a seed.
//!
//! Deliberately absent: bytes.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::{Cursors, Records, Take};
use crate::base::ids::GenerationId;
use crate::base::record::{Billed, Usage};
use crate::base::time::UnixSeconds;
use crate::wire::journal::{
    Admit, Attempt, Caller, Cost, Ending, Entry, Flags, Sequence, Served, Settle, Source,
};

/// What an admitted request may cost.
pub(super) const RESERVED: i64 = 77_000_000;

/// A journal in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(crate) records: Vec<(u16, Sequence, Entry<'static>)>,
    /// Hands over what is not behind the cursors too.
    pub(super) always_from_the_start: bool,
    /// What it was told it may forget.
    pub(super) freed: Cursors,
}

impl Records for List {
    fn node(&self) -> u64 {
        1
    }

    fn read(&mut self, after: &Cursors, most: usize, take: &mut Take<'_>) -> io::Result<usize> {
        let first = if self.always_from_the_start { &Cursors::new() } else { after };
        let new =
            self.records.iter().filter(|(core, sequence, _)| first.get(core).is_none_or(|at| at < sequence));
        let mut read = 0;
        for (core, sequence, entry) in new.take(most) {
            take(*core, *sequence, entry);
            read += 1;
        }
        Ok(read)
    }

    fn ends(&mut self) -> io::Result<Cursors> {
        Ok(self.last())
    }

    fn folded(&mut self, upto: &Cursors) {
        self.freed.clone_from(upto);
    }
}

impl List {
    pub(crate) fn push(&mut self, core: u16, entry: Entry<'static>) {
        let last = self.last().get(&core).copied().unwrap_or_default();
        self.records.push((core, Sequence(last.0 + 1), entry));
    }

    /// The last record of each core.
    pub(super) fn last(&self) -> Cursors {
        let mut last = Cursors::new();
        // From behind, until every core was seen; tests have few.
        for (core, sequence, _) in self.records.iter().rev().take(64) {
            last.entry(*core).or_insert(*sequence);
        }
        last
    }

    /// The first half, and the rest.
    pub(super) fn half(mut self) -> (Self, Self) {
        let rest = self.records.split_off(self.records.len() / 2);
        (self.clone(), Self { records: rest, ..self })
    }

    pub(super) fn settles(&self) -> impl Iterator<Item = &Settle<'static>> {
        self.records.iter().filter_map(|(_, _, entry)| match entry {
            Entry::Settle(settle) => Some(&**settle),
            Entry::Admit(_) => None,
        })
    }
}

/// A journal that a test goes on writing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<List>>);

impl Records for Shared {
    fn node(&self) -> u64 {
        1
    }

    fn read(&mut self, after: &Cursors, most: usize, take: &mut Take<'_>) -> io::Result<usize> {
        self.0.lock().unwrap().read(after, most, take)
    }

    fn ends(&mut self) -> io::Result<Cursors> {
        self.0.lock().unwrap().ends()
    }

    fn folded(&mut self, upto: &Cursors) {
        self.0.lock().unwrap().folded(upto);
    }
}

/// Requests that differ in everything.
pub(crate) struct Traffic {
    state: u64,
    pub(super) models: u64,
    pub(super) keys: u64,
    pub(super) users: u64,
}

const MODELS: [&str; 4] = ["openai/gpt-x", "acme/large", "acme/small", "plain"];
const PLACES: [(&str, &str); 3] = [("openai", "openai"), ("acme", "acme/turbo"), ("acme", "acme")];
const KEYS: [(&str, &str); 3] = [("one", "red"), ("two", "red"), ("", "")];
const FAULTS: [&str; 4] = ["", "refused", "truncated", "status"];

impl Traffic {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, models: 4, keys: 3, users: 3 }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % below
    }

    fn pick<T: Copy>(&mut self, from: &[T], most: u64) -> T {
        from[self.random(most.min(from.len() as u64)) as usize]
    }

    fn caller(&mut self) -> Caller<'static> {
        let (key, team) = self.pick(&KEYS, self.keys);
        let user = self.random(self.users);
        Caller { key_digest: [key.len() as u8 + team.len() as u8; 32], key, team, user_hash: user }
    }

    fn served(&mut self) -> Served<'static> {
        let model = self.pick(&MODELS, self.models);
        let (provider, endpoint) = self.pick(&PLACES, 3);
        Served { model, provider, endpoint, price_version: self.random(3) }
    }

    fn id(&mut self, at: UnixSeconds) -> GenerationId {
        GenerationId::new(at, [self.random(u64::MAX), self.random(u64::MAX)])
    }

    fn admit(&mut self, at: UnixSeconds) -> Admit<'static> {
        Admit {
            id: self.id(at),
            at,
            caller: self.caller(),
            served: Served { price_version: 1, ..self.served() },
            prompt_tokens: self.random(5_000) as u32,
            most_completion_tokens: self.random(5_000) as u32,
            reserved: RESERVED,
        }
    }

    fn attempt(&mut self) -> Attempt<'static> {
        let (provider, endpoint) = self.pick(&PLACES, 3);
        Attempt {
            provider,
            endpoint,
            status: 200,
            fault: self.pick(&FAULTS, 4),
            billed: self.pick(&[Billed::No, Billed::Yes, Billed::Maybe, Billed::Estimated], 4),
            hedged: self.random(2) == 0,
            began_micros: self.random(1_000) as u32,
            took_micros: self.random(1_000_000) as u32,
            prompt_tokens: 3,
            completion_tokens: 4,
            cost: 5,
        }
    }

    fn settled(&mut self, admit: &Admit<'static>) -> Settle<'static> {
        let prompt_tokens = self.random(10_000);
        let completion_tokens = self.random(3_000);
        let total = self.random(1 << 40) as i64;
        let upstream_id = match self.random(3) {
            0 => "",
            _ => &*Box::leak(format!("chatcmpl-{:x}", self.random(u64::MAX)).into_boxed_str()),
        };
        let count = self.random(3) + u64::from(self.random(4) > 0);
        Settle {
            id: admit.id,
            upstream_id,
            at: UnixSeconds(admit.at.0 + self.random(300)),
            caller: admit.caller,
            served: self.served(),
            api: "chat.completions",
            ending: self.pick(&[Ending::Complete, Ending::Failed, Ending::Cut, Ending::ClientGone], 4),
            status: 200,
            fault: self.pick(&FAULTS, 4),
            finish_reason: self.pick(&["stop", "length", ""], 3),
            service_tier: self.pick(&["", "flex"], 2),
            flags: Flags(self.random(32) as u16),
            usage: Usage {
                prompt_tokens,
                completion_tokens,
                cached_tokens: self.random(prompt_tokens + 1),
                cache_write_tokens: self.random(9),
                cache_write_1h_tokens: self.random(3),
                reasoning_tokens: self.random(completion_tokens + 1),
                audio_tokens: self.random(2),
                images: self.random(2),
            },
            source: self.pick(&[Source::Reported, Source::Mixed, Source::Counted, Source::None], 4),
            counted_tokens: self.random(3_000) as u32,
            cost: Cost {
                total,
                upstream: total,
                prompt: total / 3,
                completion: total / 2,
                cache_discount: -5,
            },
            answer_bytes: self.random(100_000),
            first_byte_micros: self.random(3) as u32 * 400_000,
            took_micros: self.random(9_000_000) as u32,
            attempts: Cow::Owned((0..count).map(|_| self.attempt()).collect()),
        }
    }

    /// Requests that overlap on every core; some are never settled.
    pub(crate) fn list(&mut self, cores: u16, requests: usize) -> List {
        let mut list = List::default();
        let mut at = 1_789_990_000;
        let mut open: Vec<(u16, Admit<'static>)> = Vec::new();
        for turn in 0..requests {
            at += self.random(60);
            let core = (turn as u16) % cores;
            let admit = self.admit(UnixSeconds(at));
            list.push(core, Entry::Admit(admit));
            open.push((core, admit));
            while open.len() > 20 || self.random(2) == 0 && !open.is_empty() {
                let which = self.random(open.len() as u64) as usize;
                let (core, admit) = open.swap_remove(which);
                let settle = self.settled(&admit);
                list.push(core, Entry::Settle(Box::new(settle)));
            }
        }
        list
    }

    /// A request that is never settled.
    pub(crate) fn admit_only(&mut self, list: &mut List, core: u16) -> GenerationId {
        let admit = self.admit(UnixSeconds(1_790_000_000));
        list.push(core, Entry::Admit(admit));
        admit.id
    }

    /// A request that came at this moment, and was settled as `change` says.
    pub(crate) fn settle(
        &mut self,
        list: &mut List,
        core: u16,
        at: UnixSeconds,
        change: impl FnOnce(&mut Settle<'static>),
    ) -> GenerationId {
        let admit = self.admit(at);
        let mut settle = self.settled(&admit);
        change(&mut settle);
        list.push(core, Entry::Admit(admit));
        list.push(core, Entry::Settle(Box::new(settle)));
        admit.id
    }
}
