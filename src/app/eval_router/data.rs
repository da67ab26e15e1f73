//! The labelled file of `eval-router`: one JSON object per line.
//!
//! ```text
//! {"about": "how the labels came about"}
//! {"domain": "code", "prompt": "…", "label": "strong"}
//! {"domain": "math", "messages": […], "tools": […], "models": {"a/b": {"correct": true, "cost": 0.001}, …}}
//! ```
//!
//! `label` names the weakest tier that answers well enough; `models` says which model answered right, and
//! what that cost in USD. Any other member is a member of the request.
//! Deliberately absent: what the policy makes of it.

use serde_json::{Map, Value};

/// Largest file in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 256 << 20;

/// A labelled request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) domain: String,
    /// The request's body, with `millrace/auto` as its model.
    pub(super) request: Map<String, Value>,
    pub(super) label: Label,
}

/// What is known about answers to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Label {
    /// The weakest tier that answers well enough.
    Tier(String),
    /// Models, whether each answered right, and its cost in USD.
    Models(Vec<(String, bool, f64)>),
}

/// A file that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Data {
    /// How the labels came about, in the words of the file.
    pub(super) about: Option<String>,
    pub(super) records: Vec<Record>,
}

/// Reads the text of a file.
///
/// # Errors
/// The first line that is not as it should be, and why.
pub(super) fn read(text: &str) -> Result<Data, String> {
    let mut data = Data::default();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let at = |why: &str| format!("line {}: {why}", index + 1);
        let Ok(Value::Object(mut members)) = serde_json::from_str(line) else {
            return Err(at("not a JSON object"));
        };
        if let Some(Value::String(about)) = members.remove("about") {
            data.about = Some(about);
            continue;
        }
        data.records.push(record(members).map_err(|why| at(&why))?);
    }
    if data.records.is_empty() { Err("no labelled line".to_owned()) } else { Ok(data) }
}

fn record(mut members: Map<String, Value>) -> Result<Record, String> {
    let Some(Value::String(domain)) = members.remove("domain") else {
        return Err("`domain` must be a text".to_owned());
    };
    let label = match (members.remove("label"), members.remove("models")) {
        (Some(Value::String(tier)), None) => Label::Tier(tier),
        (None, Some(Value::Object(models))) => {
            Label::Models(models.iter().map(outcome).collect::<Result<_, _>>()?)
        }
        _ => return Err("either `label`, a tier, or `models`, an object, must be there".to_owned()),
    };
    match (members.remove("prompt"), members.get("messages")) {
        (Some(Value::String(prompt)), None) => {
            let message = serde_json::json!([{"role": "user", "content": prompt}]);
            members.insert("messages".to_owned(), message);
        }
        (None, Some(Value::Array(_))) => {}
        _ => return Err("either `prompt`, a text, or `messages`, a list, must be there".to_owned()),
    }
    members.insert("model".to_owned(), "millrace/auto".into());
    Ok(Record { domain, request: members, label })
}

fn outcome((model, said): (&String, &Value)) -> Result<(String, bool, f64), String> {
    let correct = said["correct"].as_bool();
    let cost = said["cost"].as_f64().filter(|cost| cost.is_finite() && *cost >= 0.0);
    match (correct, cost) {
        (Some(correct), Some(cost)) => Ok((model.clone(), correct, cost)),
        _ => Err(format!("models[{model:?}] must have `correct`, true or false, and `cost`, in USD")),
    }
}

impl Record {
    /// The body that a client would send.
    pub(super) fn body(&self) -> Vec<u8> {
        Value::Object(self.request.clone()).to_string().into_bytes()
    }

    /// The text of the last turn of the user, if it is one text.
    pub(super) fn last_turn_mut(&mut self) -> Option<&mut String> {
        let messages = self.request.get_mut("messages")?.as_array_mut()?;
        let last = messages.iter_mut().rev().find(|one| one["role"] == "user")?;
        match last.get_mut("content") {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_or_refused_by_number() {
        let data = read(
            "{\"about\":\"by hand\"}\n\n{\"domain\":\"d\",\"prompt\":\"p\",\"label\":\"light\",\
             \"max_tokens\":5}\n\
             {\"domain\":\"e\",\"messages\":[],\"models\":{\"a\":{\"correct\":true,\"cost\":0}}}",
        )
        .expect("sound");
        assert_eq!(data.about.as_deref(), Some("by hand"));
        assert_eq!(data.records[0].label, Label::Tier("light".to_owned()));
        let body: Value = serde_json::from_slice(&data.records[0].body()).expect("JSON");
        assert_eq!((&body["messages"][0]["content"], &body["max_tokens"]), (&"p".into(), &5.into()));
        assert_eq!(data.records[1].label, Label::Models(vec![("a".to_owned(), true, 0.0)]));
        for (bad, why) in [
            ("", "no labelled line"),
            ("{", "line 1: not a JSON object"),
            ("[]", "line 1: not a JSON object"),
            ("{}", "line 1: `domain`"),
            ("{\"domain\":\"d\",\"prompt\":\"p\"}", "line 1: either `label`"),
            ("{\"domain\":\"d\",\"label\":\"x\"}", "line 1: either `prompt`"),
            (
                "{\"domain\":\"d\",\"label\":\"x\",\"prompt\":\"p\",\"messages\":[]}",
                "line 1: either `prompt`",
            ),
            ("{\"domain\":\"d\",\"prompt\":\"p\",\"models\":{\"a\":{\"cost\":1}}}", "line 1: models[\"a\"]"),
            (
                "{\"domain\":\"d\",\"prompt\":\"p\",\"models\":{\"a\":{\"correct\":true,\"cost\":-1}}}",
                "line 1: models",
            ),
        ] {
            let said = read(bad).expect_err(bad);
            assert!(said.starts_with(why), "{bad}: {said}");
        }
    }
}
