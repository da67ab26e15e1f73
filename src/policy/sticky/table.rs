//! The table: from a key of 128 bits to 32 bits and when they expire. All cores read and write it at any
//! time, without locks and without allocation.
//!
//! ```text
//!  bucket = one cache line = 4 slots      slot = check (tag ^ value), value (what << 32 | expiry)
//! ```
//!
//! The two words of a slot are stored one by one. A reader that meets one old and one new word sees a check
//! that does not fit, and takes the slot for another key's: a slot is right or it is not there. Of two cores
//! that write at once one may be lost, or a key may have two slots; then the one that lives longer counts.
//! A full bucket gives up the slot that expires first.
//! Deliberately absent: what keys and values mean, and the clock.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::base::time::Moment;

/// Slots of a bucket.
const WAYS: usize = 4;
/// Time is counted in sixteenths of a second, which wrap after eight years.
const TICK_NANOS: u64 = 1_000_000_000 / 16;
/// The longest life: a day. What seems to live longer is left over from before the count wrapped.
const LIFE_MAX: u32 = 24 * 3600 * 16;

/// What a slot is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Chooses the bucket.
    place: u64,
    /// Tells keys of one bucket apart; never zero, which is an empty slot's.
    tag: u64,
}

impl Key {
    pub(super) fn new(place: u64, tag: u64) -> Self {
        Self { place, tag: tag.max(1) }
    }
}

#[derive(Debug, Default)]
struct Slot {
    check: AtomicU64,
    value: AtomicU64,
}

impl Slot {
    /// The tag that the two words tell, and the value.
    fn load(&self) -> (u64, u64) {
        let (check, value) = (self.check.load(Ordering::Relaxed), self.value.load(Ordering::Relaxed));
        (check ^ value, value)
    }

    fn store(&self, tag: u64, value: u64) {
        self.value.store(value, Ordering::Relaxed);
        self.check.store(tag ^ value, Ordering::Relaxed);
    }
}

/// The slots that a key may be in, all in one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([Slot; WAYS]);

const _: () = assert!(size_of::<Bucket>() == 64);

/// The slots.
#[derive(Debug)]
pub(super) struct Table {
    /// A power of two.
    buckets: Box<[Bucket]>,
}

const fn tick(at: Moment) -> u32 {
    (at.nanos() / TICK_NANOS) as u32
}

/// Ticks that a value still lives; 0 is expired.
fn life(value: u64, now: u32) -> u32 {
    let left = (value as u32).wrapping_sub(now);
    if left <= LIFE_MAX { left } else { 0 }
}

impl Table {
    /// With room for at least so many keys.
    pub(super) fn new(entries: usize) -> Self {
        let count = entries.div_ceil(WAYS).max(1).next_power_of_two();
        Self { buckets: (0..count).map(|_| Bucket::default()).collect() }
    }

    fn bucket(&self, key: Key) -> &[Slot; WAYS] {
        &self.buckets[key.place as usize & (self.buckets.len() - 1)].0
    }

    /// What was put under this key and has not expired.
    pub(super) fn find(&self, key: Key, now: Moment) -> Option<u32> {
        let now = tick(now);
        let mut best = (0, 0);
        for slot in self.bucket(key) {
            let (tag, value) = slot.load();
            let life = life(value, now);
            if tag == key.tag && life > best.0 {
                best = (life, value);
            }
        }
        (best.0 > 0).then_some((best.1 >> 32) as u32)
    }

