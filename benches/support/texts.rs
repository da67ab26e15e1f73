//! What clients and providers send, as benches need it: heads of real shape, bodies and events of a wanted
//! size.
//!
//! Deliberately absent: randomness. The same size gives the same bytes.

/// A request head as OpenAI's Python SDK writes it, for a body of `body_len` bytes.
pub(crate) fn sdk_head(key: &str, body_len: usize) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept-Encoding: gzip, deflate\r\n\
         Connection: keep-alive\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         User-Agent: OpenAI/Python 2.8.1\r\nX-Stainless-Lang: python\r\n\
         X-Stainless-Package-Version: 2.8.1\r\n\
         X-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\n\
         X-Stainless-Runtime-Version: 3.13.1\r\nAuthorization: Bearer {key}\r\nX-Stainless-Async: false\r\n\
         x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\nContent-Length: {body_len}\r\n\r\n"
    )
}

/// The smallest request head that is accepted with a key and a body.
pub(crate) fn small_head(key: &str, body_len: usize) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {body_len}\r\n\r\n"
    )
}

/// An answer with the smallest head.
pub(crate) fn small_answer(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A response head as a large provider writes it; `framing` is the framing field's line without its end.
pub(crate) fn provider_head(content_type: &str, framing: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nDate: Thu, 20 Nov 2025 08:00:00 GMT\r\n\
         Content-Type: {content_type}\r\n{framing}\r\n\
         Connection: keep-alive\r\naccess-control-expose-headers: X-Request-ID\r\n\
         openai-organization: example\r\nopenai-processing-ms: 212\r\nopenai-version: 2020-10-01\r\n\
         x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 200000\r\n\
         x-ratelimit-remaining-requests: 9999\r\nx-ratelimit-remaining-tokens: 199000\r\n\
         x-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 1ms\r\n\
         x-request-id: req_0123456789abcdef0123456789abcdef\r\n\
         strict-transport-security: max-age=31536000\r\n\
         cf-cache-status: DYNAMIC\r\nServer: example\r\nX-Content-Type-Options: nosniff\r\n\
         CF-RAY: 0123456789abcdef-FRA\r\nalt-svc: h3=\":443\"; ma=86400\r\n\r\n"
    )
}

/// A chat request's body of exactly `bytes` bytes (at least 300), with text that has escapes in it.
pub(crate) fn chat_body(model: &str, stream: bool, bytes: usize) -> String {
    let start = format!(
        "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"system\",\"content\":\"You are terse.\"}},\
         {{\"role\":\"user\",\"content\":\""
    );
    let end = format!("\"}}],\"temperature\":0.7,\"max_tokens\":512,\"stream\":{stream}}}");
    let room = bytes.checked_sub(start.len() + end.len()).expect("a chat body has at least 300 bytes");
    start + &prose(room) + &end
}

/// JSON string content of exactly `bytes` bytes: prose with a quoted word and a line end every now and
/// then, so that there is an escape in every 60 bytes or so.
fn prose(bytes: usize) -> String {
    const WORDS: &str = "The quick brown fox looked at the fence, thought of the lazy dog behind it, and \
                         said \\\"no\\\" before anybody could ask. Then it went home, where supper had \
                         been waiting for an hour.\\n";
    let mut text = WORDS.repeat(bytes / WORDS.len());
    text.extend(std::iter::repeat_n('.', bytes - text.len()));
    text
}

/// One `data:` event of exactly `bytes` bytes (at least 70), blank line included.
pub(crate) fn event(bytes: usize) -> String {
    let start = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
    let end = "\"}}]}\n\n";
    let room = bytes.checked_sub(start.len() + end.len()).expect("an event has at least 70 bytes");
    start.to_owned() + &prose(room) + end
}

/// A content event as OpenAI sends them, about 250 bytes.
pub(crate) fn delta_event() -> String {
    "data: {\"id\":\"chatcmpl-CdYkPz0123456789abcdefABCDEF\",\"object\":\"chat.completion.chunk\",\
     \"created\":1763625600,\"model\":\"gpt-5.5\",\"service_tier\":\"default\",\"system_fingerprint\":null,\
     \"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\"logprobs\":null,\"finish_reason\":null}],\
     \"usage\":null,\"obfuscation\":\"x9Yz\"}\n\n"
        .to_owned()
}

/// An event that reports usage and nothing else.
pub(crate) fn usage_event() -> String {
    "data: {\"id\":\"chatcmpl-CdYkPz0123456789abcdefABCDEF\",\"object\":\"chat.completion.chunk\",\
     \"created\":1763625600,\"model\":\"gpt-5.5\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\
     \"completion_tokens\":12,\"total_tokens\":21,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n"
        .to_owned()
}

/// The end marker.
pub(crate) const DONE_EVENT: &str = "data: [DONE]\n\n";

/// `payload` as one chunk of the chunked coding.
pub(crate) fn chunk(payload: &str) -> String {
    format!("{:x}\r\n{payload}\r\n", payload.len())
}

/// A whole answer that is not a stream.
pub(crate) fn answer_body() -> String {
    "{\"id\":\"chatcmpl-CdYkPz0123456789abcdefABCDEF\",\"object\":\"chat.completion\",\"created\":1763625600,\
     \"model\":\"gpt-5.5\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\
     \"Hello! How can I help you today? I could do a few things.\",\"refusal\":null,\
     \"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":19,\
     \"completion_tokens\":10,\"total_tokens\":29,\"prompt_tokens_details\":{\"cached_tokens\":0,\
     \"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0}},\
     \"service_tier\":\"default\",\"system_fingerprint\":null}\n"
        .to_owned()
}
