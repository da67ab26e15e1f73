//! A scenario as data, and the text it is written in: one `.case` file per scenario, run by the simulator
//! and by a runner on real sockets.
//!
//! A file is made of lines. Lines that begin with `#` are comments; those at the top are the title. A line in
//! brackets begins a section; every other line is one step or one fact: a word, then its arguments.
//!
//! ```text
//! [config]
//! model NAME = PROVIDER/NAME PROVIDER/NAME   a model and its endpoints, tried in this order
//! auto TIER N = NAME NAME     a tier of `millrace/auto`, weakest first, its least score, its models; the
//!                             second one is the default
//! deadline KIND 100ms         connect response-head first-event answer idle total
//!                             client-head client-body client-send client-idle
//! limit KIND N                body bodies attempts
//! waiting 20ms                a comment is sent to a streaming client that waits this long
//! hedge TIME                  a second candidate for a stream that waits this long for its first event
//! hedge-share N | hedge-cost N                        percent of requests, percent of their cost
//! hedge-per-request on        requests may say for themselves, by the flag `hedge=VALUE`
//! ambiguous-failover off      not even one attempt after a failure that may be billed
//! keys off                    nobody needs a key
//! debug on                    the clients' key may ask how its requests were routed
//! usage-always PROVIDER       it reports usage on streams without being asked
//! cached PROVIDER             its endpoints read prompts from a cache at a lower price; their models keep
//!                             the order of this file
//! price PROVIDER P C          its endpoints cost so many pico-dollars per token of prompt and answer
//! unknown-price deny          endpoints without a price are excluded
//! drain PROVIDER              its answers are read on when their client has left
//! drain-timeout TIME | drain-bytes N | drains N       bounds of that
//! reserve N                   tokens reserved for an answer that nobody bounds
//! strict on                   an answer is settled before its last bytes leave
//! journal N                   the journal has room for so many requests
//! sticky-ttl 100ms            how long after a success a conversation comes back
//! passthrough PROVIDER        it takes `PROVIDER/anything`
//! control PROVIDER            paths that are no inference go there
//!
//! [client]                    a client connection; the section may be repeated. One step after the other:
//! post FLAGS PATH BODY        a request; FLAGS are any of 1.0 close chunked expect no-key hedge=VALUE
//!                             field:NAME=VALUE
//! get FLAGS PATH              likewise; also `head`
//! send TEXT                   these bytes
//! answer                      waits for the next answer to be complete (or the connection to end)
//! until TEXT                  waits until this was received
//! ask N PATH BODY             N requests, each as `post` and `answer`
//! wait 10ms                   does nothing for so long
//! rest 10ms                   likewise, and on real sockets no longer than that: for the router's own pauses
//! pace N 1ms                  from now on reads N bytes at a time, so often
//! stop-reading                reads nothing any more
//! hold                        does not close when the router ends its side
//! fin                         ends its side and goes on reading
//! leave                       closes; what comes later is answered with a reset
//! reset                       resets
//!
//! [origin PROVIDER]           what the provider does with its next connection or request; the section may be
//!                             repeated: each dial, and each request on a kept connection, takes the next.
//!                             `[origin PROVIDER *N]` stands for N such sections
//! refuse | blackhole | unresolved | tls-failure       the dial ends (or does not end) like this
//! await                       waits for the whole request; every section begins so unless it says otherwise
//! await-head                  waits for the request's head, and reads no further until the next `await`
//! no-await                    speaks before it is asked
//! head STATUS KIND FRAMING | FIELD: VALUE | …         KIND is json, events, html, text or none; FRAMING is
//!                             chunked, length, length=N, close or none
//! event DATA                  `data: DATA` and a blank line, as one chunk where chunks are in use
//! body TEXT                   payload, as one chunk where chunks are in use
//! end                         ends the payload as its framing asks for
//! answer STATUS JSON          head, body and end of a JSON answer
//! raw TEXT                    these bytes, unframed
//! wait 10ms | fin | reset     as for clients
//!
//! [process]                   what happens to the router: wait 10ms | drain | stop
//!
//! [expect]                    what the client gets; `[expect 2]` speaks of the second client
//! status N                    the next answer
//! answers N STATUS TEXT       the next N answers have this status, are complete, and their payload has TEXT
//! field NAME: VALUE | no-field NAME
//! event DATA | comment TEXT | error-event STATUS      all events in order, once one is named
//! event-has TEXT              the next of them has this in it
//! body TEXT | body-has TEXT
//! complete | cut              how the answer ends
//! connection kept | closed | reset
//! record TEXT                 all records in order, as `outcome provider=fault/billed … usage P+C`; a
//!                             hedge is `provider=fault/billed/hedge`; `record *N TEXT` are N of them
//! settle TEXT                 all settlements in order, once one is named: see `ledger`; `*` is any number
//! admit RESERVED MODEL PROVIDER                       likewise all admissions
//! origin PROVIDER requests N | origin PROVIDER body TEXT | origin PROVIDER head-has TEXT | … head-lacks TEXT
//! ```
//!
//! TEXT knows `\r \n \t \\ \xHH` and `{{TEXT*N}}` for repetition. Times are scaled down to milliseconds: a
//! runner on real sockets may multiply all of them by one factor. A client's key is sent with every `post`
//! and `get`.
//! Deliberately absent: reading the file (the caller does), performing it (`world`), judging it (`expect`).

use core::time::Duration;

