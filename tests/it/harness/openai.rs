//! The words of the API under test: requests as clients write them, answers as providers write them, and the
//! configuration that brings the two together.

use std::net::SocketAddr;

/// Where chats go.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// Head of a chunked event stream.
pub(crate) const EVENTS_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A POST with these extra field lines (each with its line end).
pub(crate) fn post(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: millrace\r\ncontent-type: application/json\r\n{fields}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A chat request; `nonce` is what the last message says.
pub(crate) fn chat(model: &str, stream: bool, nonce: &str) -> Vec<u8> {
    post(CHAT, "", &message(model, stream, nonce))
}

/// Body of a chat request.
pub(crate) fn message(model: &str, stream: bool, nonce: &str) -> String {
    let content = format!("<{nonce}>");
    format!(
        "{{\"model\":\"{model}\",\"stream\":{stream},\
         \"messages\":[{{\"role\":\"user\",\"content\":\"{content}\"}}]}}"
    )
}

/// A complete answer that is not a stream.
pub(crate) fn document(from: &str, text: &str) -> String {
    format!(
        "{{\"id\":\"chatcmpl-{from}\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"{from}\",\
         \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\
         \"finish_reason\":\"stop\"}}],\
         \"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}}}"
    )
}

/// The same with its head and its length.
pub(crate) fn document_answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One event with a piece of text.
pub(crate) fn delta_event(from: &str, text: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-{from}\",\"object\":\"chat.completion.chunk\",\"created\":1,\
         \"model\":\"{from}\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

/// The events of a whole stream: one per piece of text, the reason it ends, and the end marker.
pub(crate) fn event_stream(from: &str, pieces: &[&str]) -> Vec<String> {
    let mut events: Vec<String> = pieces.iter().map(|piece| delta_event(from, piece)).collect();
    events.push(format!(
        "data: {{\"id\":\"chatcmpl-{from}\",\"object\":\"chat.completion.chunk\",\"created\":1,\
         \"model\":\"{from}\",\
         \"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n"
    ));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// One chunk of the chunked coding.
pub(crate) fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// A chunk for each piece, and the last chunk.
pub(crate) fn chunked(pieces: &[String]) -> String {
    let mut body: String = pieces.iter().map(|piece| chunk(piece)).collect();
    body.push_str("0\r\n\r\n");
    body
}

/// The text of a stream's deltas.
pub(crate) fn text_of(events: &str) -> String {
    let data = events.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok())
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect()
}

/// Scripted origins count their connections: nobody but the test goes there.
const NO_PROBES: &str = "probe = { enabled = false }\n";

/// A provider without a key; `more` are further lines of its table.
pub(crate) fn provider(id: &str, address: SocketAddr, more: &str) -> String {
    let auth = if more.contains("api_key") { "" } else { "auth = \"none\"\n" };
    format!("[[provider]]\nid = \"{id}\"\nbase_url = \"http://{address}/v1\"\n{auth}{NO_PROBES}{more}\n")
}

/// The same at any base URL, unix sockets included.
pub(crate) fn provider_at(id: &str, base_url: &str, more: &str) -> String {
    format!("[[provider]]\nid = \"{id}\"\nbase_url = \"{base_url}\"\nauth = \"none\"\n{NO_PROBES}{more}\n")
}

/// The same over TLS.
pub(crate) fn tls_provider(id: &str, authority: &str, more: &str) -> String {
    let auth = if more.contains("api_key") { "" } else { "auth = \"none\"\n" };
    format!("[[provider]]\nid = \"{id}\"\nbase_url = \"https://{authority}/v1\"\n{auth}{NO_PROBES}{more}\n")
}

/// A model that runs at these providers, tried in this order.
pub(crate) fn models(id: &str, providers: &[&str]) -> String {
    let mut text = format!("[[model]]\nid = \"{id}\"\n");
    for provider in providers {
        text.push_str(&format!("[[model.endpoint]]\nprovider = \"{provider}\"\nname = \"up-{provider}\"\n"));
    }
    text
}

/// The number between two texts.
pub(crate) fn number_between(text: &str, before: &str, after: &str) -> Option<usize> {
    let rest = &text[text.find(before)? + before.len()..];
    rest[..rest.find(after)?].trim().parse().ok()
}

/// The digest of a client's key, as the configuration holds it.
pub(crate) fn digest(key: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
