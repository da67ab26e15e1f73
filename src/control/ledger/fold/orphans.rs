//! Requests that an earlier process has admitted and never settled, because it was killed: they are charged
//! what was reserved for them, once.
//!
//! Deliberately absent: when that is (as soon as everything that process wrote was read).

use super::super::Cursors;
use super::super::names::CallerNumbers;
use super::super::sums::{Facts, UNSETTLED};
use super::{Folded, Folder, IdText, Open, Request, created_at};
use crate::base::record::Usage;
use crate::wire::journal::{Cost, Flags, Sequence, Source};

impl Folder {
    /// Charges what an earlier process has admitted and never settled.
    pub(super) fn charge_orphans(&mut self, ends: &Cursors, folded: &mut Folded) -> rusqlite::Result<()> {
        for (id, open) in self.orphans(ends)? {
            self.begin()?;
            self.step()?;
            let Ok(text) = core::str::from_utf8(&id) else { continue };
            self.connection.prepare_cached("DELETE FROM open WHERE id = ?1")?.execute([text])?;
            self.open.remove(&id);
            self.opened.remove(&id);
            let usage = Usage {
                prompt_tokens: open.prompt_tokens.into(),
                completion_tokens: open.most_completion_tokens.into(),
                ..Usage::default()
            };
            let cost = Cost { total: open.reserved, upstream: open.reserved, ..Cost::default() };
            let facts = Facts {
                created_at: created_at(&id, open.at.unsigned_abs()),
                caller: open.caller.caller,
                team: open.caller.team,
                user: open.user,
                served: open.served,
                ending: UNSETTLED,
                flags: Flags::default().with(Flags::UNPRICED, open.price_version == 0),
                source: Source::Bytes,
                usage,
                counted_tokens: 0,
                cost,
                answer_bytes: 0,
                first_byte_micros: 0,
                took_micros: 0,
            };
            let request = Request {
                id: text,
                facts: &facts,
                ended_at: open.at,
                status: 0,
                words: [self.names.word(&self.connection, "")?; 4],
                upstream_id: "",
                price_version: open.price_version,
                place: (self.node, open.core, Sequence(open.sequence)),
            };
            if request.insert(&self.connection)?.is_some() {
                self.batch.add(&facts);
                folded.requests += 1;
                folded.unsettled += 1;
                folded.unpriced += usize::from(facts.flags.has(Flags::UNPRICED));
            }
        }
        Ok(())
    }

    /// Requests under way that were admitted up to these records.
    fn orphans(&self, ends: &Cursors) -> rusqlite::Result<Vec<(IdText, Open)>> {
        let is_old = |open: &Open| ends.get(&open.core).is_some_and(|end| end.0 >= open.sequence);
        let mut orphans: Vec<(IdText, Open)> =
            self.opened.iter().filter(|(_, open)| is_old(open)).map(|(id, open)| (*id, *open)).collect();
        let mut statement = self.connection.prepare_cached(
            "SELECT open.id, at, caller, ifnull(words.number, 0), user, served, price_version, prompt_tokens,
                    most_completion_tokens, reserved, core, sequence
             FROM open JOIN callers ON callers.number = caller LEFT JOIN words ON words.word = callers.team
             WHERE node = ?1",
        )?;
        let mut rows = statement.query([self.node])?;
        while let Some(row) = rows.next()? {
            let open = Open {
                at: row.get(1)?,
                caller: CallerNumbers { caller: row.get(2)?, team: row.get(3)? },
                user: row.get(4)?,
                served: row.get(5)?,
                price_version: row.get(6)?,
                prompt_tokens: row.get(7)?,
                most_completion_tokens: row.get(8)?,
                reserved: row.get(9)?,
                core: row.get(10)?,
                sequence: row.get::<_, i64>(11)?.unsigned_abs(),
            };
            if let Ok(id) = IdText::try_from(row.get::<_, String>(0)?.as_bytes())
                && is_old(&open)
            {
                orphans.push((id, open));
            }
        }
        Ok(orphans)
    }
}
