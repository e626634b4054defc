//! How records become a file: framing, then gzip.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Record;
use crate::generate::pretty;
use crate::rng::Rng;

/// How records follow each other in a file. Observers disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One after another with nothing between: `}{`.
    Concatenated,
    /// One a line.
    Lines,
    /// With nothing, line feeds or blanks between, some records over several lines.
    Mixed,
    /// A JSON array.
    Array,
}

const SEPARATORS: [&str; 8] = ["", "", "", "\n", "\n", "\r\n", "\n\n", " \n"];
const INDENTS: [&str; 4] = [" ", "  ", "    ", "\t"];
/// The share of records that are spread over several lines.
const PRETTY: f64 = 0.15;

impl Framing {
    pub(super) fn body(self, records: &[Record], rng: &mut Rng) -> String {
        let texts = records.iter().map(|record| record.text.as_str());
        match self {
            Self::Concatenated => texts.collect(),
            Self::Lines => texts.flat_map(|text| [text, "\n"]).collect(),
            Self::Array => format!("[{}]", texts.collect::<Vec<_>>().join(",")),
            Self::Mixed => {
                let mut body = String::new();
                for (index, text) in texts.enumerate() {
                    if index > 0 {
                        body.push_str(SEPARATORS[rng.index(SEPARATORS.len())]);
                    }
                    if rng.chance(PRETTY) {
                        body.push_str(&pretty(text, INDENTS[rng.index(INDENTS.len())]));
                    } else {
                        body.push_str(text);
                    }
                }
                body
            }
        }
    }
}

/// Gzip in so many members, cut without regard to records or characters.
pub(super) fn packed(body: &str, members: usize) -> Vec<u8> {
    let step = body.len().div_ceil(members.max(1)).max(1);
    let mut packed = Vec::new();
    for member in body.as_bytes().chunks(step) {
        let mut encoder = GzEncoder::new(&mut packed, Compression::default());
        // Into memory: neither can fail.
        encoder.write_all(member).and_then(|()| encoder.try_finish()).ok();
    }
    packed
}
