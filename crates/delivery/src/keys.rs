//! The keys of a destination, whichever it is.

use std::time::Duration;

use fn_hyper::config::{Reader, Secret, text, within};
use pipeline::Destination;
use siem_sinks::{HecConfig, HecEnvelope, LogzioConfig, check_url};
use url::Url;
use workbench::SecretCell;

use crate::{
    Target,
    target::{Authorities, Settings},
};

/// The ports that hosts of the two kinds listen on by default.
const HEC_PORT: u16 = 8088;
const LOGZIO_PORT: u16 = 8071;

/// Reads the keys of the one destination that a function sends to: `splunk_…` and `source_host_name`, or `logzio_…`, and its
/// name, `destination`. Exactly one of `splunk_url` and `logzio_url` is set, which decides between the two; what is wrong
/// with the keys of the other is a problem, too.
pub fn target_keys(keys: &mut Reader<'_>) -> Option<Target> {
    let splunk = splunk_keys(keys);
    let logzio = logzio_keys(keys);
    let (kind, chosen) = match (splunk.is_meant, logzio.is_meant) {
        (true, true) => {
            keys.problem("logzio_url", "splunk_url says where events go, too: one function sends to one destination");
            ("splunk", splunk)
        }
        (false, false) => {
            keys.problem("splunk_url", "missing, and so is logzio_url: one of the two says where events go");
            ("splunk", splunk)
        }
        (true, false) => ("splunk", splunk),
        (false, true) => ("logzio", logzio),
    };
    // Whose receipts and dead letters are this function's, of the names that fetch-audit-events knows. That function does
    // not see which kind it is: another name than `splunk` must be told to both.
    let name = keys.optional("destination", kind.to_owned(), |name| match name.parse::<Destination>() {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err("expected one name of lower-case letters, digits and hyphens"),
    });
    let name = name?.parse().ok()?;
    Some(Target::new(name, chosen.settings?, SecretCell::new(chosen.token?), chosen.authorities))
}

/// What the keys of one kind of destination say.
struct Keys {
    /// Its URL is set, sound or not.
    is_meant: bool,
    /// None where it is not meant, or there is a problem.
    settings: Option<Settings>,
    token: Option<Secret>,
    authorities: Option<Authorities>,
}

fn splunk_keys(keys: &mut Reader<'_>) -> Keys {
    // The collector's host, as in input-prd-p-….cloud.splunk.com, or its URL.
    let address = keys.maybe("splunk_url", text);
    // Its port, where splunk_url names none.
    let port = keys.maybe("splunk_hec_port", within(1..=u16::MAX));
    let is_meant = address.is_some();
    let url = address.and_then(|address| {
        // A URL without a port has that of its scheme, a host that of the collector.
        let port = port.or((!address.contains("://")).then_some(HEC_PORT));
        noted(keys, "splunk_url", url_of(&address, port))
    });
    // The OCID of the vault secret that holds the HEC token; the token itself is taken with a warning.
    let token = token_of(keys, "splunk_hec_token", is_meant);
    let defaults = HecEnvelope::default();
    // The index; default: the token's own.
    let index = keys.maybe("splunk_index_name", text);
    // source and host of each event; {region} is replaced by the region that the event was fetched in.
    let source = keys.optional("splunk_source_name", defaults.source, text);
    let host = keys.optional("source_host_name", defaults.host, text);
    // One sourcetype for all audit events, to which `splunk/props.conf` belong.
    let sourcetype = keys.optional("splunk_sourcetype", defaults.sourcetype, text);
    // Certificate authorities to trust besides the public ones: PEM text, or the OCID of a secret that holds it.
    let ca = keys.maybe("splunk_ca_pem", text);
    // Bytes of a body before compression; Splunk Cloud advises to stay below 1 MB.
    let batch_max_bytes =
        keys.optional("splunk_batch_max_bytes", HecConfig::BATCH_MAX_BYTES, within(10_000..=5_000_000));
    // How long one request may take.
    let timeout_secs = keys.optional("splunk_timeout_secs", HecConfig::REQUEST_TIMEOUT.as_secs(), within(1..=120));
    let settings = || {
        Some(Settings::Splunk(HecConfig {
            envelope: HecEnvelope { host: host?, source: source?, sourcetype: sourcetype?, index },
            batch_max_bytes: batch_max_bytes?,
            request_timeout: Duration::from_secs(timeout_secs?),
            ..HecConfig::new(url?)
        }))
    };
    Keys { is_meant, settings: settings(), token, authorities: ca.map(|pem| Authorities { key: "splunk_ca_pem", pem }) }
}

