//! One pass over a complete request body: the members a router needs, with their types checked.
//!
//! Two readers of one request must not see different things: what is looked at here and what the provider
//! will look at have to be the same bytes. So a key that appears twice is refused, and so is a key that only
//! a lenient reader would take for a known one (escapes, other case).
//!
//! Deliberately absent: what the members mean, the inside of `messages` and `tools`, and any copy of the
//! text.

mod values;

use std::borrow::Cow;

use super::parameter;
use super::scan::{Field, Fields, Items, skip_space};
use super::text::{is_text, unescaped};
use super::written::WRITTEN;
use crate::base::limits::{JSON_DEPTH, JSON_MEMBERS, SESSION_ID_CHARS};
use crate::base::span::Span;
use crate::wire::flaw::Flaw;
use values::{boolean, check_models, is_plain, member_of, name_inside, usage_included, whole_number};

macro_rules! keys {
    ($($name:ident = $text:literal,)*) => {
        /// A top-level key that is known here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub enum Key { #[default] $(#[doc = concat!("`", $text, "`")] $name,)* }

        impl Key {
            /// All of them, in the order of the enum.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The key as written.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

keys! {
    Model = "model",
    Models = "models",
    Stream = "stream",
    StreamOptions = "stream_options",
    MaxTokens = "max_tokens",
    MaxCompletionTokens = "max_completion_tokens",
    Provider = "provider",
    Usage = "usage",
    Messages = "messages",
    Tools = "tools",
    ResponseFormat = "response_format",
    User = "user",
    SessionId = "session_id",
    Metadata = "metadata",
    Route = "route",
    Transforms = "transforms",
    Plugins = "plugins",
    Trace = "trace",
    Debug = "debug",
    ServiceTier = "service_tier",
    PromptCacheKey = "prompt_cache_key",
}

/// How many keys are known.
pub const KNOWN_KEYS: usize = Key::ALL.len();

/// Decisions are taken on these, so they are refused in any other case too: some providers' JSON readers
/// ignore case (Go's `encoding/json` does), and for them `"Model"` would override the `"model"` we have read.
const CASE_MATTERS: usize = Key::Usage as usize;

/// A known member of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Which one.
    pub key: Key,
    /// Position among all top-level members, unknown ones included, from 0.
    pub ordinal: u16,
    /// Where it is: key, value, and the commas around it.
    pub field: Field,
}

/// What a request body says to a router. Spans point into the body. `null` counts as absent everywhere,
/// except that `members` knows the member.
#[derive(Clone, Debug, Default)]
pub struct Peek {
    /// `model`, the inside of its quotes.
    pub model: Option<Span>,
    /// `model` contains escapes: [`Peek::model_name`] decodes them.
    pub model_escaped: bool,
    /// `models`: the array, checked; see [`model_names`].
    pub models: Option<Span>,
    /// `stream` is true.
    pub stream: bool,
    /// `stream_options`: the object.
    pub stream_options: Option<Span>,
    /// The value of `stream_options.include_usage`, if the member is there (it may be `null`).
    pub stream_include_usage: Option<Span>,
    /// `stream_options.include_usage` or `usage.include` is true: the client wants to see usage.
    pub include_usage: bool,
    /// `provider`, as written.
    pub provider: Option<Span>,
    /// `max_tokens`, at least 1.
    pub max_tokens: Option<u64>,
    /// `max_completion_tokens`, at least 1.
    pub max_completion_tokens: Option<u64>,
    /// `tools`, as written.
    pub tools: Option<Span>,
    /// `response_format`, as written.
    pub response_format: Option<Span>,
    /// `user`, as written (with its quotes).
    pub user: Option<Span>,
    /// `session_id`, as written (with its quotes): a string of at most `limits::SESSION_ID_CHARS`.
    pub session_id: Option<Span>,
    /// `metadata`, as written.
    pub metadata: Option<Span>,
    /// `messages`, as written; its length is the prompt's size in bytes.
    pub messages: Option<Span>,
    /// `route`, as written (with its quotes).
    pub route: Option<Span>,
    /// `service_tier`, as written (with its quotes).
    pub service_tier: Option<Span>,
    /// `prompt_cache_key`, as written (with its quotes), if it is a string: it is the provider's member.
    pub prompt_cache_key: Option<Span>,
    /// Which of [`parameter::NAMES`] have a value, one bit each.
    pub parameters: u32,
    /// The whole object, braces included.
    pub object: Span,
    /// How many top-level members there are, unknown ones included.
    pub member_count: u16,
    known: [Member; MEMBERS_USUAL],
    known_count: u8,
    /// All known members, once there are more than usual: what is moved about with every request stays small.
    many: Vec<Member>,
}

/// Known members of a usual request, at most.
const MEMBERS_USUAL: usize = 10;

impl Peek {
    /// The known members that are present, in their order in the body.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        if self.many.is_empty() { &self.known[..usize::from(self.known_count)] } else { &self.many }
    }

    /// A known member, if present (also when its value is `null`).
    #[must_use]
    pub fn member(&self, key: Key) -> Option<&Member> {
        self.members().iter().find(|member| member.key == key)
    }

    /// The model's name; decoded only when it has escapes. `None` when the body names no model.
    #[must_use]
    pub fn model_name<'a>(&self, body: &'a [u8]) -> Option<Cow<'a, str>> {
        unescaped(self.model?.of(body))
    }

    /// Reads a request body, and says nothing of an earlier one any more: a frame that is used again is not
    /// moved. After an error it says nothing of use.
    ///
    /// # Errors
    /// As [`peek`].
    pub fn read(&mut self, body: &[u8]) -> Result<(), Flaw> {
        self.restart();
        if body.len() >= u32::MAX as usize {
            return Err(Flaw::Json);
        }
        let start = skip_space(body, 0);
        let mut fields = Fields::open(body, start, 0)?;
        let mut seen = Seen::new();
        loop {
            let guess = self.next_known();
            let Some((field, guessed)) = fields.next_expected(&WRITTEN[guess as usize])? else { break };
            if field.key_escaped {
                return Err(Flaw::JsonEscapedKey);
            }
            let ordinal = self.member_count;
            if usize::from(ordinal) == JSON_MEMBERS {
                return Err(Flaw::JsonMembers);
            }
            self.member_count += 1;
            let key = if guessed { Some(guess) } else { known(field.key.of(body)) };
            let Some(key) = key else {
                match parameter::bit(field.key.of(body)) {
                    Some(bit) => self.parameters |= seen.parameter(body, bit, field.value)?,
                    None => seen.unknown(body, field.key)?,
                }
                continue;
            };
            seen.known(key)?;
            self.note(key, field, ordinal);
            self.take(body, key, field.value)?;
        }
        self.object = Span::new(start, fields.end());
        if skip_space(body, fields.end()) != body.len() {
            return Err(Flaw::Json);
        }
        Ok(())
    }

    /// The known member that stood here in the body read before this one: clients write the same members in
    /// the same order. The first body's first is a guess.
    #[inline(always)]
    fn next_known(&self) -> Key {
        self.known.get(usize::from(self.known_count)).map_or(Key::Model, |member| member.key)
    }

    /// Forgets everything. The members that are counted are all that is looked at, so they stay; what they
    /// were is guessed from.
    fn restart(&mut self) {
        let Self { model, model_escaped, models, stream, stream_options, stream_include_usage, .. } = self;
        (*model, *model_escaped, *models, *stream) = (None, false, None, false);
        (*stream_options, *stream_include_usage) = (None, None);
        let Self { include_usage, provider, max_tokens, max_completion_tokens, tools, .. } = self;
        (*include_usage, *provider, *tools) = (false, None, None);
        (*max_tokens, *max_completion_tokens) = (None, None);
        let Self { route, service_tier, prompt_cache_key, .. } = self;
        (*route, *service_tier, *prompt_cache_key) = (None, None, None);
        let Self { response_format, user, session_id, metadata, messages, .. } = self;
        (*response_format, *user, *session_id, *metadata, *messages) = (None, None, None, None, None);
        (self.object, self.member_count, self.known_count) = (Span::default(), 0, 0);
        self.parameters = 0;
        self.many.clear();
    }

    fn note(&mut self, key: Key, field: Field, ordinal: u16) {
        let member = Member { key, ordinal, field };
        match self.known.get_mut(usize::from(self.known_count)) {
            Some(place) => {
                *place = member;
                self.known_count += 1;
            }
            None => self.note_many(member),
        }
    }

    #[cold]
    fn note_many(&mut self, member: Member) {
        if self.many.is_empty() {
            self.many.extend_from_slice(&self.known);
        }
        self.many.push(member);
    }

    fn take(&mut self, body: &[u8], key: Key, value: Span) -> Result<(), Flaw> {
        let present = (value.of(body) != b"null").then_some(value);
        match key {
            Key::Model => self.take_model(body, present)?,
            Key::Models => {
                present.map_or(Ok(()), |list| check_models(body, list))?;
                self.models = present;
            }
            Key::Stream => self.stream = boolean(body, present).ok_or(Flaw::Stream)?,
            Key::StreamOptions => self.take_stream_options(body, present)?,
            Key::MaxTokens => self.max_tokens = whole_number(body, present)?,
            Key::MaxCompletionTokens => self.max_completion_tokens = whole_number(body, present)?,
            Key::Usage => self.include_usage |= usage_included(body, value)?,
            Key::Provider => self.provider = present,
            Key::Messages => self.messages = present,
            Key::Tools => self.tools = present,
            Key::ResponseFormat => self.response_format = present,
            Key::User => self.user = present,
            Key::SessionId => {
                self.session_id = present;
                if present.is_some_and(|value| !is_text(value.of(body), SESSION_ID_CHARS)) {
                    return Err(Flaw::SessionId);
                }
            }
            Key::PromptCacheKey => {
                self.prompt_cache_key = present.filter(|value| value.of(body).first() == Some(&b'"'));
            }
            Key::Metadata => self.metadata = present,
            Key::Route => self.route = present,
            Key::ServiceTier => self.service_tier = present,
            Key::Transforms | Key::Plugins | Key::Trace | Key::Debug => {}
        }
        Ok(())
    }

    fn take_model(&mut self, body: &[u8], value: Option<Span>) -> Result<(), Flaw> {
        let Some(value) = value else { return Ok(()) };
        let name = name_inside(body, value).ok_or(Flaw::Model)?;
        self.model_escaped = !is_plain(body, name) && name.of(body).contains(&b'\\');
        self.model = Some(name);
        Ok(())
    }

    fn take_stream_options(&mut self, body: &[u8], value: Option<Span>) -> Result<(), Flaw> {
        let Some(value) = value else { return Ok(()) };
        if body[value.range()].first() != Some(&b'{') {
            return Err(Flaw::StreamOptions);
        }
        self.stream_options = Some(value);
        self.stream_include_usage = member_of(body, value, b"include_usage")?;
        let include = self.stream_include_usage.filter(|value| value.of(body) != b"null");
        self.include_usage |= boolean(body, include).ok_or(Flaw::StreamOptions)?;
        Ok(())
    }
}

