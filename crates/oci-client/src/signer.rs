//! Signature version 1: what is signed, and the `authorization` header that comes of it. Pure.
//!
//! Source: Oracle's page on request signatures, and the official Python SDK, whose parameter order is kept so that its
//! output can serve as golden vectors.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest;

use crate::{PrincipalError, key::SigningKey};

/// A request as far as its signature goes.
pub(crate) struct ToSign<'a> {
    /// `GET`, `POST` …
    pub(crate) method: &'a str,
    /// Path and query, byte for byte as they will be sent.
    pub(crate) target: &'a str,
    /// Host and port, as they will be sent.
    pub(crate) host: &'a str,
    /// The `date` header.
    pub(crate) date: &'a str,
    /// The headers of a body that is signed; none for GET, HEAD and DELETE, and none for PutObject and PutMessages,
    /// whose bodies the official SDKs send unsigned.
    pub(crate) body: Option<SignedBody<'a>>,
}

/// The headers that vouch for a body.
pub(crate) struct SignedBody<'a> {
    pub(crate) content_length: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) content_sha256: &'a str,
}

impl<'a> ToSign<'a> {
    /// Name and value of each signed header, in the order of the official SDKs.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let target = format!("{} {}", self.method.to_ascii_lowercase(), self.target);
        let mut lines =
            vec![("date", self.date.to_owned()), ("(request-target)", target), ("host", self.host.to_owned())];
        if let Some(body) = &self.body {
            lines.extend([
                ("content-length", body.content_length.to_owned()),
                ("content-type", body.content_type.to_owned()),
                ("x-content-sha256", body.content_sha256.to_owned()),
            ]);
        }
        lines
    }

    /// The value of the `authorization` header.
    pub(crate) fn authorization(&self, key: &SigningKey, key_id: &str) -> Result<String, PrincipalError> {
        authorization(&self.lines(), key, key_id)
    }
}

/// The digest that stands in `x-content-sha256`, that of an empty body included.
pub(crate) fn content_sha256(body: &[u8]) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, body))
}

/// One line a header, joined with a single line feed, none at the end.
fn signing_string(lines: &[(&str, String)]) -> String {
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    lines.join("\n")
}

fn authorization(lines: &[(&str, String)], key: &SigningKey, key_id: &str) -> Result<String, PrincipalError> {
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    let headers = names.join(" ");
    let signature = STANDARD.encode(key.sign(signing_string(lines).as_bytes())?);
    Ok(format!(
        r#"Signature algorithm="rsa-sha256",headers="{headers}",keyId="{key_id}",signature="{signature}",version="1""#
    ))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use std::collections::HashMap;

    use super::*;
    use crate::key;

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        method: String,
        request_target: String,
        headers: HashMap<String, String>,
        body_base64: String,
        key_id: String,
        signed_headers: Vec<String>,
        signing_string: String,
        authorization: String,
    }

    fn golden() -> Vec<Case> {
        let cases = include_str!("../tests/fixtures/signing/cases.json");
        serde_json::from_str::<Golden>(cases).unwrap().cases
    }

    fn keys() -> [SigningKey; 2] {
        [
            include_bytes!("../tests/fixtures/signing/test-key.pem").as_slice(),
            include_bytes!("../tests/fixtures/signing/test-key-pkcs1.pem").as_slice(),
        ]
        .map(|pem| key::from_pem(pem, "the test key").unwrap())
    }

    /// The federation request leaves `host` out; this crate never sends it, so that it is no choice of `ToSign`.
    fn lines(case: &Case) -> Vec<(&'static str, String)> {
        let body = case.signed_headers.iter().any(|name| name == "x-content-sha256").then(|| SignedBody {
            content_length: &case.headers["content-length"],
            content_type: &case.headers["content-type"],
            content_sha256: &case.headers["x-content-sha256"],
        });
        let to_sign = ToSign {
            method: &case.method,
            target: &case.request_target,
            host: &case.headers["host"],
            date: &case.headers["date"],
            body,
        };
        let mut lines = to_sign.lines();
        lines.retain(|(name, _)| case.name != "x509-federation-request" || *name != "host");
        lines
    }

    #[test]
    fn signing_strings_and_authorizations_are_those_of_the_official_python_sdk_for_both_forms_of_the_key() {
        let cases = golden();
        assert_eq!(cases.len(), 20);
        for case in &cases {
            let lines = lines(case);
            assert_eq!(lines.iter().map(|(name, _)| *name).collect::<Vec<_>>(), case.signed_headers, "{}", case.name);
            assert_eq!(signing_string(&lines), case.signing_string, "{}", case.name);
            for key in &keys() {
                assert_eq!(authorization(&lines, key, &case.key_id).unwrap(), case.authorization, "{}", case.name);
            }
        }
    }

    #[test]
    fn body_digests_are_those_of_the_official_python_sdk() {
        for case in golden() {
            if let Some(expected) = case.headers.get("x-content-sha256") {
                let body = STANDARD.decode(&case.body_base64).unwrap();
                assert_eq!(&content_sha256(&body), expected, "{}", case.name);
            }
        }
        assert_eq!(content_sha256(b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
