//! The place of the endpoint that served a conversation last: first of its model, if it may serve this
//! request and is well.
//!
//! `provider.order` switches this off, as in OpenRouter's contract. A `sort` and the suffixes that sort do
//! not: what they sort by changes from turn to turn, and a cache that is lost at each change costs more than
//! the best place saves. With `partition: "none"` endpoints of all models are ranked together, so nobody is
//! moved there; the conversation is remembered all the same.
//! Deliberately absent: which conversation it is and what is remembered (`policy::sticky`).

use super::crowd::Crowd;
use super::{MISSES, Run};
use crate::policy::catalog::Model;
use crate::policy::filter::places;
use crate::policy::prefs::Partition;
use crate::policy::rows::{self, Lanes};
use crate::policy::sticky::{Digest, Recalled, is_worth_it};

/// Of those that stand alike, not the one that is remembered.
const OTHER: u16 = 1;

impl Run<'_, '_> {
    /// Puts the endpoint that is remembered before the others; says which one it is.
    pub(super) fn pin(&mut self, model: &Model, lanes: Lanes<'_>, crowd: &mut Crowd<'_>) -> Option<usize> {
        let recall = self.scene.sticky?;
        let named = self.ask.conversation.is_named();
        let is_cheap = lanes.all() & !lanes.without(rows::CHEAP_CACHE) & crowd.admitted != 0;
        let flags = if is_cheap { rows::CHEAP_CACHE } else { 0 };
        if !is_worth_it(named, model.facts.strategy, flags) || self.gate.lists.order.is_some() {
            return None;
        }
        let digest = self.digest()?;
        if crowd.count() < 2 || self.ask.preferences.partition == Partition::None {
            return None;
        }
        let found = recall.memory.endpoint(digest, &model.id, recall.now);
        let mut served = places(found.map_or(0, |found| lanes.of_identity(found) & crowd.admitted));
        let turn = served.next().map(|place| crowd.at(place));
        let turn = turn.filter(|turn| crowd.briefs[*turn].is_well() && crowd.standings[*turn] >> MISSES == 0);
        if self.recalled == Recalled::Unasked {
            self.recalled = match (found, turn) {
                (None, _) => Recalled::Missed,
                (Some(_), None) => Recalled::Broken,
                (Some(_), Some(_)) => Recalled::Kept,
            };
        }
        let turn = turn?;
        crowd.standings.iter_mut().for_each(|standing| *standing |= OTHER);
        crowd.standings[turn] &= !OTHER;
        Some(turn)
    }

