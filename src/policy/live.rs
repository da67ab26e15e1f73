//! What is known about endpoints right now, as routing sees it: one row of figures per endpoint.
//!
//! Whoever keeps health figures folds them into rows; routing only reads. A row that nobody has written says
//! "well, and nothing measured", so a router that has just begun treats all endpoints alike.
//! Deliberately absent: how figures are measured, merged and aged (`health` does that), and any clock.

use crate::base::ids::EndpointId;

/// A figure at the four percentiles that requests can name, over the last five minutes; 0 is "not measured".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// Half of all requests did as well as this or better.
    pub p50: f32,
    /// Three quarters did.
    pub p75: f32,
    /// Nine of ten did.
    pub p90: f32,
    /// 99 of 100 did.
    pub p99: f32,
}

impl Percentiles {
    /// In the order p50, p75, p90, p99.
    #[must_use]
    pub const fn all(self) -> [f32; 4] {
        [self.p50, self.p75, self.p90, self.p99]
    }
}

/// The figures of one endpoint: one cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub struct Figures {
    /// False while its breaker is open or it asked for a pause: it goes behind the healthy ones.
    pub healthy: bool,
    /// Failed requests among recent ones, 0 to 1; the caller's own faults and 429s do not count.
    pub error_share: f32,
    /// Requests refused with a 429 among recent ones, 0 to 1.
    pub limited_share: f32,
    /// Tokens of requests that are under way there, prompts included.
    pub tokens_in_flight: u32,
    /// Usual time to the first event, in milliseconds; 0 is "not measured".
    pub ttft_ms: f32,
    /// Usual output speed in tokens per second, waiting included; 0 is "not measured".
    pub tokens_per_second: f32,
    /// Time to the first event in milliseconds; higher percentiles are longer times.
    pub ttft_ms_at: Percentiles,
    /// Tokens per second; higher percentiles are lower speeds, which more requests reach.
    pub tokens_per_second_at: Percentiles,
    /// Milliseconds within which 95 of 100 first events came; 0 is "too few were measured to tell".
    pub ttft_ms_p95: f32,
}

impl Figures {
    /// Well, and nothing measured.
    pub const UNKNOWN: Self = Self {
        healthy: true,
        error_share: 0.0,
        limited_share: 0.0,
        tokens_in_flight: 0,
        ttft_ms: 0.0,
        tokens_per_second: 0.0,
        ttft_ms_at: Percentiles { p50: 0.0, p75: 0.0, p90: 0.0, p99: 0.0 },
        tokens_per_second_at: Percentiles { p50: 0.0, p75: 0.0, p90: 0.0, p99: 0.0 },
        ttft_ms_p95: 0.0,
    };
}

/// What a share of errors weighs.
const ERRORS: f32 = 8.0;
/// What a share of 429s weighs.
const LIMITED: f32 = 2.0;
/// A wait of so many milliseconds weighs as much as the price.
const WAIT_MS: f32 = 20_000.0;
/// Speed of an endpoint that was not measured, in tokens per second.
const SPEED: f32 = 50.0;

impl Figures {
    /// By how much its ways make it dearer than its price, for the default strategy (which tells the
    /// formula); always positive.
    #[must_use]
    pub fn handicap(&self) -> f32 {
        let speed =
            if self.tokens_per_second > 0.0 { self.tokens_per_second.clamp(5.0, 500.0) } else { SPEED };
        (1.0 + ERRORS * self.error_share)
            * (1.0 + LIMITED * self.limited_share)
            * (1.0 + self.ttft_ms / WAIT_MS)
            * (SPEED / speed).sqrt()
    }
}

/// Figures in one number: the handicap, negative for an endpoint that is not well. Fifty of them are four
/// cache lines, and most requests look at nothing else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brief(f32);

impl Brief {
    /// Of [`Figures::UNKNOWN`].
    pub const UNKNOWN: Self = Self(1.0);

    /// Of nobody: fills places that are not used.
    pub(super) const NONE: Self = Self(0.0);

    /// Of these figures.
    #[must_use]
    pub fn of(figures: &Figures) -> Self {
        let handicap = figures.handicap();
        Self(if figures.healthy { handicap } else { -handicap })
    }

    /// [`Figures::handicap`]
    #[must_use]
    pub const fn handicap(self) -> f32 {
        self.0.abs()
    }

    /// [`Figures::healthy`]
    #[must_use]
    pub const fn is_well(self) -> bool {
        self.0.is_sign_positive()
    }
}

impl Default for Brief {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

/// Figures and their briefs, row by row, kept together.
#[derive(Clone, Debug, Default)]
pub struct LiveTable {
    rows: Vec<Figures>,
    briefs: Vec<Brief>,
}

impl LiveTable {
    /// So many rows of which nothing is known.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self { rows: vec![Figures::UNKNOWN; rows], briefs: vec![Brief::UNKNOWN; rows] }
    }

    /// A row; `None` when there is none.
    #[must_use]
    pub fn row(&self, row: u32) -> Option<&Figures> {
        self.rows.get(row as usize)
    }

