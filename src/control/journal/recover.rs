//! What the journals of a data directory hold when a process starts: where each core goes on, and what is
//! damaged.
//!
//! A file's published length says how far whole records reached. Behind it a last record may be whole all the
//! same (killed between the two); before it there may be none (power was lost, and the disk has the page but
//! not the record). So every file is walked from its first record to its end, and its page is mended after
//! that. A file that is damaged before whole records is copied aside first, as it is.
//! Deliberately absent: stopping the start because of damage. Everything is reported, and what is whole is
//! read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Damage, cores, slot_path, slots};
use crate::base::time::UnixSeconds;
use crate::wire::journal::Sequence;
use crate::wire::journal::frame::{NodeId, Seed};
use crate::wire::journal::page::{PAGE_BYTES, Page, PageFlaw};
use crate::wire::journal::scan::{Found, Scan};

/// A file that was never begun is blank as far as this.
const BLANK_BYTES: usize = 2 * PAGE_BYTES;

/// What is to be done about what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing is written.
    No,
    /// Copies are kept of damaged files, named after this time, and pages are mended.
    Yes(UnixSeconds),
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSlot {
    /// Its file.
    pub path: PathBuf,
    /// Its number in the ring.
    pub slot: u16,
    /// Bytes of the file.
    pub bytes: u64,
    /// What its page says, or why it says nothing.
    pub page: Result<Page, PageFlaw>,
    /// Its first record; 0 when there is none.
    pub first: Sequence,
    /// Its last record; 0 when there is none.
    pub last: Sequence,
    /// Records in it.
    pub records: u64,
    /// Where the last record ends.
    pub end: u64,
    /// What is wrong with it.
    pub damages: Vec<Damage>,
}

/// The journal of one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCore {
    /// Which core.
    pub core: u16,
    /// Its segments in the order of the ring.
    pub slots: Vec<FoundSlot>,
}

impl FoundCore {
    /// Its newest record; 0 when there is none.
    #[must_use]
    pub fn last(&self) -> Sequence {
        self.slots.iter().map(|slot| slot.last).max().unwrap_or_default()
    }
}

/// All journals of a data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// By core, ascending.
    pub cores: Vec<FoundCore>,
}

impl Recovered {
    /// One core's, if it has any.
    #[must_use]
    pub fn core(&self, core: u16) -> Option<&FoundCore> {
        self.cores.iter().find(|found| found.core == core)
    }

    /// Everything that is wrong.
    pub fn damages(&self) -> impl Iterator<Item = &Damage> {
        self.cores.iter().flat_map(|core| &core.slots).flat_map(|slot| &slot.damages)
    }

    /// Records in all of them.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.cores.iter().flat_map(|core| &core.slots).map(|slot| slot.records).sum()
    }
}

/// Looks at every segment of a data directory.
///
/// # Errors
/// A folder or a file cannot be read, or (mending) not be written.
pub fn recover(data_dir: &Path, node: NodeId, repair: Repair) -> io::Result<Recovered> {
    let mut found = Recovered::default();
    for core in cores(data_dir)? {
        let mut slots_found = Vec::new();
        for slot in slots(data_dir, core)? {
            let path = slot_path(data_dir, core, slot);
            let mut looked = examine(&path, node, core, slot)?;
            if let Repair::Yes(at) = repair {
                mend(&mut looked, node, core, at)?;
            }
            slots_found.push(looked);
        }
        // What is lost between two files is seen only from one to the next.
        let mut by_age: Vec<usize> =
            (0..slots_found.len()).filter(|at| slots_found[*at].records > 0).collect();
        by_age.sort_by_key(|at| slots_found[*at].first);
        for pair in by_age.windows(2) {
            let (before, after) = (slots_found[pair[0]].last.0, slots_found[pair[1]].first.0);
            if after > before + 1 && slots_found[pair[1]].damages.is_empty() {
                let what = gap(before + 1, after - 1);
                let file = slots_found[pair[1]].path.clone();
                let at = PAGE_BYTES as u64;
                slots_found[pair[1]].damages.push(Damage { file, from: at, to: at, what });
            }
        }
        found.cores.push(FoundCore { core, slots: slots_found });
    }
    Ok(found)
}

fn gap(from: u64, to: u64) -> String {
    format!(
        "records {from} to {to} are not in any file: power was lost before they were on disk, or a \
         segment is missing"
    )
}

