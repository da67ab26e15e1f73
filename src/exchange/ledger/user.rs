//! Whose end user a request is for: a hash of its `user` member, so that the ledger can tell users apart and
//! knows none of their names.
//!
//! Deliberately absent: any secret. Equal names have equal hashes on every node and after every restart;
//! whoever knows a name can look for it.

use crate::wire::json::peek::Peek;

/// Bytes of the member that count. OpenAI allows 64 characters, OpenRouter 128.
const USER_BYTES: usize = 512;

/// FNV-1a, 64 bit, of the text between the quotes of `user` as it is written, of its first 512 bytes. 0 when
/// there is none, or it is no string, or is empty; a text that would have the hash 0 has 1.
pub(super) fn user_hash(peek: &Peek, body: &[u8]) -> u64 {
    let text = peek.user.map_or(&[][..], |user| user.of(body));
    let inside = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or_default();
    if inside.is_empty() {
        return 0;
    }
    let counted = &inside[..inside.len().min(USER_BYTES)];
    let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    counted.iter().fold(0xcbf2_9ce4_8422_2325, add).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::peek::peek;

    #[test]
    fn the_hash_is_that_of_the_published_function() {
        // Of the test vectors of FNV's authors.
        for (user, want) in [
            ("\"a\"", 0xaf63_dc4c_8601_ec8c),
            ("\"foobar\"", 0x8594_4171_f739_67e8),
            ("\"\"", 0),
            ("null", 0),
            ("17", 0),
            ("[\"a\"]", 0),
        ] {
            let body = format!("{{\"model\":\"m\",\"user\":{user}}}");
            let peek = peek(body.as_bytes()).expect("a body");
            assert_eq!(user_hash(&peek, body.as_bytes()), want, "{user}");
        }
        let nobody = b"{\"model\":\"m\"}";
        assert_eq!(user_hash(&peek(nobody).expect("a body"), nobody), 0);
        let long = |end: &str| format!("{{\"user\":\"{}{end}\"}}", "x".repeat(USER_BYTES));
        let hash = |body: &str| user_hash(&peek(body.as_bytes()).expect("a body"), body.as_bytes());
        assert_eq!(hash(&long("a")), hash(&long("b")));
    }
}
