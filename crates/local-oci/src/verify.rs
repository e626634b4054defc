//! Who signed a request, and whether the signature holds: written from the reference, sections 1 and 6.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

use crate::call::Call;
use crate::credentials::Serials;

/// A client clock further off than this is refused.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// How HTTP writes dates.
const IMF_FIXDATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The OCID of the user or resource.
    pub principal: String,
    /// What kind of principal it is.
    pub kind: PrincipalKind,
    /// A name to show.
    pub name: String,
    /// The tenancy's OCID.
    pub tenancy: String,
    /// The key id as audit events show it: no token.
    pub credentials: String,
}

impl Caller {
    /// Nobody: a caller of a gateway route.
    pub(crate) fn anonymous() -> Self {
        let none = String::new;
        Self { principal: none(), kind: PrincipalKind::Anonymous, name: none(), tenancy: none(), credentials: none() }
    }
}

/// The kinds of principals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A user with an API key.
    User,
    /// A function with a session token.
    Resource,
    /// Nobody: the call is not signed.
    Anonymous,
}

/// Why a request is not taken for signed. The message names the check; the real service tells less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// No `Authorization` header of the scheme `Signature`, or one that cannot be read.
    #[error("the authorization header is missing or malformed: {0}")]
    Authorization(&'static str),
    /// The key id names no key that is known here.
    #[error("the key id is unknown")]
    UnknownKey,
    /// The session token is not one of ours, or it has run out.
    #[error("the session token is {0}")]
    Token(&'static str),
    /// A header that must be signed is not in the list.
    #[error("`{0}` must be signed")]
    NotSigned(&'static str),
    /// A header of the list is not in the request, or not once.
    #[error("the signed header `{0}` is missing or repeated")]
    NoHeader(String),
    /// The date cannot be read, or is too far off.
    #[error("the date is unreadable or more than five minutes off")]
    Date,
    /// The body is not the one that was signed.
    #[error("`{0}` does not match the body")]
    Body(&'static str),
    /// The signature does not hold.
    #[error("the signature does not match")]
    Signature,
}

/// An RSA public key: big-endian modulus and exponent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) n: Vec<u8>,
    pub(crate) e: Vec<u8>,
}

impl PublicKey {
    fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
    }
}

/// The keys by which callers are known.
#[derive(Debug)]
pub(crate) struct Principals {
    /// By key id: the API keys.
    known: Mutex<HashMap<String, (PublicKey, Caller)>>,
    /// Session tokens whose own signature is ours.
    issuer: PublicKey,
    /// Which of them were expired before their time.
    serials: Arc<Serials>,
}

impl Principals {
    pub(crate) fn new(issuer: PublicKey, serials: Arc<Serials>) -> Self {
        Self { known: Mutex::default(), issuer, serials }
    }

    /// Knows `user` of `tenancy` by the API key of that fingerprint from now on.
    pub(crate) fn add_api_key(&self, tenancy: &str, user: &str, name: &str, fingerprint: &str, key: PublicKey) {
        let key_id = format!("{tenancy}/{user}/{fingerprint}");
        let caller = Caller {
            principal: user.to_owned(),
            kind: PrincipalKind::User,
            name: name.to_owned(),
            tenancy: tenancy.to_owned(),
            credentials: key_id.clone(),
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key_id, (key, caller));
    }

    /// The API user, whoever calls: for when signatures are not checked.
    pub(crate) fn anyone(&self) -> Caller {
        let keys = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        keys.values().next().map_or_else(Caller::anonymous, |(_, caller)| caller.clone())
    }

    /// Checks the signature of `call`: its date against `now`, the lifetime of its token against `tokens_now`. `short_list`
    /// operations may be signed without the body's headers.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) fn verify(
        &self,
        call: &Call,
        short_list: bool,
        now: Timestamp,
        tokens_now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let authorization = Authorization::of(call)?;
        let (key, caller) = self.key(&authorization.key_id, tokens_now)?;
        let signed = &authorization.headers;
        // x-date wins where both are there; the one that counts must be the one that is signed.
        let date = if call.headers.contains_key("x-date") { "x-date" } else { "date" };
        let mut required = vec!["(request-target)", "host", date];
        if matches!(call.method, Method::POST | Method::PUT | Method::PATCH) && !short_list {
            required.extend(["content-length", "content-type", "x-content-sha256"]);
        }
        if let Some(missing) = required.into_iter().find(|name| !signed.iter().any(|signed| signed == name)) {
            return Err(Refusal::NotSigned(missing));
        }
        let at = call.header(date).and_then(parse_date).ok_or(Refusal::Date)?;
        if at.duration_since(now).abs() > MAX_SKEW {
            return Err(Refusal::Date);
        }
        let message = signing_string(call, signed)?;
        if !key.holds(message.as_bytes(), &authorization.signature) {
            return Err(Refusal::Signature);
        }
        check_body(call)?;
        Ok(caller)
    }

    fn key(&self, key_id: &str, now: Timestamp) -> Result<(PublicKey, Caller), Refusal> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(key_id).cloned();
        match (known, key_id.strip_prefix("ST$")) {
            (Some(known), _) => Ok(known),
            (None, Some(token)) => self.session(token, now),
            (None, None) => Err(Refusal::UnknownKey),
        }
    }

    /// The key that a session token carries, once the token's own signature and lifetime hold.
    fn session(&self, token: &str, now: Timestamp) -> Result<(PublicKey, Caller), Refusal> {
        let malformed = Refusal::Token("malformed");
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed.clone())?;
        let (_, payload) = signed.split_once('.').ok_or(malformed.clone())?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed.clone())?;
        if !self.issuer.holds(signed.as_bytes(), &signature) {
            return Err(Refusal::Token("not ours"));
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed.clone())?;
        let claims: Value = serde_json::from_slice(&payload).map_err(|_| malformed.clone())?;
        let serial = claims["jti"].as_str().and_then(|serial| serial.parse().ok());
        let is_out = claims["exp"].as_i64().is_none_or(|exp| exp <= now.as_second());
        if is_out || serial.is_some_and(|serial| self.serials.is_expired(serial)) {
            return Err(Refusal::Token("expired"));
        }
        let claim = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        // The key is JSON within a JSON string.
        let jwk: Value = serde_json::from_str(&claim("jwk")).map_err(|_| malformed.clone())?;
        let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap_or_default()).ok();
        let (Some(n), Some(e)) = (number("n"), number("e")) else { return Err(malformed) };
        let caller = Caller {
            principal: claim("sub"),
            kind: PrincipalKind::Resource,
            name: claim("res_type"),
            tenancy: claim("res_tenant"),
            credentials: "ST$*****".to_owned(),
        };
        Ok((PublicKey { n, e }, caller))
    }
}

