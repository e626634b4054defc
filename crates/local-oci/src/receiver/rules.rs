//! The faults in force at a receiver: each strikes so often, where its condition holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;

type Condition = Box<dyn Fn(&Request<Bytes>) -> bool + Send>;

struct Rule<F> {
    fault: F,
    left: Option<u64>,
    condition: Condition,
}

/// Faults in the order in which they were injected; the first in force strikes.
pub(super) struct Rules<F> {
    rules: Vec<Rule<F>>,
    struck: BTreeMap<&'static str, u64>,
}

impl<F> Default for Rules<F> {
    fn default() -> Self {
        Self { rules: Vec::new(), struck: BTreeMap::new() }
    }
}

impl<F: Clone> Rules<F> {
    pub(super) fn push(
        &mut self,
        fault: F,
        times: Option<u64>,
        condition: impl Fn(&Request<Bytes>) -> bool + Send + 'static,
    ) {
        self.rules.push(Rule { fault, left: times, condition: Box::new(condition) });
    }

    /// Takes all away; the counts stay.
    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The fault for this request, counted under its name.
    pub(super) fn strike(&mut self, request: &Request<Bytes>, name: fn(&F) -> &'static str) -> Option<F> {
        let rule = self.rules.iter_mut().find(|rule| rule.left != Some(0) && (rule.condition)(request))?;
        rule.left = rule.left.map(|left| left - 1);
        let fault = rule.fault.clone();
        *self.struck.entry(name(&fault)).or_default() += 1;
        Some(fault)
    }

    /// How often each has struck.
    pub(super) fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.struck.clone()
    }
}
