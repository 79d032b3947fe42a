//! Where in the SQL something is, and how that is shown.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

/// How much of a line is shown around a place, in characters.
const SHOWN: usize = 100;

/// A stretch of the SQL, counted in lines and characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line it starts in.
    pub line: u64,
    /// The character it starts with.
    pub column: u64,
    /// How many characters of that line it covers, at least 1.
    pub length: u64,
}

impl Place {
    /// The place that ends a message of the SQL parser, as in `… at Line: 2, Column: 7`.
    pub fn in_message(message: &str) -> Option<Self> {
        let (_, rest) = message.rsplit_once("Line: ")?;
        let (line, rest) = rest.split_once(", Column: ")?;
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (line, column) = (line.parse().ok()?, rest[..end].parse().ok()?);
        (line > 0 && column > 0).then_some(Self {
            line,
            column,
            length: 1,
        })
    }

    /// The first place where `word` stands by itself, whatever its case, outside of strings and
    /// comments.
    pub fn of_word(sql: &str, word: &str) -> Option<Self> {
        let wanted: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
        if wanted.is_empty() {
            return None;
        }
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let mut hidden = Hidden::default();
        for (index, line) in sql.lines().enumerate() {
            let characters: Vec<char> = line.chars().collect();
            hidden.next_line();
            for start in 0..characters.len() {
                if hidden.step(&characters[start..]) {
                    continue;
                }
                let Some(found) = characters.get(start..start + wanted.len()) else {
                    continue;
                };
                let same = found
                    .iter()
                    .flat_map(|c| c.to_lowercase())
                    .eq(wanted.iter().copied());
                let before = start
                    .checked_sub(1)
                    .is_some_and(|before| part(characters[before]));
                let after = characters
                    .get(start + wanted.len())
                    .is_some_and(|&c| part(c));
                if same && !before && !after {
                    return Some(Self {
                        line: index as u64 + 1,
                        column: start as u64 + 1,
                        length: wanted.len() as u64,
                    });
                }
            }
        }
        None
    }

    /// The place of the string `'text'`, if it stands in the SQL exactly once.
    pub fn of_string(sql: &str, text: &str) -> Option<Self> {
        let literal = format!("'{}'", text.replace('\'', "''"));
        let mut found = sql.match_indices(&literal);
        let (start, _) = found.next()?;
        if found.next().is_some() || literal.contains('\n') {
            return None;
        }
        let before = &sql[..start];
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u64 + 1;
        Some(Self {
            line,
            column,
            length: literal.chars().count() as u64,
        })
    }

    /// The statement that starts here, with as many lines before it as there were.
    ///
    /// ```
    /// # use sql_core::place::Place;
    /// let place = Place { line: 2, column: 4, length: 1 };
    /// assert_eq!(place.statement("a;\nb; c\n';'; d"), "\n   c\n';'");
    /// ```
    pub fn statement(&self, sql: &str) -> String {
        let lines = usize::try_from(self.line - 1).unwrap_or(usize::MAX);
        let columns = usize::try_from(self.column - 1).unwrap_or(usize::MAX);
        let mut text = "\n".repeat(lines.min(sql.len()));
        let mut hidden = Hidden::default();
        for (index, line) in sql.lines().skip(lines).enumerate() {
            let mut line: Vec<char> = line.chars().collect();
            if index == 0 {
                let before = columns.min(line.len());
                line[..before].fill(' ');
            }
            hidden.next_line();
            let ends = |start: &usize| !hidden.step(&line[*start..]) && line[*start] == ';';
            if let Some(end) = (0..line.len()).find(ends) {
                text.extend(&line[..end]);
                return text;
            }
            text.extend(&line);
            text.push('\n');
        }
        text
    }

    /// The place in words, the line itself, and a caret under it.
    ///
    /// ```
    /// # use sql_core::place::Place;
    /// let place = Place { line: 2, column: 6, length: 4 };
    /// assert_eq!(
    ///     place.show("select *\nfrom orda"),
    ///     "line 2, column 6\n  |\n2 | from orda\n  |      ^^^^"
    /// );
    /// ```
    pub fn show(&self, sql: &str) -> String {
        let mut text = format!("line {}, column {}", self.line, self.column);
        let line = usize::try_from(self.line - 1)
            .ok()
            .and_then(|line| sql.lines().nth(line));
        let Some(line) = line else { return text };

        let characters: Vec<char> = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let column = usize::try_from(self.column - 1)
            .unwrap_or(usize::MAX)
            .min(characters.len());
        // A window of the line that the place is in.
        let from = if characters.len() <= SHOWN {
            0
        } else {
            column.saturating_sub(SHOWN / 2)
        };
        let to = characters.len().min(from + SHOWN);
        let shown = |range: &[char]| range.iter().collect::<String>();
        let (left, right) = (
            if from > 0 { "…" } else { "" },
            if to < characters.len() { "…" } else { "" },
        );

        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let length = usize::try_from(self.length)
            .unwrap_or(usize::MAX)
            .clamp(1, SHOWN);
        let marked = &characters[column..characters.len().min(column + length).min(to.max(column))];
        let indent = width(&characters[from..column]) + usize::from(from > 0);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n{margin} |\n{number} | {left}{}{right}\n{margin} | {}{}",
            shown(&characters[from..to]),
            " ".repeat(indent),
            "^".repeat(width(marked).max(1)),
        );
        text
    }
}

