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

/// What is `on` or `off`, and nothing else: a `yes` that counts as `off` would be found out too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// `on`.
    On,
    /// `off`.
    Off,
}

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("expected on or off"),
        }
    }
}

impl Display for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
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
    fn a_switch_is_on_or_off_and_nothing_else() {
        for (value, switch) in
            [("on", Some(Switch::On)), ("off", Some(Switch::Off)), ("yes", None), ("ON", None), ("true", None)]
        {
            assert_eq!(value.parse().ok(), switch, "{value}");
        }
        assert_eq!(Switch::Off.to_string(), "off");
    }
}
