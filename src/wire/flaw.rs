//! What can be wrong with bytes: one closed list, each with the text a client may see. The status each one
//! maps to is chosen in `exchange/reply`, nowhere else.
//!
//! Deliberately absent: positions (the caller knows where it was) and severity.

macro_rules! flaws {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// A reason to refuse bytes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Flaw { $($(#[doc = $doc])* $name,)* }

        impl Flaw {
            /// All of them, for tests that walk the list.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What is wrong and what would be right, in one sentence; contains no input.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

flaws! {
    // --- request and response heads ---
    /// The request line is malformed.
    RequestLine = "the request line is malformed; expected METHOD SP target SP HTTP/1.1",
    /// The request line is too long.
    RequestLineTooLong = "the request line is longer than 8192 bytes",
    /// The method is not one we know.
    MethodUnknown = "the method is not supported; expected GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
    /// The target is malformed.
    Target = "the request target contains forbidden bytes or has the wrong form",
    /// The version is not HTTP/1.0 or HTTP/1.1.
    Version = "the HTTP version is not supported; expected HTTP/1.1",
    /// A field is malformed.
    Field = "a header field is malformed",
    /// A line ends without CR LF.
    LineEnd = "a line does not end with CR LF",
    /// Folded or indented field.
    Folded = "a header field is folded or indented, which is obsolete and ambiguous",
    /// Too many fields.
    TooManyFields = "the head has more than 100 fields",
    /// Head too long.
    HeadTooLong = "the head is longer than 32768 bytes",
    /// No Host field, or several, or a malformed one.
    Host = "the Host field is missing, repeated or malformed",
    /// Malformed or repeated Content-Length.
    ContentLength = "Content-Length is malformed or repeated; expected one decimal number",
    /// Transfer-Encoding that is not exactly `chunked`.
    TransferEncoding = "Transfer-Encoding is malformed or repeated; expected chunked once, in HTTP/1.1",
    /// Transfer-Encoding that is well formed but not implemented.
    TransferEncodingUnknown = "this Transfer-Encoding is not supported; expected chunked",
    /// Both Content-Length and Transfer-Encoding.
    LengthAndChunked = "Content-Length and Transfer-Encoding exclude each other",
    /// A field name with an underscore that shadows a framing field.
    Underscore = "a header field name imitates a framing field with an underscore",
    /// A field that matters was sent twice.
    RepeatedField = "a header field that may appear once was repeated",
    /// A Connection option names a field that must not be removed.
    ConnectionOption = "Connection names a field that is not hop-by-hop",
    /// Expect with something else than 100-continue.
    Expectation = "Expect is not supported beyond 100-continue",
    /// The status line is malformed.
    StatusLine = "the status line is malformed",
    /// Switching protocols without being asked.
    Upgrade = "the upstream switched protocols without being asked",
    // --- bodies ---
    /// Chunk size malformed or too large.
    ChunkSize = "a chunk size is malformed; expected 1 to 16 hexadecimal digits",
    /// Chunk extension malformed or too long.
    ChunkExtension = "a chunk extension is malformed or too long",
    /// Chunk data not followed by CR LF.
    ChunkEnd = "chunk data is not followed by CR LF",
    /// Trailer section malformed or too long.
    Trailer = "the trailer section is malformed or too long",
    /// Body larger than the limit.
    BodyTooLarge = "the request body is larger than the configured limit",
    /// Body in a content coding.
    ContentEncoding = "request bodies must not be compressed; remove Content-Encoding",
    /// A body is required.
    BodyMissing = "this request needs a JSON body",
    // --- JSON ---
    /// Not JSON.
    Json = "the body is not valid JSON at its top level; expected one object",
    /// Nested too deeply.
    JsonDepth = "the body is nested deeper than 128 levels",
    /// Too many members.
    JsonMembers = "the body has more than 256 top-level members",
    /// A key that matters appears twice.
    JsonDuplicateKey = "a top-level key appears twice; which one counts would be ambiguous",
    /// A key is written with escapes.
    JsonEscapedKey = "a top-level key is written with escape sequences; write it plainly",
    /// `model` missing or not a string.
    Model = "model must be a string of 1 to 256 bytes",
    /// `models` not a list of strings.
    Models = "models must be a list of 1 to 8 strings",
    /// `stream` not a boolean.
    Stream = "stream must be true or false",
    /// `stream_options` not an object.
    StreamOptions = "stream_options must be an object",
    /// `max_tokens` not a whole number.
    MaxTokens = "max_tokens and max_completion_tokens must be whole numbers of at least 1",
    /// `session_id` not a string, or too long.
    SessionId = "session_id, like the header x-session-id, must be a string of at most 256 characters",
}