/// Reads a request body.
///
/// # Errors
/// [`Flaw::Json`], [`Flaw::JsonDepth`], [`Flaw::JsonMembers`]: not an object we can walk.
/// [`Flaw::JsonDuplicateKey`],
/// [`Flaw::JsonEscapedKey`]: two readers could disagree about it. [`Flaw::Model`], [`Flaw::Models`],
/// [`Flaw::Stream`],
/// [`Flaw::StreamOptions`], [`Flaw::MaxTokens`], [`Flaw::SessionId`]: a member has the wrong type or size.
pub fn peek(body: &[u8]) -> Result<Peek, Flaw> {
    let mut peek = Peek::default();
    peek.read(body).map(|()| peek)
}

/// The entries of `models`, in order; empty when there are none. At most `limits::MODELS_PER_REQUEST`, each
/// of 1 to
/// `limits::MODEL_NAME_BYTES` bytes (`peek` has checked it).
pub fn model_names<'a>(body: &'a [u8], peek: &Peek) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
    let mut items = peek.models.and_then(|list| Items::open(body, list.start as usize, 1).ok());
    core::iter::from_fn(move || {
        let item = items.as_mut()?.next_item().ok()??;
        unescaped(name_inside(body, item)?.of(body))
    })
}

fn known(key: &[u8]) -> Option<Key> {
    // One comparison of lengths and bytes; the compiler turns it into a switch over the length.
    Some(match key {
        b"model" => Key::Model,
        b"models" => Key::Models,
        b"stream" => Key::Stream,
        b"stream_options" => Key::StreamOptions,
        b"max_tokens" => Key::MaxTokens,
        b"max_completion_tokens" => Key::MaxCompletionTokens,
        b"provider" => Key::Provider,
        b"usage" => Key::Usage,
        b"messages" => Key::Messages,
        b"tools" => Key::Tools,
        b"response_format" => Key::ResponseFormat,
        b"user" => Key::User,
        b"session_id" => Key::SessionId,
        b"metadata" => Key::Metadata,
        b"route" => Key::Route,
        b"transforms" => Key::Transforms,
        b"plugins" => Key::Plugins,
        b"trace" => Key::Trace,
        b"debug" => Key::Debug,
        b"service_tier" => Key::ServiceTier,
        b"prompt_cache_key" => Key::PromptCacheKey,
        _ => return None,
    })
}

