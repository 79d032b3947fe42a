//! A policy's patterns in words, with whatever somebody else wrote in quotes.

use mc2_protocol::policy::Pattern;

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
            let values = sql.params.iter();
            let values =
                values.map(|(name, kind)| format!(", then --param, then {name}= and {kind}"));
            let values: String = values.collect();
            format!("the query {}{values}", quoted(&sql.text))
        }
    }
}