    /// The conversation's digest, made once.
    fn digest(&mut self) -> Option<Digest> {
        if self.digest.is_none() {
            let recall = self.scene.sticky?;
            let conversation = &self.ask.conversation;
            self.digest = recall.memory.digest(self.scene.snapshot, self.tenant, conversation);
        }
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::world;
    use super::super::{Ask, Candidate, Plan, Recall, Scene, considered, plan};
    use super::*;
    use crate::base::ids::EndpointId;
    use crate::base::time::Moment;
    use crate::policy::auth::Tenant;
    use crate::policy::catalog::Snapshot;
    use crate::policy::live::{Figures, Live};
    use crate::policy::sticky::{Conversation, Memory};
    use crate::wire::json::peek::{self, peek};

    const NOW: Moment = Moment::from_nanos(1_000_000_000);

    /// Plans for a body, checks that what is told is what is done, and says what is tried.
    fn planned(
        (snapshot, figures): &(Snapshot, Vec<Figures>),
        memory: &Memory,
        body: &str,
        now: Moment,
        random: u64,
    ) -> (Plan, Vec<String>) {
        let bytes = body.as_bytes();
        let peek = peek(bytes).expect("a body");
        let conversation = Conversation::of(&peek, bytes, b"", b"").expect("a conversation");
        let ask = Ask { conversation, ..Ask::read(&peek, bytes).expect("well formed") };
        let sticky = Some(Recall { memory, now });
        let scene = Scene { live: Live::new(figures), random, sticky, ..Scene::plain(snapshot) };
        let names = || peek.model_name(bytes).into_iter().chain(peek::model_names(bytes, &peek));
        let tenant = Tenant { key: None };
        let plan = plan(&scene, tenant, &ask, names()).expect("a plan");
        let (list, told) = considered(&scene, tenant, &ask, names());
        assert_eq!(told, Ok(plan));
        let pinned: Vec<_> = list.iter().filter(|one| one.scored.is_some_and(|one| one.pinned)).collect();
        assert_eq!(plan.recalled() == Recalled::Kept, !pinned.is_empty(), "{body}");
        let tag = |one: Candidate| snapshot.endpoints[one.endpoint.unwrap().index()].tag.to_string();
        (plan, plan.candidates(snapshot).map(tag).collect())
    }

    /// The endpoint tagged `served` answers a conversation; then the world is `later`, and `body` comes.
    #[track_caller]
    fn check(before: &str, served: &str, later: &str, body: &str, recalled: Recalled, want: &str) {
        let (before, later) = (world(before), world(later));
        for random in [1, 2, 32, u64::MAX] {
            let memory = Memory::new(64, [3, 4]);
            let (plan, _) = planned(&before, &memory, body, NOW, random);
            let endpoint = before.0.endpoints.iter().position(|one| &*one.tag == served);
            let endpoint = EndpointId(endpoint.expect("it is in the world before") as u32);
            let pin = plan.digest().and_then(|digest| memory.pin(digest, &before.0, endpoint));
            if let Some(pin) = pin {
                memory.keep(&pin, true, NOW);
            }
            let (plan, tags) = planned(&later, &memory, body, NOW, random);
            assert_eq!((plan.recalled(), &*tags.join(" ")), (recalled, want), "{body} of {served}");
        }
    }

    const ABC: &str = "m: a usd=1 cached, b usd=2 cached, c usd=3 cached";

    fn named(rest: &str) -> String {
        format!("{{\"model\":\"m\",\"session_id\":\"s\",\"messages\":[1]{rest}}}")
    }

    #[test]
    fn the_endpoint_that_served_last_goes_first() {
        use Recalled::{Broken, Kept, Missed, Unasked};
        let floor = named(",\"provider\":{\"sort\":\"price\"}");
        let with = |rest: &str| named(&format!(",\"provider\":{{\"sort\":\"price\",{rest}}}"));
        check(ABC, "c", ABC, &floor, Kept, "c a b");
        check(ABC, "b", ABC, &floor.replace("\"session_id\":\"s\",", ""), Kept, "b a c");
        check(ABC, "c", ABC, &with("\"order\":[\"b\"]"), Unasked, "b a c");
        check(ABC, "c", ABC, &with("\"allow_fallbacks\":false"), Kept, "c");
        // Others came and went: the endpoint is known by what it is, not by its place.
        check(ABC, "c", "m: x usd=1, c usd=9 cached, a usd=1 cached", &floor, Kept, "c x a");
        check(ABC, "c", "m: a usd=1 cached, b usd=2 cached", &floor, Broken, "a b");
        check(ABC, "c", "m: a usd=1 cached, b usd=2 cached, c usd=3 cached sick", &floor, Broken, "a b c");
        check(ABC, "c", "m: a usd=1 cached sick, b usd=2 cached sick, c usd=3 cached", &floor, Kept, "c a b");
        // A price that is not lower, or not known, or another conversation's: nothing to come back to.
        check(ABC, "c", "m: a usd=1, b usd=2 uncached, c usd=3", &floor, Unasked, "a b c");
        let none = "m: a usd=1, b usd=2 uncached, c usd=3 cached";
        check(none, "b", none, &floor, Missed, "a b c");
        check(none, "c", none, &floor, Kept, "c a b");
        let alone = "m: a usd=1 cached";
        check(alone, "a", alone, &floor, Unasked, "a");
    }

    #[test]
    fn wishes_and_filters_go_before_what_is_remembered() {
        use Recalled::{Broken, Kept, Unasked};
        let sort = |rest: &str| named(&format!(",\"provider\":{{\"sort\":\"price\"{rest}}}"));
        let slow = "m: a usd=1 cached tps=90, b usd=2 cached tps=10";
        check(slow, "b", slow, &sort(",\"preferred_min_throughput\":50"), Broken, "a b");
        check(slow, "b", slow, &sort(",\"preferred_min_throughput\":5"), Kept, "b a");
        let long = named(",\"max_tokens\":50,\"provider\":{\"sort\":\"price\"}");
        check(ABC, "c", &format!("{ABC} output=10"), &long, Broken, "a b");
        // Whoever lacks a parameter of the request is left out where others take it.
        let tools = "m: a usd=1 cached takes=tools, b usd=2 cached takes=tools, c usd=3 cached takes=seed";
        check(ABC, "c", tools, &named(",\"tools\":[],\"provider\":{\"sort\":\"price\"}"), Broken, "a b");
        // The tier that is asked for goes first all the same.
        let tiers = "m: p usd=5 cached tier=priority, q usd=6 cached tier=priority, a usd=1 cached";
        let body = named(",\"service_tier\":\"priority\",\"provider\":{\"sort\":\"price\"}");
        check(tiers, "a", tiers, &body, Kept, "p q a");
        check(tiers, "q", tiers, &body, Kept, "q p a");
        // First of its model, not of all models.
        let two = "m: a usd=1 cached, b usd=2 cached; n: c usd=1 cached, d usd=2 cached";
        let both = sort("").replace("\"model\":\"m\"", "\"models\":[\"m\",\"n\"]");
        check(two, "b", two, &both, Kept, "b a c d");
        let flat = both.replace("\"sort\":\"price\"", "\"sort\":{\"by\":\"price\",\"partition\":\"none\"}");
        check(two, "b", two, &flat, Unasked, "a c b d");
    }

    #[test]
    fn private_fleets_with_prefix_affinity_keep_named_conversations() {
        let fleet = "m: a as=prefix-affinity, b, c";
        let world = world(fleet);
        let body = named("");
        let unnamed = body.replace("\"session_id\":\"s\",", "");
        let memory = Memory::new(64, [3, 4]);
        let (_, hashed) = planned(&world, &memory, &unnamed, NOW, 1);
        for (served, id) in ["a", "b", "c"].into_iter().zip(&world.0.models[0].endpoints) {
            let (plan, _) = planned(&world, &memory, &body, NOW, 1);
            let pin = memory.pin(plan.digest().expect("worth it"), &world.0, *id).expect("worth it");
            memory.keep(&pin, false, NOW);
            assert_eq!(planned(&world, &memory, &body, NOW, 1).1[0], served);
            // Without a name the strategy has its own way.
            let (plan, tags) = planned(&world, &memory, &unnamed, NOW, 1);
            assert_eq!((plan.digest(), tags), (None, hashed.clone()));
        }
    }

    /// The laws, over many worlds: nothing that is excluded or not well is put first, nothing is lost, and
    /// nothing is remembered beyond its time.
    #[test]
    fn a_pin_changes_the_order_and_nothing_else() {
        let body = named("");
        for sick in 0..16_u32 {
            for zdr in 0..16_u32 {
                for served in 0..4_usize {
                    let list: Vec<String> = (0..4)
                        .map(|turn| {
                            let mut text = format!("p{turn} usd={} cached", turn + 1);
                            text += if sick >> turn & 1 == 1 { " sick" } else { "" };
                            text + if zdr >> turn & 1 == 1 { " zdr" } else { "" }
                        })
                        .collect();
                    let world = world(&format!("m: {}", list.join(", ")));
                    let memory = Memory::new(64, [u64::from(sick), u64::from(zdr)]);
                    let (first, _) = planned(&world, &memory, &body, NOW, 7);
                    let id = world.0.models[0].endpoints[served];
                    let pin = memory.pin(first.digest().unwrap(), &world.0, id).unwrap();
                    memory.keep(&pin, false, NOW);
                    let only = if zdr == 0 { "" } else { ",\"provider\":{\"zdr\":true}" };
                    let body = named(only);
                    let (plan, tags) = planned(&world, &memory, &body, NOW, 7);
                    let empty = Memory::new(64, [1, 2]);
                    let (_, unpinned) = planned(&world, &empty, &body, NOW, 7);
                    let mut sorted = [tags.clone(), unpinned.clone()];
                    sorted.iter_mut().for_each(|tags| tags.sort());
                    assert_eq!(sorted[0], sorted[1], "nobody comes or goes");
                    let tag = format!("p{served}");
                    let may = sick >> served & 1 == 0 && tags.contains(&tag) && tags.len() > 1;
                    assert_eq!(plan.recalled() == Recalled::Kept, may, "{list:?} {served}");
                    let mut want = unpinned.clone();
                    if may {
                        want.retain(|one| *one != tag);
                        want.insert(0, tag);
                    }
                    assert_eq!(tags, want);
                    let later = NOW + crate::base::limits::STICKY_TTL;
                    assert_eq!(planned(&world, &memory, &body, later, 7).1, unpinned);
                }
            }
        }
    }
}
