//! A provider's export, read: CSV, JSON or JSON lines, with whatever names its columns have.
//!
//! Deliberately absent: a setting per provider. Names are compared without case and signs, and
//! `docs/ledger.md` lists those that are known.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::control::calendar::read_moment;

/// An amount, and how exactly it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Pico-dollars.
    pub pico: i128,
    /// Half a unit of the last digit that was written, in pico-dollars.
    half: i128,
}

impl Amount {
    /// Is this what the exact amount is when it is rounded as this one was?
    pub(super) const fn is_rounded(&self, exact: i128) -> bool {
        (self.pico - exact).abs() <= self.half
    }
}

/// A line of an invoice, as far as it says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// In the file, from 1.
    pub number: usize,
    /// The provider's id of an answer, or ours.
    pub id: Option<String>,
    /// Seconds since 1970.
    pub at: Option<u64>,
    /// Name of the model.
    pub model: Option<String>,
    /// Tokens.
    pub prompt_tokens: Option<i128>,
    /// Likewise.
    pub completion_tokens: Option<i128>,
    /// What is charged.
    pub cost: Option<Amount>,
}

impl Line {
    /// Both together.
    pub(super) fn add(&mut self, other: &Self) {
        let sum = |one: Option<i128>, other: Option<i128>| match (one, other) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or_default() + other.unwrap_or_default()),
        };
        self.prompt_tokens = sum(self.prompt_tokens, other.prompt_tokens);
        self.completion_tokens = sum(self.completion_tokens, other.completion_tokens);
        if let Some(cost) = other.cost {
            let own = self.cost.unwrap_or_default();
            self.cost = Some(Amount { pico: own.pico + cost.pico, half: own.half + cost.half });
        }
    }
}

/// The lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invoice {
    /// In their order.
    pub lines: Vec<Line>,
}

/// What columns may be called: lower case, other signs than letters and digits as `_`.
const IDS: &[&str] =
    &["upstream_id", "generation_id", "response_id", "completion_id", "message_id", "request_id", "id"];
const TIMES: &[&str] = &[
    "created_at",
    "timestamp",
    "created",
    "time",
    "start_time",
    "usage_start_time",
    "usage_date",
    "date",
    "day",
];
const MODELS: &[&str] = &["model", "model_id", "model_name", "model_permaslug", "snapshot_id"];
const PROMPTS: &[&str] = &[
    "prompt_tokens",
    "tokens_prompt",
    "native_tokens_prompt",
    "input_tokens",
    "input",
    "n_context_tokens_total",
];
const COMPLETIONS: &[&str] = &[
    "completion_tokens",
    "tokens_completion",
    "native_tokens_completion",
    "output_tokens",
    "output",
    "n_generated_tokens_total",
];
const COSTS: &[&str] = &[
    "upstream_cost",
    "cost_usd",
    "total_cost",
    "cost_total",
    "cost",
    "amount_usd",
    "amount_value",
    "amount",
    "usage",
    "spend",
    "charge",
];

type Columns = BTreeMap<String, String>;

impl Invoice {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn read(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let rows = match text.trim_start().as_bytes().first() {
            None => return Err("the file is empty".to_owned()),
            Some(b'[') => json_rows(text)?,
            Some(b'{') => json_object_or_lines(text)?,
            Some(_) => csv_rows(text)?,
        };
        let lines: Result<Vec<Line>, String> =
            rows.into_iter().map(|(number, row)| line(number, &row)).collect();
        let lines = lines?;
        let known = |line: &&Line| line.id.is_some() || line.at.is_some() && line.model.is_some();
        if !lines.is_empty() && !lines.iter().any(|line| known(&line)) {
            return Err(format!(
                "no line has an id ({}), or a time ({}) and a model ({})",
                IDS.join(", "),
                TIMES.join(", "),
                MODELS.join(", ")
            ));
        }
        Ok(Self { lines })
    }
}

fn line(number: usize, row: &Columns) -> Result<Line, String> {
    let first = |names: &[&str]| {
        let found = names.iter().find_map(|name| row.get(*name).filter(|text| !text.is_empty()));
        found.map(String::as_str)
    };
    let whole = |names: &[&str]| match first(names) {
        None => Ok(None),
        Some(text) => match decimal(text) {
            Some(amount) if amount.pico % PICO == 0 => Ok(Some(amount.pico / PICO)),
            _ => Err(format!("line {number}: {text} is no number of tokens")),
        },
    };
    let cost = match first(COSTS) {
        None => None,
        Some(text) => Some(decimal(text).ok_or_else(|| format!("line {number}: {text} is no amount"))?),
    };
    let at = match first(TIMES) {
        None => None,
        Some(text) => Some(moment(text).ok_or_else(|| format!("line {number}: {text} is no time"))?),
    };
    Ok(Line {
        number,
        id: first(IDS).map(str::to_owned),
        at,
        model: first(MODELS).map(str::to_owned),
        prompt_tokens: whole(PROMPTS)?,
        completion_tokens: whole(COMPLETIONS)?,
        cost,
    })
}

