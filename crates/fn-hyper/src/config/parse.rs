//! Parsers for kinds of values that no type of their own stands for. Their errors say what is expected.

use std::{convert::Infallible, fmt::Display, ops::RangeInclusive, str::FromStr};

/// Any text; the reader has seen to it that it is not empty.
///
/// # Errors
/// Never.
pub fn text(value: &str) -> Result<String, Infallible> {
    Ok(value.to_owned())
}

/// A number within limits, both included.
pub fn within<T>(limits: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    move |value| match value.parse() {
        Ok(number) if limits.contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from {} to {}", limits.start(), limits.end())),
    }
}

/// `true` or `false`.
///
/// # Errors
/// For anything else: a `yes` that counts as `false` would be found out too late.
pub fn flag(value: &str) -> Result<bool, &'static str> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_held_to_its_limits() {
        let parse = within(1_u32..=500);
        for (value, number) in
            [("1", Some(1)), ("500", Some(500)), ("0", None), ("501", None), ("-1", None), ("x", None)]
        {
            assert_eq!(parse(value).ok(), number, "{value}");
        }
        assert_eq!(parse("x").unwrap_err(), "expected a whole number from 1 to 500");
    }

    #[test]
    fn a_flag_is_true_or_false_and_nothing_else() {
        for (value, flagged) in
            [("true", Some(true)), ("false", Some(false)), ("yes", None), ("TRUE", None), ("1", None)]
        {
            assert_eq!(flag(value).ok(), flagged, "{value}");
        }
    }
}
