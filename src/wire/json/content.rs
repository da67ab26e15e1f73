//! Whether a prompt has parts that are no text, and the searches over long runs that others need too.
//!
//! Deliberately absent: the parts themselves, and anything that a false alarm could hurt.

use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::{Finder, find_iter};

use super::scan::skip_space;

/// Kinds of content that a prompt has beside text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// `image_url`
    pub image: bool,
    /// `input_audio`
    pub audio: bool,
    /// `file`
    pub file: bool,
    /// `video_url`
    pub video: bool,
}

/// Looks for the types of content parts in the text of `messages`: what follows the keys `"type"`. Inside a
/// JSON string a quote is always escaped, so nothing that is said in a text is taken for a part; a prompt
/// without `"type"` is all text.
#[must_use]
pub fn parts(prompt: &[u8]) -> Parts {
    const KEY: &[u8] = b"\"type\"";
    /// Made once: that costs as much as a search through a short prompt.
    static FINDER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(KEY));
    let mut parts = Parts::default();
    for place in FINDER.find_iter(prompt) {
        let colon = skip_space(prompt, place + KEY.len());
        if prompt.get(colon) != Some(&b':') {
            continue;
        }
        let value = prompt.get(skip_space(prompt, colon + 1)..).unwrap_or_default();
        // Only these begin so.
        match value.get(1) {
            Some(b'i') => {
                parts.image |= value.starts_with(b"\"image_url\"");
                parts.audio |= value.starts_with(b"\"input_audio\"");
            }
            Some(b'f') => parts.file |= value.starts_with(b"\"file\""),
            Some(b'v') => parts.video |= value.starts_with(b"\"video_url\""),
            _ => {}
        }
    }
    parts
}

/// Where `key`, quotes included, stands in JSON text; it may be the end of a string as well.
pub fn places(text: &[u8], key: &[u8]) -> impl Iterator<Item = usize> {
    find_iter(text, key)
}

/// Where the first backslash is, in the inside of a string.
#[must_use]
pub fn first_escape(text: &[u8]) -> Option<usize> {
    memchr(b'\\', text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_and_texts_are_not() {
        let none = Parts::default();
        for (text, want) in [
            (r#"[{"role":"user","content":"hi"}]"#, none),
            (r#"[{"role":"user","content":"say \"image_url\" and \"type\""}]"#, none),
            (r#"[{"content":[{"type":"text","text":"\"file\""}]}]"#, none),
            (r#"[{"content":[{ "type" : "image_url","image_url":{}}]}]"#, Parts { image: true, ..none }),
            (
                r#"[{"content":[{"type":"input_audio"},{"type":"file"}]}]"#,
                Parts { audio: true, file: true, ..none },
            ),
            (r#"[{"content":[{"type":"video_url"}]}]"#, Parts { video: true, ..none }),
            (
                r#"[{"content":[{"type":"text","text":"a \"type"},{"type":"file"}]}]"#,
                Parts { file: true, ..none },
            ),
            (r#"[{"type":"function","function":{"name":"file","arguments":{"file":1}}}]"#, none),
            (r#"[{"type""#, none),
            (r#"[{"type": "#, none),
            ("", none),
        ] {
            assert_eq!(parts(text.as_bytes()), want, "{text}");
        }
    }
}
