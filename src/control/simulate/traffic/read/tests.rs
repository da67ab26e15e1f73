//! Recorded traffic, right and wrong.
//!
//! Deliberately absent: files.

use super::*;

const GOOD: &str = concat!(
    r#"{"time":1795185901.5,"model":"a/b","prompt_tokens":10,"completion_tokens":20,"stream":true,"#,
    "\"key\":\"k\",\"session\":\"s\"}\n\n",
    r#"{"time":"2026-11-20T14:45:00Z","model":"a/b","models":["a/b","c/d"],"prompt_tokens":0,"#,
    r#""completion_tokens":0,"provider":{"sort":"price"},"max_tokens":5,"parameters":["tools","new_one"],"#,
    "\"service_tier\":\"flex\",\"id\":\"gen-1\",\"cost\":{\"x\":1}}\n",
    r#"{"time":1795185902,"model":"c/\u0064","prompt_tokens":1,"completion_tokens":2,"#,
    "\"provider\":\"openai\",\"key\":null,\"stream\":null}\n",
);

#[test]
fn records_are_read_and_put_in_order() {
    let traffic = read(GOOD.as_bytes()).unwrap();
    let at: Vec<u64> = traffic.requests.iter().map(|request| request.at / 1_000_000).collect();
    assert_eq!((at, traffic.start), (vec![0, 1_500, 2_000], 1_795_185_900_000_000_000));
    let names: Vec<Vec<&str>> =
        traffic.choices.iter().map(|choice| choice.iter().map(|name| &**name).collect()).collect();
    assert_eq!(names, [vec!["a/b"], vec!["a/b", "c/d"], vec!["c/d"]]);
    let [second, first, third] = &traffic.requests[..] else { panic!("three") };
    assert_eq!((first.choice, second.choice, third.choice), (0, 1, 2));
    assert_eq!((first.stream, second.stream, third.stream), (true, false, false));
    assert_eq!((first.key, second.key, third.key), (Some(0), None, None));
    assert_eq!((first.preferences, second.preferences, third.preferences), (None, Some(0), None));
    assert!(first.session != 0 && second.session == 0);
    assert_eq!((second.max_tokens, second.tier), (Some(5), TierAsk::Flex));
    assert_eq!(second.parameters, Parameters::of(&[Parameter::Tools]));
    assert_eq!((&*traffic.preferences[0], &*traffic.keys[0]), (r#"{"sort":"price"}"#, "k"));
}

#[track_caller]
fn check(member: &str, want: &str) {
    let usual = [("time", "1"), ("model", "\"m\""), ("prompt_tokens", "1"), ("completion_tokens", "1")];
    let (name, _) = member.split_once(':').unwrap_or((member, ""));
    let mut members: Vec<String> = usual
        .iter()
        .filter(|(usual, _)| *usual != name.trim_start_matches('-').trim_matches('"'))
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    if !member.starts_with('-') {
        members.push(member.to_owned());
    }
    let good = "{\"time\":0,\"model\":\"m\",\"prompt_tokens\":1,\"completion_tokens\":1}\n";
    let text = format!("{good}{good}{{{}}}\n{good}", members.join(","));
    let error = read(text.as_bytes()).expect_err(member).to_string();
    assert_eq!(error, format!("line 3: {want}"), "{member}");
}

#[test]
fn what_is_wrong_is_told_with_line_and_field() {
    let tokens = "expected a whole number from 0 to 10000000";
    check("-time", "time: missing");
    check("-model", "model: missing");
    check("-completion_tokens", "completion_tokens: missing");
    check("\"time\":\"yesterday\"", &format!("time: {TIME_EXPECTED}"));
    check("\"time\":-1", &format!("time: {TIME_EXPECTED}"));
    check("\"time\":1e300", &format!("time: {TIME_EXPECTED}"));
    check("\"time\":null", &format!("time: {TIME_EXPECTED}"));
    check("\"model\":7", "model: expected a string");
    check("\"model\":\"\"", "model: expected a name of 1 to 256 bytes");
    check("\"prompt_tokens\":-5", &format!("prompt_tokens: {tokens}"));
    check("\"prompt_tokens\":1.5", &format!("prompt_tokens: {tokens}"));
    check("\"prompt_tokens\":10000001", &format!("prompt_tokens: {tokens}"));
    check("\"completion_tokens\":99999999999999999999", &format!("completion_tokens: {tokens}"));
    check("\"max_tokens\":\"5\"", &format!("max_tokens: {tokens}"));
    check("\"stream\":\"yes\"", "stream: expected true or false");
    check("\"key\":1", "key: expected a string");
    check("\"models\":[1]", "models: expected a list of strings");
    check(
        "\"models\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]",
        "models: expected at most 8 names",
    );
    check("\"parameters\":\"tools\"", "parameters: expected a list of strings");
    check("\"provider\":7", "provider: expected an object as in a request, or a string");
    check("\"provider\":{\"zdr\":1}", "provider.zdr: must be true or false");
    check(
        "\"stream\":true,\"stream\":true",
        ": duplicate field `stream` at line 1 column 84".trim_start_matches(": "),
    );
}

#[test]
fn lines_that_are_no_records_are_refused() {
    for (text, want) in [
        ("", "no request in it"),
        ("\n \n", "no request in it"),
        ("[]", "line 1: expected a JSON object"),
        ("\n{\"time\":1", "line 2: not valid JSON at column 9"),
        ("time,model", "line 1: not valid JSON at column 2"),
        ("\u{feff}{}", "line 1: not valid JSON at column 1"),
    ] {
        assert_eq!(read(text.as_bytes()).expect_err(text).to_string(), want, "{text:?}");
    }
    let long = format!("{{\"model\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX));
    let error = read(long.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "line 1: longer than 65536 bytes");
    // Bytes that are no UTF-8, and a reader that fails.
    assert!(read(&b"{\"model\":\"\xff\"}"[..]).unwrap_err().to_string().starts_with("line 1: "));
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let error = read(io::BufReader::new(Broken)).unwrap_err().to_string();
    assert_eq!(error, "cannot be read: broken");
}

#[test]
fn a_file_cut_at_any_byte_is_read_or_refused() {
    for cut in 0..GOOD.len() {
        let whole_lines = GOOD.as_bytes()[..cut].iter().filter(|byte| **byte == b'\n').count();
        match read(&GOOD.as_bytes()[..cut]) {
            Ok(traffic) => assert!(traffic.requests.len() >= whole_lines.saturating_sub(1), "{cut}"),
            Err(BadTraffic::Line { line, .. }) => assert_eq!(line, whole_lines + 1, "{cut}"),
            Err(BadTraffic::Empty) => assert!(cut < 3, "{cut}"),
            Err(BadTraffic::Io(error)) => panic!("{error}"),
        }
    }
}
