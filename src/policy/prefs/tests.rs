//! Preferences as clients write them, whole, wrong and cut.
//!
//! Deliberately absent: what routing makes of them (`route/tests.rs`).

use super::*;

#[track_caller]
fn check(text: &str, want: Preferences<'_>) {
    assert_eq!(preferences(text.as_bytes()), Ok(want), "{text}");
    for cut in 0..text.len() {
        assert!(preferences(&text.as_bytes()[..cut]).is_err(), "{text} cut at {cut}");
    }
}

#[track_caller]
fn check_bad(field: &str, value: &str) {
    let text = format!("{{\"{field}\":{value}}}");
    let bad = preferences(text.as_bytes()).expect_err(&text);
    assert_eq!(bad.field, format!("provider.{field}"), "{text}");
    assert!(Member::ALL.iter().any(|(name, allowed)| *name == field && *allowed == bad.allowed));
}

fn list(text: &str) -> Names<'_> {
    Names { list: text.as_bytes() }
}

const NONE: Preferences<'static> = Preferences::NONE;

#[test]
fn every_member_is_read() {
    check("{}", NONE);
    check("{\"order\": [\"a\", \"b/c\"]}", Preferences { order: list("[\"a\", \"b/c\"]"), ..NONE });
    check("{\"only\":[\"a\"]}", Preferences { only: list("[\"a\"]"), ..NONE });
    check("{\"ignore\":[],\"only\": [ ],\"quantizations\":[]}", NONE);
    check("{\"allow_fallbacks\":false}", Preferences { allow_fallbacks: false, ..NONE });
    check("{\"require_parameters\":true}", Preferences { require_parameters: true, ..NONE });
    check("{\"data_collection\":\"deny\"}", Preferences { deny_data_collection: true, ..NONE });
    check("{\"data_collection\":\"allow\"}", NONE);
    check("{\"zdr\":true}", Preferences { zdr: true, ..NONE });
    check("{\"enforce_distillable_text\":true}", Preferences { distillable_only: true, ..NONE });
    check("{\"sort\":\"price\"}", Preferences { sort: Some(SortBy::Price), ..NONE });
    check("{\"sort\":\"latency\"}", Preferences { sort: Some(SortBy::Latency), ..NONE });
    check(
        "{\"sort\":{\"by\":\"throughput\",\"partition\":\"none\"}}",
        Preferences { sort: Some(SortBy::Throughput), partition: Partition::None, ..NONE },
    );
    check("{\"sort\":{\"partition\":\"none\"}}", Preferences { partition: Partition::None, ..NONE });
    let max_price = MaxPrice { prompt: Some(1_500_000), completion: Some(2_000_000), ..MaxPrice::default() };
    check("{\"max_price\":{\"prompt\":1.5,\"completion\":\"2\"}}", Preferences { max_price, ..NONE });
    let (request, audio) = (Some(10_000_000_000), Some(1_000_000_000_000));
    let max_price = MaxPrice { request, image: Some(0), audio, ..MaxPrice::default() };
    check(
        "{\"max_price\":{\"request\":\"0.01\",\"image\":0,\"audio\":1}}",
        Preferences { max_price, ..NONE },
    );
    let p50 = Percentiles { p50: 50.0, ..Percentiles::default() };
    check("{\"preferred_min_throughput\":50}", Preferences { min_throughput: p50, ..NONE });
    let both = Percentiles { p90: 3.0, p99: 5.5, ..Percentiles::default() };
    check("{\"preferred_max_latency\":{\"p90\":3,\"p99\":5.5}}", Preferences { max_latency: both, ..NONE });
}

#[test]
fn quantizations_stand_for_their_block_formats() {
    use Quantization::{Bf16, Fp4, Fp8, Mxfp4, Mxfp8, Nvfp4};
    for (text, want, unknown) in [
        ("[\"bf16\",\"unknown\"]", &[Bf16][..], true),
        ("[\"fp4\"]", &[Fp4, Mxfp4, Nvfp4], false),
        ("[\"fp8\"]", &[Fp8, Mxfp8], false),
        ("[\"mxfp4\"]", &[Mxfp4], false),
    ] {
        let want = Preferences { quantizations: Some((Quantizations::of(want), unknown)), ..NONE };
        check(&format!("{{\"quantizations\":{text}}}"), want);
    }
}

#[test]
fn null_is_the_same_as_nothing_and_unknown_members_are_counted() {
    for (name, _) in Member::ALL {
        check(&format!("{{\"{name}\":null}}"), NONE);
    }
    check("{\"max_price\":{\"prompt\":null},\"sort\":{\"by\":null}}", NONE);
    check("{\"new_thing\":{\"a\":[1]},\"zdr\":true,\"x\":1}", Preferences { zdr: true, unknown: 2, ..NONE });
}

#[test]
fn a_malformed_member_is_named() {
    for field in ["order", "only", "ignore"] {
        let long = format!("[\"{}\"]", "x".repeat(PROVIDER_NAME_BYTES + 1));
        let many = format!("[{}\"a\"]", "\"a\",".repeat(PROVIDERS_PER_LIST));
        for bad in ["\"a\"", "[1]", "[\"\"]", "[\"a\\u0062\"]", "[\"\u{e9}\"]", "{}", "true", &long, &many] {
            check_bad(field, bad);
        }
    }
    for field in ["allow_fallbacks", "require_parameters", "zdr", "enforce_distillable_text"] {
        ["1", "\"true\"", "[]", "{}"].iter().for_each(|bad| check_bad(field, bad));
    }
    ["true", "\"Deny\"", "\"\"", "[]"].iter().for_each(|bad| check_bad("data_collection", bad));
    ["\"fp8\"", "[\"fp9\"]", "[8]", "[\"FP8\"]"].iter().for_each(|bad| check_bad("quantizations", bad));
    for bad in [
        "\"exacto\"",
        "\"cheap\"",
        "1",
        "[]",
        "{\"by\":\"speed\"}",
        "{\"partition\":\"all\"}",
        "{\"by\":\"price\",\"by\":\"latency\"}",
        "{\"other\":1}",
    ] {
        check_bad("sort", bad);
    }
    for bad in ["1", "{\"prompt\":-1}", "{\"prompt\":\"cheap\"}", "{\"tokens\":1}", "{\"prompt\":{}}"] {
        check_bad("max_price", bad);
    }
    for field in ["preferred_min_throughput", "preferred_max_latency"] {
        ["0", "-1", "\"5\"", "{\"p95\":1}", "{\"p50\":0}", "[]"].iter().for_each(|bad| check_bad(field, bad));
    }
}

#[test]
fn two_readers_cannot_see_two_things() {
    for (text, want) in [
        ("[]", NOT_AN_OBJECT),
        ("\"a\"", NOT_AN_OBJECT),
        ("{\"zdr\":true", NOT_AN_OBJECT),
        ("{\"zdr\":true,\"zdr\":false}", NOT_PLAIN),
        ("{\"zd\\u0072\":true}", NOT_PLAIN),
    ] {
        assert_eq!(preferences(text.as_bytes()), Err(want), "{text}");
    }
}

#[test]
fn names_are_read_in_order() {
    let text = b"{\"order\": [ \"A b\" , \"c/d\"]}";
    let order = preferences(text).expect("well formed").order;
    assert!(order.given() && order.iter().eq(["A b", "c/d"]));
    assert!(!Names::default().given() && Names::default().iter().next().is_none());
}