/// The keys seen so far. Unknown ones are looked for only when a hash says they may be there.
struct Seen {
    known: u32,
    parameters: u32,
    hashes: [u64; 4],
    /// Positions of the first bytes of unknown keys.
    unknown: [u32; UNKNOWN_USUAL],
    /// Those of further ones. A large array would be cleared for every request, and hardly any has so many.
    unknown_more: Vec<u32>,
    unknown_count: usize,
}

/// Unknown keys of a usual request, at most.
const UNKNOWN_USUAL: usize = 16;

const _: () = assert!(KNOWN_KEYS <= u32::BITS as usize);

impl Seen {
    const fn new() -> Self {
        Self {
            known: 0,
            parameters: 0,
            hashes: [0; 4],
            unknown: [0; UNKNOWN_USUAL],
            unknown_more: Vec::new(),
            unknown_count: 0,
        }
    }

    fn known(&mut self, key: Key) -> Result<(), Flaw> {
        let bit = 1 << key as u32;
        if self.known & bit != 0 {
            return Err(Flaw::JsonDuplicateKey);
        }
        self.known |= bit;
        Ok(())
    }

    /// The bit, or none for a `null`.
    fn parameter(&mut self, body: &[u8], bit: u32, value: Span) -> Result<u32, Flaw> {
        if self.parameters & bit != 0 {
            return Err(Flaw::JsonDuplicateKey);
        }
        self.parameters |= bit;
        Ok(if value.of(body) == b"null" { 0 } else { bit })
    }

