//! The vocabularies that ship: what they count, compared with what was written down of other libraries
//! (tests/oracle/), with counting part by part, and with what the families' providers bill.
//!
//! Deliberately absent: other libraries themselves; whoever changes a vocabulary runs tests/oracle/ again.

use std::sync::LazyLock;

use serde_json::json;

use super::*;
use crate::dialect::openai::OpenAi;
use crate::policy::count::exercise::{Counter, Texts, event};
use crate::policy::count::{Family, Fits, Meter, Scratch, Terms};

/// All of them, as a process has them.
static SHELF: LazyLock<Vocabularies> = LazyLock::new(|| {
    let shelf = Vocabularies::default();
    VocabularyName::ALL.iter().for_each(|name| shelf.put(read(*name).expect("it ships")));
    shelf
});

fn vocabulary(name: VocabularyName) -> &'static Vocabulary {
    SHELF.get(name).expect("it was put there")
}

/// Texts, and their tokens by each vocabulary.
fn written(lines: &str) -> Vec<(String, Vec<u32>)> {
    let line = |line: &str| {
        let (counts, text) = line.split_once('"').expect("a text");
        let text = serde_json::from_str(&format!("\"{text}")).expect("a JSON string");
        (text, counts.split_whitespace().map(|count| count.parse().expect("a number")).collect())
    };
    lines.lines().map(line).collect()
}

fn random() -> Vec<(String, Vec<u32>)> {
    written(include_str!("random.counts"))
}

fn answers() -> Vec<(String, Vec<u32>)> {
    written(include_str!("answers.counts"))
}

#[test]
fn counts_are_those_of_other_libraries() {
    let texts = [random(), answers()].concat();
    assert!(texts.len() > 400);
    for (turn, name) in VocabularyName::ALL.into_iter().enumerate() {
        let mut counter = Counter::new(vocabulary(name));
        for (text, counts) in &texts {
            assert_eq!(counter.whole(text), counts[turn], "{}: {text:?}", name.name());
        }
    }
}

#[test]
fn parts_come_to_the_whole_wherever_a_text_is_cut() {
    for name in VocabularyName::ALL {
        let (mut counter, mut texts) = (Counter::new(vocabulary(name)), Texts::new(3));
        for turn in 0..400 {
            let text = texts.text();
            let every_cut = turn % 10 == 0 && text.len() < 120;
            let differs = counter.differs(&text, &mut texts, every_cut);
            assert_eq!(differs, None, "{}", name.name());
        }
        for (text, _) in answers() {
            assert_eq!(counter.differs(&text, &mut texts, false), None, "{}", name.name());
        }
    }
}

#[test]
fn all_of_them_are_small() {
    const MOST: usize = 60 << 20;
    let packed = O200K_BASE_VOCAB_PACKED.len()
        + CL100K_BASE_VOCAB_PACKED.len()
        + QWEN3_VOCAB_PACKED.len()
        + DEEPSEEK_V3_VOCAB_PACKED.len()
        + MISTRAL_V3_VOCAB_PACKED.len()
        + GLM4_VOCAB_PACKED.len()
        + GEMMA4_VOCAB_PACKED.len()
        + GEMMA4_MERGES_PACKED.len();
    assert!(VocabularyName::ALL.into_iter().all(|name| SHELF.get(name).is_some()));
    assert!(SHELF.is_complete());
    let all = SHELF.memory_bytes() + packed;
    assert!(all < MOST, "{} tables and {packed} packed bytes", SHELF.memory_bytes());
    assert!(SHELF.memory_bytes() > 20 << 20, "that would be too little to be true");
}

/// An answer as an endpoint of this family sends it, in events of a few bytes.
fn streamed(family: Family, text: &str, reasoning: Option<&str>, fits: &Fits) -> Meter {
    let (mut meter, mut scratch, mut data) = (Meter::new(), Scratch::default(), Vec::new());
    meter.restart(Terms::of(&SHELF, fits, family, 1));
    if let Some(reasoning) = reasoning {
        let text = serde_json::to_string(reasoning).expect("a string");
        let event = format!(r#"{{"choices":[{{"delta":{{"reasoning_content":{text}}}}}]}}"#);
        meter.event(&OpenAi, event.as_bytes(), &mut scratch);
    }
    for part in text.as_bytes().chunks(5) {
        event(part, &mut data);
        meter.event(&OpenAi, &data, &mut scratch);
    }
    meter
}

#[test]
fn answers_are_counted_as_they_are_billed() {
    // What providers bill beyond the text's tokens, as measured (docs/counting.md): an end mark, a frame.
    for (family, beyond) in [
        (Family::Gpt, 1),
        (Family::GptOss, 10),
        (Family::GptOld, 0),
        (Family::Gemini, 0),
        (Family::Mistral, 1),
        (Family::DeepSeek, 1),
        (Family::Qwen, 1),
        (Family::Glm, 2),
    ] {
        assert!(family.is_own());
        let turn = VocabularyName::ALL.iter().position(|name| *name == family.vocabulary());
        for (text, counts) in answers() {
            let billed = counts[turn.expect("one of all")] + beyond;
            let counted = streamed(family, &text, None, &Fits::default()).counted();
            assert!(counted.exact && counted.text_bytes == text.len() as u64, "{family:?}: {counted:?}");
            let off = counted.tokens.abs_diff(billed);
            assert!(off * 100 <= billed, "{family:?}: counted {} for {billed}: {text:?}", counted.tokens);
        }
    }
}

#[test]
fn reasoning_and_calls_are_counted_apart() {
    let meter = streamed(Family::Qwen, "So it is.", Some("Let me think."), &Fits::default());
    let counted = meter.counted();
    let mut counter = Counter::new(vocabulary(VocabularyName::Qwen));
    let (text, reasoning) = (counter.whole("So it is."), counter.whole("Let me think."));
    assert_eq!((counted.tokens, counted.reasoning_tokens), (text + reasoning + 5, reasoning));
    let (mut meter, mut scratch) = (Meter::new(), Scratch::default());
    meter.restart(Terms::plainly(vocabulary(VocabularyName::O200k)));
    for (name, arguments) in [("get_weather", ""), ("", "{\"city\":"), ("", "\"Oslo\"}")] {
        let call = json!({ "index": 0, "function": { "name": name, "arguments": arguments } });
        let data = json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] }).to_string();
        meter.event(&OpenAi, data.as_bytes(), &mut scratch);
    }
    let mut counter = Counter::new(vocabulary(VocabularyName::O200k));
    let want = counter.whole("get_weather") + counter.whole(r#"{"city":"Oslo"}"#);
    assert_eq!(meter.counted().tokens, want);
}

