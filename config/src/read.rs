//! Typed reading of a parsed TOML document that reports a fault and goes on.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diag::{Problems, closest, quoted};

/// A value and the byte offset where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) at: usize,
}

/// The legal entries of a list. `whole` tells that none was left out as illegal.
#[derive(Debug)]
pub(crate) struct List<T> {
    pub(crate) at: usize,
    pub(crate) items: Vec<At<T>>,
    pub(crate) whole: bool,
}

/// A key, what its value is, and an example of the whole assignment for the remedy.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) example: &'static str,
}

/// Why a text is not the value: `None` is "not a {what}", the rest says more.
pub(crate) type Wrong = Option<(String, String)>;

/// A table that is being read. Keys that nobody asks for are unknown.
pub(crate) struct Section<'d> {
    problems: &'d Problems<'d>,
    title: String,
    /// Where the header stands.
    pub(crate) at: usize,
    entries: &'d DeTable<'d>,
    known: Vec<&'static str>,
    missing: Vec<Key>,
}

impl<'d> Section<'d> {
    pub(crate) fn new(
        problems: &'d Problems<'d>,
        title: impl Into<String>,
        at: usize,
        entries: &'d DeTable<'d>,
    ) -> Self {
        Section {
            problems,
            title: title.into(),
            at,
            entries,
            known: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// The value of a key that may be left out.
    pub(crate) fn optional(&mut self, key: Key) -> Option<Value<'d>> {
        self.known.push(key.name);
        let (_, value) = self.entries.iter().find(|(k, _)| k.get_ref() == key.name)?;
        Some(Value { problems: self.problems, key, entry: false, value })
    }

    /// The value of a key that must be there.
    pub(crate) fn required(&mut self, key: Key) -> Option<Value<'d>> {
        let value = self.optional(key);
        if value.is_none() {
            self.missing.push(key);
        }
        value
    }

    /// Reports unknown and missing keys.
    pub(crate) fn finish(self) {
        let mut meant = Vec::new();
        for (key, _) in
            self.entries.iter().filter(|(k, _)| !self.known.contains(&k.get_ref().as_ref()))
        {
            let word = key.get_ref();
            // A key that is there already was not meant.
            let free =
                self.known.iter().filter(|k| !self.entries.iter().any(|(e, _)| e.get_ref() == *k));
            let remedy = match closest(word, free.copied()) {
                Some(key) => {
                    meant.push(key);
                    format!("did you mean `{key}`?")
                }
                None => format!("the keys are {}", self.known.join(", ")),
            };
            let shown = quoted(word);
            let message = format!("unknown key `{}` {}", shown.trim_matches('"'), self.title);
            self.problems.add(key.span().start, message, remedy);
        }
        for key in self.missing.iter().filter(|k| !meant.contains(&k.name)) {
            let message = format!("missing key `{}` {}", key.name, self.title);
            self.problems.add(self.at, message, format!("add `{}`", key.example));
        }
    }
}

/// A value that is being read.
pub(crate) struct Value<'d> {
    problems: &'d Problems<'d>,
    key: Key,
    /// An entry of the list that the key names.
    entry: bool,
    value: &'d Spanned<DeValue<'d>>,
}

impl<'d> Value<'d> {
    pub(crate) fn at(&self) -> usize {
        self.value.span().start
    }

    fn found<T>(&self, value: T) -> At<T> {
        At { value, at: self.at() }
    }

