//! The command line as a user types it, and what the commands print.
//!
//! Deliberately absent: `serve`.

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Command, String> {
    let words = std::iter::once("millrace").chain(line.split_whitespace());
    Cli::try_parse_from(words).map(Cli::into_command).map_err(|error| error.to_string())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn serve_is_the_default() {
    for line in [
        "--config c.toml --listen 0.0.0.0:80 --cores 3 --driver epoll",
        "serve --driver=epoll --cores=3 --listen=0.0.0.0:80 --config=c.toml",
    ] {
        let Ok(Command::Serve(options)) = parse(line) else { panic!("{line}") };
        assert_eq!(options.config.as_deref(), Some(Path::new("c.toml")));
        assert_eq!(options.listen, ["0.0.0.0:80".parse().expect("an address")]);
        assert_eq!((options.cores, options.driver), (Some(Cores::Count(3)), Some(Driver::Epoll)));
    }
    let Ok(Command::Serve(options)) = parse("") else { panic!("nothing is serve") };
    assert_eq!((options.config, options.cores, options.driver), (None, None, None));
    assert!(options.listen.is_empty());
    let Ok(Command::Serve(options)) = parse("--listen unix:/run/m.sock --listen 127.0.0.1:1") else {
        panic!("several addresses")
    };
    let shown: Vec<String> = options.listen.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["unix:/run/m.sock", "127.0.0.1:1"]);
    assert!(matches!(parse("--cores all"), Ok(Command::Serve(ServeOptions { cores: Some(Cores::All), .. }))));
    assert!(matches!(parse("check --config x"), Ok(Command::Check(CheckOptions { config: Some(_) }))));
    assert!(matches!(parse("key new --name a"), Ok(Command::Key(KeyCommand::New(_)))));
}

#[test]
fn wrong_lines_are_refused() {
    for (line, says) in [
        ("--cores 0", "expected \"all\" or a whole number from 1 to 1024"),
        ("--cores=-1", "whole number"),
        ("--cores two", "whole number"),
        ("--driver kqueue", "auto, uring, monoio, epoll"),
        ("--listen 8080", "neither an IP address with a port nor unix:/path"),
        ("--listen unix:m.sock", "neither an absolute path nor `@name`"),
        ("--listen 127.0.0.1:1 check", "cannot be used with"),
        ("check --listen 127.0.0.1:1", "unexpected argument"),
        ("key", "new"),
        ("run", "unrecognized subcommand"),
        ("key new --name \u{7}", "without control characters"),
    ] {
        let error = parse(line).map(|_| ()).expect_err(line);
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn one_address_is_given_once() {
    let Ok(Command::Serve(options)) = parse("--listen unix:@m --listen unix:@m") else { panic!("a line") };
    let sources = Sources { environment: &|_| None, read_file: &|_| Err(io::ErrorKind::NotFound.into()) };
    let problems = options.load_from(sources).map(|_| ()).expect_err("twice").to_string();
    assert_eq!(problems, "command line: server.listen: an address that is there twice");
}

/// 32 bytes with every bit pattern that base64 could get wrong at its ends.
fn random(fill: u8) -> [u8; 32] {
    core::array::from_fn(|index| if index == 31 { 0x01 } else { fill })
}

#[test]
fn keys_have_their_shape() {
    let key = client_key(&random(0xff));
    assert_eq!(key.expose(), format!("sk-mr-{}wE", "_".repeat(41)));
    assert_eq!(key.expose().len(), KEY_PREFIX.len() + 43);
    assert_eq!(client_key(&[0; 32]).expose(), format!("sk-mr-{}", "A".repeat(43)));
}

#[test]
fn a_printed_key_lets_its_owner_in() {
    let name = "Ann's \"laptop\" \\ 1";
    let mut out = Vec::new();
    print_key(name, &random(7), &mut out).expect("a Vec takes everything");
    let printed = String::from_utf8(out).expect("text");
    let (key, table) = printed.split_once("\n\n").expect("the key, an empty line, the table");
    assert_eq!(printed.matches(key).count(), 1, "shown once");
    let sources = Sources { environment: &|_| None, read_file: &config::read_side_file };
    let read = config::load(Some((Path::new("c.toml"), table.as_bytes())), Overrides::default(), sources);
    let read = read.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(&*read.keys[0].name, name);
    let digest: [u8; 32] = Sha256::digest(key).into();
    assert_eq!(read.keys[0].sha256, digest);
}

#[test]
fn fresh_keys_differ() {
    let options = KeyNewOptions { name: "a".to_owned() };
    let print = || {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        key_new(&options, &mut out, &mut errors);
        assert!(errors.is_empty());
        String::from_utf8(out).expect("text")
    };
    let (first, second) = (print(), print());
    assert!(first.starts_with(KEY_PREFIX) && first.lines().next() != second.lines().next());
}

/// A file of its own for one test; it is removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("millrace-cli-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("a temporary file can be written");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn checked(path: Option<&Path>) -> (u8, String, String) {
    let environment = |name: &str| (name == "GROQ_API_KEY").then(|| "k".to_owned());
    let sources = Sources { environment: &environment, read_file: &config::read_side_file };
    let options = CheckOptions { config: path.map(Path::to_owned) };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = check_from(&options, sources, &mut out, &mut errors).expect("a Vec takes everything");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (code, text(out), text(errors))
}

#[test]
fn check_counts_or_complains() {
    assert_eq!(checked(None), (0, "ok: 1 providers, 0 models, 0 keys\n".to_owned(), String::new()));
    let file =
        Scratch::new("good", b"[[model]]\nid = \"m\"\nendpoint = [{ provider = \"groq\", name = \"n\" }]\n");
    assert_eq!(checked(Some(&file.0)), (0, "ok: 1 providers, 1 models, 0 keys\n".to_owned(), String::new()));
    let file = Scratch::new("bad", b"[server]\nlisten = \"0.0.0.0:1\"\ncore = 1\ncores = 0\n");
    let name = file.0.display();
    let (code, out, errors) = checked(Some(&file.0));
    assert_eq!((code, out.as_str()), (EXIT_CONFIG, ""));
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert_eq!(lines[0], format!("{name}:3:1: server.core: unknown key; did you mean `cores`?"));
    let file = Scratch::new("open", b"[server]\nlisten = \"0.0.0.0:1\"\n");
    let (code, _, errors) = checked(Some(&file.0));
    assert_eq!(code, EXIT_CONFIG);
    assert!(errors.contains(":2:10: server.listen = \"0.0.0.0:1\": not loopback"), "{errors}");
    for missing in [Path::new("/nonexistent/mr.toml"), Path::new("/")] {
        let (code, _, errors) = checked(Some(missing));
        assert_eq!((code, errors.contains("cannot be read")), (EXIT_CONFIG, true), "{errors}");
    }
}
