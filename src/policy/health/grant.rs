//! What a provider says it still grants: `x-ratelimit-remaining-*` with `x-ratelimit-reset-*`, as OpenAI,
//! Azure, Groq and Together send them with every answer, and `anthropic-ratelimit-*`.
//!
//! Only one thing is read out of them: that nothing is left, and for how long. Limits are known best by who
//! enforces them, so Millrace keeps no count of its own.
//! Deliberately absent: the fields' names (`wire::http1`).

use core::time::Duration;

use crate::base::time::UnixSeconds;
use crate::wire::http1::{read_date, read_timestamp};

/// A number of seconds from here on is a time of the day, not a wait: 2001, and thirty years of waiting.
const EPOCH_LEAST: f64 = 1e9;
/// Likewise one of milliseconds.
const EPOCH_MS_LEAST: f64 = 1e12;

/// How long nothing is granted; `None` when something is left, or when the fields do not say.
///
/// `reset` is a Go duration (`6m0s`, `17.4s`, `26ms`), a number of seconds, or a wall time: RFC 3339, an HTTP
/// date, seconds or milliseconds since 1970. A time that has passed says nothing.
#[must_use]
pub fn used_up(remaining: &[u8], reset: &[u8], now: UnixSeconds) -> Option<Duration> {
    let none_left = !remaining.is_empty() && remaining.iter().all(|byte| *byte == b'0');
    if none_left { wait(reset, now) } else { None }
}

fn wait(reset: &[u8], now: UnixSeconds) -> Option<Duration> {
    let until = |seconds: f64| {
        let wait = Duration::try_from_secs_f64(seconds - now.0 as f64).ok();
        wait.filter(|wait| !wait.is_zero())
    };
    let text = core::str::from_utf8(reset).ok()?;
    match number(text) {
        Some(ms) if ms >= EPOCH_MS_LEAST => until(ms / 1e3),
        Some(seconds) if seconds >= EPOCH_LEAST => until(seconds),
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => match read_timestamp(reset).or_else(|| read_date(reset)) {
            Some(UnixSeconds(seconds)) => until(seconds as f64),
            None => duration(text),
        },
    }
}

/// Units of a Go duration in seconds. `ms` stands before `m` and `s`: the longest name that fits counts.
const UNITS: [(&str, f64); 6] =
    [("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];

fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (value, unit) = rest.split_at(digits);
        let (name, seconds) = UNITS.iter().find(|(name, _)| unit.starts_with(name))?;
        sum += number(value)? * seconds;
        rest = &unit[name.len()..];
    }
    Duration::try_from_secs_f64(sum).ok().filter(|_| !text.is_empty())
}

/// Digits with at most one point: the standard parser would also take signs, exponents and `inf`.
fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 08:00:00 UTC.
    const NOW: UnixSeconds = UnixSeconds(1_795_161_600);

    #[track_caller]
    fn check(remaining: &str, reset: &str, want_ms: Option<u64>) {
        let got = used_up(remaining.as_bytes(), reset.as_bytes(), NOW);
        let got = got.map(|wait| wait.as_secs_f64() * 1000.0);
        match (got, want_ms) {
            (None, None) => {}
            (Some(got), Some(want)) => assert!((got - want as f64).abs() < 0.5, "{remaining} {reset}: {got}"),
            (got, want) => panic!("{remaining} {reset}: {got:?}, not {want:?}"),
        }
    }

    #[test]
    fn only_nothing_left_says_something() {
        check("0", "6m0s", Some(360_000));
        check("0", "17.399999999s", Some(17_400));
        check("0", "26ms", Some(26));
        check("0", "1h2m3s4ms", Some(3_723_004));
        check("0", "900us", Some(1));
        check("0", "12", Some(12_000));
        check("0", "1.5", Some(1_500));
        check("00", "1s", Some(1_000));
        check("1", "6m0s", None);
        check("10", "6m0s", None);
        check("", "6m0s", None);
        check("-0", "1s", None);
    }

    #[test]
    fn wall_times_are_waits_from_now() {
        check("0", "2026-11-20T08:00:30Z", Some(30_000));
        check("0", "2026-11-20T09:00:30.5+01:00", Some(30_000));
        check("0", "Fri, 20 Nov 2026 08:01:00 GMT", Some(60_000));
        check("0", "1795161605", Some(5_000));
        check("0", "1795161605.5", Some(5_500));
        check("0", "1795161605250", Some(5_250));
        check("0", "2026-11-20T08:00:00Z", None);
        check("0", "2026-11-20T07:59:59Z", None);
        check("0", "1795161599", None);
        check("7", "2026-11-20T08:00:30Z", None);
    }

    #[test]
    fn nonsense_says_nothing() {
        for reset in
            ["", "s", ".", "1.2.3", "-1s", "1s2", "1 s", "inf", "1e9", "nan", "9".repeat(400).as_str(), "1d"]
        {
            check("0", reset, None);
        }
        assert_eq!(used_up(b"0", b"\xff1s", NOW), None);
        // Cut at every byte it is a duration or nothing, and never a panic.
        let whole = b"1h2m3.5s4ms5us6ns";
        for end in 0..whole.len() {
            assert!(used_up(b"0", &whole[..end], NOW).is_none_or(|wait| wait.as_secs() <= 3_963));
        }
    }
}
