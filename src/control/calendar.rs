//! Days, months and moments of UTC, as JSON APIs and people write them.
//!
//! Deliberately absent: the clock, leap seconds (a Unix day has none), and zones.

use crate::base::time::UnixSeconds;

/// Seconds of a day.
pub const DAY: u64 = 86_400;

/// A moment as RFC 3339 writes it, in UTC.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let rest = seconds % DAY;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", date(seconds))
}

/// The day of a moment: `2026-11-20`.
#[must_use]
pub fn date(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / DAY);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The moment that a text names: a day (its midnight) or an RFC 3339 timestamp, in UTC where no zone is
/// given. `None` when it is neither, when there is no such day, or when it lies before 1970.
#[must_use]
pub fn read_moment(text: &str) -> Option<UnixSeconds> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    let moment = crate::wire::http1::read_timestamp(whole.as_bytes())?;
    // The reader takes 31 days in every month.
    let day = whole.get(..10)?;
    let is_real = |seconds: u64| date(seconds) == day;
    let midnight = crate::wire::http1::read_timestamp(format!("{day}T00:00:00Z").as_bytes())?;
    is_real(midnight.0).then_some(moment)
}

/// Midnight of the Monday at or before a moment.
#[must_use]
pub const fn week_start(seconds: u64) -> u64 {
    // 1970-01-01 was a Thursday.
    let day = seconds / DAY;
    day.saturating_sub((day + 3) % 7) * DAY
}

/// Midnight of the first day of a moment's month.
#[must_use]
pub const fn month_start(seconds: u64) -> u64 {
    let day = seconds / DAY;
    let (_, _, of_month) = civil(day);
    (day + 1 - of_month) * DAY
}

/// Year, month and day of the month, from days since 1970-01-01.
const fn civil(days: u64) -> (u64, u64, u64) {
    // The Gregorian calendar in years that begin in March, counted from the year 0; 400 years are 146,097
    // days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_and_dates_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_743_465_600, "2025-04-01T00:00:00Z"),
            (1_795_132_799, "2026-11-19T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
            assert_eq!(read_moment(text), Some(UnixSeconds(seconds)));
            assert_eq!(read_moment(&text[..19]), Some(UnixSeconds(seconds)));
            assert_eq!(read_moment(&text[..10]), Some(UnixSeconds(seconds / DAY * DAY)));
        }
        for bad in
            ["", "2026-02-30", "2026-13-01", "2026-1-1", "yesterday", "1969-12-31", "2026-11-20T25:00:00Z"]
        {
            assert_eq!(read_moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn weeks_begin_on_mondays_and_months_on_their_first() {
        let check = |text: &str, week: &str, month: &str| {
            let at = read_moment(text).expect("a moment").0;
            assert_eq!((&*date(week_start(at)), &*date(month_start(at))), (week, month), "{text}");
        };
        check("2026-11-20T12:00:00Z", "2026-11-16", "2026-11-01");
        check("2026-11-16", "2026-11-16", "2026-11-01");
        check("2026-11-22T23:59:59Z", "2026-11-16", "2026-11-01");
        check("2024-03-01", "2024-02-26", "2024-03-01");
        check("2024-02-29", "2024-02-26", "2024-02-01");
        check("1970-01-02", "1970-01-01", "1970-01-01");
        check("1970-01-05", "1970-01-05", "1970-01-01");
    }
}
