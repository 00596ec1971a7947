//! Tables for people: a header line, columns aligned with two spaces between them.

use std::fmt;

/// Rows of text under a header.
#[derive(Clone, Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with only its header line.
    pub(crate) fn new(header: [&str; COLUMNS]) -> Table<COLUMNS> {
        Table {
            rows: vec![header.map(str::to_owned)],
        }
    }

    /// Adds a row; control characters are shown as escapes.
    pub(crate) fn add(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row.map(|cell| harmless(&cell)));
    }
}

/// Every line with its newline.
impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &self.rows {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                if column + 1 < COLUMNS {
                    write!(f, "{cell:width$}  ")?;
                } else {
                    writeln!(f, "{cell}")?;
                }
            }
        }
        Ok(())
    }
}

fn harmless(cell: &str) -> String {
    let mut shown = String::with_capacity(cell.len());
    for c in cell.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["path", "replica"]);
        table.add(["/srv/ä.db".to_owned(), "file".to_owned()]);
        table.add(["/x\n".to_owned(), "file".to_owned()]);
        assert_eq!(
            table.to_string(),
            "path       replica\n/srv/ä.db  file\n/x\\n       file\n"
        );
    }
}
