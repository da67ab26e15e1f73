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
use crate::exchange::{Exchange, State};
use crate::wire::http1::HeadWriter;
use crate::wire::json::peek::{self, Peek};
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
            let target = Span {
                end: request.head.query.map_or(request.head.target.end, |query| query.end),
                ..request.head.target
            };
            let path = core::str::from_utf8(target.of(bytes)).unwrap_or("/");
            HeadWriter::request(&mut parcel.own, "GET", &[path]).pause();
            parcel.own.extend_from_slice(provider.head_fields());
            let mut head = HeadWriter::resumed(&mut parcel.own);
            if let Some(key) = request.tenant.key.and_then(|key| attempt.snapshot().keys.get(key.index())) {
                // What is private to this key exists for it alone.
                head.field("x-millrace-key", key.name.as_bytes());
            }
            head.end();
            return parcel.push_own(0);
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
        dialect(provider.dialect).splice(peek, body, &name, provider.stream_usage, splice);
        parcel.own.extend_from_slice(provider.head(api));
        let mut head = HeadWriter::resumed(&mut parcel.own);
        for (field, name) in FORWARDED {
            if let Some(value) = request.head.field(*field) {
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
