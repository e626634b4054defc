//! Secrets: the content of a vault secret.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use oci_names::Ocid;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Deserialize;

use crate::{Client, Deadline, Error, Service, answer::Answer, call::Call, target::Target};

const BASE_PATH: &str = "/20190301";

/// A secret has at most 25 KB.
const BODY_MAX_BYTES: usize = 256 * 1024;

/// Where the secret stands in the answer, for errors.
const CONTENT: &str = "secretBundleContent.content";

/// Calls of the Secrets service, the reading side of the vaults.
#[derive(Debug, Clone, Copy)]
pub struct Secrets<'a> {
    client: &'a Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    #[serde(borrow)]
    secret_bundle_content: Content<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(borrow)]
    content_type: Cow<'a, str>,
    #[serde(borrow)]
    content: Cow<'a, str>,
}

impl<'a> Secrets<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// The bytes of the secret's current version, decoded once. May be repeated.
    ///
    /// # Errors
    /// As the service answered, where 404 also means "not allowed"; [`Error::Decode`] where the content is not base64.
    ///
    /// Source: Secrets API reference, GetSecretBundle.
    pub async fn get_secret_bundle(&self, secret: &Ocid, deadline: Deadline) -> Result<SecretSlice<u8>, Error> {
        Ok(self.fetch(secret, deadline).await?.1)
    }

    /// The secret as text, such as a token; line feeds at its end, which editors add, are taken off.
    ///
    /// # Errors
    /// As [`Secrets::get_secret_bundle`]; [`Error::Decode`] where the content is not UTF-8.
    pub async fn get_secret_text(&self, secret: &Ocid, deadline: Deadline) -> Result<SecretString, Error> {
        let (answer, bytes) = self.fetch(secret, deadline).await?;
        let text = std::str::from_utf8(bytes.expose_secret()).map_err(|_| answer.unexpected(CONTENT))?;
        Ok(text.trim_end_matches(['\r', '\n']).into())
    }

    async fn fetch(&self, secret: &Ocid, deadline: Deadline) -> Result<(Answer, SecretSlice<u8>), Error> {
        let target = Target::new(&self.client.endpoint(Service::Secrets, None)?, BASE_PATH)
            .part("secretbundles")
            .value(secret.as_str());
        let answer = self.client.call(&Call::read("GetSecretBundle", target), BODY_MAX_BYTES, deadline).await?;
        let content = answer.json::<Bundle<'_>>()?.secret_bundle_content;
        if content.content_type != "BASE64" {
            return Err(answer.unexpected("secretBundleContent.contentType"));
        }
        let decoded = STANDARD.decode(&*content.content).map_err(|_| answer.unexpected(CONTENT))?;
        Ok((answer, decoded.into()))
    }
}
