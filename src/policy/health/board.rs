//! The board: where each core writes what it knows of the endpoints it uses, for all others to read.
//!
//! A core owns its row of cells and is the only one that writes there; nobody waits for anybody. Each cell
//! has a version that is odd while it is written; a reader that met a change reads again, and gives the cell
//! up after a few turns: the next round is never far.
//! Deliberately absent: what the figures mean (`row`), and the moment of publishing (the worker's loop).

use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::base::time::Moment;
use crate::policy::health::breaker::Position;
use crate::policy::health::outcome::KINDS;
use crate::policy::live::Percentiles;

/// Endpoints that one core keeps figures of. Those unused for longest make room for others.
pub const ROWS: usize = 2048;

/// Words of a cell apart from its version.
const WORDS: usize = 15 + KINDS;
/// Reads of one cell before it is given up for this round.
const TRIES: usize = 4;

/// What one core says of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// Which endpoint: see [`layout`](super::layout). Zero is none.
    pub tag: u64,
    /// Requests under way.
    pub under_way: u32,
    /// Their tokens, estimated.
    pub tokens: u32,
    /// Its breaker.
    pub position: Position,
    /// End of the pause after a 429.
    pub backoff_until: Moment,
    /// Answers served in the window.
    pub served: u32,
    /// Failures in the window.
    pub failed: u32,
    /// 429s in the window.
    pub limited: u32,
    /// Learned concurrency; `u32::MAX` when there is none.
    pub cap: u32,
    /// Usual time to the first event, in milliseconds.
    pub ttft_ms: f32,
    /// Usual speed in tokens per second.
    pub tokens_per_second: f32,
    /// Usual time to connect, in milliseconds.
    pub connect_ms: f32,
    /// Usual speed in bytes per second.
    pub bytes_per_second: f32,
    /// Of the last five minutes.
    pub ttft_ms_at: Percentiles,
    /// Of the last five minutes.
    pub tokens_per_second_at: Percentiles,
    /// Milliseconds within which 95 of 100 first events came; 0 while too few were counted.
    pub ttft_ms_p95: f32,
    /// Ends by kind since the endpoint was first used.
    pub totals: [u64; KINDS],
}

const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

const fn unpair(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

const fn floats(high: f32, low: f32) -> u64 {
    pair(high.to_bits(), low.to_bits())
}

const fn unfloats(word: u64) -> (f32, f32) {
    let (high, low) = unpair(word);
    (f32::from_bits(high), f32::from_bits(low))
}

const fn percentiles(words: [u64; 2]) -> Percentiles {
    let ((p50, p75), (p90, p99)) = (unfloats(words[0]), unfloats(words[1]));
    Percentiles { p50, p75, p90, p99 }
}

impl Cell {
    fn words(&self) -> [u64; WORDS] {
        let Self { position, ttft_ms_at: ttft, tokens_per_second_at: speed, .. } = self;
        let mut words = [0; WORDS];
        words[..15].copy_from_slice(&[
            self.tag,
            pair(self.under_way, self.tokens),
            pair(position.trips, u32::from(position.tripped)),
            position.changed_at.nanos(),
            position.until.nanos(),
            self.backoff_until.nanos(),
            pair(self.served, self.failed),
            pair(self.limited, self.cap),
            floats(self.ttft_ms, self.tokens_per_second),
            floats(self.connect_ms, self.bytes_per_second),
            floats(ttft.p50, ttft.p75),
            floats(ttft.p90, ttft.p99),
            floats(speed.p50, speed.p75),
            floats(speed.p90, speed.p99),
            floats(self.ttft_ms_p95, 0.0),
        ]);
        words[15..].copy_from_slice(&self.totals);
        words
    }

    fn from_words(words: &[u64; WORDS]) -> Self {
        let (under_way, tokens) = unpair(words[1]);
        let (trips, tripped) = unpair(words[2]);
        let moment = |word: usize| Moment::from_nanos(words[word]);
        let ((served, failed), (limited, cap)) = (unpair(words[6]), unpair(words[7]));
        let ((ttft_ms, tokens_per_second), (connect_ms, bytes_per_second)) =
            (unfloats(words[8]), unfloats(words[9]));
        let mut totals = [0; KINDS];
        totals.copy_from_slice(&words[15..]);
        Self {
            tag: words[0],
            under_way,
            tokens,
            position: Position { tripped: tripped != 0, changed_at: moment(3), until: moment(4), trips },
            backoff_until: moment(5),
            served,
            failed,
            limited,
            cap,
            ttft_ms,
            tokens_per_second,
            connect_ms,
            bytes_per_second,
            ttft_ms_at: percentiles([words[10], words[11]]),
            tokens_per_second_at: percentiles([words[12], words[13]]),
            ttft_ms_p95: unfloats(words[14]).0,
            totals,
        }
    }
}

/// A cell as it lies in shared memory, on cache lines of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Default for Slot {
    fn default() -> Self {
        Self { version: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; WORDS] }
    }
}

