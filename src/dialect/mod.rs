//! Floor 2: API dialects, one file each. A dialect knows its paths, which members of a request to replace,
//! and what an event or an answer of its kind says.
//!
//! Deliberately absent: who is asked (policy), HTTP (wire) and any translation between dialects (not yet
//! built).

pub mod openai;

use crate::base::record::Usage;
use crate::base::span::Span;
use crate::wire::json::peek::Peek;
use crate::wire::json::splice::Splice;

/// What a request asks for: the API behind its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `POST …/chat/completions`
    ChatCompletions,
    /// `POST …/completions`
    Completions,
    /// `POST …/embeddings`
    Embeddings,
}

/// Which API dialect an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialectName {
    /// OpenAI's chat completions, legacy completions and embeddings.
    OpenAi,
}

/// How a provider reports usage on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// Only when `stream_options.include_usage` asks for it.
    OnRequest,
    /// Always, and the option would be refused or is useless.
    Always,
}

/// What one event of a stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A part of the answer (or anything else the client should see).
    Content,
    /// Reported usage. `only`: the event carries nothing else (`choices` is empty), so it can be left out.
    Usage {
        /// The figures.
        usage: Usage,
        /// Nothing but usage.
        only: bool,
    },
    /// An error, under the HTTP status it stands for.
    Error {
        /// 4xx or 5xx.
        status: u16,
    },
    /// The end marker.
    Done,
}

/// Where things stand in the text of an answer, or of an event of one. An empty span is what is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The provider's own id, without quotes. Neither it nor the other texts have escapes in them.
    pub id: Span,
    /// The provider's own name of the model, without quotes.
    pub model: Span,
    /// Why the answer ended, without quotes; of several choices, what the last one says.
    pub finish_reason: Span,
    /// The tier that served, without quotes.
    pub service_tier: Span,
    /// The value of `choices`.
    pub choices: Span,
    /// The usage object with its braces, if it has figures.
    pub usage: Span,
    /// The usage object has members about money: `cost`, `cost_details` or `is_byok`.
    pub costed: bool,
}

/// What a whole (non-streamed) answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An answer, with usage if reported.
    Content {
        /// As reported.
        usage: Option<Usage>,
        /// Where what stands.
        places: Places,
    },
    /// An error inside a 200, under the HTTP status it stands for.
    Error {
        /// 4xx or 5xx.
        status: u16,
    },
    /// Not this dialect's JSON: empty, HTML, cut off.
    Unusable,
}

/// What a text in an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What the reader sees.
    Text,
    /// Reasoning that is shown.
    Reasoning,
    /// The name of the tool that call number so and so calls.
    ToolName(u32),
    /// Its arguments.
    ToolArguments(u32),
}

/// A text, or the next part of one, in an event or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Which of several answers, from 0.
    pub choice: u32,
    /// What it is.
    pub section: Section,
    /// The inside of a JSON string, without its quotes, as it stands in the event. Never empty.
    pub at: Span,
}

/// Takes the texts of an event, in the order in which they stand in it.
pub trait TextSink {
    /// The next one.
    fn text(&mut self, text: Text);
}

/// One API dialect. Implementations are stateless.
pub trait Dialect: Sync {
    /// Name as in configuration.
    fn name(&self) -> &'static str;

    /// Path of an API behind the provider's base path.
    fn path(&self, api: Api) -> &'static str;

    /// Writes the edits that turn the client's body into the provider's: the model's name, router-only
    /// members and stripped parameters removed, usage asked for. Everything else reaches the provider byte
    /// for byte.
    fn splice(&self, peek: &Peek, body: &[u8], model: &str, usage: StreamUsage, splice: &mut Splice);

    /// Judges the data of one event. Called for every event: no allocation unless the event is rare (usage,
    /// error).
    fn judge_event(&self, data: &[u8]) -> Signal;

    /// True when `data` holds no line end and is certainly a part of the answer and nothing else, so that
    /// [`Dialect::judge_event`] would say [`Signal::Content`]. False says nothing. The first question about
    /// every event: quick, no allocation.
    fn is_plain_content(&self, data: &[u8]) -> bool;

    /// Does this event say why the answer ends? Asked only where the end of the connection is the end of the
    /// body.
    fn ends_answer(&self, data: &[u8]) -> bool;

    /// Where the provider's own id and its name of the model stand in the data of an event, perhaps cut off;
    /// other places may be left out.
    fn names(&self, data: &[u8]) -> Places;

    /// Where things stand in the data of an event. Asked of few events of a stream: those that report usage.
    fn places(&self, data: &[u8]) -> Places;

    /// Why the answer ends, by the last bytes of an event's data or of a document (they may begin anywhere):
    /// the text without quotes, as [`Places::finish_reason`].
    fn finish_reason(&self, tail: &[u8]) -> Span;

    /// Finds the texts of the model in the data of an event, or in a whole answer: what tokens are counted
    /// of. Reads from the front and stops at a place behind which no text can come, which is said; so of
    /// two events that are equal but for a text, and equal up to that place, the texts lie in the same
    /// places. `None` for data that is broken before it. No allocation.
    fn texts(&self, data: &[u8], sink: &mut dyn TextSink) -> Option<usize>;

    /// Judges a complete answer that is not a stream.
    fn judge_answer(&self, body: &[u8]) -> Answer;
}

/// The table of dialects.
#[must_use]
pub fn dialect(name: DialectName) -> &'static dyn Dialect {
    match name {
        DialectName::OpenAi => &openai::OpenAi,
    }
}
