//! `{ fixed_sql = "…", params = {…} }`: a query approved as text, with typed values put in.

use super::{
    error::{PolicyError, Problem},
    reader::Node,
};
use crate::Name;

const MAX_PARAMS: usize = 64;

/// A query whose text is fixed but for the values of `$name`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FixedSql {
    /// The text, every `$name` in it a parameter.
    pub text: String,
    /// The parameters by name.
    pub params: Vec<(Name, ParamType)>,
}

/// What a parameter's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// A day, `2026-12-31`.
    Date,
    /// A number in its plain spelling.
    Number,
    /// A string.
    Text,
}

impl FixedSql {
    pub(super) fn read(sql: &Node<'_>, params: Option<&Node<'_>>) -> Result<Self, PolicyError> {
        let text = sql.string()?;
        if text.trim().is_empty() || text.contains('\0') {
            return Err(sql.error(Problem::value("the text of a query", text)));
        }
        let used = placeholders(text);
        let mut read = Vec::new();
        for entry in params.map_or(Ok(Vec::new()), |node| node.entries(MAX_PARAMS))? {
            let name = entry.key.checked(entry.key.name)?;
            if !used.contains(&name.as_str()) {
                return Err(entry.key.error(Problem::unknown(
                    "placeholder in the query for",
                    name.as_str(),
                    used.iter().map(|name| format!("${name}")),
                )));
            }
            let kind = match entry.value.string()? {
                "date" => ParamType::Date,
                "number" => ParamType::Number,
                "text" => ParamType::Text,
                other => {
                    let expected = "\"date\", \"number\" or \"text\"";
                    return Err(entry.value.error(Problem::value(expected, other)));
                }
            };
            read.push((name, kind));
        }
        let untyped = used
            .iter()
            .find(|used| !read.iter().any(|(name, _)| name.as_str() == **used));
        if let Some(name) = untyped {
            let known = read.iter().map(|(name, _)| name);
            return Err(sql.error(Problem::unknown("type in `params` for", name, known)));
        }
        Ok(Self {
            text: text.to_owned(),
            params: read,
        })
    }
}

/// The names after each `$`; an empty one where none follows.
fn placeholders(text: &str) -> Vec<&str> {
    let names = text.split('$').skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    });
    names.collect()
}
