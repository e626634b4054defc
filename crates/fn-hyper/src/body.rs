//! A request's body, read whole and never beyond a cap.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

/// OCI Functions refuses request and response bodies above 6 MB; the open server has no limit of its own.
///
/// Source: Fn container contract, sections 2 and 3.
pub(crate) const BODY_MAX_BYTES: usize = 6 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum BodyError<E> {
    /// It has more than the cap's bytes; all of it has been read and dropped.
    TooLarge,
    /// The connection broke.
    Cut(E),
}

/// Reads the whole body.
///
/// What is above the cap is read to its end all the same, without being kept: an answer given while the platform still
/// writes would end in a closed connection, and that costs the container.
pub(crate) async fn read_whole<B>(mut body: B, cap: usize) -> Result<Bytes, BodyError<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::new();
    let mut is_too_large = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Cut)?.into_data() else { continue };
        if is_too_large || whole.len() + data.len() > cap {
            is_too_large = true;
            whole = BytesMut::new();
        } else {
            whole.extend_from_slice(&data);
        }
    }
    if is_too_large { Err(BodyError::TooLarge) } else { Ok(whole.freeze()) }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    async fn check(parts: &[&'static str], cap: usize) -> (Option<Bytes>, usize) {
        let mut left = parts.iter();
        let frames = futures_util::stream::iter(
            left.by_ref()
                .map(|part| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(part.as_bytes())))),
        );
        let whole = read_whole(StreamBody::new(frames), cap).await.ok();
        (whole, left.len())
    }

    #[tokio::test]
    async fn a_body_up_to_the_cap_is_kept_and_one_above_it_is_read_to_its_end() {
        for (parts, whole) in [
            (&[][..], Some("")),
            (&["abc"][..], Some("abc")),
            (&["ab", "", "cd"][..], Some("abcd")),
            (&["ab", "cde"][..], None),
            (&["abcde", "f", "g"][..], None),
            // Once too large, always too large, though the later parts would fit.
            (&["abcde", "f"][..], None),
        ] {
            assert_eq!(check(parts, 4).await, (whole.map(Bytes::from), 0), "{parts:?}");
        }
    }
}
