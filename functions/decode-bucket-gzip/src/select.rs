//! Which records are sent, and what of them.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What is configured of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Select {
    /// Of a record wrapped as `{"datetime":…,"logContent":{…}}` only the inner object is sent.
    pub unwrap: bool,
    /// Only records of these actions (HTTP methods) are sent, and those without any; empty for all.
    pub actions: Vec<String>,
}

#[derive(Deserialize)]
struct Wrapper<'a> {
    #[serde(borrow, rename = "logContent")]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Acted {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    request: Option<Request>,
}

#[derive(Deserialize)]
struct Request {
    action: Option<String>,
}

impl Select {
    /// What is sent of `record`; none where it is left out.
    pub(crate) fn of<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        if !self.unwrap && self.actions.is_empty() {
            return Some(record);
        }
        let inner = content(record);
        let sent = if self.unwrap { inner.unwrap_or(record) } else { record };
        let is_wanted = self.actions.is_empty()
            || action(inner.unwrap_or(record))
                .is_none_or(|action| self.actions.iter().any(|wanted| wanted.eq_ignore_ascii_case(&action)));
        is_wanted.then_some(sent)
    }
}

/// The object within the wrapper of Logging, where the record has one.
fn content(record: &[u8]) -> Option<&[u8]> {
    let wrapper: Wrapper<'_> = serde_json::from_slice(record).ok()?;
    let content = wrapper.content?.get();
    content.starts_with('{').then_some(content.as_bytes())
}

/// What is none of an audit record, and what of it cannot be told, has no action.
fn action(record: &[u8]) -> Option<String> {
    serde_json::from_slice::<Acted>(record).ok()?.data?.request?.action
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = r#"{"data": {"request":{"action":"POST"}},"n":1.0E+2}"#;

    fn select(unwrap: bool, actions: &[&str], record: &str) -> Option<String> {
        let select = Select { unwrap, actions: actions.iter().map(|action| (*action).to_owned()).collect() };
        select.of(record.as_bytes()).map(|sent| String::from_utf8(sent.to_vec()).unwrap())
    }

    #[test]
    fn the_wrapper_is_taken_off_on_request_and_the_rest_stays_as_it_came() {
        let wrapped = format!(r#"{{"datetime":1, "logContent": {BARE} ,"regionId":"r"}}"#);
        assert_eq!(select(false, &[], &wrapped).as_deref(), Some(wrapped.as_str()));
        assert_eq!(select(true, &[], &wrapped).as_deref(), Some(BARE));
        assert_eq!(select(true, &[], BARE).as_deref(), Some(BARE));
        for odd in [r#"{"logContent":"text"}"#, r#"{"logContent":null}"#, r#"{"logContent":{},"logContent":{}}"#] {
            assert_eq!(select(true, &[], odd).as_deref(), Some(odd), "{odd}");
        }
    }

    #[test]
    fn l_19_the_actions_are_configured_and_what_has_none_is_sent() {
        let wrapped = format!(r#"{{"datetime":1,"logContent":{BARE}}}"#);
        for (record, actions, is_sent) in [
            (BARE, &["POST", "PATCH"][..], true),
            (BARE, &["post"], true),
            (BARE, &["GET"], false),
            (wrapped.as_str(), &["GET"], false),
            (wrapped.as_str(), &["POST"], true),
            (r#"{"data":{"request":{"action":null}}}"#, &["GET"], true),
            (r#"{"data":{"request":null}}"#, &["GET"], true),
            (r#"{"data":7}"#, &["GET"], true),
            ("{}", &["GET"], true),
        ] {
            assert_eq!(select(false, actions, record).is_some(), is_sent, "{record} {actions:?}");
        }
        assert_eq!(select(true, &["POST"], &wrapped).as_deref(), Some(BARE));
    }
}
