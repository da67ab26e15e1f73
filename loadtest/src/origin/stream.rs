//! One answer: what to send next, and when.
//!
//! Deliberately absent: sockets and the clock; the time is an argument.

use super::render::Rendered;
use super::request::Ask;
use crate::event_loop::clock::{Random, seconds_ns};
use crate::scenario::{Fault, FaultKind, Origin, Writes};

/// How answers run, from the scenario, in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) first_ns: u64,
    pub(super) gap_ns: u64,
    pub(super) jitter_ns: f64,
    pub(super) events: u64,
    pub(super) usage: bool,
    /// Events in one chunk, at most.
    pub(super) events_at_once: u64,
    /// Bytes of one write: split answers only.
    pub(super) split_bytes: Option<usize>,
}

impl Shape {
    /// The shape of a scenario whose events have `event_bytes`.
    pub(super) fn new(origin: &Origin, event_bytes: u64) -> Self {
        let nanos = |millis: f64| seconds_ns(millis / 1000.0);
        let room = origin.write_bytes / event_bytes.max(1);
        Self {
            first_ns: nanos(origin.first_token_ms),
            gap_ns: nanos(origin.gap_ms),
            jitter_ns: origin.jitter_ms * 1e6,
            events: u64::from(origin.events),
            usage: origin.usage,
            events_at_once: if origin.writes == Writes::Coalesced { room.max(1) } else { 1 },
            split_bytes: (origin.writes == Writes::Split)
                .then(|| usize::try_from(origin.write_bytes).unwrap_or(usize::MAX)),
        }
    }
}

/// An answer on its way.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    ask: Ask,
    /// Numbered events sent; an answer that is not streamed counts as one.
    sent: u64,
    /// When the next event is due without jitter, and with it.
    pace_ns: u64,
    due_ns: u64,
    fault: Option<Doom>,
}

/// How an answer goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doom {
    member: usize,
    fault: usize,
    kind: FaultKind,
    after: u64,
}

/// What [`Reply::step`] led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something was appended; there is more.
    Wrote,
    /// Nothing is due before this time.
    Wait(u64),
    /// All was appended.
    Done,
    /// The answer goes wrong in this way; never `Status`.
    Fault(FaultKind),
}

/// Draws the fate of one of `member`'s answers.
pub(super) fn draw(member: usize, faults: &[Fault], random: &mut Random) -> Option<Doom> {
    if faults.is_empty() {
        return None;
    }
    let mut left = random.unit();
    for (index, fault) in faults.iter().enumerate() {
        if left < fault.share {
            let after = if fault.kind == FaultKind::Status { 0 } else { u64::from(fault.after_events) };
            return Some(Doom { member, fault: index, kind: fault.kind, after });
        }
        left -= fault.share;
    }
    None
}

impl Reply {
    /// The answer to a request that was complete at `now_ns`.
    pub(super) fn new(ask: Ask, fault: Option<Doom>, shape: &Shape, now_ns: u64) -> Self {
        let due_ns = now_ns + shape.first_ns;
        Self { ask, sent: 0, pace_ns: due_ns, due_ns, fault }
    }