/// The cells of one core.
#[derive(Debug)]
#[repr(align(128))]
struct Side {
    /// Cells in use, from the front.
    count: AtomicU64,
    slots: Box<[Slot]>,
}

/// The cells of all cores, and behind them those of the prober.
#[derive(Debug)]
pub struct Board {
    sides: Box<[Side]>,
}

impl Board {
    /// For so many cores.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        let side = |_| Side { count: AtomicU64::new(0), slots: (0..ROWS).map(|_| Slot::default()).collect() };
        Self { sides: (0..=cores).map(side).collect() }
    }

    /// How many cores write here.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.prober()
    }

    /// The number under which active probes write: it comes behind the cores.
    #[must_use]
    pub fn prober(&self) -> usize {
        self.sides.len() - 1
    }

    /// Writes a cell. Only the core itself calls this, with a slot below [`ROWS`].
    pub fn write(&self, core: usize, slot: usize, cell: &Cell) {
        let slot = &self.sides[core].slots[slot];
        let version = slot.version.load(Ordering::Relaxed);
        slot.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in slot.words.iter().zip(cell.words()) {
            word.store(value, Ordering::Relaxed);
        }
        slot.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// Says how many cells are in use. Only the core itself calls this.
    pub fn set_count(&self, core: usize, count: usize) {
        self.sides[core].count.store(count as u64, Ordering::Release);
    }

    /// Reads a cell; `None` when it is not in use, or was written in each of a few turns.
    #[must_use]
    pub fn read(&self, core: usize, slot: usize) -> Option<Cell> {
        let slot = &self.sides[core].slots[slot];
        for _ in 0..TRIES {
            let before = slot.version.load(Ordering::Acquire);
            let words = core::array::from_fn(|word| slot.words[word].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && slot.version.load(Ordering::Relaxed) == before {
                return Some(Cell::from_words(&words)).filter(|cell| cell.tag != 0);
            }
        }
        None
    }

    /// The cells of one core that are in use.
    pub fn cells(&self, core: usize) -> impl Iterator<Item = Cell> + '_ {
        let count = self.sides[core].count.load(Ordering::Acquire) as usize;
        (0..count.min(ROWS)).filter_map(move |slot| self.read(core, slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// A cell whose every field follows from one number.
    fn cell(seed: u32) -> Cell {
        let float = |step: u32| (seed + step) as f32;
        let at = |step| Percentiles {
            p50: float(step),
            p75: float(step + 1),
            p90: float(step + 2),
            p99: float(step + 3),
        };
        Cell {
            tag: u64::from(seed) + 1,
            under_way: seed + 2,
            tokens: seed + 3,
            position: Position {
                tripped: seed.is_multiple_of(2),
                changed_at: Moment::from_nanos(u64::from(seed) + 4),
                until: Moment::from_nanos(u64::from(seed) + 5),
                trips: seed + 6,
            },
            backoff_until: Moment::from_nanos(u64::from(seed) + 7),
            served: seed + 8,
            failed: seed + 9,
            limited: seed + 10,
            cap: seed + 11,
            ttft_ms: float(12),
            tokens_per_second: float(13),
            connect_ms: float(14),
            bytes_per_second: float(15),
            ttft_ms_at: at(16),
            tokens_per_second_at: at(20),
            ttft_ms_p95: float(23),
            totals: core::array::from_fn(|kind| u64::from(seed) + 24 + kind as u64),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let board = Board::new(2);
        assert_eq!((board.cores(), board.cells(0).count()), (2, 0));
        for seed in [0, 1, 77] {
            board.write(1, 3, &cell(seed));
            assert_eq!(board.read(1, 3), Some(cell(seed)));
        }
        assert_eq!(board.read(0, 3), None);
        board.write(1, ROWS - 1, &cell(5));
        board.set_count(1, ROWS);
        assert_eq!(board.cells(1).collect::<Vec<Cell>>(), [cell(77), cell(5)]);
        board.write(1, 3, &Cell::default());
        assert_eq!(board.read(1, 3), None);
    }

    #[test]
    fn a_reader_never_sees_half_a_cell() {
        const ROUNDS: u32 = 20_000;
        let board = Arc::new(Board::new(1));
        board.write(0, 0, &cell(0));
        let writer = {
            let board = Arc::clone(&board);
            std::thread::spawn(move || (0..ROUNDS).for_each(|seed| board.write(0, 0, &cell(seed))))
        };
        let mut last = 0;
        while last < u64::from(ROUNDS) {
            if let Some(seen) = board.read(0, 0) {
                assert_eq!(seen, cell((seen.tag - 1) as u32));
                assert!(seen.tag >= last);
                last = seen.tag;
            }
        }
        writer.join().unwrap();
    }
}
