//! What an answer of the collector means: one pure function over status and body.

use std::{borrow::Cow, fmt};

use http::StatusCode;
use serde::Deserialize;

use crate::http_sink::{Answer, Verdict};

/// Status and code, for people. None of the other side's own words: they come from whoever answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    status: StatusCode,
    code: Option<u64>,
}

/// Above this a code 6 at place 0 is about the body, not the event: so answers Splunk Cloud where others answer 413.
const SIZE_SUSPECT_BYTES: usize = 1_000_000;

/// The collector's answer; a body without these two was written by somebody in between.
#[derive(Deserialize)]
struct HecAnswer<'a> {
    code: u64,
    #[serde(borrow, rename = "text")]
    _text: Cow<'a, str>,
    #[serde(rename = "invalid-event-number")]
    invalid_event_number: Option<serde_json::Number>,
}

/// Sorts an answer to a body of `plain_bytes` bytes (before compression): by the collector's code where there is one, by the
/// status else.
///
/// Source: Splunk, "Troubleshoot HTTP Event Collector", the table of codes; codes 26 to 28 and the meaning of the event
/// number as observed.
pub(super) fn sort(status: StatusCode, body: &[u8], plain_bytes: usize) -> (Answer, Said) {
    let hec = serde_json::from_slice::<HecAnswer<'_>>(body).ok();
    let said = Said { status, code: hec.as_ref().map(|hec| hec.code) };
    let Some(hec) = hec else { return (by_status(status), said) };

    let place = hec.invalid_event_number.and_then(|place| place.as_u64()).and_then(|place| place.try_into().ok());
    let answer = match hec.code {
        0 if status.is_success() => Answer::Verdict(Verdict::Taken { slow_down: false }),
        24 | 25 if status.is_success() => Answer::Verdict(Verdict::Taken { slow_down: true }),
        // A word of success under another status was not the collector's last word.
        0 | 24 | 25 => Answer::Unknown,
        6 if place == Some(0) && plain_bytes > SIZE_SUSPECT_BYTES => Answer::Verdict(Verdict::TooLarge),
        6 | 12 | 13 | 15 => Answer::Verdict(Verdict::BadEvent { place }),
        9 | 18 | 19 | 20 | 23 | 26 | 27 => Answer::Busy,
        // An internal error says nothing of how far the body came.
        8 => Answer::Unknown,
        // 5 (no data) too: no empty body is ever sent, so something in between took it away. 17, 21 and 22 are answers of
        // the health endpoint.
        1..=5 | 7 | 10 | 11 | 14 | 16 | 17 | 21 | 22 | 28 => Answer::Configuration,
        // Beyond its own list the collector repeats the status as code; codes of later versions are left to the status.
        code => match u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok()) {
            // Its own word that it is overloaded, where the same status from a balancer would say nothing.
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Answer::Busy,
            Some(code) if code.is_client_error() => by_status(code),
            _ => by_status(status),
        },
    };
    (answer, said)
}

/// Without the collector's own word.
fn by_status(status: StatusCode) -> Answer {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Answer::Verdict(Verdict::TooLarge),
        StatusCode::TOO_MANY_REQUESTS => Answer::Busy,
        StatusCode::REQUEST_TIMEOUT => Answer::Unknown,
        // Wrong address, method, token or a host that wants something else: none of it says anything of the events.
        _ if status.is_client_error() || status.is_redirection() => Answer::Configuration,
        // A success that is not the collector's (a proxy's page) is none, and 5xx may come from behind or before it.
        _ => Answer::Unknown,
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        match self.code {
            None => f.write_str(", not from the collector"),
            Some(code) => match text(code) {
                Some(text) => write!(f, ", code {code} ({text})"),
                None => write!(f, ", code {code}"),
            },
        }
    }
}

