//! A value that must not be printed: provider keys, internal tokens.
//!
//! Deliberately absent: `Display`, a `Debug` that shows the value, equality (compare digests instead).

use core::fmt;

/// A secret string. `Debug` prints its length class only; read it with [`Secret::expose`].
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a value read from configuration, environment or file.
    #[must_use]
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself. Every call is a place to audit.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(empty)" } else { "Secret(…)" })
    }
}

impl Drop for Secret {
    /// Overwrites the bytes, so that a freed page or a core image does not carry them on.
    fn drop(&mut self) {
        let mut bytes = core::mem::take(&mut self.0).into_boxed_bytes();
        bytes.fill(0);
        core::hint::black_box(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", Secret::new("sk-live-123")), "Secret(…)");
        assert_eq!(Secret::new("sk-live-123").expose(), "sk-live-123");
    }
}