use crate::base::limits::{Deadlines, Limits, STICKY_TTL};
use crate::exchange::sim::parse;
use crate::policy::catalog::LedgerTerms;
use crate::policy::hedge::Terms;

/// A scenario.
#[derive(Clone, Debug)]
pub struct Case {
    /// The comments at the top.
    pub title: String,
    /// How the router is set up.
    pub config: Config,
    /// Clients, in order of their sections.
    pub clients: Vec<Vec<ClientStep>>,
    /// What providers do, in order of their sections.
    pub origins: Vec<Origin>,
    /// What happens to the process.
    pub process: Vec<ProcessStep>,
    /// What must come out.
    pub expect: Vec<Expect>,
}

/// How the router is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Providers, in order of first mention.
    pub providers: Vec<Provider>,
    /// Model names with their endpoints: index of the provider, and the provider's name of the model.
    pub models: Vec<(String, Vec<(usize, String)>)>,
    /// Tiers of `millrace/auto`: name, least score, names of models.
    pub auto: Vec<(String, u16, Vec<String>)>,
    /// Deadlines, of clients and providers alike.
    pub deadlines: Deadlines,
    /// Bounds.
    pub limits: Limits,
    /// Silence before a waiting comment.
    pub waiting: Option<Duration>,
    /// How long after a success a conversation comes back.
    pub sticky_ttl: Duration,
    /// One failover after an ambiguous failure.
    pub ambiguous: bool,
    /// Second candidates for requests that wait.
    pub hedging: Terms,
    /// What the operator says of the ledger.
    pub ledger: LedgerTerms,
    /// Requests that the journal has room for; `None` is no bound.
    pub journal_room: Option<usize>,
    /// Keys are demanded.
    pub keys: bool,
    /// The clients' key may ask how its requests were routed.
    pub debug: bool,
    /// The control plane's place among the providers.
    pub control: Option<usize>,
}

/// A provider.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// Reports usage on streams without being asked.
    pub usage_always: bool,
    /// Takes any model.
    pub passthrough: bool,
    /// Reads prompts from its cache at a lower price.
    pub cached: bool,
    /// Its answers are read on when their client has left.
    pub drains: bool,
    /// What a token of the prompt and one of the answer cost at its endpoints, in pico-dollars.
    pub price: Option<[i128; 2]>,
}

/// One step of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientStep {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Notes that the next answer is to a HEAD request.
    Bodyless,
    /// Waits for the next answer to be complete.
    Answer,
    /// Waits until these bytes were received.
    Until(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Waits, wherever it runs no longer than this.
    Rest(Duration),
    /// Reads so many bytes at a time, so often.
    Pace(usize, Duration),
    /// Reads no more.
    StopReading,
    /// Does not close when the router ends its side.
    Hold,
    /// Ends its side.
    Fin,
    /// Closes.
    Leave,
    /// Resets.
    Reset,
}

/// What a provider does with a connection or a request.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Index of the provider.
    pub provider: usize,
    /// One after the other.
    pub steps: Vec<OriginStep>,
}

/// One step of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginStep {
    /// The dial is refused.
    Refuse,
    /// The dial never completes.
    Blackhole,
    /// The name has no address.
    Unresolved,
    /// No TLS connection can be made.
    TlsFailure,
    /// Waits for the whole request.
    Await,
    /// Waits for the request's head and stops reading.
    AwaitHead,
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Ends its side.
    Fin,
    /// Resets.
    Reset,
}

/// What happens to the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessStep {
    /// Nothing, for so long.
    Wait(Duration),
    /// The process drains.
    Drain,
    /// The drain time is over.
    Stop,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Whose, counted from 0.
    pub client: usize,
    /// The line, for messages.
    pub line: String,
    /// Its first word.
    pub word: String,
    /// The rest, escapes resolved.
    pub text: Vec<u8>,
}

impl Case {
    /// Reads the text of a case.
    ///
    /// # Errors
    /// The first line that is not understood, with its number.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::case(text)
    }

    /// A case in which nothing happens.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            title: String::new(),
            config: Config {
                providers: Vec::new(),
                models: Vec::new(),
                auto: Vec::new(),
                deadlines: Deadlines::default(),
                limits: Limits::default(),
                waiting: None,
                sticky_ttl: STICKY_TTL,
                ambiguous: true,
                hedging: Terms::default(),
                ledger: LedgerTerms::default(),
                journal_room: None,
                keys: true,
                debug: false,
                control: None,
            },
            clients: Vec::new(),
            origins: Vec::new(),
            process: Vec::new(),
            expect: Vec::new(),
        }
    }

    /// Bytes that all clients send.
    #[must_use]
    pub fn client_bytes(&self) -> usize {
        let steps = self.clients.iter().flatten();
        steps.map(|step| if let ClientStep::Send(bytes) = step { bytes.len() } else { 0 }).sum()
    }

    /// Bytes that all origins send.
    #[must_use]
    pub fn origin_bytes(&self) -> usize {
        let steps = self.origins.iter().flat_map(|origin| &origin.steps);
        steps.map(|step| if let OriginStep::Send(bytes) = step { bytes.len() } else { 0 }).sum()
    }
}

impl Config {
    /// The place of a provider, which is added when it is new.
    pub(super) fn provider(&mut self, name: &str) -> usize {
        if let Some(known) = self.providers.iter().position(|provider| provider.name == name) {
            return known;
        }
        self.providers.push(Provider { name: name.to_owned(), ..Provider::default() });
        self.providers.len() - 1
    }
}
