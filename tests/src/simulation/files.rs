//! Log files: what a seed puts into their bucket, and what must have become of it.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Read, Write},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use jiff::Timestamp;
use local_oci::{LocalOci, receiver::fingerprint};
use pipeline::{EventHash, ObjectKey};

use super::{
    book::{Book, hash_of},
    dice::Dice,
    fault::Violation,
    scenario::{AfterSuccess, Scenario},
    tally::Tally,
    world::{State, World},
};
use crate::house::{BUCKET, LOGS, start};

/// What the names of delivered files begin with, where they are moved.
pub const DONE_PREFIX: &str = "done/";

/// Whose function reads the files.
const DESTINATION: &str = "splunk";

/// What names are made of: a connector's, and what makes trouble in paths and queries.
const FOLDERS: [&str; 4] = ["audit", "audit/a b", "audit/50%2F+c&d=e", "audit/ü/日本"];

/// A file, before and after it is put.
#[derive(Debug)]
pub struct LogFile {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub bytes: Bytes,
    /// When it is put.
    pub at: Timestamp,
    /// Its records, in order.
    records: Vec<FileRecord>,
    /// What stands between them and is no record.
    pieces: Vec<Piece>,
    /// Whether it cannot be read to its end.
    is_damaged: bool,
    /// Once it is put.
    key: Option<ObjectKey>,
}

/// A record of a file.
#[derive(Debug)]
struct FileRecord {
    id: String,
    hash: EventHash,
    fingerprint: u64,
    bytes: Bytes,
    /// It lies before any damage.
    is_whole: bool,
    is_refused: bool,
}

/// Bytes of a file that are no record.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    is_whole: bool,
}

/// All files of a seed.
#[derive(Debug, Default)]
pub struct Files {
    files: Vec<LogFile>,
    by_hash: HashMap<EventHash, (usize, usize)>,
    by_key: BTreeMap<String, usize>,
}

