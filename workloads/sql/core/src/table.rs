//! A result as a table of text.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

/// Rows seen before the columns' widths are settled.
const SETTLED: usize = 10_000;
/// The widest a column gets by what is in it.
const WIDEST: usize = 200;

/// Writes rows between lines of dashes.
///
/// The columns are as wide as the first 10,000 rows need; later rows are written as they come, so
/// a result of any length passes through in bounded memory.
#[derive(Debug)]
pub struct Printer {
    columns: Vec<Column>,
    waiting: Vec<Vec<String>>,
    settled: bool,
    rows: u64,
}

#[derive(Debug)]
struct Column {
    name: String,
    right: bool,
    width: usize,
}

impl Printer {
    /// A table with these columns; those of numbers are aligned to the right.
    pub fn new(columns: impl IntoIterator<Item = (String, bool)>) -> Self {
        let columns = columns
            .into_iter()
            .map(|(name, right)| {
                let name = printable(&name);
                Column {
                    width: name.width(),
                    name,
                    right,
                }
            })
            .collect();
        Self {
            columns,
            waiting: Vec::new(),
            settled: false,
            rows: 0,
        }
    }

    /// Adds a row, a cell for each column.
    ///
    /// # Errors
    ///
    /// Where `to` refuses what is written.
    pub fn row(&mut self, mut cells: Vec<String>, to: &mut dyn Write) -> io::Result<()> {
        self.rows += 1;
        for cell in &mut cells {
            if cell.contains(char::is_control) {
                *cell = cell.lines().map(printable).collect::<Vec<_>>().join("\n");
            }
        }
        if self.settled {
            return self.write(&cells, to);
        }
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            let width = cell.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
            column.width = column.width.max(width.min(WIDEST));
        }
        self.waiting.push(cells);
        if self.waiting.len() < SETTLED {
            return Ok(());
        }
        self.settle(to)
    }

    /// Ends the table and says how many rows it has.
    ///
    /// # Errors
    ///
    /// Where `to` refuses what is written.
    pub fn finish(mut self, to: &mut dyn Write) -> io::Result<()> {
        if !self.settled {
            self.settle(to)?;
        }
        self.line(to)?;
        let s = if self.rows == 1 { "" } else { "s" };
        writeln!(to, "({} row{s})", self.rows)
    }

    fn settle(&mut self, to: &mut dyn Write) -> io::Result<()> {
        self.settled = true;
        self.line(to)?;
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        self.write(&names, to)?;
        self.line(to)?;
        for cells in std::mem::take(&mut self.waiting) {
            self.write(&cells, to)?;
        }
        Ok(())
    }

    fn line(&self, to: &mut dyn Write) -> io::Result<()> {
        for column in &self.columns {
            write!(to, "+{}", "-".repeat(column.width + 2))?;
        }
        writeln!(to, "+")
    }

    /// Writes a row, on as many lines as its tallest cell has.
    fn write(&self, cells: &[String], to: &mut dyn Write) -> io::Result<()> {
        if !cells.iter().any(|cell| cell.contains('\n')) {
            return self.write_line(cells.iter().map(String::as_str), to);
        }
        let mut lines: Vec<_> = cells.iter().map(|cell| cell.lines()).collect();
        let tallest = cells
            .iter()
            .map(|cell| cell.lines().count())
            .max()
            .unwrap_or(0);
        for _ in 0..tallest {
            self.write_line(lines.iter_mut().map(|lines| lines.next().unwrap_or("")), to)?;
        }
        Ok(())
    }

    fn write_line<'a>(
        &self,
        cells: impl Iterator<Item = &'a str>,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        for (column, cell) in self.columns.iter().zip(cells) {
            let space = " ".repeat(column.width.saturating_sub(cell.width()));
            if column.right {
                write!(to, "| {space}{cell} ")?;
            } else {
                write!(to, "| {cell}{space} ")?;
            }
        }
        writeln!(to, "|")
    }
}

/// Text without control characters: it is one line, and steers no terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
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

    fn print(columns: &[(&str, bool)], rows: &[&[&str]]) -> String {
        let mut printer = Printer::new(columns.iter().map(|(n, right)| ((*n).to_owned(), *right)));
        let mut text = Vec::new();
        for row in rows {
            let cells = row.iter().map(|cell| (*cell).to_owned()).collect();
            printer.row(cells, &mut text).unwrap();
        }
        printer.finish(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn numbers_stand_right_and_text_left() {
        let text = print(
            &[("name", false), ("n", true)],
            &[&["a", "1"], &["名", "100"]],
        );
        assert_eq!(
            text,
            "+------+-----+\n| name |   n |\n+------+-----+\n| a    |   1 |\n| 名   | 100 |\n\
             +------+-----+\n(2 rows)\n"
        );
    }

    #[test]
    fn no_rows_are_a_header_and_a_count() {
        assert_eq!(
            print(&[("a", false)], &[]),
            "+---+\n| a |\n+---+\n+---+\n(0 rows)\n"
        );
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let text = print(&[("a", false)], &[&["x\r\u{1b}[31my"]]);
        assert!(text.contains("x\\r\\u{1b}[31my"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_cell_of_several_lines_stays_in_its_column() {
        let text = print(&[("a", false), ("b", false)], &[&["x\nlong", "1"]]);
        assert!(text.contains("| x    | 1 |\n| long |   |\n"), "{text}");
    }

    #[test]
    fn rows_past_the_settled_ones_are_written_at_once() {
        let mut printer = Printer::new([("a".to_owned(), true)]);
        let mut text = Vec::new();
        for n in 0..SETTLED {
            printer.row(vec![n.to_string()], &mut text).unwrap();
        }
        let before = text.len();
        assert!(before > 0);
        printer
            .row(vec!["a value wider than the column".to_owned()], &mut text)
            .unwrap();
        assert!(text.len() > before);
        printer.finish(&mut text).unwrap();
        assert!(String::from_utf8(text).unwrap().ends_with("(10001 rows)\n"));
    }
}
