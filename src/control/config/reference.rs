//! The key reference, printed from the table that reads the file: it cannot go stale.
//!
//! Deliberately absent: explanations that are not about a key (they are the constant introduction below).

use super::reader::{KeyRow, Section};
use super::schema::File;
use super::secret::AuthStyle;
use super::shipped::shipped;

const INTRODUCTION: &str = include_str!("reference_intro.md");

/// The whole of `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Keys\n\nEvery key of the file. Unknown keys are errors.\n");
    for row in File::describe().1 {
        print_section(&mut page, row.name, row);
    }
    print_shipped(&mut page);
    page
}

/// Prints one table, then the tables inside it.
fn print_section(page: &mut String, path: &str, section: KeyRow) {
    let Some(nested) = section.nested else { return };
    let heading = match (nested.repeated, path.contains('.')) {
        (true, _) => format!("[[{path}]]"),
        (false, true) => path.to_owned(),
        (false, false) => format!("[{path}]"),
    };
    let about = one_line(nested.about);
    page.push_str(&format!(
        "\n### `{heading}`\n\n{about}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
    ));
    let mut inner = Vec::new();
    for row in nested.rows {
        let default = match (&row.default, &row.nested) {
            (Some(default), _) if default == "required" => default.clone(),
            (Some(default), _) => format!("`{default}`"),
            (None, Some(_)) => String::new(),
            (None, None) => "not set".to_owned(),
        };
        let (expected, doc) = (row.expected.replace('|', "\\|"), one_line(row.doc));
        page.push_str(&format!("| `{}` | {expected} | {default} | {doc} |\n", row.name));
        if row.nested.is_some() {
            inner.push(row);
        }
    }
    for row in inner {
        print_section(page, &format!("{path}.{}", row.name), row);
    }
}

fn print_shipped(page: &mut String) {
    page.push_str(
        "\n## Shipped providers\n\n\
         A provider is active as soon as its variable is set, or a `[[provider]]` with its id is written.\n\
         For the local ones, which need no key, the variable says where the server is.\n\n\
         | id | provider | base URL | variable | key is sent as | usage on streams |\n\
         |---|---|---|---|---|---|\n",
    );
    for provider in shipped() {
        let url = provider.base_url.as_ref().map(|url| {
            let scheme = if url.tls { "https" } else { "http" };
            format!("{scheme}://{}{}", url.authority(), url.path)
        });
        let variable = provider.key_env.as_ref().or(provider.base_url_env.as_ref());
        let auth = match &provider.auth {
            AuthStyle::None => "no key".to_owned(),
            AuthStyle::Bearer => "bearer token".to_owned(),
            AuthStyle::Header(name) => format!("`{name}`"),
        };
        let usage = match provider.stream_usage {
            crate::dialect::StreamUsage::OnRequest => "ask",
            crate::dialect::StreamUsage::Always => "always",
        };
        let (id, name) = (&provider.id, &provider.name);
        let (url, variable) = (url.unwrap_or_default(), variable.map_or("", |name| name));
        page.push_str(&format!("| `{id}` | {name} | `{url}` | `{variable}` | {auth} | {usage} |\n"));
    }
}

/// A doc comment's lines as one.
fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_EXPECT=1 cargo test` writes the page anew.
    #[test]
    fn the_page_is_up_to_date() {
        expect_test::expect_file!["../../../docs/configuration.md"].assert_eq(&reference());
    }
}
