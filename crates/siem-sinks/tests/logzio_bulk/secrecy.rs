//! The token stands in the address: that address is shown nowhere.

use std::{
    io,
    sync::{Arc, Mutex},
};

use http_transport::{HttpTransport, TlsRoots};
use siem_sinks::{LogzioBulk, LogzioConfig, Sink};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    TOKEN, config,
    double::{Reply, events, in_secs, kind, records},
    listener::Listener,
    sink,
};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Delivers, and gives back all that was logged meanwhile, by anybody and at any level, and what came of it.
async fn told(sink: &LogzioBulk) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    let delivery = sink.deliver(&records(&events(2)), in_secs(60)).await;
    drop(guard);
    let failure = delivery.failure.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{} {delivery:?} {failure} {sink:?} {}", kind(&delivery), log.text())
}

#[tokio::test]
async fn l_13_an_address_that_cannot_be_reached_is_named_by_host_and_port_alone() {
    // A name that no resolver knows, and a port where nobody listens.
    for url in ["https://listener.invalid:8071", "http://127.0.0.1:1"] {
        let transport = Arc::new(HttpTransport::new(&TlsRoots::default()).unwrap());
        let config = LogzioConfig { url: url.parse().unwrap(), ..config() };
        let told = told(&LogzioBulk::new(config, &TOKEN.to_owned().into(), None, transport).unwrap()).await;
        assert!(told.starts_with("unreachable") && told.contains("sending again"), "{told}");
        assert!(!told.contains("hush") && !told.contains("token="), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn l_13_the_token_is_in_no_error_log_or_debug_whatever_the_listener_answers() {
    for reply in [
        Reply::ByRule,
        Reply::page(400),
        Reply::page(401),
        Reply::page(413),
        Reply::page(429),
        Reply::page(500),
        Reply::answer(400, format!(r#"{{"malformedLines":"{TOKEN}","successfulLines":1}}"#)),
        Reply::Unreachable,
        Reply::Broken,
        Reply::CutAnswer,
        Reply::Silent,
    ] {
        let listener = Arc::new(Listener::playing(vec![reply.clone(); 3]));
        let told = told(&sink(&listener, config())).await;
        assert!(!told.contains("hush"), "{reply:?}: {told}");
        assert!(listener.tape.seen.lock().unwrap()[0].head.uri.to_string().contains(TOKEN));
    }
}

#[test]
fn l_13_settings_that_are_refused_do_not_repeat_the_token() {
    let config = config();
    assert!(!format!("{config:?}").contains("hush"), "{config:?}");
    for (config, token) in [
        (config.clone(), "hush hush"),
        (LogzioConfig { url: "https://listener.example/?token=hush".parse().unwrap(), ..config.clone() }, TOKEN),
        (LogzioConfig { log_type: "hush hush".to_owned(), ..config.clone() }, TOKEN),
    ] {
        let token = token.to_owned().into();
        let error = LogzioBulk::new(config, &token, None, Arc::new(Listener::default())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
    }
}
