//! How one run of a case is chosen.
//!
//! Deliberately absent: the run (`world`).

use core::cell::RefCell;
use std::rc::Rc;

/// How bytes are cut on their way to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    Whole,
    /// Behind every byte.
    Drip,
    /// Once, after so many bytes of all clients together.
    Client(usize),
    /// Once, after so many bytes of all origins together.
    Origin(usize),
    /// Anywhere; receives come back short, completions in any order, socket buffers of any size.
    Random,
}

/// One way to run a case.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Where every choice comes from.
    pub seed: u64,
    /// How bytes are cut.
    pub cut: Cut,
    /// Where a transcript is written to, if anywhere. It outlives a panic of the run.
    pub log: Option<Rc<RefCell<Vec<String>>>>,
}
