//! A rule's condition: which events it matches.

use serde_json::Value;

/// A condition, read. Keys that it does not name are ignored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition(Value);

impl Condition {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(value @ Value::Object(_)) => Ok(Self(value)),
            Ok(_) => Err("it is another value".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether an event is as the condition wants it.
    pub(super) fn matches(&self, event: &Value) -> bool {
        holds(&self.0, event)
    }
}

/// Source: the reference's section on the Events service. Keys are nested as in the event, an array means any of.
fn holds(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), _) if wanted.is_empty() => true,
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| holds(wanted, found)))
        }
        (Value::Object(_), _) => false,
        (Value::Array(any), found) => any.iter().any(|wanted| holds(wanted, found)),
        (wanted, Value::Array(found)) => found.iter().any(|found| holds(wanted, found)),
        (Value::String(pattern), Value::String(text)) => is_like(pattern, text),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), found) => wanted == found,
    }
}

/// Whether `text` is `pattern`, in which each `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, is) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*.log.gz", "audit/x.0.log.gz", true),
            ("**", "x", true),
            ("ü*", "übel", true),
        ] {
            assert_eq!(is_like(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn keys_are_nested_as_in_the_event_and_arrays_mean_any_of() {
        let event = json!({
            "eventType": "com.oraclecloud.objectstorage.createobject",
            "data": { "compartmentName": "sec", "resourceName": "audit/x.log.gz", "count": 3,
                      "additionalDetails": { "bucketName": "logs", "labels": ["a", "b"] } },
        });
        for (condition, is) in [
            (json!({}), true),
            (json!({ "data": {} }), true),
            (json!({ "eventType": "com.oraclecloud.objectstorage.createobject" }), true),
            (json!({ "eventType": ["com.oraclecloud.objectstorage.createobject", "x"] }), true),
            (json!({ "eventType": ["com.oraclecloud.objectstorage.*object"] }), true),
            (json!({ "eventType": ["x", "y"] }), false),
            (json!({ "eventType": [] }), false),
            (json!({ "eventType": "com.oraclecloud.objectstorage.CreateObject" }), false),
            (json!({ "data": { "additionalDetails": { "bucketName": ["logs", "others"] } } }), true),
            (json!({ "data": { "additionalDetails": { "bucketName": "others" } } }), false),
            (json!({ "data": { "resourceName": "audit/*" }, "eventType": "*" }), true),
            (json!({ "bucketName": "logs" }), false),
            (json!({ "data": { "bucketName": "logs" } }), false),
            (json!({ "data": { "count": 3 } }), true),
            (json!({ "data": { "count": [3, 4] } }), true),
            (json!({ "data": { "count": "3" } }), false),
            (json!({ "data": { "additionalDetails": { "labels": "b" } } }), true),
            (json!({ "data": { "compartmentName": { "x": 1 } } }), false),
        ] {
            let read = Condition::parse(&condition.to_string()).expect("an object");
            assert_eq!(read.matches(&event), is, "{condition}");
        }
    }

    #[test]
    fn a_condition_is_a_json_object() {
        for text in ["", "[]", "\"x\"", "{", "7"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}
