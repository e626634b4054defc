//! What an answer of the listener means: one pure function over status and body.

use std::fmt;

use http::StatusCode;
use serde::Deserialize;

use crate::http_sink::{Answer, Verdict};

/// How many lines the listener has taken, and of each kind not taken. It never says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    successful_lines: usize,
    #[serde(default)]
    malformed_lines: usize,
    #[serde(default)]
    oversized_lines: usize,
    #[serde(default)]
    empty_log_lines: usize,
}

/// Status and counts, for people. None of the other side's own words: they come from whoever answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    status: StatusCode,
    counts: Option<Counts>,
}

/// Sorts an answer to a body of `lines` lines.
///
/// Source: Logz.io, "Bulk uploads over HTTP/HTTPS", the table of answers. It has no row for 503, which is taken for the
/// listener's word that it is too busy.
pub(super) fn sort(status: StatusCode, content: &[u8], lines: usize) -> (Answer, Said) {
    let has_counts = matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST);
    let counts = if has_counts { serde_json::from_slice(content).ok() } else { None };
    let answer = match (status, counts) {
        (_, Some(counts)) => Answer::Verdict(by_counts(counts, lines)),
        // The documented success has no body; anything else is somebody else's word, as a proxy's page is.
        (StatusCode::OK, None) if says_nothing(content) => Answer::Verdict(Verdict::Taken { slow_down: false }),
        (StatusCode::OK, None) => Answer::Unknown,
        // Not the documented answer, and so hardly the listener's: halved, so that a host that refuses everything is told
        // from a bad line. Second copies are the price where it was the listener's all the same.
        (StatusCode::BAD_REQUEST, None) => Answer::Verdict(Verdict::BadEvent { place: None }),
        (StatusCode::PAYLOAD_TOO_LARGE, _) => Answer::Verdict(Verdict::TooLarge),
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => Answer::Busy,
        (StatusCode::REQUEST_TIMEOUT, _) => Answer::Unknown,
        // Wrong token, address or method, or a host that wants something else: none of it says anything of the lines.
        _ if status.is_client_error() || status.is_redirection() => Answer::Configuration,
        // 5xx may come from behind or before the listener, and no other success is documented.
        _ => Answer::Unknown,
    };
    (answer, Said { status, counts })
}

/// Nothing but a count of 0 allows that a line is sent again, for Logz.io drops no second copies.
fn by_counts(counts: Counts, lines: usize) -> Verdict {
    match counts.successful_lines {
        taken if taken == lines => Verdict::Taken { slow_down: false },
        0 if lines == 1 && counts.oversized_lines == 1 => Verdict::TooLarge,
        0 => Verdict::NoneTaken,
        _ => Verdict::SomeTaken,
    }
}

/// Nothing, or as good as nothing: a listener that adds a word of assent must not have its lines sent again for ever.
fn says_nothing(content: &[u8]) -> bool {
    let word = content.trim_ascii();
    word.is_empty() || word.eq_ignore_ascii_case(b"ok") || word == b"{}"
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        let Some(counts) = self.counts else { return Ok(()) };
        let Counts { successful_lines, malformed_lines, oversized_lines, empty_log_lines } = counts;
        write!(
            f,
            ", lines: {successful_lines} successful, {malformed_lines} malformed, {oversized_lines} oversized, \
             {empty_log_lines} empty"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Answer = Answer::Verdict(Verdict::Taken { slow_down: false });
    const BAD_EVENT: Answer = Answer::Verdict(Verdict::BadEvent { place: None });
    const NONE_TAKEN: Answer = Answer::Verdict(Verdict::NoneTaken);
    const SOME_TAKEN: Answer = Answer::Verdict(Verdict::SomeTaken);
    const TOO_LARGE: Answer = Answer::Verdict(Verdict::TooLarge);

    fn check(status: u16, content: &str, lines: usize, expected: Answer) {
        let (answer, _) = sort(StatusCode::from_u16(status).unwrap(), content.as_bytes(), lines);
        assert_eq!(answer, expected, "{status} {content} to {lines} lines");
    }

    #[test]
    fn l_12_the_counts_of_a_400_say_whether_anything_may_be_sent_again() {
        for (lines, taken, malformed, oversized, empty, expected) in [
            (1_000, 999, 1, 0, 0, SOME_TAKEN),
            (1_000, 1, 0, 0, 999, SOME_TAKEN),
            (1_000, 1_000, 0, 0, 0, TAKEN),
            (1_000, 0, 1_000, 0, 0, NONE_TAKEN),
            (2, 0, 0, 1, 0, NONE_TAKEN),
            (1, 1, 0, 0, 0, TAKEN),
            (1, 0, 1, 0, 0, NONE_TAKEN),
            (1, 0, 0, 0, 1, NONE_TAKEN),
            (1, 0, 0, 1, 0, TOO_LARGE),
            // More than was sent: whatever it is that they count, some are taken.
            (2, 3, 0, 0, 0, SOME_TAKEN),
        ] {
            let content = format!(
                r#"{{"malformedLines":{malformed},"successfulLines":{taken},"oversizedLines":{oversized},"emptyLogLines":{empty}}}"#
            );
            check(400, &content, lines, expected);
            // A 200 can hide what was not taken.
            check(200, &content, lines, expected);
        }
        check(400, r#"{"successfulLines":2}"#, 2, TAKEN);
    }

    #[test]
    fn l_12_a_400_without_counts_says_nothing_of_the_lines() {
        for content in ["", "hush", "{}", r#"{"successfulLines":"2"}"#, r#"{"successfulLines":-1}"#, "[]"] {
            check(400, content, 2, BAD_EVENT);
            // A 200 has no body, or counts; whose word anything else is, is not known.
            let is_assent = matches!(content, "" | "{}");
            check(200, content, 2, if is_assent { TAKEN } else { Answer::Unknown });
        }
    }

    /// The table "Logz.io bulk" of the reference page on destinations.
    #[test]
    fn every_status_has_its_class() {
        const COUNTS: &str = r#"{"successfulLines":1}"#;
        for (status, expected) in [
            (201, Answer::Unknown),
            (204, Answer::Unknown),
            (302, Answer::Configuration),
            (401, Answer::Configuration),
            (403, Answer::Configuration),
            (404, Answer::Configuration),
            (405, Answer::Configuration),
            (408, Answer::Unknown),
            (413, TOO_LARGE),
            (429, Answer::Busy),
            (500, Answer::Unknown),
            (502, Answer::Unknown),
            (503, Answer::Busy),
            (504, Answer::Unknown),
        ] {
            for content in ["", "<html>hush</html>", COUNTS] {
                check(status, content, 1, expected);
            }
        }
        for (content, expected) in
            [("", TAKEN), ("OK", TAKEN), ("{}", TAKEN), (COUNTS, TAKEN), ("\n<html>", Answer::Unknown)]
        {
            check(200, content, 1, expected);
        }
    }

    #[test]
    fn an_answer_is_told_in_our_words() {
        for (status, content, expected) in [
            (StatusCode::UNAUTHORIZED, "hush", "401"),
            (StatusCode::BAD_REQUEST, "hush", "400"),
            (
                StatusCode::BAD_REQUEST,
                r#"{"malformedLines":1,"successfulLines":2,"oversizedLines":3,"emptyLogLines":4,"x":"hush"}"#,
                "400, lines: 2 successful, 1 malformed, 3 oversized, 4 empty",
            ),
        ] {
            assert_eq!(sort(status, content.as_bytes(), 9).1.to_string(), expected);
        }
    }
}
