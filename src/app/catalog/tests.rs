//! The command on real files: nothing is written without `--write`, and a lost price stops it.
//!
//! Deliberately absent: what becomes of the facts (`control::catalog`).

use super::*;

/// A directory of its own that goes when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millrace-catalog-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn map(price: &str) -> String {
    format!(
        r#"{{"models": [{{"id": "groq/openai/gpt-oss-20b", "provider": "groq", "mode": "chat"{price}}},
            {{"id": "gpt-9", "provider": "openai", "mode": "chat", "input_cost_per_token": 1e-06,
              "output_cost_per_token": 2e-06}}]}}"#
    )
}

/// Runs the command: its exit code, its output and its errors.
fn run_import(file: &Path, into: &Path, write: bool, allow: bool) -> (ExitCode, String, String) {
    let options = ImportOptions {
        file: file.to_owned(),
        into: into.to_owned(),
        write,
        allow_unknown_prices: allow,
        verbose: true,
    };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = import(&options, &mut out, &mut errors);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[test]
fn a_diff_comes_before_the_file() {
    let directory = Directory::new("diff");
    let priced = directory
        .file("priced.json", &map(r#", "input_cost_per_token": 1e-07, "output_cost_per_token": 5e-07"#));
    let into = directory.0.join("models.toml");
    let (code, shown, errors) = run_import(&priced, &into, false, false);
    assert_eq!((code, &*errors), (ExitCode::SUCCESS, ""));
    assert!(shown.contains("+ openai/gpt-oss-20b at groq (openai/gpt-oss-20b)"), "{shown}");
    assert!(shown.ends_with("4 added, 0 changed, 0 removed, 0 skipped; 2 models, 2 endpoints\n"), "{shown}");
    assert!(!into.exists(), "nothing is written unasked");
    assert_eq!(run_import(&priced, &into, true, false).0, ExitCode::SUCCESS);
    let written = std::fs::read_to_string(&into).unwrap();
    let (_, again, _) = run_import(&priced, &into, true, false);
    assert_eq!(again, "0 added, 0 changed, 0 removed, 0 skipped; 2 models, 2 endpoints\n");
    assert_eq!(std::fs::read_to_string(&into).unwrap(), written);

    let unpriced = directory.file("unpriced.json", &map(""));
    let (code, _, errors) = run_import(&unpriced, &into, true, false);
    assert_eq!(code, ExitCode::from(EXIT_CONFIG));
    assert!(errors.contains("1 known prices would become unknown"), "{errors}");
    assert!(errors.contains("openai/gpt-oss-20b at groq (openai/gpt-oss-20b)"), "{errors}");
    assert_eq!(std::fs::read_to_string(&into).unwrap(), written);
    let (code, shown, _) = run_import(&unpriced, &into, true, true);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(shown.starts_with("- openai/gpt-oss-20b\n"), "{shown}");
    assert!(!std::fs::read_to_string(&into).unwrap().contains("groq"));
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 3, "nothing is left beside the files");
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = Directory::new("bad");
    let text = directory.file("text.json", "hello");
    let broken = directory.file("broken.toml", "[[model]]\nid = \"a/b\"\nprize = 1\n");
    let map = directory.file("map.json", &map(""));
    let gone = directory.0.join("gone.json");
    for (file, into, code, part) in [
        (&text, &gone, EXIT_CONFIG, "text.json: not JSON"),
        (&gone, &gone, EXIT_IO, "gone.json: No such file"),
        (&map, &broken, EXIT_CONFIG, "broken.toml:3:1: model[0].prize: unknown key"),
    ] {
        let (got, _, errors) = run_import(file, into, true, true);
        assert_eq!(got, ExitCode::from(code), "{errors}");
        assert!(errors.contains(part), "{errors}");
    }
}
