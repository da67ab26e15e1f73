//! The vocabularies that are loaded, and those that somebody asked for: shared by all cores.
//!
//! A vocabulary is megabytes and some ten milliseconds, which no core has; so a core that lacks one says so,
//! counts by bytes meanwhile, and whoever loads sees to it. What was loaded stays as long as the process:
//! answers under way hold on to it.
//! Deliberately absent: the loading (`control/vocabularies`).

use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::OnceLock;

use super::{Vocabulary, VocabularyName};

/// The vocabularies, by name.
#[derive(Debug, Default)]
pub struct Vocabularies {
    loaded: [OnceLock<&'static Vocabulary>; VocabularyName::ALL.len()],
    /// One bit for each that was asked for.
    wanted: AtomicU8,
}

const _: () = assert!(VocabularyName::ALL.len() <= u8::BITS as usize);

impl Vocabularies {
    /// This vocabulary, if it is there. If not, it is asked for.
    #[must_use]
    #[inline]
    pub fn get(&self, name: VocabularyName) -> Option<&'static Vocabulary> {
        let found = self.loaded[name.index()].get().copied();
        if found.is_none() {
            self.ask(name);
        }
        found
    }

    #[cold]
    fn ask(&self, name: VocabularyName) {
        let bit = 1 << name.index();
        // Nothing is written where it was said already: the line is shared by all cores.
        if self.wanted.load(Ordering::Relaxed) & bit == 0 {
            self.wanted.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Those that were asked for and are not there.
    pub fn wanted(&self) -> impl Iterator<Item = VocabularyName> + '_ {
        let wanted = self.wanted.load(Ordering::Relaxed);
        VocabularyName::ALL
            .into_iter()
            .filter(move |name| wanted & 1 << name.index() != 0 && self.loaded[name.index()].get().is_none())
    }

    /// Are all of them there?
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.loaded.iter().all(|one| one.get().is_some())
    }

    /// Puts one there, for good. One that is there already stays.
    pub fn put(&self, vocabulary: Vocabulary) {
        let _ = self.loaded[vocabulary.name().index()].get_or_init(|| Box::leak(Box::new(vocabulary)));
    }

    /// Bytes of memory that those which are there take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.loaded.iter().filter_map(OnceLock::get).map(|one| one.memory_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_asked_for_once() {
        let shelf = Vocabularies::default();
        assert_eq!(shelf.wanted().count(), 0);
        assert!(shelf.get(VocabularyName::Qwen).is_none() && shelf.get(VocabularyName::Qwen).is_none());
        assert_eq!(shelf.wanted().collect::<Vec<_>>(), [VocabularyName::Qwen]);
        let list = [&b"SPLNTRV1\x01\0\0\0"[..], b"\0\x01a"].concat();
        shelf.put(Vocabulary::read(VocabularyName::Qwen, &list, None).expect("a list"));
        let found = shelf.get(VocabularyName::Qwen).expect("it is there");
        assert_eq!((found.tokens(), shelf.wanted().count()), (1, 0));
        assert!(shelf.memory_bytes() > 0 && !shelf.is_complete());
    }
}
