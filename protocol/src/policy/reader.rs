//! A TOML document read field by field, so that every error names its line, column and path.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
    value::Datetime,
};

use super::error::{PolicyError, Position, Problem, listed, shortened};
use crate::name::{Name, NameError};

/// A value of the document and the way to it.
#[derive(Clone)]
pub(super) struct Node<'d> {
    text: &'d str,
    place: String,
    /// Offset in bytes at which errors point.
    offset: usize,
    value: &'d DeValue<'d>,
}

/// A table whose fields are all among the accepted ones.
pub(super) struct Fields<'d> {
    text: &'d str,
    place: String,
    offset: usize,
    entries: &'d DeTable<'d>,
}

/// One entry of a table whose keys are free.
pub(super) struct Entry<'d> {
    /// The key, for parsing and for errors about it.
    pub(super) key: Key<'d>,
    /// The value.
    pub(super) value: Node<'d>,
}

/// A free key and where it stands.
pub(super) struct Key<'d> {
    text: &'d str,
    place: String,
    offset: usize,
    /// The key itself.
    pub(super) name: &'d str,
}

impl<'d> Fields<'d> {
    /// The document's own fields.
    pub(super) fn of_document(
        text: &'d str,
        table: &'d Spanned<DeTable<'d>>,
        accepted: &[&'static str],
    ) -> Result<Self, PolicyError> {
        Self::new(text, "the policy".to_owned(), 0, table.get_ref(), accepted)
    }

    fn new(
        text: &'d str,
        place: String,
        offset: usize,
        entries: &'d DeTable<'d>,
        accepted: &[&'static str],
    ) -> Result<Self, PolicyError> {
        let unknown = entries
            .iter()
            .map(|(key, _)| key)
            .filter(|key| !accepted.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        if let Some(key) = unknown {
            return Err(PolicyError::Invalid {
                at: Position::of(text, key.span().start),
                place,
                problem: Problem::UnknownField {
                    found: shortened(key.get_ref()),
                    accepted: listed(accepted),
                },
            });
        }
        Ok(Self {
            text,
            place,
            offset,
            entries,
        })
    }

    /// The field `name`, if it is there.
    pub(super) fn optional(&self, name: &'static str) -> Option<Node<'d>> {
        let (_, value) = self.entries.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(Node {
            text: self.text,
            place: path(&self.place, name),
            offset: value.span().start,
            value: value.get_ref(),
        })
    }

    /// The field `name`, or an error that says what to write.
    pub(super) fn required(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Node<'d>, PolicyError> {
        self.optional(name)
            .ok_or_else(|| self.error(missing(name, expected)))
    }

    /// The tables of `[[name]]`, none where it is absent.
    pub(super) fn list(
        &self,
        name: &'static str,
        most: usize,
    ) -> Result<Vec<Node<'d>>, PolicyError> {
        self.optional(name)
            .map_or(Ok(Vec::new()), |node| node.array(most))
    }

    /// The tables of `[[name]]`, at least one.
    pub(super) fn required_list(
        &self,
        name: &'static str,
        most: usize,
        expected: &'static str,
    ) -> Result<Vec<Node<'d>>, PolicyError> {
        self.required(name, expected)?.filled_array(most, expected)
    }

    pub(super) fn error(&self, problem: Problem) -> PolicyError {
        PolicyError::Invalid {
            at: Position::of(self.text, self.offset),
            place: self.place.clone(),
            problem,
        }
    }
}

impl<'d> Node<'d> {
    /// This value as a table with no fields but `accepted`.
    pub(super) fn table(&self, accepted: &[&'static str]) -> Result<Fields<'d>, PolicyError> {
        match self.value {
            DeValue::Table(entries) => Fields::new(
                self.text,
                self.place.clone(),
                self.offset,
                entries,
                accepted,
            ),
            _ => Err(self.wrong_type("a table")),
        }
    }

    /// This value as a table of free keys, in the order of the keys.
    pub(super) fn entries(&self, most: usize) -> Result<Vec<Entry<'d>>, PolicyError> {
        let DeValue::Table(entries) = self.value else {
            return Err(self.wrong_type("a table"));
        };
        self.check_count(entries.len(), most)?;
        let mut entries: Vec<Entry<'d>> = entries
            .iter()
            .map(|(key, value)| {
                let place = path(&self.place, &shortened(key.get_ref()));
                Entry {
                    key: Key {
                        text: self.text,
                        place: place.clone(),
                        offset: key.span().start,
                        name: key.get_ref(),
                    },
                    value: Node {
                        text: self.text,
                        place,
                        offset: value.span().start,
                        value: value.get_ref(),
                    },
                }
            })
            .collect();
        entries.sort_by_key(|entry| entry.key.name);
        Ok(entries)
    }

    /// This value as a list.
    pub(super) fn array(&self, most: usize) -> Result<Vec<Node<'d>>, PolicyError> {
        let DeValue::Array(values) = self.value else {
            return Err(self.wrong_type("a list"));
        };
        self.check_count(values.len(), most)?;
        let nodes = values.iter().enumerate().map(|(index, value)| Node {
            text: self.text,
            place: format!("{}[{}]", self.place, index + 1),
            offset: value.span().start,
            value: value.get_ref(),
        });
        Ok(nodes.collect())
    }

    /// This value as a list with something in it.
    pub(super) fn filled_array(
        &self,
        most: usize,
        expected: &'static str,
    ) -> Result<Vec<Node<'d>>, PolicyError> {
        let nodes = self.array(most)?;
        if nodes.is_empty() {
            return Err(self.error(Problem::Empty { expected }));
        }
        Ok(nodes)
    }

    /// This value, where it is a string.
    pub(super) fn as_str(&self) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this value is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// This value as a string.
    pub(super) fn string(&self) -> Result<&'d str, PolicyError> {
        self.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// This value as a string that is a `T`, whose error says what it is.
    pub(super) fn checked<T: FromStr<Err: fmt::Display>>(&self) -> Result<T, PolicyError> {
        self.string()?
            .parse()
            .map_err(|error: T::Err| self.error(Problem::Refused(error.to_string())))
    }

    /// This value as a string that is a `T`, whose error says what is expected.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self) -> Result<T, PolicyError> {
        let text = self.string()?;
        text.parse()
            .map_err(|error: T::Err| self.error(Problem::value(error.to_string(), text)))
    }

