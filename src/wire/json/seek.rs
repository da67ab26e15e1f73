//! A member of the outermost object, found in text that comes in pieces and is not kept.
//!
//! What is skipped is strings, by their quotes, and everything else by its brackets, which are counted and
//! not told apart: text that is no JSON leads to nothing worse than finding nothing.
//! Deliberately absent: reading the member's value, and escapes in its key.

use memchr::memchr2;

/// What a piece brought. Positions are in that piece; what follows them is to be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing that is sought: the piece was looked at as a whole.
    More,
    /// The value begins here, with a brace.
    Begins(usize),
    /// The value ended just before here.
    Ends(usize),
}

/// Looks for an object that is the value of one member.
#[derive(Clone, Debug)]
pub struct Seek {
    key: &'static [u8],
    depth: usize,
    place: Place,
    /// The member's value is under way.
    inside: bool,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the outermost object where a key may come, or in a container where nothing is looked for.
    Between,
    /// In a key of the outermost object, so many bytes of which are those sought; `None` when it is another
    /// one.
    Key(Option<usize>),
    /// Behind the key that is sought, or behind its colon.
    Sought { colon: bool },
    /// Behind the colon of another key.
    Value,
    /// In any other string; `escaped` behind a backslash.
    Text { escaped: bool },
    /// Behind the outermost value.
    Over,
}

/// Bytes that are looked at in one go where only quotes and brackets count.
const BLOCK: usize = 32;

impl Seek {
    /// For the member of this key.
    #[must_use]
    pub const fn new(key: &'static [u8]) -> Self {
        Self { key, depth: 0, place: Place::Between, inside: false }
    }

    /// The member's value is under way.
    #[must_use]
    pub const fn is_inside(&self) -> bool {
        self.inside
    }

    /// Looks for nothing any more.
    pub fn give_up(&mut self) {
        (self.place, self.inside) = (Place::Over, false);
    }

    /// Looks at the next piece.
    pub fn feed(&mut self, piece: &[u8]) -> Step {
        let mut at = 0;
        while at < piece.len() {
            at = match self.place {
                Place::Over => return Step::More,
                Place::Text { escaped } => self.pass_text(piece, at, escaped),
                Place::Between | Place::Value if self.depth > 1 => match skip_plain(piece, at) {
                    Some(next) => next,
                    None => return Step::More,
                },
                _ => at,
            };
            let Some(byte) = piece.get(at) else { return Step::More };
            if self.place == (Place::Sought { colon: true })
                && self.depth == 1
                && *byte == b'{'
                && !self.inside
            {
                self.inside = true;
                return Step::Begins(at);
            }
            self.step(*byte);
            at += 1;
            if self.inside && self.depth == 1 && *byte == b'}' {
                self.inside = false;
                return Step::Ends(at);
            }
        }
        Step::More
    }

    /// Goes on in a string: to the quote that ends it, which is not passed, or to the end of the piece.
    fn pass_text(&mut self, piece: &[u8], mut at: usize, escaped: bool) -> usize {
        at += usize::from(escaped);
        self.place = Place::Text { escaped: false };
        while let Some(next) = piece.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += next;
            if piece[at] == b'"' {
                return at;
            }
            at += 2;
            self.place = Place::Text { escaped: at > piece.len() };
        }
        piece.len()
    }

    fn step(&mut self, byte: u8) {
        let top = self.depth == 1;
        self.place = match (self.place, byte) {
            (Place::Key(Some(count)), b'"') if count == self.key.len() => Place::Sought { colon: false },
            (Place::Key(_), b'"') => Place::Value,
            (Place::Key(_), b'\\') => Place::Text { escaped: true },
            (Place::Key(Some(count)), byte) if self.key.get(count) == Some(&byte) => {
                Place::Key(Some(count + 1))
            }
            (Place::Key(_), _) => Place::Key(None),
            (Place::Text { .. }, _) => Place::Value,
            (Place::Between, b'"') if top => Place::Key(Some(0)),
            (_, b'"') => Place::Text { escaped: false },
            (Place::Sought { colon: false }, b':') => Place::Sought { colon: true },
            (place @ Place::Sought { .. }, b' ' | b'\t' | b'\r' | b'\n') => place,
            (_, b'{' | b'[') => {
                self.depth += 1;
                Place::Between
            }
            (_, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 { Place::Over } else { Place::Value }
            }
            (_, b',') => Place::Between,
            (Place::Sought { .. }, _) => Place::Value,
            (place, _) => place,
        };
    }
}