/// A day, an RFC 3339 timestamp (with a space for `T` too), or seconds or milliseconds since 1970.
fn moment(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse::<u64>() {
        return Some(if number > 100_000_000_000 { number / 1_000 } else { number });
    }
    let text = text.trim().trim_end_matches(" UTC");
    read_moment(text).map(|moment| moment.0)
}

/// Pico-dollars in a dollar.
const PICO: i128 = 1_000_000_000_000;

/// A decimal as exporters write it: `12`, `0.0015`, `$1,234.50`, `1.5e-05`, `-3`.
fn decimal(text: &str) -> Option<Amount> {
    let text: String = text.trim().chars().filter(|sign| !matches!(sign, ',' | '$' | ' ')).collect();
    let text = text.strip_suffix("USD").unwrap_or(&text);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() + fraction.len() > 30 {
        return None;
    }
    let all = format!("{whole}{fraction}");
    if !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The value is `all` times ten to the power of `scale`, in pico-dollars.
    let scale = 12 + exponent - i32::try_from(fraction.len()).ok()?;
    let number: i128 = all.parse().ok()?;
    let power = |scale: i32| 10_i128.checked_pow(scale.unsigned_abs());
    let (pico, unit) = if scale >= 0 {
        (number.checked_mul(power(scale)?)?, power(scale)?)
    } else {
        // Finer than a pico-dollar.
        (number / power(scale)?, 2)
    };
    Some(Amount { pico: if negative { -pico } else { pico }, half: unit / 2 })
}

/// A column's name, its signs made alike.
fn plain(name: &str) -> String {
    let sign = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '_' };
    let signs: String = name.chars().map(sign).collect();
    signs.split('_').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

/// The rows of an array of objects.
fn json_rows(text: &str) -> Result<Vec<(usize, Columns)>, String> {
    let rows: Vec<BTreeMap<String, Box<RawValue>>> =
        serde_json::from_str(text).map_err(|error| format!("not a JSON list of objects: {error}"))?;
    Ok((1..).zip(rows.into_iter().map(json_row)).collect())
}

/// An object with a list of objects in it (under `data`, or any name), or an object per line.
fn json_object_or_lines(text: &str) -> Result<Vec<(usize, Columns)>, String> {
    if let Ok(whole) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text) {
        let lists = whole.values().filter(|value| value.get().starts_with('['));
        return match lists.max_by_key(|value| value.get().len()) {
            Some(list) => json_rows(list.get()),
            None => Ok(vec![(1, json_row(whole))]),
        };
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(turn, line)| {
            let row = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", turn + 1))?;
            Ok((turn + 1, json_row(row)))
        })
        .collect()
}

/// Numbers keep the text they were written in.
fn json_row(row: BTreeMap<String, Box<RawValue>>) -> Columns {
    let mut columns = Columns::new();
    for (name, value) in row {
        let raw = value.get();
        match raw.as_bytes().first() {
            Some(b'"') => {
                let text: String = serde_json::from_str(raw).unwrap_or_default();
                columns.insert(plain(&name), text);
            }
            // Members of an object inside, such as `usage` or `amount`, have its name before theirs.
            Some(b'{') => {
                let inner: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw).unwrap_or_default();
                for (key, value) in json_row(inner) {
                    columns.insert(format!("{}_{key}", plain(&name)), value.clone());
                    columns.entry(key).or_insert(value);
                }
            }
            Some(b'n' | b'[') | None => {}
            Some(_) => {
                columns.insert(plain(&name), raw.to_owned());
            }
        }
    }
    columns
}

/// RFC 4180, with commas, semicolons or tabs, whichever the first line has most of.
fn csv_rows(text: &str) -> Result<Vec<(usize, Columns)>, String> {
    let first = text.lines().next().unwrap_or_default();
    let comma = [',', ';', '\t'].into_iter().max_by_key(|sign| first.matches(*sign).count()).unwrap_or(',');
    let mut rows = csv_records(text, comma)?.into_iter();
    let names: Vec<String> =
        rows.next().map(|(_, names)| names.iter().map(|name| plain(name)).collect()).unwrap_or_default();
    let row = |(number, cells): (usize, Vec<String>)| {
        (number, names.iter().cloned().zip(cells).collect::<Columns>())
    };
    Ok(rows.filter(|(_, cells)| cells.iter().any(|cell| !cell.is_empty())).map(row).collect())
}

