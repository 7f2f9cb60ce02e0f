//! Members of a JSON object, as commands read and show them.

use serde_json::Value;

/// A text; empty if it is not there.
pub(crate) fn text<'a>(of: &'a Value, member: &str) -> &'a str {
    of.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A number; 0 if it is not there.
pub(crate) fn number(of: &Value, member: &str) -> i64 {
    of.get(member).and_then(Value::as_i64).unwrap_or_default()
}

/// The items of a list; none if it is not there.
pub(crate) fn items<'a>(of: &'a Value, member: &str) -> &'a [Value] {
    of.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A text or a number as a table shows it: a dash if it is not there.
pub(crate) fn cell(of: &Value, member: &str) -> String {
    match of.get(member) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".into(),
        Some(other) => other.to_string(),
    }
}
