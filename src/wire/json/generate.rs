//! Random request bodies for tests: valid JSON with known and unknown members in any order and spacing, and
//! small damage to it. Everything follows from the seed.
//!
//! Deliberately absent: expectations (`exercise` has the oracle).

/// xorshift64*: enough randomness for tests, no dependency.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    pub(super) fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// Members with values of the right type most of the time.
const MEMBERS: &[(&str, &[&str])] = &[
    ("model", &["\"a/b\"", "\"gpt\\u002d4\"", "null", "\"é\"", "\"\"", "7", "\"a\\nb\"", "\"x\\\"y\""]),
    ("models", &["[\"a\"]", "[ \"a\" , \"b\\/c\" ]", "null", "[]", "[1]", "\"a\""]),
    ("stream", &["true", "false", "null", "\"true\"", "1"]),
    (
        "stream_options",
        &["{}", "{\"include_usage\":true}", "{ \"x\" : 1 , \"include_usage\" : false }", "null", "[]"],
    ),
    (
        "max_tokens",
        &["1", "4096", "null", "0", "-1", "1.5", "18446744073709551615", "18446744073709551616", "-0"],
    ),
    ("max_completion_tokens", &["100", "1e3", "null", "12345678901234567890"]),
    ("provider", &["{\"order\":[\"a\"]}", "null", "{ }"]),
    ("usage", &["{\"include\":true}", "{\"include\":false}", "null", "true", "{\"a\":{\"include\":true}}"]),
    (
        "messages",
        &[
            "[]",
            "[{\"role\":\"user\",\"content\":\"hi \\\"you\\\" [}\"}]",
            "[ { } , [ ] ]",
            "[[[[\"\\\\\"]]]]",
        ],
    ),
    ("tools", &["[{\"type\":\"function\"}]", "[]"]),
    ("response_format", &["{\"type\":\"json_object\"}"]),
    ("user", &["\"u\\t1\"", "null", "5"]),
    ("session_id", &["\"s\"", "null", "\"\\u0073\"", "7"]),
    ("prompt_cache_key", &["\"k\"", "null", "1"]),
    ("metadata", &["{\"a\":\"b\"}"]),
    ("route", &["\"fallback\"", "null"]),
    ("transforms", &["[\"middle-out\"]"]),
    ("plugins", &["[{\"id\":\"web\"}]"]),
    ("trace", &["{\"trace_id\":\"t\"}"]),
    ("debug", &["{\"echo_upstream_body\":true}"]),
    ("temperature", &["0.7", "-1E-2", "0", "2e+1"]),
    ("stop", &["[\"a\",\"b\"]", "\"\\ud83d\\ude00\""]),
    ("x", &["{\"model\":\"inner\",\"stream\":true}", "\"a string that is longer than two machine words\""]),
    ("", &["1"]),
    ("seed", &["42", "true", "false"]),
];

/// A body that is valid JSON. Now and then a member comes twice, in another case, or with an escaped key.
pub(super) fn body(random: &mut Random) -> String {
    let mut text = String::from(random.pick(&["", " ", "\n\t"]));
    text.push('{');
    let mut left: Vec<usize> = (0..MEMBERS.len()).collect();
    let count = random.below(9);
    for turn in 0..count {
        if turn > 0 {
            text.push_str(random.pick(&[",", ",", ", ", " ,\r\n"]));
        } else {
            text.push_str(random.pick(&["", "", " "]));
        }
        let place = random.below(left.len());
        let member = if random.below(64) == 0 { left[place] } else { left.swap_remove(place) };
        let (key, values) = MEMBERS[member];
        let key = match random.below(64) {
            0 => key.to_ascii_uppercase(),
            1 => key.replacen('e', "\\u0065", 1),
            _ => key.to_owned(),
        };
        // Broken values come last in each list; the first ones are drawn more often.
        let drawn = random.below(values.len());
        let value = values[random.below(drawn + 1)];
        text.push_str(&format!(
            "\"{key}\"{}:{}{value}",
            random.pick(&["", "", " "]),
            random.pick(&["", " "])
        ));
    }
    text.push_str(random.pick(&["}", "}", " }", "}\n"]));
    text
}

/// The same with one to three bytes changed, dropped or doubled.
pub(super) fn damaged(random: &mut Random) -> Vec<u8> {
    let mut bytes = body(random).into_bytes();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes[at] = b"{}[]\",:\\ 1tn\xff"[random.below(13)],
            1 if bytes.len() > 1 => {
                bytes.remove(at);
            }
            _ => bytes.insert(at, bytes[at]),
        }
    }
    bytes
}
