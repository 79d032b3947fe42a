//! A policy's patterns in words, with whatever somebody else wrote in quotes.

use mc2_protocol::policy::{ParamType, Pattern};

use crate::terminal::quoted;

/// What one argument may be; nothing is cut off.
pub(super) fn pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Literal(text) => quoted(text),
        Pattern::Number(range) => range.to_string(),
        Pattern::OneOf(values) => {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("one of {}", values.join(", "))
        }
        Pattern::Any => "any that does not start with -".to_owned(),
        Pattern::FixedSql(sql) => {
            let params = sql.params.iter().map(|(name, kind)| {
                let kind = match kind {
                    ParamType::Date => "date",
                    ParamType::Number => "number",
                    ParamType::Text => "text",
                };
                format!("${name} a {kind}")
            });
            let params: Vec<String> = params.collect();
            format!("the query {} with {}", quoted(&sql.text), params.join(", "))
        }
    }
}
