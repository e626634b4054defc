//! Rules that the settings of every destination keep.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::InvalidConfig;

/// Whether a token may be sent to `url`: https, or http to a loopback host, and nothing in it but host, port and path.
///
/// # Errors
/// `Url`, whatever it is.
pub fn check_url(url: &Url) -> Result<(), InvalidConfig> {
    let is_loopback = match url.host().ok_or(InvalidConfig::Url)? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let may_be_sent_to = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback));
    if may_be_sent_to { Ok(()) } else { Err(InvalidConfig::Url) }
}

/// The token's text, where it fits into a header and a query.
pub(crate) fn token_text(token: &SecretString) -> Result<&str, InvalidConfig> {
    let token = token.expose_secret();
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(token) } else { Err(InvalidConfig::Token) }
}

/// Refuses what would send nothing: a limit of 0 among `limits`, which are named by their fields, or no time.
pub(crate) fn check_limits(
    limits: &[(&'static str, usize)],
    request_timeout: Duration,
    gzip_level: Option<u32>,
) -> Result<(), InvalidConfig> {
    if let Some(&(setting, _)) = limits.iter().find(|(_, limit)| *limit == 0) {
        return Err(InvalidConfig::Zero { setting });
    }
    if request_timeout.is_zero() {
        return Err(InvalidConfig::Zero { setting: "request_timeout" });
    }
    match gzip_level {
        None | Some(1..=9) => Ok(()),
        Some(_) => Err(InvalidConfig::GzipLevel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_sent_in_clear_and_an_address_holds_no_secret() {
        for url in [
            "http://a.example",
            "http://localhost.example",
            "http://10.0.0.1:8088",
            "ftp://localhost",
            "https://user@a.example",
            "https://:hush@a.example",
            "https://a.example/?token=hush",
            "https://a.example/#hush",
            "data:text/plain,x",
        ] {
            assert_eq!(check_url(&url.parse().unwrap()), Err(InvalidConfig::Url), "{url}");
        }
        for url in ["https://a.example:8071/x", "http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1"] {
            assert_eq!(check_url(&url.parse().unwrap()), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_token_is_visible_text_without_blanks() {
        for token in ["", "two words", "line\nbreak", "umläut", " "] {
            assert_eq!(token_text(&token.to_owned().into()), Err(InvalidConfig::Token), "{token:?}");
        }
        assert_eq!(token_text(&"t&=%".to_owned().into()), Ok("t&=%"));
    }

    #[test]
    fn limits_that_would_send_nothing_are_refused() {
        let second = Duration::from_secs(1);
        for (limit, timeout, gzip_level, expected) in [
            (1, second, None, Ok(())),
            (1, second, Some(1), Ok(())),
            (1, second, Some(9), Ok(())),
            (0, second, None, Err(InvalidConfig::Zero { setting: "batch_max_bytes" })),
            (1, Duration::ZERO, None, Err(InvalidConfig::Zero { setting: "request_timeout" })),
            (1, second, Some(0), Err(InvalidConfig::GzipLevel)),
            (1, second, Some(10), Err(InvalidConfig::GzipLevel)),
        ] {
            let limits = [("event_max_bytes", 7), ("batch_max_bytes", limit)];
            assert_eq!(check_limits(&limits, timeout, gzip_level), expected);
        }
    }
}
