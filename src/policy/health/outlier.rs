//! Endpoints compared with those that serve the same model: one that answers, but far worse than the others,
//! goes behind them for a while.
//!
//! The measure is the median of the peers, so at most a minority can be outliers, and a slow day of a whole
//! model makes none. The pause ends by itself; after it the endpoint proves itself slowly, as after an open
//! breaker, and is compared again once there are enough answers of the time since.
//! Deliberately absent: endpoints of which little is known; they are not compared.

use crate::base::time::Moment;
use crate::policy::health::layout::NONE;
use crate::policy::health::{Health, Layout};

/// Endpoints of a model, this one included, that a comparison takes.
const ENDPOINTS_LEAST: usize = 3;
/// First events of this core, at least, before the time to them is compared.
const EVENTS_LEAST: u32 = 8;
/// Ends in the window, at least, before the error share is compared.
const ENDS_LEAST: u32 = 20;
/// So many times the peers' median …
const TIMES: f32 = 3.0;
/// … and so many milliseconds more …
const MORE_MS: f32 = 500.0;
/// … or so much more of an error share.
const MORE_SHARE: f32 = 0.1;

/// What is compared of one endpoint; `None` where too little is known.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    row: u32,
    ttft_ms: Option<f32>,
    error_share: Option<f32>,
}

/// The middle one, if there are at least two.
fn median(mut values: Vec<f32>) -> Option<f32> {
    values.sort_unstable_by(f32::total_cmp);
    (values.len() + 1 >= ENDPOINTS_LEAST).then(|| values[values.len() / 2])
}

/// Is this one far worse than the others? `None`: too little is known to say.
fn is_outlier(one: &Standing, all: &[Standing]) -> Option<bool> {
    let others = || all.iter().filter(|other| other.row != one.row);
    let slow = one.ttft_ms.zip(median(others().filter_map(|other| other.ttft_ms).collect()));
    let slow = slow.map(|(own, usual)| own > usual * TIMES && own > usual + MORE_MS);
    let failing = one.error_share.zip(median(others().filter_map(|other| other.error_share).collect()));
    let failing = failing.map(|(own, usual)| own > usual * TIMES && own > usual + MORE_SHARE);
    match (slow, failing) {
        (None, None) => None,
        (slow, failing) => Some(slow == Some(true) || failing == Some(true)),
    }
}

impl Health {
    /// Compares the endpoints of each model that are in use.
    pub(super) fn compare(&mut self, now: Moment, random: u64) {
        let (Some(snapshot), Some(layout)) = (self.snapshot.clone(), self.layout.clone()) else { return };
        for model in &snapshot.models {
            let used =
                model.endpoints.iter().filter(|endpoint| self.places[endpoint.index()] != NONE).count();
            if used < ENDPOINTS_LEAST {
                continue;
            }
            let rows = model.endpoints.iter().map(|endpoint| endpoint.0);
            let all: Vec<Standing> = rows.filter_map(|row| self.standing(&layout, row, now)).collect();
            for one in &all {
                if let Some(is_outlier) = is_outlier(one, &all) {
                    let place = self.places[one.row as usize] as usize;
                    self.rows[place].compared(now, is_outlier, random.wrapping_mul(u64::from(one.row) | 1));
                }
            }
        }
    }

    fn standing(&mut self, layout: &Layout, row: u32, now: Moment) -> Option<Standing> {
        let known = self.rows.get_mut(self.places[row as usize] as usize)?;
        debug_assert_eq!(layout.tag(row), known.tag);
        let tally = known.merged(now);
        let ttft_ms = known.figures(now).ttft_ms;
        Some(Standing {
            row,
            ttft_ms: (known.fresh() >= EVENTS_LEAST && ttft_ms > 0.0).then_some(ttft_ms),
            error_share: (tally.failed + tally.served >= ENDS_LEAST).then(|| tally.share()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times and error shares (negative: unknown); the rows that are outliers.
    #[track_caller]
    fn check(all: &[(f32, f32)], want: &[u32]) {
        let known = |value: f32| (value >= 0.0).then_some(value);
        let standings: Vec<Standing> = (0_u32..)
            .zip(all)
            .map(|(row, (ttft, share))| Standing { row, ttft_ms: known(*ttft), error_share: known(*share) })
            .collect();
        let found = standings.iter().filter(|one| is_outlier(one, &standings) == Some(true));
        assert_eq!(found.map(|one| one.row).collect::<Vec<u32>>(), want, "{all:?}");
    }

    #[test]
    fn only_what_is_far_worse_than_its_peers_is_an_outlier() {
        check(&[], &[]);
        check(&[(9_000.0, -1.0)], &[]);
        check(&[(9_000.0, -1.0), (100.0, -1.0)], &[]);
        check(&[(9_000.0, -1.0), (100.0, -1.0), (120.0, -1.0)], &[0]);
        check(&[(550.0, -1.0), (100.0, -1.0), (120.0, -1.0)], &[]);
        check(&[(1_000.0, -1.0), (500.0, -1.0), (400.0, -1.0)], &[]);
        check(&[(9_000.0, 0.0), (9_000.0, 0.0), (9_500.0, 0.0)], &[]);
        check(&[(-1.0, 0.4), (-1.0, 0.0), (-1.0, 0.01)], &[0]);
        check(&[(-1.0, 0.09), (-1.0, 0.0), (-1.0, 0.0)], &[]);
        check(&[(-1.0, 0.4), (-1.0, 0.3), (-1.0, 0.35)], &[]);
        check(&[(100.0, 0.4), (100.0, 0.0), (100.0, 0.0), (7_000.0, 0.0)], &[0, 3]);
    }

    #[test]
    fn a_majority_is_never_an_outlier() {
        for bad in 0..=7_u32 {
            let all: Vec<Standing> = (0..7)
                .map(|row| {
                    let ttft_ms = if row < bad { 50_000.0 + row as f32 } else { 100.0 };
                    Standing { row, ttft_ms: Some(ttft_ms), error_share: None }
                })
                .collect();
            let found = all.iter().filter(|one| is_outlier(one, &all) == Some(true)).count();
            assert_eq!(found, if bad <= 3 { bad as usize } else { 0 }, "{bad}");
        }
    }
}
