//! Counts over the last seconds: a ring of time slices, each cleared when its turn comes again.
//!
//! Deliberately absent: any clock (the moment is an argument) and figures that are not counts (`figures`).

use core::time::Duration;

use crate::base::time::Moment;

/// Slices of a window. The oldest one is always dropped whole.
const SLICES: usize = 10;

/// `N` counts over [`Window::span`]; each slice saturates at 65,535.
#[derive(Clone, Debug)]
pub struct Window<const N: usize> {
    slices: [[u16; N]; SLICES],
    /// Of all slices, kept as they change: they are asked for several times per request.
    sums: [u32; N],
    /// Number of the newest slice since the clock's origin.
    newest: u64,
    slice_nanos: u64,
}

impl<const N: usize> Window<N> {
    /// An empty window over `span`, which is cut into ten slices.
    #[must_use]
    pub const fn new(span: Duration) -> Self {
        let nanos = span.as_nanos() as u64 / SLICES as u64;
        let slice_nanos = if nanos == 0 { 1 } else { nanos };
        Self { slices: [[0; N]; SLICES], sums: [0; N], newest: 0, slice_nanos }
    }

    /// Drops what is too old at `now`.
    fn turn(&mut self, now: Moment) {
        let slice = now.nanos() / self.slice_nanos;
        let steps = slice.saturating_sub(self.newest).min(SLICES as u64);
        for step in 0..steps {
            let old = &mut self.slices[((slice - step) % SLICES as u64) as usize];
            for (sum, count) in self.sums.iter_mut().zip(old) {
                *sum -= u32::from(core::mem::take(count));
            }
        }
        self.newest = self.newest.max(slice);
    }

    /// Counts one of `which`, which is below `N`.
    pub fn add(&mut self, now: Moment, which: usize) {
        self.turn(now);
        let count = &mut self.slices[(self.newest % SLICES as u64) as usize][which];
        if *count < u16::MAX {
            *count += 1;
            self.sums[which] += 1;
        }
    }

    /// What was counted in the window that ends at `now`.
    pub fn sums(&mut self, now: Moment) -> [u32; N] {
        self.turn(now);
        debug_assert!((0..N).all(|which| {
            self.sums[which] == self.slices.iter().map(|slice| u32::from(slice[which])).sum::<u32>()
        }));
        self.sums
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slices = [[0; N]; SLICES];
        self.sums = [0; N];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    /// Counts at these milliseconds, then asks what a window of ten seconds holds.
    #[track_caller]
    fn check(counted: &[u64], asked: u64, want: u32) {
        let mut window = Window::<2>::new(Duration::from_secs(10));
        counted.iter().for_each(|ms| window.add(at(*ms), 1));
        assert_eq!(window.sums(at(asked)), [0, want], "{counted:?} at {asked}");
    }

    #[test]
    fn counts_leave_when_they_are_as_old_as_the_window() {
        check(&[], 0, 0);
        check(&[0, 0, 500], 999, 3);
        check(&[0, 1_000, 2_000], 9_999, 3);
        check(&[0, 1_000, 2_000], 10_000, 2);
        check(&[0, 1_000, 2_000], 11_999, 1);
        check(&[0, 1_000, 2_000], 12_000, 0);
        check(&[5_000], 4_000_000, 0);
        check(&[5_000, 1_000_000, 1_000_001], 1_000_002, 2);
        check(&[5_000, 4_000], 5_000, 2);
    }

    #[test]
    fn a_slice_saturates_and_a_cleared_window_is_empty() {
        let mut window = Window::<1>::new(Duration::from_secs(1));
        (0..70_000).for_each(|_| window.add(at(3), 0));
        assert_eq!(window.sums(at(3)), [65_535]);
        window.clear();
        assert_eq!(window.sums(at(3)), [0]);
    }
}
