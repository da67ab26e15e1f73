//! What a candidate is asked: its provider's head, then the client's own body around the few places that the
//! dialect replaces.
//!
//! Deliberately absent: when it is sent, and to whom (`attempt`).

use std::borrow::Cow;
use std::rc::Rc;

use crate::base::span::Span;
use crate::dialect::dialect;
use crate::exchange::attempt::Attempt;
use crate::exchange::request::{FORWARDED, Subject, requested_names};
use crate::exchange::surface::is_posted;
use crate::exchange::{Exchange, State};
use crate::policy::catalog::{EndpointFacts, ServiceTier};
use crate::policy::route::{kept_parameters, used_parameters};
use crate::wire::http1::HeadWriter;
use crate::wire::json::peek::{self, Key, Peek};
use crate::wire::json::splice::{self, Splice};
use crate::wire::parcel::Piece;

impl Attempt {
    /// The name to ask the candidate for, given the request's body.
    fn upstream_name<'a>(&'a self, peek: &Peek, body: &'a [u8]) -> Cow<'a, str> {
        if let Some(endpoint) = self.candidate().endpoint {
            return Cow::Borrowed(&self.snapshot().endpoints[endpoint.index()].name);
        }
        let name = requested_names(peek, body).nth(usize::from(self.candidate().model)).unwrap_or_default();
        match name.split_once('/') {
            Some((_, rest)) => Cow::Owned(rest.to_owned()),
            None => name,
        }
    }
}

/// Fits the body to the endpoint: parameters that it does not take go, and where it is of a service tier the
/// body says so.
fn adapt(facts: &EndpointFacts, peek: &Peek, body: &[u8], splice: &mut Splice) {
    if facts.parameters.is_some() {
        splice.strip(used_parameters(peek).without(kept_parameters(facts)).0);
    }
    let tier = facts.tier();
    if tier == ServiceTier::Default {
        return;
    }
    let name = tier.name().as_bytes();
    let quoted = |own: &mut Vec<u8>| {
        own.push(b'"');
        own.extend_from_slice(name);
        own.push(b'"');
    };
    match peek.member(Key::ServiceTier) {
        Some(member) if is_quoted(member.field.value.of(body), name) => {}
        Some(member) => splice.replace_with(member.field.value, quoted),
        // The model's name always follows it.
        None => {
            splice.replace_with(Span { start: peek.object.start + 1, end: peek.object.start + 1 }, |own| {
                own.extend_from_slice(b"\"service_tier\":");
                quoted(own);
                own.push(b',');
            })
        }
    }
}

/// Is this JSON text the string `name`, which has nothing to escape?
fn is_quoted(value: &[u8], name: &[u8]) -> bool {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) == Some(name)
}