fn text(code: u64) -> Option<&'static str> {
    let text = match code {
        0 => "success",
        1 => "token disabled",
        2 => "token is required",
        3 => "invalid authorization",
        4 => "invalid token",
        5 => "no data",
        6 => "invalid data format",
        7 => "incorrect index",
        8 => "internal server error",
        9 => "server is busy",
        10 => "data channel is missing",
        11 => "invalid data channel",
        12 => "event field is required",
        13 => "event field cannot be blank",
        14 => "acknowledgement is disabled",
        15 => "error in handling indexed fields",
        16 => "query string authorization is not enabled",
        17 => "collector is healthy",
        18 => "queues are full",
        19 => "acknowledgement service unavailable",
        20 => "queues are full, acknowledgement service unavailable",
        21 => "invalid token",
        22 => "token disabled",
        23 => "server is shutting down",
        24 => "queue is approaching its limit",
        25 => "acknowledgements are approaching their limit",
        26 => "queue is at capacity",
        27 => "acknowledgement channel is at capacity",
        28 => "data channel is missing",
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Answer = Answer::Verdict(Verdict::Taken { slow_down: false });
    const TAKEN_SLOW_DOWN: Answer = Answer::Verdict(Verdict::Taken { slow_down: true });
    const BAD_EVENT: Answer = Answer::Verdict(Verdict::BadEvent { place: None });
    const TOO_LARGE: Answer = Answer::Verdict(Verdict::TooLarge);

    fn bad_event_at(place: usize) -> Answer {
        Answer::Verdict(Verdict::BadEvent { place: Some(place) })
    }

    fn check(status: u16, body: &str, expected: Answer) {
        let (answer, _) = sort(StatusCode::from_u16(status).unwrap(), body.as_bytes(), 900_000);
        assert_eq!(answer, expected, "{status} {body}");
    }

    /// The table "Answers" of the reference page on destinations, row by row.
    #[test]
    fn r_27_every_code_of_the_collector_has_its_class() {
        for (code, status, expected) in [
            (0, 200, TAKEN),
            (1, 403, Answer::Configuration),
            (2, 401, Answer::Configuration),
            (3, 401, Answer::Configuration),
            (4, 403, Answer::Configuration),
            (5, 400, Answer::Configuration),
            (6, 400, BAD_EVENT),
            (7, 400, Answer::Configuration),
            (8, 500, Answer::Unknown),
            (9, 503, Answer::Busy),
            (10, 400, Answer::Configuration),
            (11, 400, Answer::Configuration),
            (12, 400, BAD_EVENT),
            (13, 400, BAD_EVENT),
            (14, 400, Answer::Configuration),
            (15, 400, BAD_EVENT),
            (16, 400, Answer::Configuration),
            (17, 200, Answer::Configuration),
            (18, 503, Answer::Busy),
            (19, 503, Answer::Busy),
            (20, 503, Answer::Busy),
            (21, 400, Answer::Configuration),
            (22, 400, Answer::Configuration),
            (23, 503, Answer::Busy),
            (24, 200, TAKEN_SLOW_DOWN),
            (25, 200, TAKEN_SLOW_DOWN),
            (26, 429, Answer::Busy),
            (27, 429, Answer::Busy),
            (28, 400, Answer::Configuration),
            (404, 404, Answer::Configuration),
            (405, 405, Answer::Configuration),
            (413, 413, TOO_LARGE),
            (415, 415, Answer::Configuration),
            // Codes that are not documented.
            (99, 200, Answer::Unknown),
            (99, 400, Answer::Configuration),
            (99, 429, Answer::Busy),
            (99, 500, Answer::Unknown),
            (99, 503, Answer::Busy),
            (503, 503, Answer::Busy),
            // A code under a status that it does not go with.
            (0, 400, Answer::Unknown),
            (0, 503, Answer::Unknown),
            (24, 500, Answer::Unknown),
            (9, 200, Answer::Busy),
            (413, 400, TOO_LARGE),
        ] {
            check(status, &format!(r#"{{"text":"x","code":{code}}}"#), expected);
        }
    }

    #[test]
    fn r_27_only_the_collector_s_own_word_is_a_success() {
        const PAGE: &str = "<html><body>Service Unavailable</body></html>";
        for (status, expected) in [
            (200, Answer::Unknown),
            (204, Answer::Unknown),
            (302, Answer::Configuration),
            (400, Answer::Configuration),
            (401, Answer::Configuration),
            (403, Answer::Configuration),
            (404, Answer::Configuration),
            (405, Answer::Configuration),
            (408, Answer::Unknown),
            (413, TOO_LARGE),
            (415, Answer::Configuration),
            (429, Answer::Busy),
            (500, Answer::Unknown),
            (502, Answer::Unknown),
            (503, Answer::Unknown),
            (504, Answer::Unknown),
        ] {
            for body in [PAGE, "", "{}", r#"{"code":0}"#, r#"{"text":"Success"}"#, r#"{"text":"x","code":"0"}"#, "[]"] {
                check(status, body, expected);
            }
        }
    }

    #[test]
    fn answers_as_the_collector_prints_them_are_read() {
        for (status, body, expected) in [
            (200, r#"{"text":"Success","code":0}"#, TAKEN),
            (200, r#"{"text":"Success","code":0,"ackId":0}"#, TAKEN),
            (400, r#"{"text":"Invalid data format","code":6,"invalid-event-number":2}"#, bad_event_at(2)),
            (503, r#"{"text":"Server is busy","code":9}"#, Answer::Busy),
            (400, r#"{"text":"x","code":12,"invalid-event-number":-1}"#, BAD_EVENT),
            (400, r#"{"text":"x","code":12,"invalid-event-number":null}"#, BAD_EVENT),
            (400, r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#, Answer::Configuration),
        ] {
            check(status, body, expected);
        }
    }

    #[test]
    fn code_6_at_the_first_event_of_a_large_body_is_about_its_size() {
        for (code, place, plain_bytes, expected) in [
            (6, 0, 1_000_001, TOO_LARGE),
            (6, 0, 1_000_000, bad_event_at(0)),
            (6, 1, 1_000_001, bad_event_at(1)),
            (12, 0, 1_000_001, bad_event_at(0)),
        ] {
            let body = format!(r#"{{"text":"x","code":{code},"invalid-event-number":{place}}}"#);
            let (answer, _) = sort(StatusCode::BAD_REQUEST, body.as_bytes(), plain_bytes);
            assert_eq!(answer, expected, "code {code} at {place} of {plain_bytes} bytes");
        }
    }

    #[test]
    fn an_answer_is_told_in_our_words() {
        for (status, body, expected) in [
            (StatusCode::FORBIDDEN, r#"{"text":"hush","code":4}"#, "403, code 4 (invalid token)"),
            (StatusCode::BAD_REQUEST, r#"{"text":"hush","code":99}"#, "400, code 99"),
            (StatusCode::BAD_GATEWAY, "<p>hush</p>", "502, not from the collector"),
        ] {
            assert_eq!(sort(status, body.as_bytes(), 1).1.to_string(), expected);
        }
    }
}
