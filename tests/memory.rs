//! How much memory the catalogue and its snapshot take, counted in bytes.
//!
//! A bound is a promise to operators; the figures are printed with `--nocapture`.
//! Deliberately absent: the process as a whole, whose allocator, stacks and libraries come on top.

#[path = "../benches/support/bytes.rs"]
mod bytes;

use std::io::Write;

use bytes::measured;
use millrace::control::catalog::Catalogue;
use millrace::control::config::{self, Overrides, Sources};
use millrace::control::snapshot::{self, Extras, Interner};

#[global_allocator]
static ALLOCATOR: bytes::Counting = bytes::Counting;

const TEXT: &str = include_str!("../catalog/models.toml");
/// What a snapshot of all shipped models may take.
const SNAPSHOT_BYTES: usize = 32 << 20;
/// What it should take: several times less.
const SNAPSHOT_BYTES_USUAL: usize = 4 << 20;
/// What reading the catalogue may need for a moment.
const READING_BYTES: usize = 8 << 20;

/// One test, since all threads of the process are counted.
#[test]
fn the_catalogue_and_its_snapshot_are_small() {
    let sources = Sources { environment: &|_| None, read_file: &|_| Ok(String::new()) };
    let config = config::load(None, Overrides::default(), sources).expect("the defaults are right");
    let exposure = config::check_exposure(&config).expect("the default is local");
    let (catalogue, read_bytes, read_peak) =
        measured(|| Catalogue::read("models.toml", TEXT).expect("it is sound"));
    let extras = Extras { catalogue: Some(&catalogue), unreachable: true, ..Extras::default() };
    let (built, bytes, peak) =
        measured(|| snapshot::build(&config, exposure, extras, &mut Interner::default()).snapshot);
    let (other, clone_bytes, _) = measured(|| built.clone());
    let tables = built.rows().bytes();
    let mut out = std::io::stderr().lock();
    let _ = writeln!(
        out,
        "{} models, {} endpoints; catalogue {read_bytes} bytes (reading it {read_peak}); snapshot {bytes} \
         (building it {peak}), of which routing's tables {tables}; a clone {clone_bytes}",
        built.models.len(),
        built.endpoints.len(),
    );
    assert!(built.models.len() >= 400 && other.models.len() == built.models.len());
    assert!(bytes <= SNAPSHOT_BYTES_USUAL && peak <= SNAPSHOT_BYTES, "{bytes} {peak}");
    assert!(read_peak <= READING_BYTES, "{read_peak}");
}
