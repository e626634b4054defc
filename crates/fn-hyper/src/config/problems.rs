//! What is wrong with a configuration: every problem at once, and never a value.

use std::fmt;

use crate::config::Key;

/// One problem: a key, and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    key: String,
    text: String,
}

impl Problem {
    /// `text` says what is expected and must not repeat the value, which may be a token.
    pub fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), text: text.into() }
    }

    /// The key's name.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

/// Every problem of a configuration, in the order in which its keys were read. Displayed one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    keys: Vec<Key>,
}

impl Problems {
    pub(crate) fn new(problems: Vec<Problem>, keys: Vec<Key>) -> Self {
        Self { problems, keys }
    }

    /// One problem that is found beside the reading: a client that cannot be built from what was read, say.
    pub fn one(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(vec![Problem::new(key, text)], Vec::new())
    }

    /// The problems one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// All keys that were read, faulty or not: a reading of an empty table thereby tells a test which keys there are.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }
}

impl Extend<Problem> for Problems {
    fn extend<T: IntoIterator<Item = Problem>>(&mut self, more: T) {
        self.problems.extend(more);
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.problems.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stand_one_a_line_and_can_be_joined() {
        let mut problems = Problems::default();
        assert!(problems.is_empty() && problems.to_string().is_empty());
        problems.extend(Problems::one("a", "missing"));
        problems.extend(Problems::one("b", "expected a URL"));
        assert_eq!(problems.to_string(), "a: missing\nb: expected a URL");
        assert_eq!(problems.iter().map(Problem::key).collect::<Vec<_>>(), ["a", "b"]);
    }
}
