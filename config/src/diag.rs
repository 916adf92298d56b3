//! What is wrong with a configuration, where it stands, and what to write instead.

use std::cell::RefCell;
use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Name of the file, as it was given.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl std::error::Error for Diagnostic {}

/// Collects what is wrong with one text, so that reading can go on after a fault.
pub(crate) struct Problems<'t> {
    text: &'t str,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
    found: RefCell<Vec<(usize, String, String)>>,
}

impl<'t> Problems<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let starts = text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(at, _)| at + 1);
        Problems {
            text,
            lines: std::iter::once(0).chain(starts).collect(),
            found: RefCell::default(),
        }
    }

    /// Something is wrong at the byte offset `at`.
    pub(crate) fn add(&self, at: usize, message: impl Into<String>, remedy: impl Into<String>) {
        self.found.borrow_mut().push((at, message.into(), remedy.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// So much is wrong that a guess at each slip costs more than it helps.
    pub(crate) fn many(&self) -> bool {
        self.found.borrow().len() > 100
    }

    /// Line of a byte offset, counted from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at)
    }

    /// A line, counted from 1.
    pub(crate) fn text_of_line(&self, line: usize) -> &'t str {
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        rest.split('\n').next().unwrap_or_default()
    }

    fn column(&self, at: usize) -> usize {
        let start = self.lines.get(self.line(at).saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.as_bytes().get(start..at).unwrap_or_default();
        // Continuation bytes of UTF-8 begin no character.
        1 + before.iter().filter(|&&b| b & 0xc0 != 0x80).count()
    }

    /// All, in the order of the file.
    pub(crate) fn into_diagnostics(self, file: &str) -> Vec<Diagnostic> {
        let mut found = self.found.take();
        found.sort_by_key(|&(at, ..)| at);
        found
            .into_iter()
            .map(|(at, message, remedy)| Diagnostic {
                file: file.to_owned(),
                line: self.line(at),
                column: self.column(at),
                message,
                remedy,
            })
            .collect()
    }
}

/// The candidate that was probably meant by `word`, if one is close enough.
pub(crate) fn closest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = simplified(word);
    let limit = (word.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|c| (distance(&word, &simplified(c)), c))
        .filter(|&(d, c)| d <= limit && d < c.len())
        .min_by_key(|&(d, _)| d)
        .map(|(_, c)| c)
}

/// Case, and underscore against hyphen, are not what tells two keys apart. Longer words than any key need no tail.
fn simplified(word: &str) -> Vec<char> {
    word.chars().take(48).map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Edit distance with transposition of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0usize; (a.len() + 1) * width];
    for (j, cell) in rows.iter_mut().take(width).enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        rows[i * width] = i;
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[(i - 1) * width + j] + 1)
                .min(rows[i * width + j - 1] + 1)
                .min(rows[(i - 1) * width + j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[(i - 2) * width + j - 2] + 1);
            }
            rows[i * width + j] = best;
        }
    }
    rows.last().copied().unwrap_or(0)
}

/// A value for a message: short, on one line, without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_words_are_found_and_far_ones_are_not() {
        let keys = ["route-targets", "import", "export", "name", "vlan", "mac", "vrf"];
        for (word, expected) in [
            ("route-tagret", Some("route-targets")),
            ("route_targets", Some("route-targets")),
            ("Vlan", Some("vlan")),
            ("vlna", Some("vlan")),
            ("nmae", Some("name")),
            ("impotr", Some("import")),
            ("stp", None),
            ("", None),
            ("heartbeat-vlan", None),
        ] {
            assert_eq!(closest(word, keys), expected, "{word}");
        }
    }

    #[test]
    fn lines_and_columns_count_characters() {
        let problems = Problems::new("ä = 1\nöö = 2\n");
        for (at, line, column) in [(0, 1, 1), (3, 1, 3), (7, 2, 1), (12, 2, 4), (99, 3, 1)] {
            assert_eq!((problems.line(at), problems.column(at)), (line, column), "{at}");
        }
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert!(quoted(&"ä".repeat(500)).len() < 200);
    }
}