/// The parts of the `Authorization` header, in whatever order they came.
struct Authorization {
    key_id: String,
    headers: Vec<String>,
    signature: Vec<u8>,
}

impl Authorization {
    fn of(call: &Call) -> Result<Self, Refusal> {
        let mut all = call.headers.get_all(http::header::AUTHORIZATION).iter();
        let (Some(value), None) = (all.next(), all.next()) else {
            return Err(Refusal::Authorization("not one header"));
        };
        let text = value.to_str().map_err(|_| Refusal::Authorization("not text"))?;
        let (scheme, mut rest) = text.split_once(' ').ok_or(Refusal::Authorization("no scheme"))?;
        if !scheme.eq_ignore_ascii_case("signature") {
            return Err(Refusal::Authorization("another scheme"));
        }
        let mut parameters = HashMap::new();
        loop {
            rest = rest.trim_start_matches([' ', ',']);
            if rest.is_empty() {
                break;
            }
            let (name, after) = rest.split_once("=\"").ok_or(Refusal::Authorization("a parameter without a value"))?;
            let (value, after) = after.split_once('"').ok_or(Refusal::Authorization("an open quote"))?;
            if parameters.insert(name.trim().to_ascii_lowercase(), value.to_owned()).is_some() {
                return Err(Refusal::Authorization("a parameter twice"));
            }
            rest = after;
        }
        let mut take = |name: &str, missing| parameters.remove(name).ok_or(Refusal::Authorization(missing));
        let key_id = take("keyid", "no keyId")?;
        let headers = take("headers", "no headers")?;
        let signature = take("signature", "no signature")?;
        if take("algorithm", "no algorithm")? != "rsa-sha256" {
            return Err(Refusal::Authorization("another algorithm"));
        }
        if take("version", "").is_ok_and(|version| version != "1") {
            return Err(Refusal::Authorization("another version"));
        }
        let headers: Vec<String> = headers.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
        let signature = STANDARD.decode(signature).map_err(|_| Refusal::Authorization("the signature is no base64"))?;
        Ok(Self { key_id, headers, signature })
    }
}

fn signing_string(call: &Call, signed: &[String]) -> Result<String, Refusal> {
    let mut lines = Vec::new();
    for name in signed {
        if name == "(request-target)" {
            lines.push(format!("{name}: {} {}", call.method.as_str().to_lowercase(), call.target));
            continue;
        }
        let mut values = call.headers.get_all(name.as_str()).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(Refusal::NoHeader(name.clone())) };
        let value = std::str::from_utf8(value.as_bytes()).map_err(|_| Refusal::NoHeader(name.clone()))?;
        lines.push(format!("{name}: {value}"));
    }
    Ok(lines.join("\n"))
}

/// What the headers say about the body must be true, signed or not.
fn check_body(call: &Call) -> Result<(), Refusal> {
    if let Some(length) = call.header("content-length")
        && length.parse() != Ok(call.body.len())
    {
        return Err(Refusal::Body("content-length"));
    }
    if let Some(digest) = call.header("x-content-sha256")
        && digest != STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, &call.body))
    {
        return Err(Refusal::Body("x-content-sha256"));
    }
    Ok(())
}

/// Reads an IMF-fixdate in GMT.
fn parse_date(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::strtime::parse(IMF_FIXDATE, text).ok()?.to_datetime().ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Writes an IMF-fixdate in GMT.
pub(crate) fn http_date(at: Timestamp) -> String {
    at.strftime(IMF_FIXDATE).to_string()
}

#[cfg(test)]
mod tests;
