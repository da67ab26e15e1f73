//! Storage that a core keeps for its next use, so that traffic neither allocates nor clears memory: of the
//! two usual sizes, and some for large request bodies.
//!
//! Deliberately absent: who holds what (`Buf` does).

use crate::base::limits::{
    BODY_AT_ONCE_BYTES, INBOX_IDLE_BYTES, SPARE_BODIES_BYTES, SPARE_INBOXES, SPARE_WINDOWS,
    WINDOW_FIRST_BYTES,
};

/// What one core keeps. Bounded by `limits::SPARE_WINDOWS`, `limits::SPARE_INBOXES` and
/// `limits::SPARE_BODIES_BYTES`.
#[derive(Debug, Default)]
pub struct Spares {
    windows: Vec<Vec<u8>>,
    inboxes: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
    bodies_bytes: usize,
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

    /// Storage of at least `bytes`, and less than twice that, for a request that outgrows a window. What an
    /// earlier request left in it is still there: only what was filled since may be looked at.
    #[must_use]
    pub fn body(&mut self, bytes: usize) -> Vec<u8> {
        let fits = |kept: &Vec<u8>| (bytes..bytes * 2).contains(&kept.len());
        match self.bodies.iter().rposition(fits) {
            Some(at) => {
                let storage = self.bodies.swap_remove(at);
                self.bodies_bytes -= storage.len();
                storage
            }
            None => vec![0; bytes],
        }
    }

    /// Keeps storage while there is room for its size; otherwise it is freed.
    pub fn recycle(&mut self, storage: Vec<u8>) {
        match storage.len() {
            INBOX_IDLE_BYTES if self.inboxes.len() < SPARE_INBOXES => self.inboxes.push(storage),
            WINDOW_FIRST_BYTES if self.windows.len() < SPARE_WINDOWS => self.windows.push(storage),
            bytes @ WINDOW_FIRST_BYTES..=BODY_AT_ONCE_BYTES
                if bytes > WINDOW_FIRST_BYTES && self.bodies_bytes + bytes <= SPARE_BODIES_BYTES =>
            {
                self.bodies_bytes += bytes;
                self.bodies.push(storage);
            }
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
        let body = spares.body(100_000);
        let start = body.as_ptr();
        spares.recycle(body);
        assert_eq!(spares.body(40_000).len(), 40_000, "one more than twice as long would be wasted");
        let again = spares.body(60_000);
        assert_eq!((again.as_ptr(), again.len()), (start, 100_000));
        (0..9).for_each(|_| spares.recycle(vec![0; BODY_AT_ONCE_BYTES]));
        assert_eq!(spares.bodies_bytes, SPARE_BODIES_BYTES);
        assert_eq!((spares.inbox().len(), spares.window().len()), (INBOX_IDLE_BYTES, WINDOW_FIRST_BYTES));
    }
}