fn logzio_keys(keys: &mut Reader<'_>) -> Keys {
    // The region's listener, as in listener-nl.logz.io, with its port if that is not 8071; or its URL.
    let address = keys.maybe("logzio_url", text);
    let is_meant = address.is_some();
    let url = address.and_then(|address| noted(keys, "logzio_url", url_of(&address, Some(LOGZIO_PORT))));
    // The OCID of the vault secret that holds the shipping token; the token itself is taken with a warning.
    let token = token_of(keys, "logzio_token", is_meant);
    // How Logz.io reads the records.
    let log_type = keys.optional("logzio_type", LogzioConfig::LOG_TYPE.to_owned(), log_type);
    // Bytes of a body before compression. Logz.io takes five times as many, but a body of which it takes some lines only is
    // set aside whole.
    let most = 10_000..=LogzioConfig::BODY_MAX_BYTES;
    let batch_max_bytes = keys.optional("logzio_batch_max_bytes", LogzioConfig::BATCH_MAX_BYTES, within(most));
    // How long one request may take.
    let timeout_secs = keys.optional("logzio_timeout_secs", LogzioConfig::REQUEST_TIMEOUT.as_secs(), within(1..=120));
    // Certificate authorities to trust besides the public ones: PEM text, or the OCID of a secret that holds it.
    let ca = keys.maybe("logzio_ca_pem", text);
    let settings = || {
        Some(Settings::Logzio(LogzioConfig {
            log_type: log_type?,
            batch_max_bytes: batch_max_bytes?,
            request_timeout: Duration::from_secs(timeout_secs?),
            ..LogzioConfig::new(url?)
        }))
    };
    Keys { is_meant, settings: settings(), token, authorities: ca.map(|pem| Authorities { key: "logzio_ca_pem", pem }) }
}

/// A token must be there where its destination is meant.
fn token_of(keys: &mut Reader<'_>, key: &'static str, is_meant: bool) -> Option<Secret> {
    if is_meant { keys.secret(key) } else { keys.maybe_secret(key) }
}

fn noted<T>(keys: &mut Reader<'_>, key: &'static str, value: Result<T, &'static str>) -> Option<T> {
    value.map_err(|expected| keys.problem(key, expected)).ok()
}

fn log_type(value: &str) -> Result<String, &'static str> {
    let is_one_word = value.bytes().all(|byte| byte.is_ascii_graphic());
    if is_one_word { Ok(value.to_owned()) } else { Err("expected one word without blanks") }
}

/// The URL of a host, with its port if wanted, or of a URL; with `port` where it names none.
fn url_of(value: &str, port: Option<u16>) -> Result<Url, &'static str> {
    const EXPECTED: &str = "expected a host name, or https://<host>[:port] (http for a loopback host only)";
    let text = if value.contains("://") { value.to_owned() } else { format!("https://{value}") };
    let mut url = Url::parse(&text).map_err(|_| EXPECTED)?;
    check_url(&url).map_err(|_| EXPECTED)?;
    if let (false, Some(port)) = (names_a_port(&text), port) {
        url.set_port(Some(port)).map_err(|()| EXPECTED)?;
    }
    Ok(url)
}