/// Records with the number of the line they begin in.
fn csv_records(text: &str, comma: char) -> Result<Vec<(usize, Vec<String>)>, String> {
    let mut records = Vec::new();
    let (mut cells, mut cell) = (Vec::new(), String::new());
    let (mut line, mut begun, mut quoted) = (1, 1, false);
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        line += usize::from(sign == '\n');
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                cell.push('"');
            }
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            '\r' if !quoted && signs.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                cells.push(core::mem::take(&mut cell).trim().to_owned());
                records.push((begun, core::mem::take(&mut cells)));
                begun = line;
            }
            _ if sign == comma && !quoted => cells.push(core::mem::take(&mut cell).trim().to_owned()),
            _ => cell.push(sign),
        }
    }
    if quoted {
        return Err(format!("line {begun}: a quote is not closed"));
    }
    if !cell.is_empty() || !cells.is_empty() {
        cells.push(cell.trim().to_owned());
        records.push((begun, cells));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        let check = |text: &str, want: Option<(i128, i128)>| {
            assert_eq!(decimal(text).map(|amount| (amount.pico, amount.half)), want, "{text}");
        };
        check("12", Some((12 * PICO, PICO / 2)));
        check("0.0015", Some((1_500_000_000, 50_000_000)));
        check("$1,234.50", Some((1_234_500_000_000_000, PICO / 200)));
        check("1.5e-05", Some((15_000_000, 500_000)));
        check("-3.0 USD", Some((-3 * PICO, PICO / 20)));
        check("0.0000000000019", Some((1, 1)));
        for bad in ["", ".", "1.2.3", "x", "1e", "--1", "1e99", "9999999999999999999999999999999"] {
            check(bad, None);
        }
        assert!(decimal("0.0012").is_some_and(|amount| amount.is_rounded(1_234_000_000)));
        assert!(decimal("0.0012").is_some_and(|amount| !amount.is_rounded(1_260_000_000)));
    }

    #[test]
    fn columns_have_many_names() {
        let want = Line {
            number: 2,
            id: Some("chatcmpl-1".into()),
            at: Some(1_795_132_799),
            model: Some("gpt-x".into()),
            prompt_tokens: Some(12),
            completion_tokens: Some(3),
            cost: decimal("0.0015"),
        };
        let check = |number: usize, text: &str| {
            let want = Invoice { lines: vec![Line { number, ..want.clone() }] };
            assert_eq!(Invoice::read(text).as_ref(), Ok(&want), "{text}");
        };
        let names = "id,timestamp,model,input_tokens,output_tokens,cost";
        check(2, &format!("{names}\r\nchatcmpl-1,2026-11-19T23:59:59Z,gpt-x,12,3,0.0015\r\n"));
        let names = "\u{feff}Request ID;Time;Model Name;Prompt tokens;Completion tokens;Cost (USD)";
        check(2, &format!("{names}\nchatcmpl-1;2026-11-19 23:59:59;\"gpt-x\";12;3;0.0015"));
        let names =
            "created\tmodel_id\tn_context_tokens_total\tn_generated_tokens_total\tamount\tresponse_id";
        check(2, &format!("{names}\n1795132799\tgpt-x\t12\t3\t$0.0015\tchatcmpl-1\n\n"));
        let usage = r#""usage":{"prompt_tokens":12,"completion_tokens":3}"#;
        check(
            1,
            &format!(r#"[{{"id":"chatcmpl-1","created":1795132799,"model":"gpt-x",{usage},"cost":0.0015}}]"#),
        );
        let row = r#"{"upstream_id":"chatcmpl-1","created_at":"2026-11-19T23:59:59Z","model":"gpt-x",
            "tokens_prompt":12,"tokens_completion":3,"amount":{"value":0.0015,"currency":"usd"}}"#;
        check(1, &format!(r#"{{"object":"list","data":[{row}]}}"#));
        let row = r#"{"id":"chatcmpl-1","time":1795132799000,"model":"gpt-x","input_tokens":12"#;
        check(1, &format!("{row},\"output_tokens\":3,\"cost\":1.5e-3}}\n"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, want: &str| {
            let wrong = Invoice::read(text).expect_err("it is wrong");
            assert!(wrong.starts_with(want), "{text}: {wrong}");
        };
        check("", "the file is empty");
        check("a,b\n1,2\n", "no line has an id (upstream_id,");
        check("id,cost\nx,dear\n", "line 2: dear is no amount");
        check("id,time\nx,soon\n", "line 2: soon is no time");
        check("id,input_tokens\n\"a\nb\",1.5\n", "line 2: 1.5 is no number of tokens");
        check("id\n\"x\n", "line 2: a quote is not closed");
        check("[1]", "not a JSON list of objects");
        check("{\"id\":\"x\"}\nnonsense\n", "line 2:");
    }
}
