//! Any bytes through the lenient splitter: nothing is lost, records are objects, and chunks make no difference.
#![no_main]

use bytes::BytesMut;
use json_records::{Item, LenientSplitter, Limits, minify};
use libfuzzer_sys::fuzz_target;

type Items = Vec<(bool, Vec<u8>)>;

fn split(limits: Limits, chunks: &[&[u8]]) -> (Items, bool) {
    let mut splitter = LenientSplitter::new(limits);
    let mut items = Vec::new();
    let mut out = |item: Item| match item {
        Item::Record { bytes, is_compact } => {
            if is_compact {
                let mut minified = BytesMut::new();
                minify(&bytes, &mut minified);
                assert_eq!(minified, bytes);
            }
            items.push((true, bytes.to_vec()));
        }
        Item::SetAside { bytes, .. } => items.push((false, bytes.to_vec())),
    };
    for chunk in chunks {
        splitter.feed(chunk, &mut out);
    }
    let is_open = splitter.finish(&mut out);
    assert_eq!(splitter.begun_bytes(), 0);
    (items, is_open)
}

/// All that is neither white space nor a separator, nor a mark.
fn kept(bytes: &[u8]) -> Vec<u8> {
    let passed_over = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']' | 0xef | 0xbb | 0xbf);
    bytes.iter().copied().filter(|byte| !passed_over(byte)).collect()
}

fuzz_target!(|data: &[u8]| {
    // The first bytes choose a limit and a cut; the rest is the file.
    let [limit, cut, file @ ..] = data else { return };
    let limits = Limits { record_max_bytes: 1 + usize::from(*limit) };
    let whole = split(limits, &[file]);
    let (head, tail) = file.split_at(usize::from(*cut) % (file.len() + 1));
    assert_eq!(split(limits, &[head, tail]), whole);
    assert_eq!(split(limits, &file.chunks(1 + usize::from(*cut % 7)).collect::<Vec<_>>()), whole);
    let out: Vec<u8> = whole.0.iter().flat_map(|(_, bytes)| bytes).copied().collect();
    assert_eq!(kept(&out), kept(file));
    for (is_record, bytes) in whole.0 {
        assert!(bytes.len() <= limits.record_max_bytes && !bytes.is_empty());
        if is_record {
            assert!(bytes.starts_with(b"{") && serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok());
        }
    }
});
