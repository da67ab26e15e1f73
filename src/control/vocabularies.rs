//! The vocabularies that tokens are counted with: read when a core first asks for one, on a thread that may
//! take its time.
//!
//! They come with the binary, packed as their data crates hold them; reading one takes some ten milliseconds
//! and as many megabytes as are written in docs/counting.md. Until it is there, counts are guesses from
//! bytes and say so.
//! Deliberately absent: the counting (`policy/count`).

#[cfg(test)]
mod tests;

use core::time::Duration;
use std::sync::Arc;

use splintr_vocab_cl100k::CL100K_BASE_VOCAB_PACKED;
use splintr_vocab_deepseek::DEEPSEEK_V3_VOCAB_PACKED;
use splintr_vocab_gemma4::{GEMMA4_MERGES_PACKED, GEMMA4_VOCAB_PACKED};
use splintr_vocab_glm::GLM4_VOCAB_PACKED;
use splintr_vocab_mistral::MISTRAL_V3_VOCAB_PACKED;
use splintr_vocab_o200k::O200K_BASE_VOCAB_PACKED;
use splintr_vocab_qwen::QWEN3_VOCAB_PACKED;
use tracing::{debug, warn};

use crate::policy::count::{Unreadable, Vocabularies, Vocabulary, VocabularyName};

/// How often somebody looks whether one is wanted: cores do not wait for it.
const LOOK: Duration = Duration::from_millis(250);

/// Reads one of those that ship.
///
/// # Errors
/// [`Unreadable`] when the data is not what it should be; a test reads all of them.
pub fn read(name: VocabularyName) -> Result<Vocabulary, Unreadable> {
    let (tokens, merges) = match name {
        VocabularyName::O200k => (O200K_BASE_VOCAB_PACKED, None),
        VocabularyName::Cl100k => (CL100K_BASE_VOCAB_PACKED, None),
        VocabularyName::Qwen => (QWEN3_VOCAB_PACKED, None),
        VocabularyName::DeepSeek => (DEEPSEEK_V3_VOCAB_PACKED, None),
        VocabularyName::Mistral => (MISTRAL_V3_VOCAB_PACKED, None),
        VocabularyName::Glm => (GLM4_VOCAB_PACKED, None),
        VocabularyName::Gemma4 => (GEMMA4_VOCAB_PACKED, Some(GEMMA4_MERGES_PACKED)),
    };
    Vocabulary::read(name, tokens, merges)
}

/// Loads what is wanted, until everything is there.
pub async fn load_wanted(vocabularies: Arc<Vocabularies>) {
    let mut tried = Vec::new();
    while !vocabularies.is_complete() && tried.len() < VocabularyName::ALL.len() {
        let wanted: Vec<VocabularyName> =
            vocabularies.wanted().filter(|name| !tried.contains(name)).collect();
        for name in wanted {
            tried.push(name);
            let vocabularies = Arc::clone(&vocabularies);
            let loading = tokio::task::spawn_blocking(move || read(name).map(|one| vocabularies.put(one)));
            match loading.await {
                Ok(Ok(())) => debug!("the vocabulary {} is loaded", name.name()),
                Ok(Err(flaw)) => warn!("the vocabulary {} cannot be read: {flaw:?}", name.name()),
                Err(failed) => warn!("the vocabulary {} was not loaded: {failed}", name.name()),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