    /// Appends what is due next to `out`.
    pub(super) fn step(
        &mut self,
        rendered: &mut Rendered,
        shape: &Shape,
        random: &mut Random,
        out: &mut Vec<u8>,
        now_ns: u64,
    ) -> Step {
        if now_ns < self.due_ns {
            return Step::Wait(self.due_ns);
        }
        if let Some(doom) = self.fault.filter(|doom| self.sent >= doom.after) {
            if doom.kind != FaultKind::Status {
                return Step::Fault(doom.kind);
            }
            rendered.append_refusal(out, doom.member, doom.fault);
            return Step::Done;
        }
        if !self.ask.stream {
            let begin = out.len();
            rendered.append_answer(out, self.ask.request, now_ns);
            if self.fault.is_none() {
                return Step::Done;
            }
            // The head and a part of the body; the rest is what goes wrong.
            out.truncate(begin + (out.len() - begin) * 3 / 4);
            self.sent = u64::MAX;
            return Step::Wrote;
        }
        if self.sent >= shape.events {
            rendered.append_end(out, shape.usage && self.ask.usage);
            return Step::Done;
        }
        if self.sent == 0 {
            rendered.append_head(out);
        }
        let end = self.fault.map_or(shape.events, |doom| doom.after.min(shape.events));
        let count = shape.events_at_once.min(end - self.sent);
        rendered.append_events(out, self.ask.request, self.sent + 1, count, now_ns);
        self.sent += count;
        self.pace_ns += shape.gap_ns;
        if shape.gap_ns > 0 {
            let late_ns = (shape.jitter_ns * random.unit()) as u64;
            self.due_ns = self.due_ns.max(self.pace_ns + late_ns);
        }
        Step::Wrote
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs an answer with the clock jumping to each due time; what was sent, when it ended, and how.
    fn run(origin: &Origin, fault: Option<Fault>, stream: bool) -> (String, u64, Step) {
        let faults: Vec<Fault> = fault.into_iter().collect();
        let mut rendered = Rendered::new(origin, core::slice::from_ref(&faults));
        let shape = Shape::new(origin, rendered.event_bytes());
        let mut random = Random::new(1);
        let doom = draw(0, &faults, &mut random);
        let mut reply = Reply::new(Ask { request: 9, stream, usage: true }, doom, &shape, 1000);
        let (mut out, mut now) = (Vec::new(), 1000);
        loop {
            match reply.step(&mut rendered, &shape, &mut random, &mut out, now) {
                Step::Wrote => {}
                Step::Wait(due) => {
                    assert!(due > now);
                    now = due;
                }
                last => return (String::from_utf8(out).expect("text"), now - 1000, last),
            }
        }
    }

    fn origin() -> Origin {
        Origin { events: 5, gap_ms: 2.0, first_token_ms: 7.0, ..Origin::default() }
    }

    fn fault(kind: FaultKind, after_events: u32) -> Option<Fault> {
        let status = (kind == FaultKind::Status).then_some(503);
        Some(Fault { share: 1.0, kind, status, retry_after_s: None, after_events })
    }

    #[test]
    fn whole_answers_keep_their_pace() {
        let (text, elapsed, last) = run(&origin(), None, true);
        assert_eq!((elapsed, last), (7_000_000 + 5 * 2_000_000, Step::Done));
        for number in 1..=5 {
            assert!(text.contains(&format!("0000000000000009 {number:08} ")), "{number}: {text}");
        }
        assert!(text.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"), "{text}");
        let (text, elapsed, last) = run(&origin(), None, false);
        assert_eq!((elapsed, last), (7_000_000, Step::Done));
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with('}'), "{text}");
    }

    #[test]
    fn jitter_only_delays() {
        let (_, elapsed, _) = run(&Origin { jitter_ms: 1.0, ..origin() }, None, true);
        assert!((17_000_000..18_000_000).contains(&elapsed), "{elapsed}");
    }

    #[test]
    fn events_share_a_chunk_when_coalesced() {
        let coalesced = Origin { gap_ms: 0.0, writes: Writes::Coalesced, write_bytes: 700, ..origin() };
        let (text, _, _) = run(&coalesced, None, true);
        // Two events of 320 bytes, two more, and one: 0x280 and 0x140 bytes.
        assert_eq!(text.matches("\r\n280\r\n").count(), 2, "{text}");
        assert_eq!(text.matches("\r\n140\r\n").count(), 1, "{text}");
    }

    #[test]
    fn faults_come_where_they_should() {
        for kind in [FaultKind::Reset, FaultKind::Close, FaultKind::Stall] {
            for (after, stream, events) in [(0, true, 0), (3, true, 3), (0, false, 0), (1, false, 1)] {
                let (text, _, last) = run(&origin(), fault(kind, after), stream);
                assert_eq!(last, Step::Fault(kind));
                assert_eq!(text.matches("\"content\":").count(), events, "{text}");
                assert!(!text.contains("[DONE]"), "{text}");
            }
        }
        let (text, _, last) = run(&origin(), fault(FaultKind::Status, 0), true);
        assert_eq!(last, Step::Done);
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    }

    #[test]
    fn shares_are_kept() {
        let half = |kind| Fault { share: 0.25, ..fault(kind, 0).expect("a fault") };
        let faults = [half(FaultKind::Reset), half(FaultKind::Stall)];
        let mut random = Random::new(3);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[draw(0, &faults, &mut random).map_or(2, |doom| doom.fault)] += 1;
        }
        assert!((2300..2700).contains(&counts[0]) && (2300..2700).contains(&counts[1]), "{counts:?}");
    }
}