impl Exchange {
    /// Writes the candidate's request: our head, then the client's body around the spliced places.
    pub(super) fn write_request(&mut self, splice: &mut Splice, peek: Option<&Peek>) {
        let State::Attempt(attempt) = &self.state else { return };
        let request = &attempt.request;
        let provider = attempt.provider();
        let bytes = &self.request[..];
        let parcel = &mut self.to_origin;
        parcel.clear();
        let Subject::Inference { api, .. } = request.subject else {
            let target = request.target.of(bytes);
            let path = core::str::from_utf8(target).unwrap_or("/");
            let posted = is_posted(target);
            HeadWriter::request(&mut parcel.own, if posted { "POST" } else { "GET" }, &[path]).pause();
            parcel.own.extend_from_slice(provider.head_fields());
            let mut head = HeadWriter::resumed(&mut parcel.own);
            if let Some(key) = request.tenant.key.and_then(|key| attempt.snapshot().keys.get(key.index())) {
                // What is private to this key exists for it alone.
                head.field("x-millrace-key", key.name.as_bytes());
            }
            if request.wishes.anthropic() {
                // The lists of models then have the shape that this client reads.
                head.field("anthropic-version", b"2023-06-01");
            }
            if posted {
                head.field("content-type", b"application/json");
                head.number("content-length", request.body.len() as u64);
            }
            head.end();
            parcel.push_own(0);
            if posted {
                parcel.pieces.push(Piece::Shared(request.body));
                parcel.shared = Some(Rc::clone(&self.request));
            }
            return;
        };
        let body = request.body.of(bytes);
        let again;
        let peek = match peek {
            Some(peek) => peek,
            None => {
                again = peek::peek(body).expect("the same bytes were read when the request came in");
                &again
            }
        };
        let name = attempt.upstream_name(peek, body);
        splice.clear();
        if let Some(endpoint) = attempt.candidate().endpoint {
            adapt(&attempt.snapshot().endpoints[endpoint.index()].facts, peek, body, splice);
        }
        dialect(provider.dialect).splice(peek, body, &name, provider.stream_usage, splice);
        parcel.own.extend_from_slice(provider.head(api));
        let mut head = HeadWriter::resumed(&mut parcel.own);
        for ((_, name), value) in FORWARDED.iter().zip(request.forwarded) {
            // No value of a head is at its very front.
            if value.start > 0 {
                head.field(name, value.of(bytes));
            }
        }
        head.number("content-length", splice.len(body.len()) as u64);
        head.end();
        let own_at = parcel.own.len();
        parcel.push_own(0);
        parcel.own.extend_from_slice(splice.own());
        for piece in splice.pieces(body.len()) {
            parcel.pieces.push(match piece {
                splice::Piece::Body(span) => Piece::Shared(span.shifted(request.body.start as usize)),
                splice::Piece::Own(span) => Piece::Own(span.shifted(own_at)),
            });
        }
        parcel.shared = Some(Rc::clone(&self.request));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{DialectName, StreamUsage};
    use crate::policy::catalog::{Parameter, Parameters};

    #[track_caller]
    fn check(facts: &EndpointFacts, body: &str, want: &str) {
        let peek = peek::peek(body.as_bytes()).expect("a body");
        let mut splice = Splice::new();
        adapt(facts, &peek, body.as_bytes(), &mut splice);
        let dialect = dialect(DialectName::OpenAi);
        dialect.splice(&peek, body.as_bytes(), "m", StreamUsage::OnRequest, &mut splice);
        let edited = String::from_utf8(splice.apply(body.as_bytes())).expect("UTF-8");
        assert_eq!(edited, want, "{body}");
        let json: Result<serde_json::Value, _> = serde_json::from_str(&edited);
        assert!(json.is_ok_and(|json| json["model"] == "m"), "{edited}");
    }

    #[test]
    fn parameters_that_are_not_taken_go() {
        let taken = Parameters::of(&[Parameter::Temperature, Parameter::Tools]);
        let facts = EndpointFacts { parameters: Some(taken), ..EndpointFacts::default() };
        let unknown = EndpointFacts::default();
        let body = r#"{"seed":1,"top_p":2,"model":"a","temperature":1,"provider":{},"stop":"x","own":3}"#;
        check(&facts, body, r#"{"model":"m","temperature":1,"own":3}"#);
        check(&unknown, body, r#"{"seed":1,"top_p":2,"model":"m","temperature":1,"stop":"x","own":3}"#);
        check(&facts, r#"{"model":"a","max_tokens":5,"seed":1}"#, r#"{"model":"m","max_tokens":5}"#);
        check(&facts, r#"{"models":["a"],"seed":1}"#, r#"{"model":"m"}"#);
        check(&facts, r#"{"models":["a"],"seed":1,"x":[]}"#, r#"{"model":"m","x":[]}"#);
        check(&facts, r#"{"model":"a","response_format":{},"tools":[]}"#, r#"{"model":"m","tools":[]}"#);
        check(&facts, r#"{"model":"a", "seed":null, "x":1}"#, r#"{"model":"m", "seed":null, "x":1}"#);
    }

    #[test]
    fn a_tier_is_asked_for_by_its_name() {
        let facts = EndpointFacts { service_tier: Some(ServiceTier::Priority), ..EndpointFacts::default() };
        check(&facts, r#"{"model":"a"}"#, r#"{"service_tier":"priority","model":"m"}"#);
        check(&facts, r#"{"models":["a"]}"#, r#"{"service_tier":"priority","model":"m"}"#);
        let fast = r#"{"model":"a","service_tier":"fast"}"#;
        check(&facts, fast, r#"{"model":"m","service_tier":"priority"}"#);
        check(&EndpointFacts::default(), fast, r#"{"model":"m","service_tier":"fast"}"#);
    }
}
