//! Why no endpoint is left: which filter has excluded which providers, in words and as OpenRouter's
//! `error.availability`.
//!
//! Deliberately absent: the decision (`policy/route`), and endpoints that other keys alone may use.

use core::fmt::Write as _;

use crate::exchange::reply::{Refusal, write_json_text};
use crate::policy::auth::Tenant;
use crate::policy::filter::Filter;
use crate::policy::route::{Ask, NoPlan, Scene, considered};

/// What is known about a request that no endpoint may serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    models: Vec<String>,
    /// Each filter with the endpoints it excluded, as `provider` or `provider/variant`.
    excluded: Vec<(Filter, Vec<String>)>,
    /// `openrouter_metadata`, for a client that wants it.
    pub(super) metadata: Option<String>,
}

/// The refusal for a request without a plan. Allocates: no provider is asked, so there is time.
pub(super) fn refusal<M: Iterator<Item: AsRef<str>>>(
    why: NoPlan,
    scene: &Scene<'_>,
    tenant: Tenant,
    ask: &Ask<'_>,
    names: impl Fn() -> M,
) -> Refusal {
    let unknown = || {
        let models: Vec<String> = names().map(|name| name.as_ref().to_owned()).collect();
        Refusal::ModelUnknown { model: models.join(", ") }
    };
    match why {
        NoPlan::Unknown => unknown(),
        NoPlan::Variant(unserved) => Refusal::Variant(unserved),
        NoPlan::Excluded => {
            let excluded = excluded(scene, tenant, ask, names());
            if excluded.is_empty() {
                // All there is belongs to other keys: as if there were nothing.
                return unknown();
            }
            let models = names().map(|name| name.as_ref().to_owned()).collect();
            Refusal::Unavailable(Availability { models, excluded, metadata: None })
        }
    }
}

fn excluded(
    scene: &Scene<'_>,
    tenant: Tenant,
    ask: &Ask<'_>,
    names: impl Iterator<Item: AsRef<str>>,
) -> Vec<(Filter, Vec<String>)> {
    let mut by: Vec<(Filter, Vec<String>)> = Vec::new();
    for one in considered(scene, tenant, ask, names).0 {
        let Some(filter) = one.excluded else { continue };
        let tag = one.endpoint.map(|id| &*scene.snapshot.endpoints[id.index()].tag);
        let provider = &*scene.snapshot.providers[one.provider.index()].id;
        let name = tag.filter(|tag| !tag.is_empty()).unwrap_or(provider).to_owned();
        match by.iter_mut().find(|(known, _)| *known == filter) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => by.push((filter, vec![name])),
        }
    }
    by
}

impl Availability {
    /// Is it the key that may not go where the endpoints are?
    fn by_region(&self) -> bool {
        self.excluded.iter().all(|(filter, _)| *filter == Filter::Region)
    }

    /// 403 when the key's regions alone exclude everything, else 404.
    pub(super) fn status(&self) -> u16 {
        if self.by_region() { 403 } else { 404 }
    }

    /// One sentence, with the models, the filters and what each of them excluded.
    pub(super) fn message(&self) -> String {
        let mut text = format!("no endpoint is left for {}: ", self.models.join(", "));
        for (turn, (filter, names)) in self.excluded.iter().enumerate() {
            let separator = if turn == 0 { "" } else { "; " };
            let _ = write!(text, "{separator}{} excluded by {}", names.join(", "), filter.text());
        }
        text
    }

    /// The object, as OpenRouter's clients read it.
    pub(super) fn json(&self) -> String {
        let privacy = |filter: &Filter| matches!(filter, Filter::Zdr | Filter::DataCollection);
        let only_privacy = self.excluded.iter().all(|(filter, _)| privacy(filter));
        let code = match (self.by_region(), only_privacy) {
            (true, _) => "region_restricted",
            (_, true) => "privacy_restricted",
            _ => "constraint_filtered",
        };
        let mut providers: Vec<&str> = Vec::new();
        for name in self.excluded.iter().flat_map(|(_, names)| names) {
            if !providers.contains(&&**name) {
                providers.push(name);
            }
        }
        let words = self.excluded.iter().map(|(filter, _)| filter.word());
        let details = self.excluded.iter().map(|(filter, names)| {
            format!(
                "{{\"field\":{},\"excluded\":{},\"providers\":{}}}",
                quoted(filter.text()),
                names.len(),
                list(names.iter().map(String::as_str))
            )
        });
        format!(
            "{{\"code\":\"{code}\",\"retryable\":false,\"retry_after\":null,\"requested_models\":{},\
             \"affected_providers\":{},\"excluded_by\":{},\"fallback_models\":[],\"filters\":[{}]}}",
            list(self.models.iter().map(String::as_str)),
            list(providers.into_iter()),
            list(words),
            details.collect::<Vec<_>>().join(","),
        )
    }
}

fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    format!("[{}]", texts.map(quoted).collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    let mut out = vec![b'"'];
    write_json_text(&mut out, text);
    out.push(b'"');
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_is_named_with_what_it_excluded() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let check = |excluded: Vec<(Filter, Vec<String>)>, code: &str| {
            let models = names(&["a/\"b"]);
            let availability = Availability { models, excluded, metadata: None };
            let json: serde_json::Value = serde_json::from_str(&availability.json()).expect("valid JSON");
            assert_eq!((&json["code"], &json["retryable"]), (&code.into(), &false.into()));
            assert_eq!(json["requested_models"][0], "a/\"b");
            let words: Vec<&str> = availability.excluded.iter().map(|(filter, _)| filter.word()).collect();
            assert_eq!(json["excluded_by"], serde_json::json!(words));
            for (filter, names) in &availability.excluded {
                assert!(availability.message().contains(filter.text()));
                assert!(names.iter().all(|name| availability.message().contains(name)));
            }
            json
        };
        let zdr = (Filter::Zdr, names(&["x", "y"]));
        let json = check(vec![zdr.clone()], "privacy_restricted");
        assert_eq!(json["filters"][0]["excluded"], 2);
        check(vec![(Filter::Region, names(&["x"]))], "region_restricted");
        check(vec![(Filter::Region, names(&["x"])), zdr.clone()], "constraint_filtered");
        let json = check(vec![zdr, (Filter::MaxPrice, names(&["y", "z"]))], "constraint_filtered");
        assert_eq!(json["affected_providers"], serde_json::json!(["x", "y", "z"]));
    }
}
