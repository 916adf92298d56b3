//! Columns for people: a head, two spaces between columns, numbers to the right, no borders.

use std::fmt::Write;

use serde_json::Value;

/// A table of text.
pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A head that begins with `>` makes a column that is aligned to the right.
    pub fn new(heads: &[&'static str]) -> Table {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// A row with one cell for each head. An empty cell shows as `-`.
    pub fn row(&mut self, cells: Vec<String>) {
        let shown = |c: String| if c.is_empty() { "-".to_owned() } else { c };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The text, each line ended.
    pub fn text(&self) -> String {
        let heads: Vec<String> =
            self.heads.iter().map(|h| h.trim_start_matches('>').to_uppercase()).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).chain(heads.get(column));
            cells.map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let mut text = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for (n, ((cell, width), head)) in row.iter().zip(&widths).zip(&self.heads).enumerate() {
                let gap = if n == 0 { "" } else { "  " };
                let _ = match head.starts_with('>') {
                    true => write!(line, "{gap}{cell:>width$}"),
                    false => write!(line, "{gap}{cell:<width$}"),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// One object, a line for each of its fields.
pub fn record(object: &Value) -> String {
    let Some(fields) = object.as_object() else { return format!("{}\n", cell(object)) };
    let width = fields.keys().map(|k| k.chars().count()).max().unwrap_or(0);
    fields
        .iter()
        .map(|(key, value)| format!("{:<width$}  {}\n", key.replace('_', "-"), cell(value)))
        .collect()
}

/// A value in one cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) if items.iter().all(Value::is_object) => {
            items.iter().map(cell).collect::<Vec<_>>().join("; ")
        }
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "-".to_owned(),
        Value::Object(fields) => {
            fields.iter().map(|(k, v)| format!("{k} {}", cell(v))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// `3d 04:05:06`
pub fn duration(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days == 0 { clock } else { format!("{days}d {clock}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["name", ">count", "note"]);
        table.row(vec!["ä".into(), "7".into(), String::new()]);
        table.row(vec!["longer".into(), "12345678".into(), "x y".into()]);
        assert_eq!(
            table.text(),
            "NAME       COUNT  NOTE\nä              7  -\nlonger  12345678  x y\n"
        );
    }

    #[test]
    fn records_and_durations() {
        let object = serde_json::json!({
            "a_b": [1, "x"], "c": {"d": 2}, "e": null, "f": [{"g": 1, "h": 2}, {"g": 3}]
        });
        assert_eq!(record(&object), "a-b  1, x\nc    d 2\ne    -\nf    g 1, h 2; g 3\n");
        assert_eq!(duration(59), "00:00:59");
        assert_eq!(duration(3 * 86_400 + 4 * 3600 + 5 * 60 + 6), "3d 04:05:06");
    }
}