#[test]
fn several_answers_of_one_stream_are_counted_each() {
    let name = VocabularyName::O200k;
    let (mut meter, mut scratch) = (Meter::new(), Scratch::default());
    let mut counter = Counter::new(vocabulary(name));
    for choices in [2, 8, 9] {
        meter.restart(Terms::plainly(vocabulary(name)));
        for part in ["inter", "national", "isation of every", "thing"] {
            for choice in (0..choices).rev() {
                let data = format!(r#"{{"choices":[{{"index":{choice},"delta":{{"content":"{part}"}}}}]}}"#);
                meter.event(&OpenAi, data.as_bytes(), &mut scratch);
            }
        }
        let (counted, each) = (meter.counted(), counter.whole("internationalisation of everything"));
        assert_eq!(counted.exact, choices <= 8);
        if counted.exact {
            assert_eq!(counted.tokens, each * choices);
        }
        assert!(counted.tokens.abs_diff(each * choices) <= 6, "{counted:?}");
    }
}

#[test]
fn an_unsplittable_text_is_bounded_and_nearly_exact() {
    for name in VocabularyName::ALL {
        let mut counter = Counter::new(vocabulary(name));
        for part in ["a", "ab", "中文", "x1", "()", " ", "é"] {
            let text = part.repeat(20_000 / part.len());
            let parts = counter.in_parts(text.as_bytes().chunks(7));
            let whole = counter.in_parts(text.as_bytes().chunks(16_000));
            let exact = counter.whole(&text);
            let near = |count: u32| count.abs_diff(exact) <= 1 + exact / 100 + text.len() as u32 / 2048;
            assert!(near(parts) && near(whole), "{}: {part:?} {parts} {whole} {exact}", name.name());
        }
    }
}

#[test]
fn tokens_that_no_merge_makes_are_none() {
    let unmade = vocabulary(VocabularyName::Gemma4).never_made();
    assert!(unmade.is_empty(), "{:?}", unmade.iter().map(|one| one.escape_ascii()).collect::<Vec<_>>());
}

#[test]
fn without_a_vocabulary_bytes_are_taken() {
    let shelf = Vocabularies::default();
    let (mut meter, mut scratch, mut data) = (Meter::new(), Scratch::default(), Vec::new());
    meter.restart(Terms::of(&shelf, &Fits::default(), Family::Gemini, 1));
    event("four and twenty blackbirds".as_bytes(), &mut data);
    meter.event(&OpenAi, &data, &mut scratch);
    let counted = meter.counted();
    assert!(!counted.exact && counted.text_bytes == 26 && (4..=8).contains(&counted.tokens), "{counted:?}");
    assert_eq!(shelf.wanted().collect::<Vec<_>>(), [VocabularyName::Gemma4]);
}

#[test]
fn damaged_data_is_refused() {
    for name in VocabularyName::ALL {
        for data in
            [&b""[..], b"SPLNTRV1", b"SPLNTRV1\xff\xff\xff\xff", b"SPLNTRV1\x02\0\0\0\0\x01a\x01\x09b"]
        {
            assert!(Vocabulary::read(name, data, None).is_err());
        }
    }
    let cut = &GEMMA4_MERGES_PACKED[..1000];
    assert!(Vocabulary::read(VocabularyName::Gemma4, GEMMA4_VOCAB_PACKED, Some(cut)).is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_loaded() {
    let shelf: Arc<Vocabularies> = Arc::default();
    let loading = tokio::spawn(load_wanted(Arc::clone(&shelf)));
    for name in [VocabularyName::Cl100k, VocabularyName::Qwen] {
        assert!(shelf.get(name).is_none());
        while shelf.get(name).is_none() {
            tokio::time::sleep(LOOK).await;
        }
    }
    assert!(!shelf.is_complete() && !loading.is_finished());
    loading.abort();
}

#[test]
fn damaged_events_do_no_harm() {
    for name in VocabularyName::ALL {
        let (mut meter, mut scratch, mut data) = (Meter::new(), Scratch::default(), Vec::new());
        let (mut texts, mut sent) = (Texts::new(5), 0);
        meter.restart(Terms::plainly(vocabulary(name)));
        for _ in 0..500 {
            event(texts.text().as_bytes(), &mut data);
            for _ in 0..texts.below(4) {
                let at = texts.below(data.len());
                data[at] = texts.below(256) as u8;
            }
            data.truncate(data.len() - texts.below(3) * texts.below(40).min(data.len() / 3));
            sent += data.len() as u64;
            meter.event(&OpenAi, &data, &mut scratch);
        }
        let counted = meter.counted();
        assert!(counted.text_bytes <= sent && u64::from(counted.tokens) <= sent, "{counted:?} of {sent}");
        assert!(counted.text_bytes > 1000, "most of them can be read: {counted:?}");
    }
}
