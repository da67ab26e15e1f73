//! What a client is told about a choice: `tier=strong; reason=tools+code; score=40`.
//!
//! Deliberately absent: the name of the header, and the model (the answer names it).

use super::{Auto, Signal, Signals};

/// Words of a reason: the heaviest ones.
const REASONS: usize = 4;
/// Longest receipt in bytes: a tier's name of 32, four words of 16.
const RECEIPT_BYTES: usize = 160;

/// What was decided, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was noticed.
    pub signals: Signals,
    /// The sum of the weights.
    pub score: u16,
    /// The tier of the first model.
    pub tier: u8,
    /// The conversation has kept its model, whatever was noticed.
    pub kept: bool,
}

/// The text of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    bytes: [u8; RECEIPT_BYTES],
    len: usize,
}

impl Receipt {
    /// The text: visible ASCII and spaces.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Adds as much of a text as there is room for.
    fn push(&mut self, text: &str) {
        let room = &mut self.bytes[self.len..];
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
    }

    fn push_number(&mut self, number: u16) {
        let mut digits = [0; 5];
        let (mut at, mut rest) = (digits.len(), number);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(core::str::from_utf8(&digits[at..]).unwrap_or_default());
    }
}

impl Decision {
    /// The decision as text; `auto` is what it was taken with. Allocates nothing.
    #[must_use]
    pub fn receipt(&self, auto: &Auto) -> Receipt {
        let mut receipt = Receipt { bytes: [0; RECEIPT_BYTES], len: 0 };
        receipt.push("tier=");
        receipt.push(auto.tiers.get(usize::from(self.tier)).map_or("", |tier| &tier.name));
        receipt.push("; reason=");
        let mut any = self.kept;
        if self.kept {
            receipt.push("session");
        }
        for signal in self.heaviest(auto).into_iter().flatten() {
            receipt.push(if any { "+" } else { "" });
            receipt.push(signal.name());
            any = true;
        }
        receipt.push(if any { "; score=" } else { "no_signal; score=" });
        receipt.push_number(self.score);
        receipt
    }

    /// The signals that weigh most, heaviest first; of equals, those first in the table.
    fn heaviest(&self, auto: &Auto) -> [Option<Signal>; REASONS] {
        let mut heaviest = [None; REASONS];
        let mut left = self.signals;
        for slot in &mut heaviest {
            let Some(signal) =
                left.iter().max_by_key(|one| (auto.weights.of(*one), core::cmp::Reverse(*one as u8)))
            else {
                break;
            };
            left = Signals(left.0 & !Signals::NONE.with(signal).0);
            *slot = Some(signal);
        }
        heaviest
    }
}