/// Looks at one segment.
///
/// # Errors
/// It cannot be read.
pub fn examine(path: &Path, node: NodeId, core: u16, slot: u16) -> io::Result<FoundSlot> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    (&mut file).take(BLANK_BYTES as u64).read_to_end(&mut bytes)?;
    let page = Page::decode(&bytes);
    let is_blank = bytes.iter().all(|byte| *byte == 0);
    if !is_blank {
        file.read_to_end(&mut bytes)?;
    }
    let mut found = FoundSlot {
        path: path.to_owned(),
        slot,
        bytes: length,
        page,
        first: Sequence(0),
        last: Sequence(0),
        records: 0,
        end: PAGE_BYTES as u64,
        damages: Vec::new(),
    };
    if is_blank {
        return Ok(found);
    }
    if let Err(PageFlaw::Foreign(_)) = page {
        found.damage(0, PAGE_BYTES as u64, page_flaw(page));
        return Ok(found);
    }
    if page.is_err() {
        found.damage(0, PAGE_BYTES as u64, page_flaw(page));
    }
    let after = page.map_or(Sequence(0), |page| Sequence(page.first.0.saturating_sub(1)));
    walk(&bytes, Seed::new(node, core), after, &mut found);
    if let Ok(page) = page {
        if page.node != node || page.core != core {
            let what = "it belongs to another installation or core: a file was copied here; move it away";
            found.damage(0, PAGE_BYTES as u64, what.to_owned());
        } else if found.end < page.published {
            let what = "the last records are not whole and were cut: power was lost before they were on disk";
            found.damage(found.end, page.published, what.to_owned());
        }
    }
    Ok(found)
}

fn page_flaw(page: Result<Page, PageFlaw>) -> String {
    match page {
        Err(PageFlaw::Foreign(format)) => {
            format!("format {format} is of a later Millrace; start that one until its ledger has it")
        }
        Err(flaw) => format!("{flaw}; its records are read all the same"),
        Ok(_) => String::new(),
    }
}

fn walk(bytes: &[u8], seed: Seed, after: Sequence, found: &mut FoundSlot) {
    let mut scan = Scan::new(bytes, seed, after);
    let mut before = (after > Sequence(0)).then_some(after.0);
    let mut broken = None;
    for what in scan.by_ref() {
        match what {
            Found::Damage(from, to) => broken = Some((from, to)),
            Found::Record(at, frame) => {
                let lost = frame.sequence.0 - before.map_or(frame.sequence.0 - 1, |before: u64| before) - 1;
                if let Some((from, to)) = broken.take() {
                    let records = if lost == 1 { "record is" } else { "records are" };
                    let what = format!(
                        "damaged: {lost} {records} lost here, what follows is read; keep the copy of the \
                         file and look at the disk",
                    );
                    found.damage(from as u64, to as u64, what);
                } else if lost > 0 {
                    found.damage(at as u64, at as u64, gap(frame.sequence.0 - lost, frame.sequence.0 - 1));
                }
                if found.records == 0 {
                    found.first = frame.sequence;
                }
                found.records += 1;
                before = Some(frame.sequence.0);
            }
        }
    }
    found.end = scan.end() as u64;
    found.last = if found.records > 0 { scan.newest() } else { Sequence(0) };
}

impl FoundSlot {
    fn damage(&mut self, from: u64, to: u64, what: String) {
        self.damages.push(Damage { file: self.path.clone(), from, to, what });
    }

    /// Is there anything wrong that is not simply the end of what reached the disk?
    fn is_broken(&self) -> bool {
        self.damages.iter().any(|damage| damage.from < damage.to && damage.to <= self.end)
    }
}

/// Keeps a copy of what is damaged, puts aside what is not ours, makes the page say what is readable, and has
/// all of it on disk.
fn mend(found: &mut FoundSlot, node: NodeId, core: u16, at: UnixSeconds) -> io::Result<()> {
    if found.page == Err(PageFlaw::Blank) && found.records == 0 {
        return Ok(());
    }
    let mut aside = found.path.clone().into_os_string();
    aside.push(format!(".damaged-{}", at.0));
    if found.records == 0 && !found.page.is_ok_and(|page| page.node == node && page.core == core) {
        // Nothing in it can be read here, but perhaps by somebody else.
        fs::rename(&found.path, &aside)?;
        (found.bytes, found.page) = (0, Err(PageFlaw::Blank));
        return Ok(());
    }
    let is_sound = found.page.is_ok_and(|page| page.published == found.end);
    if found.is_broken()
        && let Err(error) = fs::copy(&found.path, &aside)
    {
        found.damage(0, 0, format!("no copy of the damaged file could be kept: {error}"));
    }
    let file = OpenOptions::new().write(true).open(&found.path)?;
    if is_sound {
        // The process that wrote it may have been killed before it could have that done.
        return file.sync_data();
    }
    let page = match found.page {
        Ok(page) => Page { published: found.end, ..page },
        Err(_) => Page {
            node,
            core,
            generation: 0,
            first: found.first,
            created: at,
            segment_bytes: found.bytes,
            published: found.end,
            sealed: false,
        },
    };
    file.write_all_at(&page.encode(), 0)?;
    file.sync_data()?;
    found.page = Ok(page);
    Ok(())
}