/// Whether a scan of the SQL is within a string or comment.
#[derive(Default)]
struct Hidden {
    string: bool,
    line_comment: bool,
    block_comment: bool,
}

impl Hidden {
    fn next_line(&mut self) {
        self.line_comment = false;
    }

    /// Takes the first of `rest` into account and says whether it is hidden.
    fn step(&mut self, rest: &[char]) -> bool {
        let first_two = (rest.first(), rest.get(1));
        if self.line_comment {
            return true;
        }
        if self.block_comment {
            if first_two == (Some(&'*'), Some(&'/')) {
                self.block_comment = false;
            }
            return true;
        }
        if rest.first() == Some(&'\'') {
            self.string = !self.string;
            return true;
        }
        if self.string {
            return true;
        }
        match first_two {
            (Some('-'), Some('-')) => self.line_comment = true,
            (Some('/'), Some('*')) => self.block_comment = true,
            _ => return false,
        }
        true
    }
}

fn width(characters: &[char]) -> usize {
    characters.iter().map(|c| c.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parsers_place_is_found_in_its_message() {
        let message = "Expected: an expression, found: FROM at Line: 12, Column: 8";
        assert_eq!(
            Place::in_message(message),
            Some(Place {
                line: 12,
                column: 8,
                length: 1
            })
        );
        assert_eq!(Place::in_message("no place"), None);
        assert_eq!(Place::in_message("at Line: 0, Column: 0"), None);
    }

    #[test]
    fn a_word_is_found_where_it_stands_alone_in_the_sql_itself() {
        let sql = "select 'foo', food -- foo\n/* foo */ , FOO from t";
        let place = Place {
            line: 2,
            column: 13,
            length: 3,
        };
        assert_eq!(Place::of_word(sql, "foo"), Some(place));
        assert_eq!(Place::of_word(sql, "bar"), None);
        assert_eq!(Place::of_word(sql, ""), None);
    }

    #[test]
    fn a_string_is_found_where_there_is_one_of_it() {
        let sql = "select 'x',\n 'it''s'";
        let place = Place {
            line: 2,
            column: 2,
            length: 7,
        };
        assert_eq!(Place::of_string(sql, "it's"), Some(place));
        assert_eq!(Place::of_string(sql, "y"), None);
        assert_eq!(Place::of_string("'x' 'x'", "x"), None);
    }

    #[test]
    fn the_caret_is_under_the_place_whatever_is_before_it() {
        let place = Place {
            line: 1,
            column: 9,
            length: 3,
        };
        let shown = place.show("\tö, 名名, foo");
        assert_eq!(
            shown,
            "line 1, column 9\n  |\n1 |  ö, 名名, foo\n  |           ^^^"
        );
    }

    #[test]
    fn of_a_long_line_only_the_part_around_is_shown() {
        let sql = format!("select {} wrong {}", "a, ".repeat(200), "b, ".repeat(200));
        let place = Place::of_word(&sql, "wrong").unwrap();
        let shown = place.show(&sql);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines.iter().all(|line| line.chars().count() < 120),
            "{shown}"
        );
        let caret = lines[3].chars().position(|c| c == '^').unwrap();
        let word: String = lines[2].chars().skip(caret).take(5).collect();
        assert_eq!(word, "wrong");
    }

    #[test]
    fn a_place_past_the_end_is_shown_without_panic() {
        assert!(
            Place {
                line: 9,
                column: 1,
                length: 1
            }
            .show("x")
            .ends_with("column 1")
        );
        let end = Place {
            line: 1,
            column: 7,
            length: 9,
        }
        .show("select");
        assert!(end.ends_with("1 | select\n  |       ^"), "{end}");
        assert!(
            Place {
                line: 1,
                column: 999,
                length: u64::MAX
            }
            .show("x")
            .contains('^')
        );
    }
}
