//! Each form of file, and what becomes of it, as the text of the catalogue.
//!
//! Deliberately absent: names (`names`), and the diff (`super::super::tests`).

use expect_test::{ExpectFile, expect_file};

use super::*;
use crate::control::catalog::merge::merge;
use crate::control::catalog::{Catalogue, render};

/// Imports `text` into `old` and compares the models of the result, behind them what was skipped.
#[track_caller]
fn check(old: &str, text: &str, want: &ExpectFile) {
    let old = Catalogue::read("old", old).unwrap_or_else(|problems| panic!("{problems}"));
    let merged = merge(&old, read(text).unwrap_or_else(|reason| panic!("{reason}")));
    let written = render(&merged.catalogue);
    let again = Catalogue::read("new", &written).unwrap_or_else(|problems| panic!("{problems}\n{written}"));
    assert_eq!(render(&again), written, "what is written is read back as it was");
    let models = written.split_once("\n[[model]]").map_or("", |(_, models)| models);
    let rest: Vec<String> = merged
        .skipped
        .iter()
        .map(|reason| format!("skipped {reason}\n"))
        .chain(merged.prices_lost.iter().map(|what| format!("lost {what}\n")))
        .collect();
    want.assert_eq(&format!("[[model]]{models}{}", rest.concat()));
}

#[test]
fn a_price_map() {
    let text = r#"{"about": "prices", "models": [
        {"id": "gpt-9", "provider": "openai", "mode": "chat", "max_input_tokens": 400000,
         "max_output_tokens": 128000, "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05,
         "cache_read_input_token_cost": 1.2500000000000002e-07, "input_cost_per_token_priority": 2.5e-06,
         "output_cost_per_token_priority": 2e-05, "input_cost_per_token_above_272k_tokens": 2.5e-06,
         "output_cost_per_token_above_272k_tokens": 1.5e-05, "supports_vision": true,
         "supports_function_calling": true, "supports_sampling_params": false},
        {"id": "deepinfra/openai/gpt-oss-120b-Turbo", "provider": "deepinfra", "mode": "chat",
         "input_cost_per_token": 1e-07, "output_cost_per_token": 4e-07},
        {"id": "groq/openai/gpt-oss-120b", "provider": "groq", "mode": "chat", "max_input_tokens": 131072,
         "input_cost_per_token": 1.5e-07, "output_cost_per_token": 7.5e-07, "input_cost_per_request": 0.005},
        {"id": "deepseek-v9", "provider": "deepseek", "mode": "chat", "input_cost_per_token": 3e-07,
         "output_cost_per_token": 1.2e-06, "off_peak_pricing": {"input_cost_per_token": 1.5e-07, "windows": [
            {"hours_utc": ["16:30-00:30", "03:00-04:00"], "weekdays": [1, 2, 3, 4, 5]},
            {"hours_utc": "16:00-01:00", "weekdays": [6, 7]}]}},
        {"id": "mistral/mistral-embed", "provider": "mistral", "mode": "embedding", "max_input_tokens": 8192,
         "input_cost_per_token": 1e-07},
        {"id": "gemini/free-for-now", "provider": "gemini", "mode": "chat", "input_cost_per_token": 0,
         "output_cost_per_token": 0.0},
        {"id": "gpt-9-pro", "provider": "openai", "mode": "responses", "input_cost_per_token": 1e-06},
        {"id": "martian/x", "provider": "martian", "mode": "chat"}
    ]}"#;
    check("", text, &expect_file!["golden/price_map.txt"]);
}

#[test]
fn openrouters_models() {
    let text = r#"{"data": [
        {"id": "acme/one", "name": "Acme: One", "created": 1700000000, "context_length": 131072,
         "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
         "pricing": {"prompt": "0.0000003", "completion": "0.0000012", "request": "0", "image": "0.001",
            "input_cache_read": "0.00000003", "internal_reasoning": "0", "overrides": [
                {"prompt": "0.0000006", "conditions": {"min_prompt_tokens": 200000}},
                {"completion": "0.0000006", "conditions": {"utc_start": "1630", "utc_end": "0030"}},
                {"prompt": "0", "conditions": {"moon": "full"}}]},
         "top_provider": {"context_length": 65536, "max_completion_tokens": 8192},
         "supported_parameters": ["tools", "seed", "something_new"]},
        {"id": "acme/one:free", "pricing": {"prompt": "0", "completion": "0"}},
        {"id": "router/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"name": "without an id"}
    ]}"#;
    check("", text, &expect_file!["golden/openrouter_models.txt"]);
}

