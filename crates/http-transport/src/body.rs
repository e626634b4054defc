//! The body of an answer: read piece by piece, or whole under a cap.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

use crate::TransportError;

/// An answer's body, still arriving.
pub struct Body(UnsyncBoxBody<Bytes, TransportError>);

impl Body {
    /// Wraps any body whose errors have been sorted.
    pub fn new(body: impl http_body::Body<Data = Bytes, Error = TransportError> + Send + 'static) -> Self {
        Self(body.boxed_unsync())
    }

    /// A body that is already here.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(Full::new(bytes.into()).map_err(|never| match never {}))
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`TransportError::Cut`] where the connection ended before the body did.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, TransportError> {
        while let Some(frame) = self.0.frame().await {
            // Trailers carry nothing that anybody here reads.
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The rest of the body, at most `cap` bytes.
    ///
    /// # Errors
    /// [`TransportError::TooLarge`] past `cap`; `Cut` as for [`Body::chunk`].
    pub async fn collect(mut self, cap: usize) -> Result<Bytes, TransportError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        if first.len() > cap {
            return Err(TransportError::TooLarge { cap });
        }
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut whole = BytesMut::from(&first[..]);
        let mut next = Some(second);
        while let Some(piece) = next {
            if whole.len() + piece.len() > cap {
                return Err(TransportError::TooLarge { cap });
            }
            whole.extend_from_slice(&piece);
            next = self.chunk().await?;
        }
        Ok(whole.freeze())
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn in_pieces(pieces: &[&'static str]) -> Body {
        let frames: VecDeque<_> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    #[tokio::test]
    async fn pieces_are_joined_up_to_the_cap_and_no_further() {
        for (pieces, cap, expected) in [
            (&[][..], 0, Some("")),
            (&["abc"][..], 3, Some("abc")),
            (&["abc"][..], 2, None),
            (&["ab", "cd", "e"][..], 5, Some("abcde")),
            (&["ab", "cd", "e"][..], 4, None),
        ] {
            let got = in_pieces(pieces).collect(cap).await.ok();
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{pieces:?} under {cap}");
        }
    }
}
