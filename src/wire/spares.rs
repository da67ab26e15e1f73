//! Storage of the two usual sizes that a core keeps for its next use, so that traffic does not allocate.
//!
//! Deliberately absent: buffers of other sizes, which are freed, and who holds what (`Buf` does).

use crate::base::limits::{INBOX_IDLE_BYTES, SPARE_INBOXES, SPARE_WINDOWS, WINDOW_FIRST_BYTES};

/// What one core keeps. Bounded by `limits::SPARE_WINDOWS` and `limits::SPARE_INBOXES`.
#[derive(Debug, Default)]
pub struct Spares {
    windows: Vec<Vec<u8>>,
    inboxes: Vec<Vec<u8>>,
}

impl Spares {
    /// Storage of `limits::WINDOW_FIRST_BYTES`, for windows and for requests that outgrow the inbox.
    #[must_use]
    pub fn window(&mut self) -> Vec<u8> {
        self.windows.pop().unwrap_or_else(|| vec![0; WINDOW_FIRST_BYTES])
    }

    /// Storage of `limits::INBOX_IDLE_BYTES`, for client connections that wait.
    #[must_use]
    pub fn inbox(&mut self) -> Vec<u8> {
        self.inboxes.pop().unwrap_or_else(|| vec![0; INBOX_IDLE_BYTES])
    }

    /// Keeps storage of one of the two sizes while there is room; anything else is freed.
    pub fn recycle(&mut self, storage: Vec<u8>) {
        match storage.len() {
            INBOX_IDLE_BYTES if self.inboxes.len() < SPARE_INBOXES => self.inboxes.push(storage),
            WINDOW_FIRST_BYTES if self.windows.len() < SPARE_WINDOWS => self.windows.push(storage),
            _ => {}
        }
    }

    /// Windows and inboxes kept.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        (self.windows.len(), self.inboxes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_used_again_and_bounded() {
        let mut spares = Spares::default();
        let window = spares.window();
        let start = window.as_ptr();
        spares.recycle(window);
        let again = spares.window();
        assert_eq!(again.as_ptr(), start);
        spares.recycle(vec![0; 17]);
        (0..=SPARE_INBOXES).for_each(|_| spares.recycle(vec![0; INBOX_IDLE_BYTES]));
        assert_eq!(spares.kept(), (0, SPARE_INBOXES));
        assert_eq!((spares.inbox().len(), spares.window().len()), (INBOX_IDLE_BYTES, WINDOW_FIRST_BYTES));
    }
}
