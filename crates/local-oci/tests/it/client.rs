//! A client made by hand: signs as the reference's section 1 says, and asks the emulator in process.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use local_oci::{Clock, LocalOci, Settings};
use ring::rsa::KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

/// A cloud, and who asks it.
pub(crate) struct Client {
    pub(crate) cloud: LocalOci,
    key_id: String,
    key: KeyPair,
    /// The path prefix that chooses the region, or nothing.
    pub(crate) prefix: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// Status and code of an error.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// The time at which most tests begin: 12:00:30 on 5 January 2026.
pub(crate) fn noon() -> Timestamp {
    "2026-01-05T12:00:30Z".parse().expect("a time")
}

pub(crate) fn settings() -> Settings {
    Settings::new(Clock::starting_at(noon()))
}

impl Client {
    /// The API user of a new cloud.
    pub(crate) fn new(settings: Settings) -> Self {
        Self::of(&LocalOci::new(settings))
    }

    /// The API user of `cloud`.
    pub(crate) fn of(cloud: &LocalOci) -> Self {
        let credentials = cloud.credentials();
        let key_id = format!("{}/{}/{}", cloud.tenancy().id(), credentials.user(), credentials.fingerprint());
        Self::with_key(cloud, key_id, credentials.api_key_pem())
    }

    pub(crate) fn with_key(cloud: &LocalOci, key_id: String, pem: &str) -> Self {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        let key = KeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("RSA");
        Self { cloud: cloud.clone(), key_id, key, prefix: String::new() }
    }

    /// The same caller in a region.
    pub(crate) fn in_region(mut self, region: &str) -> Self {
        self.prefix = format!("/region/{region}");
        self
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send("GET", path, &[], "").await
    }

    /// Signs and sends; the date is the service's own unless `headers` has one.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
        self.answer(self.request(method, path, headers, body.into())).await
    }

    pub(crate) async fn answer(&self, request: http::Request<Bytes>) -> Got {
        let response = self.cloud.handle(request).await.expect("no cut");
        let text = |value: &http::HeaderValue| value.to_str().expect("text").to_owned();
        Got {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: response.into_body(),
        }
    }

    /// A signed request.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> http::Request<Bytes> {
        let target = format!("{}{path}", self.prefix);
        let mut all: BTreeMap<String, String> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        all.insert("host".to_owned(), "127.0.0.1:8642".to_owned());
        let now = self.cloud.clock().real_now();
        all.entry("date".to_owned()).or_insert_with(|| now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        let mut signed = vec!["date", "(request-target)", "host"];
        let is_put_object = method == "PUT" && path.starts_with("/n/");
        if matches!(method, "POST" | "PUT" | "PATCH") {
            all.insert("content-length".to_owned(), body.len().to_string());
            if !is_put_object {
                let digest = ring::digest::digest(&ring::digest::SHA256, &body);
                all.insert("x-content-sha256".to_owned(), STANDARD.encode(digest));
                all.entry("content-type".to_owned()).or_insert_with(|| "application/json".to_owned());
                signed.extend(["content-length", "content-type", "x-content-sha256"]);
            }
        }
        let lines: Vec<String> = signed
            .iter()
            .map(|name| match *name {
                "(request-target)" => format!("{name}: {} {target}", method.to_lowercase()),
                _ => format!("{name}: {}", all[*name]),
            })
            .collect();
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        let message = lines.join("\n");
        self.key
            .sign(&ring::signature::RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature)
            .expect("a signature");
        let authorization = format!(
            "Signature version=\"1\",headers=\"{}\",keyId=\"{}\",algorithm=\"rsa-sha256\",signature=\"{}\"",
            signed.join(" "),
            self.key_id,
            STANDARD.encode(signature)
        );
        let mut request = http::Request::builder().method(method).uri(target).header("authorization", authorization);
        for (name, value) in &all {
            request = request.header(name, value);
        }
        request.body(body).expect("a request")
    }
}

/// Percent-encodes a query value or an object name, slashes included.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