    /// This value as an integer within `range`.
    pub(super) fn integer(&self, range: RangeInclusive<u32>) -> Result<u32, PolicyError> {
        let DeValue::Integer(integer) = self.value else {
            return Err(self.wrong_type("an integer"));
        };
        u32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|value| range.contains(value))
            .ok_or_else(|| {
                let expected = format!("an integer from {} to {}", range.start(), range.end());
                self.error(Problem::value(expected, integer.as_str()))
            })
    }

    /// The text of a number and whether it is written as an integer.
    pub(super) fn number(&self) -> Result<(&'d str, bool), PolicyError> {
        match self.value {
            DeValue::Integer(integer) if integer.radix() == 10 => Ok((integer.as_str(), true)),
            DeValue::Float(float) => Ok((float.as_str(), false)),
            _ => Err(self.wrong_type("a decimal number")),
        }
    }

    /// This value as a truth value.
    pub(super) fn boolean(&self) -> Result<bool, PolicyError> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// This value as a date-time of any TOML kind.
    pub(super) fn datetime(&self) -> Result<&'d Datetime, PolicyError> {
        match self.value {
            DeValue::Datetime(value) => Ok(value),
            _ => Err(self.wrong_type("a date and time such as 2026-12-31T00:00:00Z, unquoted")),
        }
    }

    pub(super) fn wrong_type(&self, expected: &'static str) -> PolicyError {
        self.error(Problem::Type {
            expected,
            found: type_name(self.value),
        })
    }

    pub(super) fn error(&self, problem: Problem) -> PolicyError {
        PolicyError::Invalid {
            at: Position::of(self.text, self.offset),
            place: self.place.clone(),
            problem,
        }
    }

    fn check_count(&self, found: usize, limit: usize) -> Result<(), PolicyError> {
        if found > limit {
            return Err(self.error(Problem::TooMany { found, limit }));
        }
        Ok(())
    }
}

impl Key<'_> {
    pub(super) fn error(&self, problem: Problem) -> PolicyError {
        PolicyError::Invalid {
            at: Position::of(self.text, self.offset),
            place: self.place.clone(),
            problem,
        }
    }

    /// The part `name` of this key as a name.
    pub(super) fn checked(&self, name: &str) -> Result<Name, PolicyError> {
        name.parse()
            .map_err(|error: NameError| self.error(Problem::Refused(error.to_string())))
    }
}

pub(super) const fn missing(field: &'static str, expected: &'static str) -> Problem {
    Problem::Missing { field, expected }
}

fn path(place: &str, name: &str) -> String {
    if place == "the policy" {
        return name.to_owned();
    }
    format!("{place}.{name}")
}

const fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
