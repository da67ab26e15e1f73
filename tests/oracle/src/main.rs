//! Counts of the libraries that others count with, beside ours: over random texts, and over every token of
//! a vocabulary as a text; and ours part by part beside ours of the whole. Also writes the counts that the
//! tests of `control/vocabularies` expect.
//!
//! ```text
//! cargo run --release --manifest-path tests/oracle/Cargo.toml -- compare 1000000
//! cargo run --release --manifest-path tests/oracle/Cargo.toml -- write
//! ```
//!
//! Deliberately absent: any part in the product or its tests; those only read what was written here.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use millrace::control::vocabularies::read;
use millrace::policy::count::exercise::{Counter, Texts};
use millrace::policy::count::{Vocabulary, VocabularyName};
use splintr::AnyTokenizer;
use tiktoken_rs::CoreBPE;

/// Texts that are written down, of each kind.
const WRITTEN: usize = 400;

/// Ours, and those it is compared with.
struct Witnesses {
    name: VocabularyName,
    ours: &'static Vocabulary,
    splintr: AnyTokenizer,
    tiktoken: Option<CoreBPE>,
}

impl Witnesses {
    fn of(name: VocabularyName) -> Result<Self, Box<dyn Error>> {
        let (there, tiktoken) = match name {
            VocabularyName::O200k => ("o200k_base", Some(tiktoken_rs::o200k_base()?)),
            VocabularyName::Cl100k => ("cl100k_base", Some(tiktoken_rs::cl100k_base()?)),
            VocabularyName::Qwen => ("qwen3", None),
            VocabularyName::DeepSeek => ("deepseek_v3", None),
            VocabularyName::Mistral => ("mistral_v3", None),
            VocabularyName::Glm => ("glm4", None),
            VocabularyName::Gemma4 => ("gemma4", None),
        };
        let ours = read(name).map_err(|flaw| format!("{flaw:?}"))?;
        Ok(Self {
            name,
            ours: Box::leak(Box::new(ours)),
            splintr: splintr::from_pretrained(there)?,
            tiktoken,
        })
    }

    /// The tokens of a text as all of them say; `None` where they do not agree.
    fn agreed(&self, counter: &mut Counter, text: &str) -> Option<u32> {
        let theirs = self.splintr.encode_raw(text).len() as u32;
        let others =
            self.tiktoken.as_ref().is_none_or(|one| one.encode_ordinary(text).len() as u32 == theirs);
        (others && counter.whole(text) == theirs).then_some(theirs)
    }
}

/// What a library takes for one of its control tokens, which no text of a model is.
fn is_control(text: &str) -> bool {
    text.contains("<|") || text.contains("<s>") || text.contains("</s>") || text.contains("[INST]")
}

fn compare(texts: usize) -> Result<(), Box<dyn Error>> {
    for name in VocabularyName::ALL {
        let witnesses = Witnesses::of(name)?;
        let (mut counter, mut random, mut cuts) =
            (Counter::new(witnesses.ours), Texts::new(1), Texts::new(2));
        let (mut differ, mut all, mut tokens) = (0, 0, 0_u64);
        let mut check = |text: &str| {
            if is_control(text) {
                return;
            }
            all += 1;
            if let Some(how) = counter.differs(text, &mut cuts, false) {
                println!("{}: {how}", name.name());
                differ += 1;
            }
            match witnesses.agreed(&mut counter, text) {
                Some(count) => tokens += u64::from(count),
                None if differ < 5 => {
                    println!("{}: {text:?}", name.name());
                    differ += 1;
                }
                None => differ += 1,
            }
        };
        (0..texts).for_each(|_| check(&random.text()));
        for id in 0..300_000 {
            let Ok(token) = witnesses.splintr.decode_token_bytes(id) else { continue };
            let Ok(token) = String::from_utf8(token) else { continue };
            if !(token.starts_with('<') && token.ends_with('>')) {
                [&*token, &format!("x{token}y"), &format!("{token} {token}")].map(&mut check);
            }
        }
        println!("{}: {all} texts, {tokens} tokens, {differ} counted differently", name.name());
    }
    Ok(())
}

/// One line per text: its tokens by each vocabulary, then the text as a JSON string.
fn write() -> Result<(), Box<dyn Error>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/control/vocabularies");
    let mut random = Texts::new(2);
    let mut texts: Vec<String> = Vec::new();
    while texts.len() < WRITTEN {
        texts.extend(Some(random.text()).filter(|text| !is_control(text)));
    }
    let answers = fs::read_to_string(home.join("answers.txt"))?;
    let answers: Vec<String> = answers.split("\n=====\n").map(str::to_owned).collect();
    for (file, texts) in [("random.counts", &texts), ("answers.counts", &answers)] {
        let mut lines = vec![String::new(); texts.len()];
        for name in VocabularyName::ALL {
            let witnesses = Witnesses::of(name)?;
            let mut counter = Counter::new(witnesses.ours);
            for (line, text) in lines.iter_mut().zip(texts) {
                let count = witnesses.agreed(&mut counter, text);
                let count = count.ok_or_else(|| format!("{}: {text:?}", witnesses.name.name()))?;
                line.push_str(&format!("{count} "));
            }
        }
        for (line, text) in lines.iter_mut().zip(texts) {
            line.push_str(&serde_json::to_string(text)?);
            line.push('\n');
        }
        fs::write(home.join(file), lines.concat())?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["compare", texts] => compare(texts.parse()?),
        ["write"] => write(),
        _ => Err("compare <texts>, or write".into()),
    }
}