    /// Puts `what` under this key, for `ttl` (at most a day) and never longer.
    pub(super) fn put(&self, key: Key, what: u32, now: Moment, ttl: Duration) {
        let expiry = tick(now + ttl.min(Duration::from_secs(24 * 3600)));
        let now = tick(now);
        let slots = self.bucket(key);
        let rank = |slot: &&Slot| {
            let (tag, value) = slot.load();
            // Its own slot first, whatever it holds; then the one with the shortest life.
            if tag == key.tag { (0, 0) } else { (1, life(value, now)) }
        };
        if let Some(slot) = slots.iter().min_by_key(rank) {
            slot.store(key.tag, u64::from(what) << 32 | u64::from(expiry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    const fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    const TTL: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_put_is_found_until_it_expires() {
        let table = Table::new(64);
        let (key, other) = (Key::new(7, 9), Key::new(7, 10));
        assert_eq!(table.find(key, at(0)), None);
        table.put(key, 5, at(1_000), TTL);
        assert_eq!((table.find(key, at(1_000)), table.find(other, at(1_000))), (Some(5), None));
        assert_eq!(table.find(key, at(10_900)), Some(5));
        assert_eq!(table.find(key, at(11_000)), None);
        // A renewal is one slot, not two.
        table.put(key, 6, at(5_000), TTL);
        assert_eq!((table.find(key, at(14_900)), table.find(key, at(15_000))), (Some(6), None));
        table.put(key, 0, at(5_000), Duration::ZERO);
        assert_eq!(table.find(key, at(5_000)), None);
    }

    /// The law: nothing outlives its time, wherever in a tick it begins and also where the count wraps.
    #[test]
    fn nothing_outlives_its_time() {
        let wrap = (1_u64 << 32) * TICK_NANOS;
        for origin in [0, 1, 12_345_678_901, wrap - 5_000_000_000, wrap - 1, wrap] {
            for ttl in [1, 62, 63, 100, 999, 1_000, 600_000, 86_400_000, 200_000_000_u64] {
                let table = Table::new(4);
                let (key, now) = (Key::new(1, 2), Moment::from_nanos(origin));
                table.put(key, 3, now, Duration::from_millis(ttl));
                let most = ttl.min(86_400_000) * 1_000_000;
                for after in [most, most + 1, most * 2, most + wrap / 2] {
                    assert_eq!(table.find(key, now + Duration::from_nanos(after)), None, "{origin} {ttl}");
                }
                // And it lives as long as it should, to the tick.
                if most > 2 * TICK_NANOS {
                    let last = Duration::from_nanos(most - 2 * TICK_NANOS);
                    assert_eq!(table.find(key, now + last), Some(3), "{origin} {ttl}");
                }
            }
        }
    }

    #[test]
    fn a_full_bucket_gives_up_what_expires_first() {
        let table = Table::new(4);
        let key = |turn: u64| Key::new(turn << 40, turn + 1);
        for turn in 0..4 {
            table.put(key(turn), turn as u32, at(turn * 1_000), TTL);
        }
        assert_eq!((0..4).filter(|turn| table.find(key(*turn), at(4_000)).is_some()).count(), 4);
        // The oldest is renewed, so the second one goes.
        table.put(key(0), 40, at(4_000), TTL);
        table.put(key(9), 9, at(4_000), TTL);
        let found: Vec<_> = [0, 1, 2, 3, 9].map(|turn| table.find(key(turn), at(4_000))).into();
        assert_eq!(found, [Some(40), None, Some(2), Some(3), Some(9)]);
        // What has expired goes before what lives.
        table.put(key(5), 5, at(12_500), TTL);
        assert_eq!(table.find(key(2), at(11_900)), None, "it expired first");
        let found: Vec<_> = [0, 3, 9, 5].map(|turn| table.find(key(turn), at(12_500))).into();
        assert_eq!(found, [Some(40), Some(3), Some(9), Some(5)]);
    }

    #[test]
    fn room_is_a_power_of_two_and_bounded() {
        for (entries, buckets) in [(0, 1), (1, 1), (4, 1), (5, 2), (65_536, 16_384), (65_537, 32_768)] {
            assert_eq!(Table::new(entries).buckets.len(), buckets, "{entries}");
        }
    }

    /// Writers of many keys meet in one bucket; readers find a key's own values or nothing.
    #[test]
    fn half_a_write_is_never_read() {
        const ROUNDS: u32 = 100_000;
        let table = Arc::new(Table::new(4));
        let done = Arc::new(AtomicBool::new(false));
        // The tags differ in the bits where values differ too: words of two writes must not be mistaken.
        let key = |turn: u64| Key::new(0, 1 + (turn << 32 | turn));
        let writers: Vec<_> = (0..3_u64)
            .map(|turn| {
                let table = Arc::clone(&table);
                std::thread::spawn(move || {
                    for round in 0..ROUNDS {
                        let own = turn * 2 + u64::from(round & 1);
                        table.put(key(own), round * 8 + own as u32, at(u64::from(round)), TTL);
                    }
                })
            })
            .collect();
        let reader = {
            let (table, done) = (Arc::clone(&table), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut found = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    for own in 0..6 {
                        if let Some(value) = table.find(key(own), at(0)) {
                            assert_eq!(u64::from(value % 8), own, "another key's value");
                            found += 1;
                        }
                    }
                }
                found
            })
        };
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        // Afterwards the bucket works as before.
        table.put(key(9), 1, at(0), TTL);
        assert_eq!(table.find(key(9), at(0)), Some(1));
    }
}
