//! The rig's streams: when they begin, and when each says its next event.
//!
//! Deliberately absent: the bytes of events (`text`) and their numbers (`origin`).

use std::io;
use std::time::Instant;

use super::{Connection, End, Load, Rig, TOKEN_BITS};

impl Rig {
    /// An event of a stream without a gap is there: the next one may go.
    pub(super) fn arrived(&mut self, token: u32) -> io::Result<()> {
        let Some(Connection { end: End::Client(client), .. }) = self.connection(token) else { return Ok(()) };
        match client.origin {
            Some(origin) => self.say(origin),
            None => Ok(()),
        }
    }

    pub(super) fn begin_stream(&mut self, token: u32, number: u64) -> io::Result<()> {
        let Load::Streams { count, gap } = self.load else { return Ok(()) };
        let asking = u32::try_from(number & ((1 << TOKEN_BITS) - 1)).unwrap_or(u32::MAX);
        if let Some(Connection { end: End::Client(client), .. }) = self.connection(asking) {
            client.origin = Some(token);
        }
        let Some(connection) = self.connection(token) else { return Ok(()) };
        let End::Origin(origin, _) = &mut connection.end else { return Ok(()) };
        let head = origin.stream_head();
        self.send(token, head)?;
        if let Some(gap) = gap {
            // Streams are spread over a gap, so that events do not fall on the same instants.
            let phase = gap.mul_f64(f64::from(token % count.max(1)) / f64::from(count.max(1)));
            self.due.push(core::cmp::Reverse((Instant::now() + gap + phase, token)));
        }
        Ok(())
    }

    /// Sends a stream's next event, or its last words, if the one before is out.
    pub(super) fn say(&mut self, token: u32) -> io::Result<()> {
        let (begin, ending) = (self.begin, self.ending);
        let Some(connection) = self.connection(token) else { return Ok(()) };
        let End::Origin(origin, _) = &mut connection.end else { return Ok(()) };
        if connection.closing || !origin.is_streaming() {
            return Ok(());
        }
        if connection.sending {
            origin.owe();
        } else {
            let event = if ending { origin.last_words() } else { origin.event(begin.elapsed()) };
            self.send(token, event)?;
        }
        Ok(())
    }

    /// Sends a stream's next event, or its last words; nothing is in flight.
    pub(super) fn say_now(&mut self, token: u32) -> io::Result<()> {
        let (begin, ending) = (self.begin, self.ending);
        let Some(connection) = self.connection(token) else { return Ok(()) };
        let End::Origin(origin, _) = &mut connection.end else { return Ok(()) };
        let event = if ending { origin.last_words() } else { origin.event(begin.elapsed()) };
        self.send(token, event)
    }
}