#[test]
fn openrouters_endpoints() {
    let old = r#"
[[model]]
id = "acme/one"
endpoint = [
    { provider = "deepinfra", name = "Acme/One", price = { prompt = "1", completion = "2" } },
    { provider = "deepinfra", name = "A/2", variant = "turbo", price = { prompt = "1", completion = "2" } },
    { provider = "together", name = "acme/One", price = { prompt = "1", completion = "2" } },
]
"#;
    let text = r#"{"data": {"id": "acme/one", "endpoints": [
        {"tag": "deepinfra/fp8", "quantization": "fp8", "context_length": 65536,
         "pricing": {"prompt": "0.0000005", "completion": "0.000002"}, "supported_parameters": ["tools"]},
        {"tag": "deepinfra/turbo", "quantization": "unknown", "max_completion_tokens": 4096,
         "pricing": {"prompt": "0.000001", "completion": "0.000002"}},
        {"tag": "together", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"tag": "groq", "pricing": {"prompt": "0.000001", "completion": "0.000002"}},
        {"tag": "martian", "pricing": {}}
    ]}}"#;
    check(old, text, &expect_file!["golden/openrouter_endpoints.txt"]);
}

#[test]
fn models_dev() {
    let text = r#"{
        "moonshotai": {"id": "moonshotai", "name": "Moonshot", "models": {
            "kimi-k9": {"id": "kimi-k9", "name": "Kimi K9", "reasoning": true, "tool_call": true,
                "release_date": "2026-01-27", "modalities": {"input": ["text", "pdf"], "output": ["text"]},
                "cost": {"input": 0.6, "output": 2.5, "cache_read": 0.15,
                    "context_over_200k": {"input": 1.2, "output": 5}},
                "limit": {"context": 262144, "output": 262144}},
            "kimi-unknown": {"name": "Kimi ?"}}},
        "togetherai": {"models": {
            "moonshotai/Kimi-K9-FP4": {"cost": {"input": 0.5, "output": 2.8000000000000003}}}},
        "martian": {"models": {"x": {}}}
    }"#;
    check("", text, &expect_file!["golden/models_dev.txt"]);
}

#[test]
fn other_files_are_refused() {
    for (text, want) in [
        ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "not a JSON object"),
        ("{}", "neither a price map, nor OpenRouter's list of models, nor models.dev's api.json"),
        (
            r#"{"models": 7}"#,
            "neither a price map, nor OpenRouter's list of models, nor models.dev's api.json",
        ),
    ] {
        assert_eq!(read(text).map(|_| ()), Err(want.to_owned()), "{text}");
    }
    // Whatever stands inside a file of a known form is skipped, never a panic.
    for inner in [
        "null",
        "7",
        "\"x\"",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[{\"id\": 7}]",
        "{\"x\": {\"models\": {\"y\": 1}}}",
    ] {
        for form in [
            "{\"data\": @}",
            "{\"models\": [@]}",
            "{\"x\": {\"models\": {\"m\": @}}}",
            "{\"groq\": {\"models\": {\"m\": @}}}",
        ] {
            let text = form.replace('@', inner);
            let merged = read(&text).map(|news| merge(&Catalogue::default(), news).catalogue.models().len());
            assert!(merged.is_ok_and(|count| count == 0), "{text}");
        }
    }
}

#[test]
fn amounts_are_read_to_the_pico_dollar() {
    for (text, want) in [
        ("3e-07", Some(300_000)),
        ("2.9999999999999997e-07", Some(300_000)),
        ("1.5e-13", Some(0)),
        ("5e-13", Some(1)),
        ("0.0000005", Some(500_000)),
        ("\"0.0000005\"", Some(500_000)),
        ("\"5e-7\"", Some(500_000)),
        ("1", Some(1_000_000_000_000)),
        ("0", Some(0)),
        ("\"-1\"", None),
        ("-1", None),
        ("\"\"", None),
        ("\".5\"", None),
        ("\"NaN\"", None),
        ("\"1e400\"", None),
        ("1e300", None),
        ("null", None),
        ("[1]", None),
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(usd(Some(&value)).map(|amount| amount.0), want, "{text}");
    }
}
