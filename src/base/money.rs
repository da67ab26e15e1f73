//! Money as integers: pico-dollars (10⁻¹² USD). Never a float.
//!
//! Deliberately absent: price rules (they are policy) and rounding on output (the ledger prints exact
//! values).

/// An amount in pico-dollars. One USD per million tokens is exactly 1,000,000 pico-dollars per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PicoDollars(pub i128);

/// Price of one endpoint, per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPrice {
    /// Per prompt token.
    pub prompt: PicoDollars,
    /// Per completion token.
    pub completion: PicoDollars,
}

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

impl PicoDollars {
    /// Reads a decimal text in USD per million tokens (`"5.00"`) as pico-dollars per token.
    ///
    /// # Errors
    /// [`BadPrice`] when the text is not a plain decimal, is finer than six decimals, or above one million.
    pub fn per_token_from_usd_per_million(text: &str) -> Result<Self, BadPrice> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
            return Err(BadPrice::NotDecimal);
        }
        if fraction.len() > 6 {
            return Err(BadPrice::TooFine);
        }
        let mut micro: i128 = whole.parse().map_err(|_| BadPrice::TooLarge)?;
        if micro > 1_000_000 {
            return Err(BadPrice::TooLarge);
        }
        for digit in fraction.bytes().chain(core::iter::repeat(b'0')).take(6) {
            micro = micro * 10 + i128::from(digit - b'0');
        }
        Ok(Self(micro))
    }
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
}