/// A parsed URL does not tell a port that was left out from one that is its scheme's own.
fn names_a_port(url: &str) -> bool {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLUNK: [(&str, &str); 2] = [("splunk_url", "splunk.example.com"), ("splunk_hec_token", "hush-hush")];
    const LOGZIO: [(&str, &str); 2] = [("logzio_url", "listener.logz.io"), ("logzio_token", "hush-hush")];

    /// The target's name, or the problems.
    fn read(table: &[(&str, &str)]) -> Result<String, Vec<String>> {
        let lookup =
            |key: &str| table.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
        let mut keys = Reader::new(&lookup);
        let target = target_keys(&mut keys);
        match keys.finish(|| target) {
            Ok(target) => Ok(target.name().as_str().to_owned()),
            Err(problems) => Err(problems.iter().map(|one| format!("{}: {}", one.key(), one.text())).collect()),
        }
    }

    #[test]
    fn a_destination_has_the_name_of_its_kind_unless_it_is_given_one() {
        for (table, expected) in [
            (&SPLUNK[..], "splunk"),
            (&LOGZIO[..], "logzio"),
            (&[&LOGZIO[..], &[("destination", "second")]].concat(), "second"),
            // What is left of the other kind is no matter, if it is sound.
            (&[&LOGZIO[..], &SPLUNK[1..], &[("splunk_index_name", "audit")]].concat(), "logzio"),
        ] {
            assert_eq!(read(table).as_deref(), Ok(expected), "{table:?}");
        }
    }

    #[test]
    fn one_function_has_one_destination_and_every_problem_is_in_one_list_without_a_value() {
        let both = [SPLUNK, LOGZIO].concat();
        let wrong = [("logzio_type", "hush hush"), ("splunk_timeout_secs", "hush"), ("destination", "Hush")];
        for (table, problems) in [
            (vec![], &["splunk_url"][..]),
            (wrong.to_vec(), &["splunk_timeout_secs", "logzio_type", "splunk_url", "destination"]),
            (SPLUNK[1..].to_vec(), &["splunk_url"]),
            (both.clone(), &["logzio_url"]),
            ([&both[..], &wrong].concat(), &["splunk_timeout_secs", "logzio_type", "logzio_url", "destination"]),
            (SPLUNK[..1].to_vec(), &["splunk_hec_token"]),
            (LOGZIO[..1].to_vec(), &["logzio_token"]),
            (vec![LOGZIO[0], ("logzio_token", "ocid1.stream.oc1.iad.hush")], &["logzio_token"]),
            (vec![("logzio_url", "http://hush.example.com"), LOGZIO[1]], &["logzio_url"]),
            (vec![("logzio_url", "https://listener.logz.io/?token=hush"), LOGZIO[1]], &["logzio_url"]),
            ([&LOGZIO[..], &[("logzio_batch_max_bytes", "10485761")]].concat(), &["logzio_batch_max_bytes"]),
        ] {
            let got = read(&table).unwrap_err();
            let keys: Vec<&str> = got.iter().map(|problem| problem.split(':').next().unwrap()).collect();
            assert_eq!(keys, problems, "{table:?}: {got:?}");
            assert!(!got.concat().to_lowercase().contains("hush"), "{got:?}");
        }
    }

    #[test]
    fn a_destination_is_named_by_host_and_port_or_by_url() {
        for (value, port, expected) in [
            ("splunk.example.com", Some(8088), Ok("https://splunk.example.com:8088/")),
            ("splunk.example.com", Some(443), Ok("https://splunk.example.com/")),
            ("splunk.example.com:9088", Some(8088), Ok("https://splunk.example.com:9088/")),
            // The port of the scheme is a port, too.
            ("splunk.example.com:443", Some(8088), Ok("https://splunk.example.com/")),
            ("https://listener.logz.io:443/x", Some(8071), Ok("https://listener.logz.io/x")),
            ("https://listener.logz.io", Some(8071), Ok("https://listener.logz.io:8071/")),
            ("https://http-inputs-acme.splunkcloud.com", None, Ok("https://http-inputs-acme.splunkcloud.com/")),
            ("http://127.0.0.1:8088", None, Ok("http://127.0.0.1:8088/")),
            ("http://[::1]", Some(1), Ok("http://[::1]:1/")),
            ("http://splunk.example.com", None, Err(())),
            ("https://user:hush@splunk.example.com", None, Err(())),
            ("https://splunk.example.com/?token=hush", None, Err(())),
            ("", None, Err(())),
            ("ftp://splunk.example.com", None, Err(())),
        ] {
            let got = url_of(value, port).map(|url| url.to_string());
            assert_eq!(got.as_deref().map_err(|_| ()), expected, "{value} {port:?}");
        }
    }
}
