//! Money as integers: pico-dollars (10⁻¹² USD). Never a float.
//!
//! Deliberately absent: price rules (they are policy) and rounding on output (values are printed exactly).

/// An amount in pico-dollars. One USD per million tokens is exactly 1,000,000 pico-dollars per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PicoDollars(pub i128);

/// Why a price text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPrice {
    /// Not digits with at most one point.
    NotDecimal,
    /// More than six decimals: finer than a pico-dollar per token.
    TooFine,
    /// Above 1,000,000 USD per million tokens.
    TooLarge,
}

/// Decimals of a pico-dollar amount in dollars.
const DECIMALS: usize = 12;
/// Pico-dollars in a dollar.
const PICO: u128 = 1_000_000_000_000;

impl PicoDollars {
    /// Reads a decimal text in USD per million tokens (`"5.00"`) as pico-dollars per token.
    ///
    /// # Errors
    /// [`BadPrice`] when the text is not a plain decimal, is finer than six decimals, or above one million.
    pub fn per_token_from_usd_per_million(text: &str) -> Result<Self, BadPrice> {
        decimal(text, 6).map(Self)
    }

    /// Reads a decimal text in USD (`"0.005"`).
    ///
    /// # Errors
    /// [`BadPrice`] when the text is not a plain decimal, is finer than twelve decimals, or above one
    /// million.
    pub fn from_usd(text: &str) -> Result<Self, BadPrice> {
        decimal(text, DECIMALS).map(Self)
    }

    /// The amount as an exact decimal text in USD, without trailing zeros.
    #[must_use]
    pub fn as_usd(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / PICO, self.0.unsigned_abs() % PICO);
        let text = format!("{sign}{whole}.{fraction:0DECIMALS$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
    /// Writes an amount in pico-dollars as [`PicoDollars::as_usd`] says it: a JSON number.
    pub fn write_usd(pico: i64, out: &mut Vec<u8>) {
        const UNIT: u64 = PICO as u64;
        if pico < 0 {
            out.push(b'-');
        }
        let (mut whole, mut fraction) = (pico.unsigned_abs() / UNIT, pico.unsigned_abs() % UNIT);
        // Seven digits for the dollars, a point, and the decimals: written from the end.
        let mut text = [b'0'; 7 + 1 + DECIMALS];
        for digit in text.iter_mut().rev().take(DECIMALS) {
            *digit = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        text[7] = b'.';
        let mut start = 7;
        while start == 7 || whole > 0 {
            start -= 1;
            text[start] = b'0' + (whole % 10) as u8;
            whole /= 10;
        }
        let kept = text.iter().rposition(|byte| *byte != b'0').unwrap_or(start);
        out.extend_from_slice(&text[start..=if text[kept] == b'.' { kept - 1 } else { kept }]);
    }
}

/// A plain decimal of at most a million, in units of ten to the power of minus `places`.
fn decimal(text: &str, places: usize) -> Result<i128, BadPrice> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return Err(BadPrice::NotDecimal);
    }
    if fraction.len() > places {
        return Err(BadPrice::TooFine);
    }
    let mut amount: i128 = whole.parse().map_err(|_| BadPrice::TooLarge)?;
    if amount > 1_000_000 {
        return Err(BadPrice::TooLarge);
    }
    for digit in fraction.bytes().chain(core::iter::repeat(b'0')).take(places) {
        amount = amount * 10 + i128::from(digit - b'0');
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_prices_exactly() {
        let read = PicoDollars::per_token_from_usd_per_million;
        assert_eq!(read("5.00"), Ok(PicoDollars(5_000_000)));
        assert_eq!(read("0.000001"), Ok(PicoDollars(1)));
        assert_eq!(read("0"), Ok(PicoDollars(0)));
        assert_eq!(read("0.0000001"), Err(BadPrice::TooFine));
        assert_eq!(read("1000001"), Err(BadPrice::TooLarge));
        for bad in ["", ".", "5.", ".5", "-1", "1e3", "1,5", "٣"] {
            assert_eq!(read(bad), Err(BadPrice::NotDecimal), "{bad:?}");
        }
    }

    #[test]
    fn dollars_are_exact() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (5_000_000, "0.000005"),
            (1_000_000_000_000, "1"),
            (10_500_000_000_000, "10.5"),
        ] {
            assert_eq!(PicoDollars(pico).as_usd(), text);
            assert_eq!(PicoDollars::from_usd(text), Ok(PicoDollars(pico)));
        }
        let written = |pico| {
            let mut text = Vec::new();
            PicoDollars::write_usd(pico, &mut text);
            String::from_utf8(text).expect("ASCII")
        };
        let powers = (0..19).flat_map(|power| [10_i64.pow(power), 7 * 10_i64.pow(power.min(17)), 3]);
        for pico in powers.chain([0, 120_340_000_000_000, i64::MAX]).flat_map(|pico| [pico, -pico, pico - 1])
        {
            assert_eq!(written(pico), PicoDollars(i128::from(pico)).as_usd());
        }
        assert_eq!(written(i64::MIN), "-9223372.036854775808");
        assert_eq!(PicoDollars(-5_000_000).as_usd(), "-0.000005");
        assert_eq!(PicoDollars(i128::MIN).as_usd(), "-170141183460469231731687303.715884105728");
        assert_eq!(PicoDollars::from_usd("0.0000000000001"), Err(BadPrice::TooFine));
    }
}