    /// Is this row well? One that is not there is.
    #[must_use]
    pub fn is_well(&self, row: u32) -> bool {
        self.briefs.get(row as usize).is_none_or(|brief| brief.is_well())
    }

    /// Replaces a row, if there is one.
    pub fn set(&mut self, row: u32, figures: Figures) {
        let at = row as usize;
        if let (Some(known), Some(brief)) = (self.rows.get_mut(at), self.briefs.get_mut(at)) {
            (*known, *brief) = (figures, Brief::of(&figures));
        }
    }

    /// Replaces what a request that begins changes: its tokens, and whether there is room for another one.
    pub fn set_load(&mut self, row: u32, tokens_in_flight: u32, healthy: bool) {
        let at = row as usize;
        if let (Some(known), Some(brief)) = (self.rows.get_mut(at), self.briefs.get_mut(at)) {
            (known.tokens_in_flight, known.healthy) = (tokens_in_flight, healthy);
            brief.0 = if healthy { brief.0.abs() } else { -brief.0.abs() };
        }
    }

    /// All of it, to read.
    #[must_use]
    pub fn live(&self) -> Live<'_> {
        Live { rows: &self.rows, briefs: &self.briefs }
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

/// The figures of all endpoints, by `EndpointId`. Endpoints without a row have [`Figures::UNKNOWN`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Live<'a> {
    rows: &'a [Figures],
    /// As long as `rows`, or empty: then they are made when they are asked for.
    briefs: &'a [Brief],
}

impl<'a> Live<'a> {
    /// Rows by `EndpointId`, without a [`LiveTable`] around them.
    #[must_use]
    pub const fn new(rows: &'a [Figures]) -> Self {
        Self { rows, briefs: &[] }
    }

    /// Nothing was measured yet.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { rows: &[], briefs: &[] }
    }

    /// The figures of one endpoint.
    #[must_use]
    pub fn of(&self, endpoint: EndpointId) -> &'a Figures {
        self.rows.get(endpoint.index()).unwrap_or(&Figures::UNKNOWN)
    }

    /// The briefs of these endpoints, in their order.
    pub(super) fn briefs(&self, ids: impl Iterator<Item = EndpointId>, briefs: &mut [Brief]) {
        briefs.iter_mut().zip(ids).for_each(|(brief, id)| *brief = self.brief(id));
    }

    /// The briefs of as many endpoints as there is room for, from `first` on.
    pub(super) fn briefs_from(&self, first: u32, briefs: &mut [Brief]) {
        match self.briefs.get(first as usize..).and_then(|behind| behind.get(..briefs.len())) {
            Some(own) => briefs.copy_from_slice(own),
            None => self.briefs((first..).map(EndpointId), briefs),
        }
    }

    /// The figures of one endpoint in one number.
    #[must_use]
    #[inline]
    pub fn brief(&self, endpoint: EndpointId) -> Brief {
        match self.briefs.get(endpoint.index()) {
            Some(brief) => *brief,
            None if self.rows.is_empty() => Brief::UNKNOWN,
            None => self.made(endpoint),
        }
    }

    #[cold]
    fn made(&self, endpoint: EndpointId) -> Brief {
        self.rows.get(endpoint.index()).map_or(Brief::UNKNOWN, Brief::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_row_is_well_and_unmeasured() {
        let sick = Figures { healthy: false, ..Figures::UNKNOWN };
        let rows = [sick];
        let live = Live::new(&rows);
        assert_eq!(live.of(EndpointId(0)), &sick);
        assert_eq!(live.of(EndpointId(1)), &Figures::default());
        assert!(Live::unknown().of(EndpointId(0)).healthy);
        assert_eq!(size_of::<Figures>(), 64);
    }

    #[test]
    fn a_brief_says_what_the_figures_say() {
        for healthy in [true, false] {
            for (error_share, limited_share, ttft_ms, tokens_per_second, want) in [
                (0.0, 0.0, 0.0, 0.0, 1.0),
                (0.25, 0.0, 0.0, 0.0, 3.0),
                (0.0, 0.5, 20_000.0, 0.0, 4.0),
                (0.0, 0.0, 0.0, 200.0, 0.5),
                (0.0, 0.0, 0.0, 1e9, 0.316_227_76),
            ] {
                let figures = Figures {
                    healthy,
                    error_share,
                    limited_share,
                    ttft_ms,
                    tokens_per_second,
                    ..Figures::UNKNOWN
                };
                let mut table = LiveTable::new(2);
                table.set(1, figures);
                table.set(2, figures);
                for brief in [table.live().brief(EndpointId(1)), Live::new(&[figures]).brief(EndpointId(0))] {
                    assert_eq!((brief.handicap(), brief.is_well()), (want, healthy));
                }
                assert_eq!((table.row(1), table.row(2)), (Some(&figures), None));
                table.set_load(1, 7, !healthy);
                let want = Figures { tokens_in_flight: 7, healthy: !healthy, ..figures };
                assert_eq!((table.row(1), table.is_well(1)), (Some(&want), !healthy));
                assert_eq!(table.live().brief(EndpointId(1)), Brief::of(&want));
                assert!(table.is_well(0) && table.is_well(9));
            }
        }
    }
}
