//! Reads the one date form that HTTP still writes: IMF-fixdate (RFC 9110 §5.6.7), `Sun, 06 Nov 1994 08:49:37
//! GMT`; and the one that JSON APIs put into fields of their own: RFC 3339, `1994-11-06T08:49:37Z`.
//!
//! Deliberately absent: the two obsolete forms (no provider sends them), and writing dates.

use crate::base::time::UnixSeconds;

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// The moment an IMF-fixdate names; `None` when it is not one, or lies before 1970. The day of the week is
/// not checked against the date.
#[must_use]
pub fn read_date(text: &[u8]) -> Option<UnixSeconds> {
    let [_, _, _, b',', b' ', rest @ ..] = text else { return None };
    let [d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', rest @ ..] = rest else { return None };
    let [h1, h2, b':', n1, n2, b':', s1, s2, b' ', b'G', b'M', b'T'] = rest else { return None };
    let month = MONTHS.chunks_exact(3).position(|name| name == [*m1, *m2, *m3])? as u64 + 1;
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let day = number(&[*d1, *d2])?;
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*n1, *n2])?, number(&[*s1, *s2])?);
    let sane = year >= 1970 && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    sane.then(|| UnixSeconds(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second))
}

/// The moment an RFC 3339 timestamp (§5.6) names, without its fraction of a second; `None` when it is not
/// one, or lies before 1970.
#[must_use]
pub fn read_timestamp(text: &[u8]) -> Option<UnixSeconds> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', rest @ ..] = text else {
        return None;
    };
    let [h1, h2, b':', n1, n2, b':', s1, s2, rest @ ..] = rest else { return None };
    let (year, month, day) = (number(&[*y1, *y2, *y3, *y4])?, number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*n1, *n2])?, number(&[*s1, *s2])?);
    let zone = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            fraction.get(digits..).filter(|_| digits > 0)?
        }
        _ => rest,
    };
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            let seconds = (hours < 24 && minutes < 60).then_some(((hours * 60 + minutes) * 60) as i64)?;
            if *sign == b'+' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let sane = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    let sane = sane && hour < 24 && minute < 60 && second <= 60;
    let seconds = || ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    sane.then(seconds)?.checked_add_signed(offset).map(UnixSeconds)
}

/// Days since 1970-01-01. Years begin in March here, so that the leap day is a year's last.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_or_refused() {
        for (text, want) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799)),
            ("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800)),
            ("Fri, 20 Nov 2026 08:00:00 GMT", Some(1_795_161_600)),
            ("Sun, 06 Nov 1994 08:49:37 UTC", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nox 1994 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Thu, 01 Jan 1969 00:00:00 GMT", None),
            ("", None),
        ] {
            assert_eq!(read_date(text.as_bytes()), want.map(UnixSeconds), "{text}");
        }
    }

    #[test]
    fn a_date_cut_anywhere_is_refused() {
        let text = b"Sun, 06 Nov 1994 08:49:37 GMT";
        assert!((0..text.len()).all(|cut| read_date(&text[..cut]).is_none()));
    }

    #[test]
    fn timestamps_are_read_or_refused() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1994-11-06T08:49:37Z", Some(784_111_777)),
            ("1994-11-06t08:49:37.999999z", Some(784_111_777)),
            ("1994-11-06T10:49:37+02:00", Some(784_111_777)),
            ("1994-11-06T08:19:37-00:30", Some(784_111_777)),
            ("1970-01-01T00:00:00+00:01", None),
            ("1994-11-06T08:49:37", None),
            ("1994-11-06T08:49:37.Z", None),
            ("1994-11-06T08:49:37+2:00", None),
            ("1994-13-06T08:49:37Z", None),
            ("1994-00-06T08:49:37Z", None),
            ("1994-11-06T25:49:37Z", None),
            ("1994-11-06", None),
            ("-994-11-06T08:49:37Z", None),
            ("", None),
        ] {
            assert_eq!(read_timestamp(text.as_bytes()), want.map(UnixSeconds), "{text}");
            assert!((0..text.len()).all(|cut| read_timestamp(&text.as_bytes()[..cut]).is_none()), "{text}");
        }
    }
}
