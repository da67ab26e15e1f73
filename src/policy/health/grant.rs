//! What a provider says it still grants: `x-ratelimit-remaining-*` with `x-ratelimit-reset-*`, as OpenAI,
//! Azure and Groq send them with every answer.
//!
//! Only one thing is read out of them: that nothing is left, and for how long. Limits are known best by who
//! enforces them, so Millrace keeps no count of its own.
//! Deliberately absent: the fields' names (`wire::http1`), and forms in which the reset is a wall time.

use core::time::Duration;

/// How long nothing is granted; `None` when something is left, or when the fields do not say.
///
/// `reset` is a Go duration (`6m0s`, `17.4s`, `26ms`) or a number of seconds.
#[must_use]
pub fn used_up(remaining: &[u8], reset: &[u8]) -> Option<Duration> {
    let none_left = !remaining.is_empty() && remaining.iter().all(|byte| *byte == b'0');
    if none_left { duration(core::str::from_utf8(reset).ok()?) } else { None }
}

/// Units of a Go duration in seconds. `ms` stands before `m` and `s`: the longest name that fits counts.
const UNITS: [(&str, f64); 6] =
    [("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];

fn duration(text: &str) -> Option<Duration> {
    if let Some(seconds) = number(text) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
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

    #[track_caller]
    fn check(remaining: &str, reset: &str, want_ms: Option<u64>) {
        let got = used_up(remaining.as_bytes(), reset.as_bytes());
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
    fn nonsense_says_nothing() {
        for reset in
            ["", "s", ".", "1.2.3", "-1s", "1s2", "1 s", "inf", "1e9", "nan", "9".repeat(400).as_str(), "1d"]
        {
            check("0", reset, None);
        }
        assert_eq!(used_up(b"0", b"\xff1s"), None);
        // Cut at every byte it is a duration or nothing, and never a panic.
        let whole = b"1h2m3.5s4ms5us6ns";
        for end in 0..whole.len() {
            assert!(used_up(b"0", &whole[..end]).is_none_or(|wait| wait.as_secs() <= 3_963));
        }
    }
}
