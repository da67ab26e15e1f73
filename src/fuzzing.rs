//! Bodies of the fuzz targets: one function each, which panics when a law is broken. They run on the committed corpora
//! under `cargo test` and without end under `cargo fuzz`.
//!
//! Deliberately absent: the laws themselves; each lives beside the code it is about.

pub use crate::control::config::exercise_config;
pub use crate::wire::http1::exercise::{
    exercise_chunked, exercise_head_writer, exercise_request_head, exercise_response_head,
};
pub use crate::wire::json::exercise::exercise as exercise_json;
pub use crate::wire::sse::exercise::exercise as exercise_sse;
