//! Whether a prompt has parts that are no text.
//!
//! Deliberately absent: the parts themselves, and anything that a false alarm could hurt.

use memchr::memmem::find;

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

/// Looks for the types of content parts in the text of `messages`. Inside a JSON string a quote is always
/// escaped, so nothing that is said in a text is taken for a part; a prompt without `"type"` is all text.
#[must_use]
pub fn parts(prompt: &[u8]) -> Parts {
    if find(prompt, b"\"type\"").is_none() {
        return Parts::default();
    }
    let has = |mark: &[u8]| find(prompt, mark).is_some();
    Parts {
        image: has(b"\"image_url\""),
        audio: has(b"\"input_audio\""),
        file: has(b"\"file\""),
        video: has(b"\"video_url\""),
    }
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
            ("", none),
        ] {
            assert_eq!(parts(text.as_bytes()), want, "{text}");
        }
    }
}
