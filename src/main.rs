//! The binary: its allocator and one call.
//!
//! Deliberately absent: everything else (`millrace::app`).

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millrace::app::main()
}
