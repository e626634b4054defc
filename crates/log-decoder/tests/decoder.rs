//! The decoder on whole, damaged and hostile files, in any chunks, and resumed at any place.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may stop it")]

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use log_decoder::{Damage, Decoder, Item, Limits, NoRecord, ResumePoint};
use proptest::prelude::*;

type Got = (Option<NoRecord>, Vec<u8>);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn note<'a>(got: &'a mut Vec<Got>) -> impl FnMut(Item) + 'a {
    |item| match item {
        Item::Record { bytes, .. } => got.push((None, bytes.to_vec())),
        Item::SetAside { reason, bytes } => got.push((Some(reason), bytes.to_vec())),
    }
}

/// Feeds `chunk` to its end.
fn feed(decoder: &mut Decoder, chunk: &[u8], got: &mut Vec<Got>) -> Result<(), Damage> {
    let mut rest = chunk;
    loop {
        let step = decoder.step(rest, &mut note(got))?;
        rest = &rest[step.taken..];
        if rest.is_empty() && !step.has_more {
            return Ok(());
        }
    }
}

fn read_with(limits: Limits, file: &[u8], chunk_bytes: usize) -> (Vec<Got>, Result<(), Damage>) {
    let mut decoder = Decoder::new(limits);
    let mut got = Vec::new();
    let fed = file.chunks(chunk_bytes).try_for_each(|chunk| feed(&mut decoder, chunk, &mut got));
    let end = fed.and_then(|()| decoder.finish(&mut note(&mut got)));
    (got, end)
}

fn read(file: &[u8]) -> (Vec<Got>, Result<(), Damage>) {
    let whole = read_with(Limits::default(), file, usize::MAX);
    for chunk_bytes in [1, 2, 3, 7, 64] {
        assert_eq!(read_with(Limits::default(), file, chunk_bytes), whole, "in chunks of {chunk_bytes}");
    }
    whole
}

fn records(texts: &[&str]) -> Vec<Got> {
    texts.iter().map(|text| (None, text.as_bytes().to_vec())).collect()
}

#[test]
fn l_21_all_members_of_a_gzip_file_are_read() {
    let members: Vec<u8> =
        [&b"{\"a\":1}{\"b\""[..], b"", b":2}\n", b"{\"c\":3}"].iter().flat_map(|part| gzip(part)).collect();
    let expected = (records(&[r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]), Ok(()));
    assert_eq!(read(&members), expected);
    // Padded with zeros, as tapes and some writers do.
    assert_eq!(read(&[&members[..], &[0; 9]].concat()), expected);
}

#[test]
fn l_09_an_empty_file_holds_nothing() {
    for file in [&b""[..], b"[]", b" \n", &gzip(b""), &gzip(b"[]")] {
        assert_eq!(read(file), (Vec::new(), Ok(())));
    }
}

#[test]
fn a_file_without_compression_is_read_as_it_is() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(200_000));
    assert_eq!(read(b"{}").0, records(&["{}"]));
    let (got, end) = read_with(Limits::default(), long.repeat(3).as_bytes(), 50_000);
    assert_eq!((got.len(), end), (3, Ok(())));
}

