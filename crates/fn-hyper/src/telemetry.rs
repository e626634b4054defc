//! The log: one JSON object a line, on stderr, written when it happens.

use std::{fmt, io::Write, panic::PanicHookInfo};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::clock;
use crate::config::Reader;

/// Reads `log_level`: the least severe lines that are written.
///
/// `info` by default, which is one line a call. `debug` can show event bodies and belongs to rehearsals.
/// Example: `log_level=warn`.
pub(crate) fn read_level(keys: &mut Reader<'_>) -> Option<LevelFilter> {
    keys.optional("log_level", LevelFilter::INFO, parse_level)
}

fn parse_level(text: &str) -> Result<LevelFilter, &'static str> {
    match text {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err("expected error, warn, info, debug or trace"),
    }
}

/// Sends all events of the process, and its panics, to stderr.
///
/// A subscriber that is already there stays: tests share a process.
pub(crate) fn install(function: &str, level: LevelFilter) {
    let lines = JsonLines { function: function.to_owned(), write: write_to_stderr };
    tracing::subscriber::set_global_default(Registry::default().with(lines.with_filter(level))).ok();
    std::panic::set_hook(Box::new(log_panic));
}

/// One call a line, so that lines stay whole and nothing waits in a buffer when the container freezes.
fn write_to_stderr(line: &[u8]) {
    // There is nowhere to report that the log cannot be written.
    std::io::stderr().write_all(line).ok();
}

/// Runs where the panic happens, that is within the call's span.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let location = panic.location().map(ToString::to_string);
    tracing::error!(location, "panicked: {message}");
}

/// A layer that writes `{"time":…,"level":…,"function":…,"target":…,` fields of the spans and of the event,
/// `"message":…}`. A field stands once in a line: of two with one name, the innermost counts.
struct JsonLines<W> {
    function: String,
    write: W,
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&[u8]) + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        fields.set("time", format!("{:.3}", clock::now()));
        fields.set("level", metadata.level().as_str().to_ascii_lowercase());
        fields.set("function", self.function.as_str());
        fields.set("target", metadata.target());
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(Fields(of_span)) = span.extensions().get::<Fields>() {
                of_span.iter().for_each(|(name, value)| fields.set(name, value.clone()));
            }
        }
        event.record(&mut fields);
        (self.write)(&fields.into_line());
    }
}

/// Names and values, in the order in which they came.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The JSON object and a line end; the message last, since tracing hands it out first.
    fn into_line(self) -> Vec<u8> {
        let (message, others): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(name, _)| *name == "message");
        let mut line = b"{".to_vec();
        for (name, value) in others.into_iter().chain(message) {
            if line.len() > 1 {
                line.push(b',');
            }
            line.extend_from_slice(Value::from(name).to_string().as_bytes());
            line.push(b':');
            line.extend_from_slice(value.to_string().as_bytes());
        }
        line.extend_from_slice(b"}\n");
        line
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }

    /// The whole chain of causes, for an error's own text leaves them out.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.set(field.name(), text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{error, error_span, info};

    use super::*;

    /// The lines that `log` writes at this level.
    fn check(level: LevelFilter, log: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&lines);
        let write = move |line: &[u8]| into.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
        let layer = JsonLines { function: "f".to_owned(), write }.with_filter(level);
        tracing::subscriber::with_default(Registry::default().with(layer), log);
        Arc::into_inner(lines).unwrap().into_inner().unwrap()
    }

    #[test]
    fn a_line_is_fields_then_a_message_and_ends_in_one_line_end() {
        let lines = check(LevelFilter::INFO, || info!(count = 3_u64, ratio = 0.5, ok = true, "a \"b\"\nc"));
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let read: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&read["level"], &read["function"], &read["message"]),
            (&"info".into(), &"f".into(), &"a \"b\"\nc".into())
        );
        let tail = "\"count\":3,\"ratio\":0.5,\"ok\":true,\"message\":\"a \\\"b\\\"\\nc\"}\n";
        assert!(line.ends_with(tail), "{line}");
        assert!(read["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
    }

    #[test]
    fn the_call_id_is_in_each_line_whatever_span_and_level() {
        let lines = check(LevelFilter::ERROR, || {
            error_span!("call", call_id = "01JD").in_scope(|| {
                error!("outer");
                error_span!("part", part = 1, call_id_of_other = "x").in_scope(|| error!(part = 2, "inner"));
                info!("below the level");
            });
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains(r#""call_id":"01JD""#)), "{lines:?}");
        assert!(lines[1].contains(r#""part":2"#) && !lines[1].contains(r#""part":1"#), "{lines:?}");
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("outside")]
        struct Outside(#[source] std::fmt::Error);

        let error = Outside(std::fmt::Error);
        let lines = check(LevelFilter::INFO, || error!(error = &error as &dyn std::error::Error, "failed"));
        let cause = std::fmt::Error.to_string();
        assert!(lines[0].contains(&format!(r#""error":"outside: {cause}""#)), "{lines:?}");
    }

    #[test]
    fn the_level_has_a_default_and_a_bad_one_is_a_problem() {
        let read = |level: Option<&'static str>| {
            let lookup = move |key: &str| level.filter(|_| key == "log_level").map(str::to_owned);
            let mut keys = Reader::new(&lookup);
            let level = read_level(&mut keys);
            keys.finish(|| level).map_err(|problems| problems.to_string())
        };
        assert_eq!(read(None), Ok(LevelFilter::INFO));
        assert_eq!(read(Some("warn")), Ok(LevelFilter::WARN));
        assert_eq!(read(Some("loud")), Err("log_level: expected error, warn, info, debug or trace".to_owned()));
    }
}
