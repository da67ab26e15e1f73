//! The rules for lists of texts, names of enums, times of day and amounts of money: what the tables of models
//! are made of.
//!
//! Deliberately absent: the other single values (`rules`), and which key has which rule (`models`).

use toml::de::DeValue;

use super::reader::Leaf;
use super::rules::{Text, text};
use crate::base::money::{BadPrice, PicoDollars};

/// A list of texts of one kind.
pub(super) struct Texts(pub(super) &'static Text, pub(super) usize);

impl Leaf for Texts {
    type Out = Vec<Box<str>>;

    fn parse(&self, value: &DeValue<'_>) -> Result<Self::Out, &'static str> {
        let list = value.as_array().ok_or("not a list")?;
        if list.len() > self.1 {
            return Err("too many");
        }
        list.iter().map(|one| self.0.parse(one.get_ref())).collect()
    }

    fn expected(&self) -> String {
        format!("a list of at most {} texts, each {}", self.1, Leaf::expected(self.0))
    }

    fn show(&self, value: &Self::Out) -> String {
        let shown: Vec<String> = value.iter().map(|one| format!("\"{one}\"")).collect();
        format!("[{}]", shown.join(", "))
    }
}

/// As [`Texts`], but not empty: where an absent list means "all", an empty one could be meant as "none".
pub(super) struct SomeTexts(pub(super) Texts);

impl Leaf for SomeTexts {
    type Out = Vec<Box<str>>;

    fn parse(&self, value: &DeValue<'_>) -> Result<Self::Out, &'static str> {
        self.0.parse(value).and_then(|list| if list.is_empty() { Err("empty") } else { Ok(list) })
    }

    fn expected(&self) -> String {
        format!("a list of 1 to {} texts, each {}", self.0.1, Leaf::expected(self.0.0))
    }

    fn show(&self, value: &Self::Out) -> String {
        self.0.show(value)
    }
}

/// One of the variants of an enum, by its name.
pub(super) struct Named<T: 'static>(pub(super) &'static [T], pub(super) fn(T) -> &'static str);

impl<T: Copy> Leaf for Named<T> {
    type Out = T;

    fn parse(&self, value: &DeValue<'_>) -> Result<T, &'static str> {
        let text = text(value)?;
        self.0.iter().copied().find(|one| (self.1)(*one) == text).ok_or("")
    }

    fn expected(&self) -> String {
        let names: Vec<String> = self.choices().into_iter().map(|name| format!("\"{name}\"")).collect();
        names.join(" or ")
    }

    fn show(&self, value: &T) -> String {
        format!("\"{}\"", (self.1)(*value))
    }

    fn choices(&self) -> Vec<&'static str> {
        self.0.iter().map(|one| (self.1)(*one)).collect()
    }
}

/// A list of such names.
pub(super) struct NamedList<T: 'static>(pub(super) Named<T>);

impl<T: Copy> Leaf for NamedList<T> {
    type Out = Vec<T>;

    fn parse(&self, value: &DeValue<'_>) -> Result<Vec<T>, &'static str> {
        let list = value.as_array().ok_or("not a list")?;
        list.iter().map(|one| self.0.parse(one.get_ref()).map_err(|_| "an unknown name")).collect()
    }

    fn expected(&self) -> String {
        format!("a list of {}", self.0.choices().join(", "))
    }

    fn show(&self, value: &Vec<T>) -> String {
        let shown: Vec<String> = value.iter().map(|one| self.0.show(one)).collect();
        format!("[{}]", shown.join(", "))
    }
}

/// A minute of the day.
pub(super) struct Minute;

impl Leaf for Minute {
    type Out = u16;

    fn parse(&self, value: &DeValue<'_>) -> Result<u16, &'static str> {
        let (hours, minutes) = text(value)?.split_once(':').ok_or("")?;
        let two = |digits: &str, most: u16| -> Result<u16, &'static str> {
            let plain = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
            digits.parse().ok().filter(|number| plain && *number <= most).ok_or("")
        };
        Ok(two(hours, 23)? * 60 + two(minutes, 59)?)
    }

    fn expected(&self) -> String {
        "a time of day in UTC such as \"16:30\"".to_owned()
    }

    fn show(&self, value: &u16) -> String {
        format!("\"{:02}:{:02}\"", value / 60, value % 60)
    }
}

/// A price of one thing.
pub(super) struct Usd;

impl Leaf for Usd {
    type Out = PicoDollars;

    fn parse(&self, value: &DeValue<'_>) -> Result<PicoDollars, &'static str> {
        PicoDollars::from_usd(text(value)?).map_err(|bad| match bad {
            BadPrice::NotDecimal => "not a plain decimal",
            BadPrice::TooFine => "finer than twelve decimals",
            BadPrice::TooLarge => "more than a million dollars",
        })
    }

    fn expected(&self) -> String {
        "USD as a text, such as \"0.005\"".to_owned()
    }

    fn show(&self, value: &PicoDollars) -> String {
        format!("\"{}\"", value.as_usd())
    }
}