/// The next quote or bracket, if there is one.
fn skip_plain(piece: &[u8], mut at: usize) -> Option<usize> {
    let counts = |byte: u8| byte == b'"' || matches!(byte | 0x20, b'{' | b'}');
    while let Some(block) = piece[at..].first_chunk::<BLOCK>() {
        // Without a branch inside, so that all of them are compared at once.
        if block.iter().fold(false, |found, byte| found | counts(*byte)) {
            break;
        }
        at += BLOCK;
    }
    piece[at..].iter().position(|byte| counts(*byte)).map(|next| at + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values found, for a text that comes in two pieces, and how it stands in the end.
    fn found(text: &str, cut: usize) -> Vec<String> {
        let (mut seek, mut values, mut value) = (Seek::new(b"usage"), Vec::new(), Vec::new());
        for mut piece in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
            loop {
                match seek.feed(piece) {
                    Step::More => {
                        if seek.is_inside() {
                            value.extend_from_slice(piece);
                        }
                        break;
                    }
                    Step::Begins(at) => piece = &piece[at..],
                    Step::Ends(at) => {
                        value.extend_from_slice(&piece[..at]);
                        values.push(String::from_utf8(core::mem::take(&mut value)).expect("UTF-8"));
                        piece = &piece[at..];
                    }
                }
            }
        }
        values
    }

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            assert_eq!(found(text, cut), want, "{text} cut at {cut}");
        }
    }

    #[test]
    fn only_the_outermost_member_is_found() {
        check(r#"{"usage":{"a":1}}"#, &[r#"{"a":1}"#]);
        check(r#" { "usage" : {"a":{"b":[1]}} , "x":1}"#, &[r#"{"a":{"b":[1]}}"#]);
        check(r#"{"data":[{"usage":{"no":1}},"}"],"usage":{"a":"}\"{"},"z":[]}"#, &[r#"{"a":"}\"{"}"#]);
        check(r#"{"x":"\"usage\":{","usage":{}}"#, &["{}"]);
        check(r#"{"usage":null,"usage":[{}],"usage":{"b":2}}"#, &[r#"{"b":2}"#]);
        check(r#"{"usage":{"a":1},"usage":{"b":2}}"#, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check(
            r#"{"x":"usage","y":{"c":3},"usages":{},"usag":{},"":{},"usage":{"d":[{}]}}"#,
            &[r#"{"d":[{}]}"#],
        );
        check(r#"{"a\\":"\\","x\"usage":{},"usage":{}}"#, &["{}"]);
        check(r#"{"é":"é\u0022","usage":{"é":1}}"#, &[r#"{"é":1}"#]);
        for nothing in [
            r#"["usage",{"a":1}]"#,
            r#"{"x":{"usage":{"a":1}}}"#,
            r#"{"x":1} {"usage":{"a":1}}"#,
            r#""usage":{"a":1}"#,
            r#"{"usage":"{}"}"#,
            r#"{"us\u0061ge":{}}"#,
            r#"{"usage" {"a":1}}"#,
            r#"{"usage":{"a":1"#,
            "",
        ] {
            check(nothing, &[]);
        }
    }

    #[test]
    fn long_values_are_passed() {
        let numbers = vec!["-0.0123456"; 500].join(", ");
        let text = "é\\\\\\\"}{".repeat(300);
        let long = format!(
            r#"{{"data":[[{numbers}],{{"b":"{text}"}},[],[{numbers}]],"t":"{text}","usage":{{"a":1}}}}"#
        );
        for cut in (0..long.len()).filter(|cut| long.is_char_boundary(*cut)).step_by(7) {
            assert_eq!(found(&long, cut), [r#"{"a":1}"#], "cut at {cut}");
        }
    }

    #[test]
    fn nothing_is_found_any_more_once_given_up() {
        let mut seek = Seek::new(b"usage");
        assert_eq!(seek.feed(b"{\"usage\":{"), Step::Begins(9));
        seek.give_up();
        assert_eq!((seek.feed(b"{}},\"usage\":{}"), seek.is_inside()), (Step::More, false));
    }
}
