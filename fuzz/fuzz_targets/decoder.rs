//! Any bytes as a file: no panic, the same items in any chunks, and a reader that is resumed gives out the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use log_decoder::{Damage, Decoder, Item, Limits};

type Items = Vec<(bool, Vec<u8>)>;

fn feed(decoder: &mut Decoder, file: &[u8], chunk_bytes: usize, items: &mut Items) -> Result<(), Damage> {
    let mut out = |item: Item| match item {
        Item::Record { bytes, .. } => items.push((true, bytes.to_vec())),
        Item::SetAside { bytes, .. } => items.push((false, bytes.to_vec())),
    };
    for chunk in file.chunks(chunk_bytes) {
        let mut rest = chunk;
        loop {
            let step = decoder.step(rest, &mut out)?;
            rest = &rest[step.taken..];
            if rest.is_empty() && !step.has_more {
                break;
            }
        }
    }
    Ok(())
}

fn finish(decoder: &mut Decoder, items: &mut Items) -> Result<(), Damage> {
    decoder.finish(&mut |item: Item| match item {
        Item::Record { bytes, .. } => items.push((true, bytes.to_vec())),
        Item::SetAside { bytes, .. } => items.push((false, bytes.to_vec())),
    })
}

fuzz_target!(|data: &[u8]| {
    let [stop, file @ ..] = data else { return };
    let limits = Limits { record_max_bytes: 4_096, inflated_max_bytes: 1 << 20, ratio_max: 200 };
    let mut whole = Vec::new();
    let mut decoder = Decoder::new(limits);
    let end = feed(&mut decoder, file, usize::MAX, &mut whole).and_then(|()| finish(&mut decoder, &mut whole));
    // Of a damaged file the last bytes may open further in one piece than in many.
    let mut early = Vec::new();
    let mut decoder = Decoder::new(limits);
    let stop = usize::from(*stop) % (file.len() + 1);
    if feed(&mut decoder, &file[..stop], 3, &mut early).is_err() || end.is_err() {
        assert!(early.len() <= whole.len() + 1 || end.is_err());
        return;
    }
    assert!(whole.starts_with(&early));
    let point = decoder.point().clone();
    let offset = usize::try_from(point.offset).expect("within the file");
    let done = early.len() as u64;
    let mut late = Decoder::resume(limits, point, done);
    let resumed = feed(&mut late, &file[offset..], 5, &mut early).and_then(|()| finish(&mut late, &mut early));
    assert_eq!((early, resumed), (whole, end));
});
