//! Points and spans in time as text: `2026-11-20T14:45:00Z`, `90s`, `1h30m`.
//!
//! Deliberately absent: the clock, and time zones other than UTC.

use core::time::Duration;

/// Seconds in a day.
const DAY: u64 = 86_400;
/// The longest span, in seconds: a hundred years.
const SPAN_MOST: u64 = 36_525 * DAY;

/// Reads a span: whole numbers, each with `ms`, `s`, `m`, `h` or `d`, written together; at most a hundred
/// years.
#[must_use]
pub fn span(text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let letters = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = behind.split_at(letters);
        let number: u64 = number.parse().ok()?;
        let part = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3_600)?),
            "d" => Duration::from_secs(number.checked_mul(DAY)?),
            _ => return None,
        };
        sum = sum.checked_add(part)?;
        rest = behind;
    }
    (!text.is_empty() && sum.as_secs() <= SPAN_MOST).then_some(sum)
}

/// A span for people, in its two largest units.
#[must_use]
pub fn span_text(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..DAY => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / DAY, seconds % DAY / 3_600),
    }
}

/// Nanoseconds since 1970 of an RFC 3339 text in UTC: `2026-11-20T14:45:00.250Z`, also with a space for `T`
/// or `+00:00` for `Z`.
#[must_use]
pub fn unix_nanos(text: &str) -> Option<u64> {
    let body = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let (date, time) = body.split_once(['T', ' '])?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let fields = |text: &str, mark: char, widths: [usize; 3]| -> Option<[u64; 3]> {
        let parts: Vec<&str> = text.split(mark).collect();
        let fits = parts.len() == 3 && parts.iter().zip(widths).all(|(part, width)| part.len() == width);
        let number =
            |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
        if fits { Some([number(parts[0])?, number(parts[1])?, number(parts[2])?]) } else { None }
    };
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    let plain = !fraction.is_empty() && fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit());
    // A leap second (60) is the second after it.
    if !plain || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = days(year, month, day)? * DAY + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000_000 + nanos)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, years 1970 to 2500.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *months.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if !(1970..=2500).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    Some(years + months[..month as usize - 1].iter().sum::<u64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown() {
        for (text, want) in [
            ("0s", Some(0)),
            ("90s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("2d1ms", Some(172_800_001)),
            ("", None),
            ("5", None),
            ("h", None),
            ("1.5h", None),
            ("-1s", None),
            ("1w", None),
            ("36526d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(span(text).map(|span| span.as_millis()), want, "{text}");
        }
        for (seconds, want) in
            [(5, "5 s"), (61, "1 min 1 s"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h"), (0, "0 ms")]
        {
            assert_eq!(span_text(Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn points_in_time_are_read() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01 00:00:01.5+00:00", Some(1_500_000_000)),
            ("2000-02-29T12:00:00Z", Some(951_825_600_000_000_000)),
            ("2026-11-20T14:45:00.123456789Z", Some(1_795_185_900_123_456_789)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-00-01T00:00:00Z", None),
            ("2026-11-20T24:00:00Z", None),
            ("2026-11-20T14:45:00", None),
            ("2026-11-20T14:45:00+02:00", None),
            ("2026-11-20", None),
            ("1969-12-31T23:59:59Z", None),
            ("2026-+1-20T14:45:00Z", None),
            ("2026-11-20T14:45:00.Z", None),
        ] {
            assert_eq!(unix_nanos(text), want, "{text}");
        }
    }
}
