//! The typed reader: walks a table of `toml` values that know where they stand, applies one rule per key, and
//! collects what is wrong instead of stopping at it.
//!
//! A rule turns a value into a type, says in words what it expects, and shows a default; so the key reference
//! is printed from the same rules that read the file. Deliberately absent: the keys themselves (`schema`),
//! the rules for single values (`rules`), and everything that needs two keys at once (`resolve`).

use core::marker::PhantomData;
use core::ops::Range;
use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Lines, Position, Problem, excerpt, nearest};

/// How one key is read and described.
pub(super) trait Rule {
    /// What a value becomes.
    type Out;

    /// Reads a value; reports what is wrong at the reader's current path.
    fn read(&self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self::Out>;

    /// The key is not there. Only required keys mind.
    fn absent(&self, _reader: &mut Reader<'_>) {}

    /// What a right value looks like, as a noun phrase.
    fn expected(&self) -> String;

    /// A default as TOML text; `None` when there is nothing to show.
    fn show(&self, value: &Self::Out) -> Option<String>;

    /// The rows of a nested table.
    fn nested(&self) -> Option<Nested> {
        None
    }
}

/// A rule for a single value, without access to the reader.
pub(super) trait Leaf {
    /// What a value becomes.
    type Out;

    /// Reads a value. The error says what is wrong beyond not being what was expected; it may be empty.
    fn parse(&self, value: &DeValue<'_>) -> Result<Self::Out, &'static str>;

    /// What a right value looks like, as a noun phrase.
    fn expected(&self) -> String;

    /// A default as TOML text.
    fn show(&self, value: &Self::Out) -> String;

    /// True when the value could hold a secret and must not be shown.
    fn hides(&self, _value: &DeValue<'_>) -> bool {
        false
    }

    /// The texts that are allowed, when they are few: a misspelt one is suggested right.
    fn choices(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

impl<L: Leaf> Rule for L {
    type Out = L::Out;

    fn read(&self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<L::Out> {
        let detail = match self.parse(value.get_ref()) {
            Ok(out) => return Some(out),
            Err(detail) => detail,
        };
        let mut message = format!("expected {}", Leaf::expected(self));
        if !detail.is_empty() {
            message = format!("{detail}; {message}");
        }
        let hidden = self.hides(value.get_ref());
        if let (false, Some(text)) = (hidden, value.get_ref().as_str()) {
            message.push_str(&super::problem::did_you_mean(text, self.choices().into_iter()));
        }
        reader.report_here(value.span(), !hidden, message);
        None
    }

    fn expected(&self) -> String {
        Leaf::expected(self)
    }

    fn show(&self, value: &L::Out) -> Option<String> {
        Some(Leaf::show(self, value))
    }
}

/// A key that may be left out.
pub(super) struct Optional<R>(pub(super) R);

impl<R: Rule> Rule for Optional<R> {
    type Out = Option<R::Out>;

    fn read(&self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self::Out> {
        self.0.read(reader, value).map(Some)
    }

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn show(&self, value: &Self::Out) -> Option<String> {
        value.as_ref().and_then(|value| self.0.show(value))
    }

    fn nested(&self) -> Option<Nested> {
        self.0.nested()
    }
}

/// A key that must be there.
pub(super) struct Required<R>(pub(super) R);

impl<R: Rule> Rule for Required<R> {
    type Out = R::Out;

    fn read(&self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self::Out> {
        self.0.read(reader, value)
    }

    fn absent(&self, reader: &mut Reader<'_>) {
        reader.report_missing(&self.0.expected());
    }

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn show(&self, _value: &Self::Out) -> Option<String> {
        Some("required".to_owned())
    }

    fn nested(&self) -> Option<Nested> {
        self.0.nested()
    }
}

/// A struct that is read from a table; `table!` writes the implementation.
pub(super) trait Section: Sized {
    /// Reads the table; every key it does not know is a problem.
    fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Self;

    /// What the section is for, and its keys.
    fn describe() -> (&'static str, Vec<KeyRow>);
}

/// One key, as the reference prints it.
pub(super) struct KeyRow {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) expected: String,
    pub(super) default: Option<String>,
    pub(super) nested: Option<Nested>,
}

/// The keys of a nested table.
pub(super) struct Nested {
    /// `[[name]]` rather than `[name]`.
    pub(super) repeated: bool,
    pub(super) about: &'static str,
    pub(super) rows: Vec<KeyRow>,
}

impl KeyRow {
    pub(super) fn new<R: Rule>(name: &'static str, doc: &'static str, rule: &R, default: &R::Out) -> Self {
        Self { name, doc, expected: rule.expected(), default: rule.show(default), nested: rule.nested() }
    }
}

/// One table.
pub(super) struct Table<T>(PhantomData<T>);

/// The rule for one table.
pub(super) const fn table<T>() -> Table<T> {
    Table(PhantomData)
}

impl<T: Section> Rule for Table<T> {
    type Out = T;

    fn read(&self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let Some(table) = value.get_ref().as_table() else {
            reader.report_here(value.span(), false, format!("expected {}", self.expected()));
            return None;
        };
        Some(reader.within(value.span(), |reader| T::read(reader, table)))
    }

    fn expected(&self) -> String {
        "a table".to_owned()
    }

    fn show(&self, _value: &T) -> Option<String> {
        None
    }

    fn nested(&self) -> Option<Nested> {
        let (about, rows) = T::describe();
        Some(Nested { repeated: false, about, rows })
    }
}

/// Any number of tables, up to a bound.
pub(super) struct Tables<T>(usize, PhantomData<T>);

/// The rule for at most `most` tables of one name.
pub(super) const fn tables<T>(most: usize) -> Tables<T> {
    Tables(most, PhantomData)
}

impl<T: Section> Rule for Tables<T> {
    type Out = Vec<T>;

    fn read(&self, reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Vec<T>> {
        let Some(array) = value.get_ref().as_array() else {
            // The name alone: which table of an outer list this is does not belong between brackets.
            let names = reader.path.split('.').map(|step| step.split('[').next().unwrap_or_default());
            let name = names.collect::<Vec<_>>().join(".");
            let message = format!("expected {}, each written as [[{name}]]", Rule::expected(self));
            reader.report_here(value.span(), false, message);
            return None;
        };
        if array.len() > self.0 {
            reader.report_here(value.span(), false, format!("{} tables are too many", array.len()));
            return None;
        }
        let mut all = Vec::with_capacity(array.len());
        for (index, item) in array.iter().enumerate() {
            let read =
                reader.at(&format!("[{index}]"), item.span(), |reader| table::<T>().read(reader, item));
            all.extend(read);
        }
        Some(all)
    }

    fn expected(&self) -> String {
        format!("a list of at most {} tables", self.0)
    }

    fn show(&self, _value: &Vec<T>) -> Option<String> {
        None
    }

    fn nested(&self) -> Option<Nested> {
        let (about, rows) = T::describe();
        Some(Nested { repeated: true, about, rows })
    }
}

/// Where everything stands, and what is wrong so far.
pub(super) struct Reader<'t> {
    file: Box<str>,
    text: &'t str,
    path: String,
    enclosing: Vec<Range<usize>>,
    spans: HashMap<String, Range<usize>>,
    problems: Vec<Problem>,
    /// The text is not valid TOML: what seems to be missing may stand in the part that could not be read.
    broken: bool,
}

impl<'t> Reader<'t> {
    /// Parses `text` and reads it as a `T`. Syntax errors are problems like any other.
    pub(super) fn parse<T: Section + Default>(file: &str, text: &'t str) -> (T, Self) {
        let mut reader = Self {
            file: file.into(),
            text,
            path: String::new(),
            enclosing: Vec::new(),
            spans: HashMap::new(),
            problems: Vec::new(),
            broken: false,
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            reader.broken = true;
            // `message()` is the bare reason; `Display` would print the line, which may hold a secret.
            let span = error.span().unwrap_or_default();
            let message = format!("not valid TOML: {}", error.message().replace('\n', ", "));
            reader.push("", Some(span), None, message);
        }
        let syntax_lines: Vec<usize> =
            reader.problems.iter().filter_map(|problem| Some(problem.position?.line)).collect();
        let read = T::read(&mut reader, table.get_ref());
        let mut seen = 0;
        reader.problems.retain(|problem| {
            seen += 1;
            // What the parser made of a broken line says nothing about what was meant.
            seen <= syntax_lines.len() || !problem.position.is_some_and(|at| syntax_lines.contains(&at.line))
        });
        (read, reader)
    }

    /// Reads one key of `table` into `out`, which keeps its default when the key is absent or wrong.
    pub(super) fn field<R: Rule>(&mut self, table: &DeTable<'_>, name: &str, rule: &R, out: &mut R::Out) {
        match table.iter().find(|(key, _)| key.get_ref() == name) {
            Some((_, value)) => {
                let read = self.at(name, value.span(), |reader| rule.read(reader, value));
                if let Some(read) = read {
                    *out = read;
                }
            }
            None => {
                let span = self.enclosing.last().cloned().unwrap_or_default();
                self.at(name, span, |reader| rule.absent(reader));
            }
        }
    }

    /// Reports every key of `table` that is not in `known`. Their values are not shown: a misspelt key may
    /// hold a secret.
    pub(super) fn unknown(&mut self, table: &DeTable<'_>, known: &[&'static str]) {
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let near = nearest(name, known.iter().copied()).map(str::to_owned);
            let hint = match near.or_else(|| super::schema::key_elsewhere(name)) {
                Some(near) => format!("unknown key; did you mean `{near}`?"),
                None => format!("unknown key; known here are {}", known.join(", ")),
            };
            let shown = excerpt(name, 0..name.len());
            let path = if self.path.is_empty() { shown.into() } else { format!("{}.{shown}", self.path) };
            self.push(&path, Some(key.span()), None, hint);
        }
    }

    /// Runs `body` with the path extended by `name` and remembers where it stands.
    fn at<T>(&mut self, name: &str, span: Range<usize>, body: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.path.len();
        if before > 0 && !name.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(name);
        // A table that only exists through its children has no place of its own; its parent's is the nearest.
        let span = if span.is_empty() { self.enclosing.last().cloned().unwrap_or_default() } else { span };
        self.spans.insert(self.path.clone(), span);
        let out = body(self);
        self.path.truncate(before);
        out
    }

    fn within<T>(&mut self, span: Range<usize>, body: impl FnOnce(&mut Self) -> T) -> T {
        self.enclosing.push(span);
        let out = body(self);
        self.enclosing.pop();
        out
    }

    fn report_here(&mut self, span: Range<usize>, show: bool, message: String) {
        let value = show.then(|| excerpt(self.text, span.clone()));
        let path = self.path.clone();
        self.push(&path, Some(span), value, message);
    }

    fn report_missing(&mut self, expected: &str) {
        if !self.broken {
            let (path, span) = (self.path.clone(), self.spans.get(&self.path).cloned());
            self.push(&path, span.map(|span| span.start..span.start), None, format!("missing: {expected}"));
        }
    }

    fn push(&mut self, path: &str, span: Option<Range<usize>>, value: Option<Box<str>>, message: String) {
        let position = span.map(|span| Position::of(self.text, span.start));
        self.problems.push(Problem {
            file: self.file.clone(),
            position,
            key: path.into(),
            value,
            message: message.into(),
        });
    }

    /// What was found, and where each key stands. The second step of reading (`resolve`) adds to it.
    pub(super) fn finish(self) -> (Vec<Problem>, Places, bool) {
        let lines = Lines::of(self.text);
        let place = |(path, span): (String, Range<usize>)| (path, lines.position(span.start));
        let positions = self.spans.into_iter().map(place).collect();
        (self.problems, Places { file: self.file, positions, elsewhere: HashMap::new() }, self.broken)
    }
}

/// Where each key of a file stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    file: Box<str>,
    positions: HashMap<String, Position>,
    elsewhere: HashMap<String, Box<str>>,
}

impl Places {
    /// A problem at `key`, or at the nearest table around it that was written.
    pub(super) fn problem(&self, key: &str, value: Option<&str>, message: impl Into<Box<str>>) -> Problem {
        let elsewhere = self.elsewhere.get(key);
        let mut around = key;
        let mut position = self.positions.get(around);
        while let (None, None, Some((parent, _))) = (position, elsewhere, around.rsplit_once('.')) {
            around = parent;
            position = self.positions.get(around);
        }
        Problem {
            file: elsewhere.unwrap_or(&self.file).clone(),
            position: position.copied(),
            key: key.into(),
            value: value.map(|value| format!("{:?}", excerpt(value, 0..value.len())).into()),
            message: message.into(),
        }
    }

    /// `key` now comes from `file`, which has no lines.
    pub(super) fn without(mut self, key: &str, file: &str) -> Self {
        self.positions.remove(key);
        self.elsewhere.insert(key.to_owned(), file.into());
        self
    }

    /// Does `key` come from somewhere else than the file?
    pub(super) fn is_elsewhere(&self, key: &str) -> bool {
        self.elsewhere.contains_key(key)
    }

    /// The place of nothing in a file.
    pub(super) fn named(file: &str) -> Self {
        Self { file: file.into(), ..Self::default() }
    }
}

/// Declares a section: one documented, defaulted field per key, with the rule that reads it. The first form
/// declares the struct, the second describes one that a lower floor owns.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $rule:expr;)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $doc])+ $vis $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        $crate::control::config::reader::section!(
            $(#[doc = $about])+ for $name { $($(#[doc = $doc])+ $field: $rule;)+ }
        );
    };
    (
        $(#[doc = $about:literal])+
        for $name:ident { $($(#[doc = $doc:literal])+ $field:ident: $rule:expr;)+ }
    ) => {
        impl $crate::control::config::reader::Section for $name {
            fn read(
                reader: &mut $crate::control::config::reader::Reader<'_>,
                table: &toml::de::DeTable<'_>,
            ) -> Self {
                let mut read = Self::default();
                $(reader.field(table, stringify!($field), &$rule, &mut read.$field);)+
                reader.unknown(table, &[$(stringify!($field)),+]);
                read
            }

            fn describe() -> (&'static str, Vec<$crate::control::config::reader::KeyRow>) {
                let defaults = Self::default();
                let rows = vec![$($crate::control::config::reader::KeyRow::new(
                    stringify!($field),
                    concat!($($doc),+),
                    &$rule,
                    &defaults.$field,
                )),+];
                (concat!($($about),+), rows)
            }
        }
    };
}
pub(super) use section;
