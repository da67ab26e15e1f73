//! Members that say nothing, blanked in the events of a stream: OpenAI's API writes `"usage":null` into every
//! chunk of a stream whose usage was asked for, and `"system_fingerprint":null` where it has none. OpenRouter
//! leaves such members out, and its SDK refuses a chunk that has them. Under `/api/v1` they are overwritten
//! with spaces where they lie, so the bytes around them go on uncopied and no length changes.
//!
//! In JSON a quote inside a string is escaped, so `,"usage":null` is a member wherever it stands.
//! Deliberately absent: members cut by the end of an upstream's chunk (they stay), the first member of an
//! object, and when this is done (`relay`, `attempt`).

use memchr::memmem;

/// Members and what follows them up to their value.
const MEMBERS: [&[u8]; 2] = [b"\"usage\":", b"\"system_fingerprint\":"];

/// The longest text that [`blank`] replaces, but for white space: a search has to begin this far before bytes
/// that are new.
pub(super) const REACH: usize = ",\"system_fingerprint\": null".len();

/// Blanks what stands in `bytes`. White space that is no line end may stand around the colon's value.
pub(super) fn blank(bytes: &mut [u8]) {
    for member in MEMBERS {
        let mut from = 0;
        while let Some(at) = memmem::find(&bytes[from..], member) {
            let start = from + at;
            from = start + member.len();
            let spaces = bytes[from..].iter().take_while(|byte| **byte == b' ').count();
            if !bytes[from + spaces..].starts_with(b"null") {
                continue;
            }
            let before = bytes[..start].iter().rev().take_while(|byte| **byte == b' ').count();
            let end = from + spaces + b"null".len();
            if bytes[..start - before].last() == Some(&b',') {
                bytes[start - before - 1..end].fill(b' ');
            }
            from = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: &str) {
        let mut bytes = input.as_bytes().to_vec();
        blank(&mut bytes);
        assert_eq!(String::from_utf8(bytes).expect("spaces only"), want);
    }

    #[test]
    fn members_that_say_nothing_go() {
        check(r#"{"a":1,"usage":null}"#, r#"{"a":1             }"#);
        check(r#"{"a":1, "usage": null,"b":2}"#, r#"{"a":1               ,"b":2}"#);
        check(
            r#"{"id":"x","system_fingerprint":null,"usage":null} {"id":"y","usage":null}"#,
            r#"{"id":"x"                                       } {"id":"y"             }"#,
        );
        for kept in [
            r#"{"a":1,"usage":{"prompt_tokens":1}}"#,
            r#"{"usage":null,"a":1}"#,
            r#"{"content":",\"usage\":null"}"#,
            r#"{"a":1,"usage":nul"#,
            r#"{"a":1,"usage":"#,
            r#"{"a":1,"system_fingerprint":"fp_1"}"#,
            r#""usage":null"#,
            "",
        ] {
            check(kept, kept);
        }
    }

    #[test]
    fn what_is_left_is_the_same_json_without_them() {
        let event = concat!(
            r#"{"id":"x","system_fingerprint":null,"#,
            r#""choices":[{"delta":{"content":"a, \"usage\":null"}}],"usage": null}"#
        );
        let mut bytes = event.as_bytes().to_vec();
        blank(&mut bytes);
        let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let members: Vec<&String> = json.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["choices", "id"]);
        assert_eq!(json["choices"][0]["delta"]["content"], "a, \"usage\":null");
        assert_eq!(bytes.len(), event.len());
    }
}