impl Files {
    /// Draws them.
    pub fn draw(scenario: &Scenario) -> Self {
        let dice = &mut Dice::new(scenario.seed, 7);
        let mut drawn = Self::default();
        for number in 0..scenario.log_files {
            let file = draw(scenario, dice, number);
            for (place, record) in file.records.iter().enumerate() {
                drawn.by_hash.insert(record.hash, (number, place));
            }
            drawn.files.push(file);
        }
        drawn
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &LogFile> {
        self.files.iter()
    }

    /// Whether a record of that hash stands in one of them.
    pub fn knows(&self, hash: EventHash) -> bool {
        self.by_hash.contains_key(&hash)
    }

    /// What the destination refuses for good.
    pub fn refused(&self) -> impl Iterator<Item = EventHash> {
        let records = self.files.iter().flat_map(|file| &file.records);
        records.filter(|record| record.is_refused).map(|record| record.hash)
    }

    /// Notes that one was put, and as which version.
    fn was_put(&mut self, number: usize, key: ObjectKey) {
        self.by_key.insert(key.to_string(), number);
        self.files[number].key = Some(key);
    }

    /// The records of the file that a receipt is about.
    pub fn batch(&self, receipt: &str) -> Option<Vec<EventHash>> {
        let (_, _, key) = of_receipt(receipt)?;
        let number = self.by_key.get(key)?;
        Some(self.files[*number].records.iter().map(|record| record.hash).collect())
    }

    /// The keys of the files that a call was given: by an event, or by the receipts of a doorbell.
    ///
    /// None where it was given none of ours, as with the event of a file that was moved away.
    pub fn given(&self, body: &[u8], receipts: &[(String, bool)]) -> Vec<String> {
        let event: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        if event["eventType"].is_string() {
            let object = event["data"]["resourceName"].as_str();
            let etag = event["data"]["additionalDetails"]["eTag"].as_str();
            let is_it = |file: &&LogFile| {
                let is_version = |key: &ObjectKey| etag.is_some_and(|etag| key.as_str().ends_with(etag));
                Some(file.name.as_str()) == object && file.key.as_ref().is_some_and(is_version)
            };
            return self
                .files
                .iter()
                .find(is_it)
                .and_then(|file| file.key.as_ref())
                .map(ToString::to_string)
                .into_iter()
                .collect();
        }
        receipts.iter().filter_map(|(name, _)| of_receipt(name)).map(|(_, _, key)| key.to_owned()).collect()
    }

    /// What a success of decode claims for a file that it was given.
    pub fn missing(&self, cloud: &LocalOci, book: &Book, key: &str) -> Option<String> {
        let Some(number) = self.by_key.get(key) else { return Some(format!("{key} is the key of no file")) };
        let file = &self.files[*number];
        let names = cloud.storage().objects(BUCKET);
        let is_there = |folder: &str| {
            let prefix = format!("{folder}/object/{DESTINATION}/{key}~");
            names.iter().any(|name| name.starts_with(&prefix))
        };
        if is_there("owed") || is_there("held") {
            return None;
        }
        if !is_there("seen") {
            return Some(format!("{} is neither owed nor held nor done", file.name));
        }
        let letters = letters(cloud, key);
        let is_dead = |bytes: &Bytes| letters.iter().any(|letter| letter.bytes == *bytes);
        let mut whole = file.records.iter().filter(|record| record.is_whole);
        let record = whole.find(|record| !book.is_delivered(0, record.hash) && !is_dead(&record.bytes))?;
        Some(format!("{}: it is done, and {} is neither delivered nor dead", file.name, record.id))
    }
}

/// Puts a file into its bucket. The state is free meanwhile: the event that follows asks for it.
pub(super) fn put(world: &World, cloud: &LocalOci, number: usize) {
    let (name, bytes) = {
        let state = world.state();
        let file = &state.files.files[number];
        (file.name.clone(), file.bytes.clone())
    };
    let etag = cloud.storage().put(LOGS, &name, bytes).unwrap_or_default();
    let key = ObjectKey::new(cloud.tenancy().namespace(), LOGS, &name, &etag);
    world.state().files.was_put(number, key);
}

/// Folder, destination and key of a receipt's name.
fn of_receipt(name: &str) -> Option<(&str, &str, &str)> {
    let (folder, rest) = name.split_once("/object/")?;
    let (destination, rest) = rest.split_once('/')?;
    Some((folder, destination, rest.split('~').next()?))
}

/// Whether a dead letter is about a log file.
pub(super) fn is_letter(name: &str) -> bool {
    name.starts_with("dead/") && name.contains("/object.")
}

/// A letter about a file.
struct Letter {
    name: String,
    bytes: Bytes,
}

fn letters(cloud: &LocalOci, key: &str) -> Vec<Letter> {
    let whose = format!("/{DESTINATION}/object.{key}.");
    let names = cloud.storage().objects(BUCKET).into_iter();
    let names = names.filter(|name| name.starts_with("dead/") && name.contains(&whose));
    let read = |name: String| {
        let body = cloud.storage().get(BUCKET, &name).unwrap_or_default();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let bytes = STANDARD.decode(body["bytes"].as_str().unwrap_or_default()).unwrap_or_default();
        Letter { name, bytes: bytes.into() }
    };
    names.map(read).collect()
}

fn draw(scenario: &Scenario, dice: &mut Dice, number: usize) -> LogFile {
    let span = scenario.calm.duration_since(start()).as_secs() as u64;
    let at = start() + dice.seconds(120, span - 60);
    // Some are more than one batch.
    let is_large = dice.chance(0.25);
    let count = if is_large { dice.between(150, 260) } else { dice.between(20, 300) };
    let is_gzip = is_large || dice.chance(0.8);
    let is_damaged = is_gzip && dice.chance(0.15);
    let between = dice.pick(&["", "\n", "\r\n", " \n\t", ","]);
    let refused = if dice.chance(0.3) { dice.between(1, 4) } else { 0 };
    let broken = if dice.chance(0.3) { dice.between(1, 4) } else { 0 };
    let refused: Vec<u64> = (0..refused).map(|_| dice.between(0, count)).collect();
    let broken: Vec<u64> = (0..broken).map(|_| dice.between(0, count)).collect();
    let is_array = between == ",";
    let mut text: Vec<u8> = if is_array { b"[".to_vec() } else { Vec::new() };
    let (mut records, mut pieces, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..count {
        let id = format!("file-{}-{number}-{n}", scenario.seed);
        let room = if is_large { dice.between(8_000, 16_000) } else { dice.between(0, 200) };
        let pad: String = (0..room / 16).map(|_| format!("{:016x}", dice.roll() & 0xff_ffff)).collect();
        let json = format!(r#"{{"id":"{id}", "time":"{at}","n":{n}.50,"s":"é\u00e9}}{{","pad":"{pad}"}}"#);
        let bytes = Bytes::from(json);
        if n > 0 {
            text.extend_from_slice(between.as_bytes());
        }
        text.extend_from_slice(&bytes);
        ends.push(text.len());
        records.push(FileRecord {
            hash: hash_of(&id),
            fingerprint: fingerprint(&bytes),
            id,
            bytes,
            is_whole: true,
            is_refused: refused.contains(&n),
        });
        if broken.contains(&n) {
            let mut piece = format!(r#"{{"piece":"{number}-{n} "#).into_bytes();
            piece.extend_from_slice(b"\xff\"}");
            text.extend_from_slice(between.as_bytes());
            text.extend_from_slice(&piece);
            pieces.push((Piece { bytes: piece.into(), is_whole: true }, text.len()));
        }
    }
    if is_array {
        text.push(b']');
    }
    let members = if is_gzip { dice.pick(&[1, 1, 2, 5]) } else { 1 };
    let mut bytes = if is_gzip { packed(dice, &text, members) } else { text };
    if is_damaged {
        match dice.chance(0.7) {
            true => bytes.truncate(bytes.len() * dice.between(20, 99) as usize / 100),
            // The last member's checksum is wrong: nothing that came before is.
            false => {
                let at = bytes.len() - 6;
                bytes[at] ^= 0x55;
            }
        }
        let length = readable(&bytes);
        for (record, end) in records.iter_mut().zip(&ends) {
            record.is_whole = *end <= length;
        }
        for (piece, end) in &mut pieces {
            piece.is_whole = *end <= length;
        }
    }
    let folder = dice.pick(&FOLDERS);
    let name = format!("{folder}/{}_{number}.{}", at.as_second(), if is_gzip { "log.gz" } else { "log" });
    let pieces = pieces.into_iter().map(|(piece, _)| piece).collect();
    LogFile { name, bytes: bytes.into(), at, records, pieces, is_damaged, key: None }
}

/// A gzip file of so many members, cut anywhere.
fn packed(dice: &mut Dice, text: &[u8], members: usize) -> Vec<u8> {
    let mut cuts: Vec<usize> = (1..members).map(|_| dice.between(0, text.len() as u64) as usize).collect();
    cuts.sort_unstable();
    cuts.push(text.len());
    let (mut packed, mut from) = (Vec::new(), 0);
    for until in cuts {
        let mut encoder = GzEncoder::new(packed, Compression::fast());
        encoder.write_all(&text[from..until]).expect("into memory");
        packed = encoder.finish().expect("into memory");
        from = until;
    }
    packed
}

/// How much text a damaged file gives before its damage.
fn readable(bytes: &[u8]) -> usize {
    let mut reader = MultiGzDecoder::new(bytes);
    let (mut length, mut part) = (0, [0; 512]);
    while let Ok(count @ 1..) = reader.read(&mut part) {
        length += count;
    }
    length
}

/// The last account of the files.
pub(super) fn check(world: &World, cloud: &LocalOci, state: &mut State) {
    let State { files, book, tally, .. } = state;
    let names = cloud.storage().objects(BUCKET);
    let mut known = 0;
    for file in files.iter() {
        tally.files += 1;
        let Some(key) = &file.key else {
            tally.violation(Violation::Lost, || format!("{} was never put", file.name));
            continue;
        };
        let seen = format!("seen/object/{DESTINATION}/{key}~");
        if !names.iter().any(|name| name.starts_with(&seen)) {
            tally.violation(Violation::Lost, || format!("{} ({key}) has no receipt under seen/", file.name));
        }
        let letters = letters(cloud, key.as_str());
        known += letters.len();
        check_records(file, &letters, book, tally);
        check_letters(file, &letters, cloud, tally);
        let is_left = cloud.storage().get(LOGS, &file.name).is_some();
        let is_clean = letters.is_empty();
        match world.scenario.after_success {
            AfterSuccess::Keep if !is_left => {
                tally.violation(Violation::Lost, || format!("{} was to be kept", file.name));
            }
            AfterSuccess::Delete | AfterSuccess::Move if is_left && is_clean => {
                tally.violation(Violation::StillOwed, || format!("{} is delivered and still where it was", file.name));
            }
            AfterSuccess::Delete | AfterSuccess::Move if !is_left && file.is_damaged => {
                tally.violation(Violation::Lost, || {
                    format!("{} is set aside, and not in its bucket any more", file.name)
                });
            }
            AfterSuccess::Keep | AfterSuccess::Delete | AfterSuccess::Move => {}
        }
    }
    let all = names.iter().filter(|name| is_letter(name)).count();
    if all != known {
        tally.violation(Violation::DeadUnexpected, || {
            format!("{} letters are about files that nobody put", all - known)
        });
    }
    for arrival in &book.arrivals[0] {
        let Some((number, place)) = files.by_hash.get(&arrival.hash) else { continue };
        let record = &files.files[*number].records[*place];
        if record.fingerprint != arrival.fingerprint {
            tally.violation(Violation::Altered, || record.id.clone());
        }
    }
}

/// Each whole record arrived, or is a letter with its bytes; one that was refused is a letter.
fn check_records(file: &LogFile, letters: &[Letter], book: &Book, tally: &mut Tally) {
    for record in file.records.iter().filter(|record| record.is_whole) {
        tally.file_records += 1;
        let is_dead = letters.iter().any(|letter| letter.bytes == record.bytes);
        let is_delivered = book.is_delivered(0, record.hash);
        if record.is_refused && !is_dead {
            tally.violation(Violation::DeadMissing, || format!("{} of {}", record.id, file.name));
        } else if !is_delivered && !is_dead {
            tally.violation(Violation::Lost, || format!("{} of {}, put {}", record.id, file.name, file.at));
        }
    }
}

/// Each letter is about something that is refused or broken, or about the rest of a damaged file, whose bytes are kept.
fn check_letters(file: &LogFile, letters: &[Letter], cloud: &LocalOci, tally: &mut Tally) {
    for piece in file.pieces.iter().filter(|piece| piece.is_whole) {
        if !letters.iter().any(|letter| letter.bytes == piece.bytes) {
            tally.violation(Violation::DeadMissing, || {
                format!("{} of {}", String::from_utf8_lossy(&piece.bytes), file.name)
            });
        }
    }
    let mut rests = 0;
    for letter in letters {
        if letter.name.ends_with(".rest") {
            rests += 1;
            if !is_kept(file, letter, cloud) {
                tally.violation(Violation::DeadMissing, || format!("the bytes of the rest of {}", file.name));
            }
            continue;
        }
        let is_refused = |record: &FileRecord| record.is_refused && record.bytes == letter.bytes;
        let is_piece = |piece: &Piece| piece.bytes == letter.bytes;
        if !file.records.iter().any(is_refused) && !file.pieces.iter().any(is_piece) {
            tally.violation(Violation::DeadUnexpected, || {
                format!("{} of {}: {}", letter.name, file.name, String::from_utf8_lossy(&letter.bytes))
            });
        }
    }
    match rests {
        0 if file.is_damaged => {
            tally.violation(Violation::DeadMissing, || format!("the rest of {}, which is damaged", file.name));
        }
        1.. if !file.is_damaged => {
            tally.violation(Violation::DeadUnexpected, || format!("the rest of {}, which is whole", file.name));
        }
        _ => {}
    }
}

/// Whether what the letter says is kept is the rest of the file.
fn is_kept(file: &LogFile, letter: &Letter, cloud: &LocalOci) -> bool {
    let rest: serde_json::Value = serde_json::from_slice(&letter.bytes).unwrap_or_default();
    let (Some(folder), Some(from)) = (rest["kept"]["folder"].as_str(), rest["kept"]["from"].as_u64()) else {
        return false;
    };
    let names = cloud.storage().objects(BUCKET).into_iter().filter(|name| name.starts_with(folder));
    let kept: Vec<Bytes> = names.filter_map(|name| cloud.storage().get(BUCKET, &name)).collect();
    file.bytes.get(from as usize..) == Some(kept.concat().as_slice())
}
