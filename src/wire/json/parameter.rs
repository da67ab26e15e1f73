//! Names of request parameters that not every provider takes, one bit each.
//!
//! Deliberately absent: their values, and who takes which (the catalogue knows).

macro_rules! parameters {
    ($($name:literal,)*) => {
        /// The names, in the order of their bits.
        pub const NAMES: &[&str] = &[$($name,)*];

        /// The bit of a parameter's name.
        #[must_use]
        pub(super) fn bit(key: &[u8]) -> Option<u32> {
            let mut bit = 1_u32;
            $(
                if key == $name.as_bytes() {
                    return Some(bit);
                }
                bit <<= 1;
            )*
            let _ = bit;
            None
        }
    };
}

parameters! {
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "max_tokens",
    "max_completion_tokens",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "prediction",
    "seed",
    "response_format",
    "structured_outputs",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "include_reasoning",
    "reasoning",
    "reasoning_effort",
    "web_search_options",
    "verbosity",
}

const _: () = assert!(NAMES.len() < u32::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_bit() {
        for (turn, name) in NAMES.iter().enumerate() {
            assert_eq!(bit(name.as_bytes()), Some(1 << turn), "{name}");
        }
        assert_eq!(bit(b"Temperature"), None);
        assert_eq!(bit(b""), None);
    }
}
