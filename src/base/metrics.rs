//! The table of counters: one row each, one writer (the core that owns the set), read by summing over cores.
//!
//! Deliberately absent: the text format (`control/` prints it from this table) and histograms.

use core::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// A counter of the data plane.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter { $($(#[doc = $doc])* $variant,)* }

        /// Every counter with its exported name and its help text, in table order.
        pub const COUNTERS: &[(Counter, &str, &str)] = &[
            $((Counter::$variant, $name, concat!($($doc),*)),)*
        ];
    };
}

counters! {
    /// Client connections accepted.
    ConnectionsAccepted = "millrace_client_connections_accepted_total",
    /// Client connections handed to a less loaded core.
    ConnectionsHandedOver = "millrace_client_connections_handed_over_total",
    /// Client connections closed.
    ConnectionsClosed = "millrace_client_connections_closed_total",
    /// Requests whose head was read.
    Requests = "millrace_requests_total",
    /// Requests refused before an upstream was tried (4xx of our own).
    RequestsRefused = "millrace_requests_refused_total",
    /// Requests relayed to their end.
    RequestsCompleted = "millrace_requests_completed_total",
    /// Requests that ended in an error after every candidate was tried.
    RequestsFailed = "millrace_requests_failed_total",
    /// Answers cut after the first byte was sent.
    AnswersCut = "millrace_answers_cut_total",
    /// Clients that left before their answer was complete.
    ClientsGone = "millrace_clients_gone_total",
    /// Requests refused because the journal had no room for their records.
    RequestsUnjournaled = "millrace_requests_unjournaled_total",
    /// Requests charged without a known price: their cost is part of no sum.
    RequestsUnpriced = "millrace_requests_unpriced_total",
    /// Answers read on although their client had left, to learn their usage.
    AnswersDrained = "millrace_answers_drained_total",
    /// Of those, answers that were read to their end.
    AnswersDrainedWhole = "millrace_answers_drained_whole_total",
    /// Answers not read on, because as many as may be were already.
    DrainsDenied = "millrace_drains_denied_total",
    /// Members of `provider` in requests that are not known here, and were ignored.
    PreferencesUnknown = "millrace_provider_preferences_unknown_total",
    /// Requests whose conversation goes back to the endpoint that served it last.
    StickyHits = "millrace_sticky_hits_total",
    /// Requests whose conversation is not remembered.
    StickyMisses = "millrace_sticky_misses_total",
    /// Requests whose conversation is remembered, but its endpoint is gone, excluded, slower than the request
    /// prefers, or not well.
    StickyBroken = "millrace_sticky_broken_total",
    /// Attempts at an upstream.
    Attempts = "millrace_upstream_attempts_total",
    /// Attempts that moved on to the next candidate.
    Failovers = "millrace_upstream_failovers_total",
    /// Failovers after an ambiguous failure: the first attempt may be billed.
    FailoversAmbiguous = "millrace_upstream_failovers_ambiguous_total",
    /// Failovers not made, because the next candidate was not well and the retry budget was used up.
    RetriesDenied = "millrace_upstream_retries_denied_total",
    /// Hedges: second candidates started because the first one took long.
    HedgesStarted = "millrace_hedges_started_total",
    /// Hedges that served the answer.
    HedgesWon = "millrace_hedges_won_total",
    /// Hedges that did not: the first candidate was faster after all, the hedge failed, or the request ended.
    HedgesLost = "millrace_hedges_lost_total",
    /// Hedges not started, because their share of requests or of cost was used up.
    HedgesDenied = "millrace_hedges_denied_total",
    /// Requests repeated on a fresh connection because a reused one had died.
    StaleRetries = "millrace_upstream_stale_retries_total",
    /// Connections opened to upstreams.
    UpstreamConnects = "millrace_upstream_connects_total",
    /// Attempts on a pooled connection.
    UpstreamReuses = "millrace_upstream_reuses_total",
    /// Bytes received from upstreams.
    UpstreamBytes = "millrace_upstream_received_bytes_total",
    /// Bytes sent to clients.
    ClientBytes = "millrace_client_sent_bytes_total",
    /// Events relayed.
    Events = "millrace_stream_events_total",
    /// Waiting comments sent to streaming clients.
    WaitingComments = "millrace_stream_waiting_comments_total",
    /// Deadline passed: between two requests of a client.
    DeadlineClientIdle = "millrace_deadline_client_idle_total",
    /// Deadline passed: request head.
    DeadlineClientHead = "millrace_deadline_client_head_total",
    /// Deadline passed: request body.
    DeadlineClientBody = "millrace_deadline_client_body_total",
    /// Deadline passed: the client did not read.
    DeadlineClientSend = "millrace_deadline_client_send_total",
    /// Deadline passed: connect.
    DeadlineConnect = "millrace_deadline_connect_total",
    /// Deadline passed: response head.
    DeadlineResponseHead = "millrace_deadline_response_head_total",
    /// Deadline passed: first event.
    DeadlineFirstEvent = "millrace_deadline_first_event_total",
    /// Deadline passed: idle between events.
    DeadlineIdle = "millrace_deadline_idle_total",
    /// Deadline passed: whole request.
    DeadlineTotal = "millrace_deadline_total_total",
    /// Connection tasks that panicked; each is a bug.
    Panics = "millrace_panics_total",
}

/// The counters of one core. Padded so that no other core's writes share its cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    values: [AtomicU64; COUNTERS.len()],
    /// Client connections open now; also read by other cores to decide a hand-over.
    pub connections: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { values: [const { AtomicU64::new(0) }; COUNTERS.len()], connections: AtomicU64::new(0) }
    }
}

impl Counters {
    /// Adds to a counter. Only the owning core calls this: a plain load and store, no locked instruction.
    pub fn add(&self, counter: Counter, by: u64) {
        let cell = &self.values[counter as usize];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// Reads a counter; any thread.
    #[must_use]
    pub fn value(&self, counter: Counter) -> u64 {
        self.values[counter as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_order_and_names_are_distinct() {
        for (row, (counter, name, help)) in COUNTERS.iter().enumerate() {
            assert_eq!(*counter as usize, row);
            assert!(name.starts_with("millrace_") && name.ends_with("_total") && !help.is_empty());
            assert!(COUNTERS.iter().filter(|(_, other, _)| other == name).count() == 1, "{name}");
        }
    }
}