    /// The value is not what the key says.
    fn wrong<T>(&self, why: Wrong) -> Option<T> {
        let Key { name, what, example } = self.key;
        let shown = match self.value.get_ref() {
            DeValue::String(text) => quoted(text),
            DeValue::Integer(n) => quoted(&n.to_string()).trim_matches('"').to_owned(),
            DeValue::Float(n) => quoted(n.as_str()).trim_matches('"').to_owned(),
            DeValue::Boolean(b) => b.to_string(),
            DeValue::Datetime(t) => t.to_string(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        let verb = if self.entry { "holds" } else { "is" };
        let (message, remedy) = match why {
            Some((message, remedy)) => (format!("`{name}` {verb} {shown}, {message}"), remedy),
            None => (
                format!("`{name}` {verb} {shown}, not {what}"),
                format!("write for example `{example}`"),
            ),
        };
        self.problems.add(self.at(), message, remedy);
        None
    }

    /// A text that `parse` understands.
    pub(crate) fn text<T>(&self, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<At<T>> {
        let DeValue::String(text) = self.value.get_ref() else { return self.wrong(None) };
        match parse(text) {
            Ok(value) => Some(self.found(value)),
            Err(why) => self.wrong(why),
        }
    }

    /// A text that is taken as it is even if `judge` finds a fault with it, so that references to it still work.
    pub(crate) fn judged(
        &self,
        judge: impl FnOnce(&str) -> Result<(), Wrong>,
    ) -> Option<At<String>> {
        let DeValue::String(text) = self.value.get_ref() else { return self.wrong(None) };
        if let Err(why) = judge(text) {
            self.wrong::<()>(why);
        }
        Some(self.found(text.to_string()))
    }

    /// A text that no message may show. The fault that `parse` finds follows the key's name.
    pub(crate) fn secret<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, (String, String)>,
    ) -> Option<At<T>> {
        let outcome = match self.value.get_ref() {
            DeValue::String(text) => parse(text),
            _ => Err((
                format!("is not {}", self.key.what),
                format!("write it as `{}`", self.key.example),
            )),
        };
        match outcome {
            Ok(value) => Some(self.found(value)),
            Err((fault, remedy)) => {
                self.problems.add(self.at(), format!("`{}` {fault}", self.key.name), remedy);
                None
            }
        }
    }

    /// An integer in a range.
    pub(crate) fn integer<T: TryFrom<i64>>(&self, range: RangeInclusive<i64>) -> Option<At<T>> {
        let DeValue::Integer(text) = self.value.get_ref() else { return self.wrong(None) };
        let number =
            i64::from_str_radix(text.as_str(), text.radix()).ok().filter(|n| range.contains(n));
        match number.and_then(|n| T::try_from(n).ok()) {
            Some(value) => Some(self.found(value)),
            None => self.wrong(None),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<At<bool>> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Some(self.found(*value)),
            _ => self.wrong(None),
        }
    }

    /// A list; entries for which `read` finds nothing are left out.
    pub(crate) fn list<T>(&self, read: impl Fn(&Value<'d>) -> Option<At<T>>) -> List<T> {
        let mut list = List { at: self.at(), items: Vec::new(), whole: true };
        let DeValue::Array(entries) = self.value.get_ref() else {
            let plain = Value { key: Key { what: "a list", ..self.key }, ..*self };
            plain.wrong::<()>(None);
            list.whole = false;
            return list;
        };
        for value in entries.iter() {
            let entry = Value { entry: true, value, ..*self };
            match read(&entry) {
                Some(item) => list.items.push(item),
                None => list.whole = false,
            }
        }
        list
    }

    /// A single table, `[name]`.
    pub(crate) fn table(&self, title: &str) -> Option<Section<'d>> {
        match self.value.get_ref() {
            DeValue::Table(entries) => Some(Section::new(self.problems, title, self.at(), entries)),
            DeValue::Array(entries) if entries.iter().any(|e| e.get_ref().is_table()) => {
                let remedy = format!("write one `[{}]`", self.key.name);
                self.problems.add(
                    self.at(),
                    format!("`{}` is one table, not a list", self.key.name),
                    remedy,
                );
                None
            }
            _ => self.wrong(None),
        }
    }

    /// A table in a list, `[[name]]` or `{ ... }`.
    pub(crate) fn row(&self, title: &str) -> Option<Section<'d>> {
        match self.value.get_ref() {
            DeValue::Table(entries) => Some(Section::new(self.problems, title, self.at(), entries)),
            _ => self.wrong(None),
        }
    }
}

impl<T> List<T> {
    /// The values without their places.
    pub(crate) fn values(self) -> Vec<T> {
        self.items.into_iter().map(|item| item.value).collect()
    }
}
