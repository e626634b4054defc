//! The order to redrive dead letters: `{"redrive":{"all":true}}` and its variations.

use jiff::civil::Date;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

/// Which letters are sent again, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Of this day alone.
    pub(super) date: Option<Date>,
    /// Only those whose reason holds this text.
    pub(super) reason: Option<String>,
    /// Those of `fetch`, too: events that no put could hold, of which the destination has a summary.
    pub(super) fetch: bool,
    /// Nothing is sent and nothing changed.
    pub(super) dry_run: bool,
    /// At most so many events a second.
    pub(super) rate: Option<u32>,
    /// Where an earlier call ended.
    pub(super) from: Option<String>,
}

/// An order cannot be followed. Repeats none of its values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrder {
    /// Not of the shape.
    #[error(
        "expected {{\"redrive\":{{\"all\":true}}}}, or date and reason in place of all; and perhaps fetch, dry_run, rate, from ({0})"
    )]
    Shape(String),
    /// A field does not hold what it should.
    #[error("redrive.{field}: expected {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
}

#[derive(Deserialize)]
struct Marked {
    redrive: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    redrive: Fields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    all: Option<Value>,
    date: Option<Value>,
    reason: Option<Value>,
    fetch: Option<Value>,
    dry_run: Option<Value>,
    rate: Option<Value>,
    from: Option<Value>,
}

/// Reads an order; none where the body is something else.
pub fn parse(body: &[u8]) -> Option<Result<Order, InvalidOrder>> {
    serde_json::from_slice::<Marked>(body).ok()?.redrive?;
    Some(read(body))
}

fn read(body: &[u8]) -> Result<Order, InvalidOrder> {
    let Body { redrive: fields } = serde_json::from_slice(body).map_err(|error| {
        // serde's own text would repeat what stands there.
        let place = format!("line {} column {}", error.line(), error.column());
        InvalidOrder::Shape(format!("a field is unknown, doubled or of the wrong kind, {place}"))
    })?;
    let all = field("all", "true, or no such field", fields.all, |value| value.as_bool().filter(|all| *all))?;
    let date = field("date", "a day such as 2026-01-05", fields.date, |value| date(value.as_str()?))?;
    let reason = field("reason", "a text that the reason holds", fields.reason, |value| {
        value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    })?;
    if all.is_some() && date.is_some() {
        return Err(InvalidOrder::Field { field: "all", expected: "all or date, not both" });
    }
    if all.is_none() && date.is_none() && reason.is_none() {
        return Err(InvalidOrder::Field { field: "all", expected: "true, or a date or a reason in its place" });
    }
    let flag = |name, value| field(name, "true or false", value, |value| value.as_bool());
    let from = field("from", "the next of an earlier answer", fields.from, |value| {
        value.as_str().filter(|name| name.starts_with("dead/") && name.len() <= 1024).map(str::to_owned)
    })?;
    Ok(Order {
        date,
        reason,
        fetch: flag("fetch", fields.fetch)?.unwrap_or(false),
        dry_run: flag("dry_run", fields.dry_run)?.unwrap_or(false),
        rate: field("rate", "events a second, 1 to 10000", fields.rate, |value| {
            u32::try_from(value.as_u64()?).ok().filter(|rate| (1..=10_000).contains(rate))
        })?,
        from,
    })
}

fn field<T>(
    field: &'static str,
    expected: &'static str,
    value: Option<Value>,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, InvalidOrder> {
    value.map(|value| read(&value).ok_or(InvalidOrder::Field { field, expected })).transpose()
}

/// In this form alone, for it is a part of the letters' names.
fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|date: &Date| date.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_letters_and_a_manner() {
        let plain = Order { date: None, reason: None, fetch: false, dry_run: false, rate: None, from: None };
        let day = Some(jiff::civil::date(2026, 1, 5));
        for (body, expected) in [
            (r#"{"redrive":{"all":true}}"#, plain.clone()),
            (r#"{"redrive":{"date":"2026-01-05"}}"#, Order { date: day, ..plain.clone() }),
            (r#"{"redrive":{"reason":"code 6"}}"#, Order { reason: Some("code 6".into()), ..plain.clone() }),
            (
                r#"{"redrive":{"date":"2026-01-05","reason":"x","fetch":true,"dry_run":true,"rate":50,"from":"dead/x"}}"#,
                Order {
                    date: day,
                    reason: Some("x".into()),
                    fetch: true,
                    dry_run: true,
                    rate: Some(50),
                    from: Some("dead/x".into()),
                },
            ),
        ] {
            assert_eq!(parse(body.as_bytes()), Some(Ok(expected)), "{body}");
        }
    }

    #[test]
    fn a_wrong_order_names_the_field_and_repeats_no_value() {
        for (fields, expected) in [
            ("", "redrive.all"),
            (r#""dry_run":true"#, "redrive.all"),
            (r#""all":false"#, "redrive.all"),
            (r#""all":"hush""#, "redrive.all"),
            (r#""all":true,"date":"2026-01-05""#, "redrive.all"),
            (r#""date":"hush""#, "redrive.date"),
            (r#""date":"20260105""#, "redrive.date"),
            (r#""date":"2026-01-05T00:00:00""#, "redrive.date"),
            (r#""date":"2026-02-30""#, "redrive.date"),
            (r#""reason":"""#, "redrive.reason"),
            (r#""reason":7"#, "redrive.reason"),
            (r#""all":true,"fetch":"hush""#, "redrive.fetch"),
            (r#""all":true,"dry_run":1"#, "redrive.dry_run"),
            (r#""all":true,"rate":0"#, "redrive.rate"),
            (r#""all":true,"rate":1.5"#, "redrive.rate"),
            (r#""all":true,"rate":10001"#, "redrive.rate"),
            (r#""all":true,"from":"owed/hush""#, "redrive.from"),
            (r#""all":true,"hush":1"#, "column 29"),
            (r#""all":true,"all":true"#, "doubled"),
        ] {
            let error = parse(format!(r#"{{"redrive":{{{fields}}}}}"#).as_bytes()).unwrap().unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{fields} -> {error}");
        }
        for body in [r#"{"redrive":"hush"}"#, r#"{"redrive":{"all":true},"v":1}"#, r#"{"redrive":true}"#] {
            let error = parse(body.as_bytes()).unwrap().unwrap_err().to_string();
            assert!(error.contains("expected {\"redrive\"") && !error.contains("hush"), "{body} -> {error}");
        }
    }

    #[test]
    fn any_other_body_is_no_order() {
        for body in ["", "hush", "[]", "{}", r#"{"v":1,"pointers":[]}"#, r#"{"redrive":null}"#, r#"{"redrive":{"#] {
            assert_eq!(parse(body.as_bytes()), None, "{body}");
        }
    }
}
