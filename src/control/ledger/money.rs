//! Amounts in answers: JSON numbers with all their digits.
//!
//! Deliberately absent: floats. A cost never passes through one, so the same digits stand in an answer, in
//! `/generation`, in `/activity` and in an export.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::base::money::PicoDollars;

/// An amount in pico-dollars; in JSON a number of USD, exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub i128);

impl Money {
    /// The exact decimal in USD.
    #[must_use]
    pub fn text(self) -> String {
        PicoDollars(self.0).as_usd()
    }
}

impl From<i64> for Money {
    fn from(pico: i64) -> Self {
        Self(pico.into())
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.text()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_is_there() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (-1_500_000_000_000, "-1.5"),
            (i128::from(i64::MAX), "9223372.036854775807"),
            (123_456_789_012_345_678_901, "123456789.012345678901"),
        ] {
            assert_eq!(serde_json::to_string(&Money(pico)).ok().as_deref(), Some(text));
        }
    }
}