    fn unknown(&mut self, body: &[u8], span: Span) -> Result<(), Flaw> {
        let key = span.of(body);
        if Key::ALL[..=CASE_MATTERS].iter().any(|known| key.eq_ignore_ascii_case(known.text().as_bytes())) {
            return Err(Flaw::JsonDuplicateKey);
        }
        // Keys that differ should rarely share a bit: length, ends and middle are enough for that.
        let byte = |at: usize| key.get(at).map_or(0, |byte| usize::from(*byte));
        let hash =
            key.len() * 41 + byte(0) * 3 + byte(key.len() / 2) * 5 + byte(key.len().wrapping_sub(1)) * 29;
        let (word, bit) = (hash / 64 % 4, 1 << (hash % 64));
        if self.hashes[word] & bit != 0 && self.holds(body, key) {
            return Err(Flaw::JsonDuplicateKey);
        }
        self.hashes[word] |= bit;
        match self.unknown.get_mut(self.unknown_count) {
            Some(place) => *place = span.start,
            None => self.unknown_more.push(span.start),
        }
        self.unknown_count += 1;
        Ok(())
    }

    fn holds(&self, body: &[u8], key: &[u8]) -> bool {
        let first = &self.unknown[..self.unknown_count.min(UNKNOWN_USUAL)];
        first.iter().chain(&self.unknown_more).any(|start| {
            let rest = &body[*start as usize..];
            rest.starts_with(key) && rest.get(key.len()) == Some(&b'"')
        })
    }
}

const _: () = assert!(JSON_DEPTH >= 2, "options of the body are objects inside an object");
