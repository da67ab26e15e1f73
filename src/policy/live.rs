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

impl Default for Figures {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

/// The figures of all endpoints, by `EndpointId`. Endpoints without a row have [`Figures::UNKNOWN`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Live<'a> {
    rows: &'a [Figures],
}

impl<'a> Live<'a> {
    /// Rows by `EndpointId`.
    #[must_use]
    pub const fn new(rows: &'a [Figures]) -> Self {
        Self { rows }
    }

    /// Nothing was measured yet.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { rows: &[] }
    }

    /// The figures of one endpoint.
    #[must_use]
    pub fn of(&self, endpoint: EndpointId) -> &'a Figures {
        self.rows.get(endpoint.index()).unwrap_or(&Figures::UNKNOWN)
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
}