#[test]
fn l_22_a_truncated_file_gives_its_whole_records() {
    let file = gzip(br#"{"a":1}{"b":2}"#);
    let all = records(&[r#"{"a":1}"#, r#"{"b":2}"#]);
    for length in 2..file.len() {
        let (got, end) = read(&file[..length]);
        assert_eq!(end, Err(Damage::Truncated { at: length as u64 }), "{length}");
        assert!(all.starts_with(&got), "{length}");
    }
    assert_eq!(read(&file[..file.len() - 1]).0, all);
    // Each record that is whole is out, however the bytes came.
    let many: Vec<String> = (0..500).map(|n| format!("{{\"n\":{n}}}")).collect();
    let file = gzip(many.concat().as_bytes());
    let (got, _) = read(&file[..file.len() - 9]);
    assert!(got.len() > 480, "{}", got.len());
    let (got, end) = read(br#"[{"a":1},"#);
    assert_eq!((got, end), (records(&[r#"{"a":1}"#]), Err(Damage::OpenArray)));
}

#[test]
fn l_22_a_damaged_file_is_never_taken_for_whole() {
    let lines: String = (0..2_000).map(|n| format!("{{\"n\":{n},\"t\":\"{:x}\"}}\n", n * 7_919)).collect();
    let file = gzip(lines.as_bytes());
    let (whole, end) = read_with(Limits::default(), &file, usize::MAX);
    assert_eq!((whole.len(), end), (2_000, Ok(())));
    let mut undetected = 0;
    for place in (10..file.len()).step_by(101).chain(file.len() - 8..file.len()) {
        let mut damaged = file.clone();
        damaged[place] ^= 0x10;
        let (_, end) = read_with(Limits::default(), &damaged, 4_096);
        undetected += usize::from(end.is_ok());
    }
    assert_eq!(undetected, 0);
    let trailing = [&file[..], b"tail"].concat();
    let (got, end) = read_with(Limits::default(), &trailing, usize::MAX);
    assert_eq!((got.len(), end), (2_000, Err(Damage::Trailing { at: file.len() as u64 })));
}

#[test]
fn an_archive_that_is_not_read_is_named() {
    let (got, end) = read(b"PK\x03\x04\x14\0\0\0");
    assert_eq!((got, end), (Vec::new(), Err(Damage::Unsupported { format: "zip" })));
}

#[test]
fn l_10_what_opens_to_too_much_ends_early() {
    let bomb = gzip(" ".repeat(40_000_000).as_bytes());
    let (got, end) = read_with(Limits::default(), &bomb, 4_096);
    assert_eq!((got, end), (Vec::new(), Err(Damage::Ratio { max: 200 })));
    let limits = Limits { ratio_max: 10_000, ..Limits::default() };
    assert_eq!(read_with(limits, &bomb, 4_096).1, Ok(()));
    let limits = Limits { inflated_max_bytes: 1_000_000, ..limits };
    assert_eq!(read_with(limits, &bomb, 4_096).1, Err(Damage::TooLarge { max: 1_000_000 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whoever takes over at any point gives out exactly the items that were not given out before.
    #[test]
    fn a_reader_that_is_resumed_gives_out_the_rest(
        texts in proptest::collection::vec("(\\{\"a\":\"[a-z}{ ]{0,9}\"\\}|[1-9]|text\n|\\[\\{\\},|\\]|\n){0,6}", 1..6),
        is_gzip in any::<bool>(),
        chunk_bytes in 1_usize..40,
        stop in any::<prop::sample::Index>(),
    ) {
        let file: Vec<u8> = if is_gzip {
            texts.iter().flat_map(|text| gzip(text.as_bytes())).collect()
        } else {
            texts.concat().into_bytes()
        };
        let whole = read_with(Limits::default(), &file, usize::MAX);
        let stop = stop.index(file.len() + 1);
        let mut got = Vec::new();
        let mut early = Decoder::new(Limits::default());
        for chunk in file[..stop].chunks(chunk_bytes) {
            feed(&mut early, chunk, &mut got).unwrap();
        }
        let point: ResumePoint = serde_json::from_str(&serde_json::to_string(early.point()).unwrap()).unwrap();
        prop_assert_eq!(early.items(), got.len() as u64);
        // The last item may not have been delivered, where the point does not lie behind it.
        let all = got.len();
        let delivered = if point.items < all as u64 { all - 1 } else { all };
        got.truncate(delivered);
        let mut late = Decoder::resume(Limits::default(), point.clone(), delivered as u64);
        let mut end = Ok(());
        for chunk in file[point.offset as usize..].chunks(chunk_bytes) {
            end = end.and_then(|()| feed(&mut late, chunk, &mut got));
        }
        let end = end.and_then(|()| late.finish(&mut note(&mut got)));
        prop_assert_eq!((got, end), whole);
    }
}

#[test]
fn one_step_gives_out_no_flood_of_items() {
    let text = b"{}".repeat(100_000);
    for file in [gzip(&text), text] {
        let mut decoder = Decoder::new(Limits::default());
        let (mut all, mut rest, mut has_more) = (0, &file[..], false);
        while has_more || !rest.is_empty() {
            let mut count = 0;
            let step = decoder.step(rest, &mut |_| count += 1).unwrap();
            assert!(count <= 10_000, "{count}");
            (rest, has_more) = (&rest[step.taken..], step.has_more);
            all += count;
        }
        decoder.finish(&mut |_| all += 1).unwrap();
        assert_eq!(all, 100_000);
    }
}

#[test]
fn a_resumed_reader_cuts_what_is_broken_as_the_first_one_would() {
    // Each line begins a record that never ends: looked at in vain again and again, until all of it goes as one piece.
    let broken = "{\"a\":\n".repeat(10_000) + "x\n";
    let tail = "{\"b\":1}".repeat(5);
    let members = [gzip(broken.as_bytes()), gzip(broken.as_bytes()), gzip(tail.as_bytes())];
    let plain = [broken.clone(), broken, tail].concat().into_bytes();
    for (file, cut) in [(members.concat(), members[0].len() + 1), (plain, 60_003)] {
        let mut first = Decoder::new(Limits::default());
        let mut got = Vec::new();
        let (head, rest) = file.split_at(cut);
        feed(&mut first, head, &mut got).unwrap();
        let (point, known) = (first.point().clone(), first.items());
        let point: ResumePoint = serde_json::from_str(&serde_json::to_string(&point).unwrap()).unwrap();
        assert!(point.offset > 0 && point.items > 0, "{point:?}");
        let mut second = Decoder::resume(Limits::default(), point.clone(), known);
        let (mut by_first, mut by_second) = (Vec::new(), Vec::new());
        feed(&mut first, rest, &mut by_first).unwrap();
        first.finish(&mut note(&mut by_first)).unwrap();
        feed(&mut second, &file[usize::try_from(point.offset).unwrap()..], &mut by_second).unwrap();
        second.finish(&mut note(&mut by_second)).unwrap();
        assert_eq!(by_first, by_second);
        assert!(by_first.len() > 5, "{}", by_first.len());
    }
}
