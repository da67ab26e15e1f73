//! A plausible call of an offered tool: arguments made from its JSON schema.
//!
//! Deliberately absent: references (`$ref`) and formats beyond a few; a schema that is not understood gets
//! `{}`.

use serde_json::{Map, Value, json};

use super::request::{Chat, Refusal};

/// Deepest nesting of made-up arguments.
const DEPTH_MAX: usize = 8;
/// Most members made up per object.
const MEMBERS_MAX: usize = 32;
/// Most values made up per call: depth and members alone would still allow 32⁸ of them.
const VALUES_MAX: usize = 256;

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    /// The function's name.
    pub(super) name: String,
    /// Its arguments.
    pub(super) arguments: Value,
}

/// Which tool is called, if any: the one `tool_choice` names, else the first.
///
/// # Errors
/// A 400 when a tool has no name or `tool_choice` names one that was not offered.
pub(super) fn choose(request: &Chat) -> Result<Option<Call>, Refusal> {
    let tools = request.tools.as_deref().unwrap_or_default();
    let wanted = match &request.tool_choice {
        Some(Value::String(choice)) if choice == "none" => return Ok(None),
        Some(Value::Object(choice)) => {
            choice.get("function").and_then(|f| f.get("name")).and_then(Value::as_str)
        }
        _ => None,
    };
    let name_of = |tool: &Value| tool.pointer("/function/name").and_then(Value::as_str).map(str::to_owned);
    let tool = match wanted {
        None => tools.first(),
        Some(wanted) => match tools.iter().find(|tool| name_of(tool).as_deref() == Some(wanted)) {
            Some(tool) => Some(tool),
            None => {
                return Err(Refusal::bad("tool_choice", format!("No tool named `{wanted}` was offered.")));
            }
        },
    };
    let Some(tool) = tool else { return Ok(None) };
    let Some(name) = name_of(tool) else {
        return Err(Refusal::bad("tools", "Every tool must be a function with a name."));
    };
    let mut left = VALUES_MAX;
    let arguments = match tool.pointer("/function/parameters") {
        Some(schema) => value_of("", schema, DEPTH_MAX, &mut left),
        None => json!({}),
    };
    let arguments = if arguments.is_object() { arguments } else { json!({}) };
    Ok(Some(Call { name, arguments }))
}

/// A value that fits a schema; `name` is the member's, for strings that mean something.
fn value_of(name: &str, schema: &Value, depth: usize, left: &mut usize) -> Value {
    if depth == 0 || *left == 0 {
        return Value::Null;
    }
    *left -= 1;
    for key in ["const", "default"] {
        if let Some(value) = schema.get(key) {
            return value.clone();
        }
    }
    for key in ["enum", "examples"] {
        if let Some(value) = schema.get(key).and_then(|values| values.get(0)) {
            return value.clone();
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(key).and_then(|choices| choices.get(0)) {
            return value_of(name, first, depth - 1, left);
        }
    }
    let kind = schema.get("type");
    let kind =
        kind.and_then(Value::as_str).or_else(|| kind.and_then(|kinds| kinds.get(0)).and_then(Value::as_str));
    match kind {
        Some("string") => Value::from(string_of(name, schema)),
        Some("integer") => schema.get("minimum").filter(|m| m.is_i64()).cloned().unwrap_or_else(|| json!(1)),
        Some("number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1.5)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => match schema.get("items") {
            Some(items) => json!([value_of(name, items, depth - 1, left)]),
            None => json!([]),
        },
        Some("object") | None => object_of(schema, depth, left),
        Some(_) => Value::Null,
    }
}

/// The required members, or all of them when none is required.
fn object_of(schema: &Value, depth: usize, left: &mut usize) -> Value {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return json!({}) };
    let required: Vec<&str> = match schema.get("required").and_then(Value::as_array) {
        Some(names) if !names.is_empty() => names.iter().filter_map(Value::as_str).collect(),
        _ => properties.keys().map(String::as_str).collect(),
    };
    let mut object = Map::new();
    for name in required.into_iter().take(MEMBERS_MAX) {
        if let Some(schema) = properties.get(name) {
            object.insert(name.to_owned(), value_of(name, schema, depth - 1, left));
        }
    }
    Value::Object(object)
}

fn string_of(name: &str, schema: &Value) -> &'static str {
    match schema.get("format").and_then(Value::as_str) {
        Some("date") => return "2026-01-31",
        Some("date-time") => return "2026-01-31T12:00:00Z",
        Some("email") => return "ada@example.com",
        Some("uri") => return "https://example.com/",
        Some(_) | None => {}
    }
    let name = name.to_ascii_lowercase();
    let table = [
        ("city", "Paris"),
        ("location", "Paris"),
        ("country", "France"),
        ("date", "2026-01-31"),
        ("email", "ada@example.com"),
        ("url", "https://example.com/"),
        ("unit", "celsius"),
        ("query", "weather in Paris"),
    ];
    table.iter().find(|(part, _)| name.contains(part)).map_or("example", |(_, text)| text)
}
