//! Reading a request's body, never more of it than is allowed, whatever its header claims.
//!
//! Invariants: a body is counted while it streams, and refused at the first byte too many; what all requests hold
//! together is bounded too; gzip is counted after decoding; a body that arrived in one piece is not copied.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use model::limits;

use super::problem::Problem;

/// Most bytes of bodies that are held at once, over all requests. Sixteen of the largest batches, or 256 of the largest
/// single events.
pub(crate) const HELD_BYTES_MAX: usize = 16 * limits::BATCH_BODY_BYTES_MAX;
/// Largest body of a request that is no event, in bytes.
pub(crate) const REQUEST_BYTES_MAX: usize = limits::EVENT_BODY_BYTES_MAX;
/// When to come back after being refused because too much is held.
const HELD_RETRY: Duration = Duration::from_secs(1);

/// What all requests hold together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// A share of the budget, given back when it is dropped.
#[derive(Debug)]
struct Share {
    of: Budget,
    bytes: usize,
}

impl Share {
    fn grow(&mut self, by: usize) -> Result<(), Problem> {
        let before = self.of.0.fetch_add(by, Ordering::Relaxed);
        self.bytes += by;
        if before + by <= HELD_BYTES_MAX {
            return Ok(());
        }
        let detail = format!("the bodies being read take more than {HELD_BYTES_MAX} bytes together");
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "full", detail).retry_after(HELD_RETRY).and_close())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body, and its share of what may be held.
#[derive(Debug)]
pub(crate) struct Held {
    /// The bytes, decoded.
    pub(crate) bytes: Bytes,
    _share: Share,
}

/// How large a body may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// So many bytes.
    Fixed(usize),
    /// So many for what begins like an array, so many for anything else.
    ByForm {
        /// For one event.
        one: usize,
        /// For an array.
        batch: usize,
    },
}

impl Limit {
    /// The limit once some of the body is there. White space alone is held to the smaller one.
    fn now(self, start: &[u8]) -> usize {
        match self {
            Limit::Fixed(bytes) => bytes,
            Limit::ByForm { one, batch } => match start.iter().find(|b| !b.is_ascii_whitespace()) {
                Some(b'[') => batch,
                _ => one,
            },
        }
    }

    const fn largest(self) -> usize {
        match self {
            Limit::Fixed(bytes) => bytes,
            Limit::ByForm { batch, .. } => batch,
        }
    }
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than the limit of {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail).and_close()
}

/// Reads the body.
///
/// # Errors
/// 413 with the limit, 415 for an encoding other than gzip, 400 for a body that ends early or is no gzip, 503 when too
/// much is held.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: Limit, budget: &Budget) -> Result<Held, Problem> {
    let zipped = encoding(headers)?;
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit.largest()) {
        return Err(too_large(limit.largest()));
    }
    let mut share = Share { of: budget.clone(), bytes: 0 };
    // What a zipped body holds is only known afterwards; packed, it is smaller than what it holds.
    let raw_limit = if zipped { Limit::Fixed(limit.largest()) } else { limit };
    let raw = collect(body, raw_limit, declared.unwrap_or(0), &mut share).await?;
    let bytes = if zipped { unzip(&raw, limit, &mut share)? } else { raw };
    Ok(Held { bytes, _share: share })
}

/// Whether the body is gzip.
fn encoding(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut all = headers.get_all(header::CONTENT_ENCODING).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return if headers.contains_key(header::CONTENT_ENCODING) { Err(unsupported("several")) } else { Ok(false) };
    };
    match value.to_str().unwrap_or("?").trim() {
        text if text.eq_ignore_ascii_case("identity") => Ok(false),
        text if text.eq_ignore_ascii_case("gzip") || text.eq_ignore_ascii_case("x-gzip") => Ok(true),
        _ => Err(unsupported("this")),
    }
}

fn unsupported(which: &str) -> Problem {
    let detail = format!("{which} content encoding is not read; send gzip once, or none");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail).and_close()
}

/// A declared length is believed once so many bytes are there: then there is room for all of it, and none is made twice.
const BELIEVED_BYTES: usize = 1_000_000;

async fn collect(mut body: Body, limit: Limit, declared: usize, share: &mut Share) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| {
            let problem = Problem::bad("body_incomplete", "the body could not be read to its end").and_close();
            Problem { inside: Some(e.to_string()), ..problem }
        })?;
        let Ok(data) = frame.into_data() else { continue };
        share.grow(data.len())?;
        match &mut rest {
            None if first.is_empty() => first = data,
            None => {
                let mut all = BytesMut::with_capacity((first.len() + data.len()) * 2);
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                rest = Some(all);
            }
            Some(all) => {
                if all.len() >= BELIEVED_BYTES && all.capacity() < declared && all.capacity() < all.len() + data.len() {
                    let mut whole = BytesMut::with_capacity(declared);
                    whole.extend_from_slice(all);
                    *all = whole;
                }
                all.extend_from_slice(&data);
            }
        }
        let so_far: &[u8] = rest.as_deref().unwrap_or(&first);
        let limit = limit.now(so_far);
        if so_far.len() > limit {
            return Err(too_large(limit));
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

/// Bytes that are unpacked between two looks at the limit.
const UNZIP_STEP_BYTES: usize = 64 * 1024;

fn unzip(packed: &[u8], limit: Limit, share: &mut Share) -> Result<Bytes, Problem> {
    let mut decoder = flate2::read::MultiGzDecoder::new(packed);
    let mut all: Vec<u8> = Vec::new();
    loop {
        let before = all.len();
        let read = (&mut decoder).take(UNZIP_STEP_BYTES as u64).read_to_end(&mut all);
        read.map_err(|_| Problem::bad("bad_gzip", "the body is not complete gzip").and_close())?;
        if all.len() == before {
            return Ok(Bytes::from(all));
        }
        share.grow(all.len() - before)?;
        let limit = limit.now(&all);
        if all.len() > limit {
            return Err(too_large(limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::io::Write as _;

    const BY_FORM: Limit = Limit::ByForm { one: limits::EVENT_BODY_BYTES_MAX, batch: limits::BATCH_BODY_BYTES_MAX };

    fn headers(encoding: &[&'static str]) -> HeaderMap {
        encoding.iter().map(|e| (header::CONTENT_ENCODING, HeaderValue::from_static(e))).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn outcome(headers: HeaderMap, body: Vec<u8>, limit: Limit) -> Result<usize, (u16, &'static str)> {
        let budget = Budget::default();
        let read = read(&headers, Body::from(body), limit, &budget).await;
        let outcome = read.map(|held| held.bytes.len()).map_err(|p| (p.status.as_u16(), p.code));
        assert_eq!(budget.0.load(Ordering::Relaxed), 0, "what was held is given back");
        outcome
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_not_a_byte_further() {
        let none = HeaderMap::new;
        assert_eq!(outcome(none(), vec![b'x'; 10], Limit::Fixed(10)).await, Ok(10));
        assert_eq!(outcome(none(), vec![b'x'; 11], Limit::Fixed(10)).await, Err((413, "body_too_large")));
        let max = limits::EVENT_BODY_BYTES_MAX;
        assert_eq!(outcome(none(), vec![b'{'; max + 1], BY_FORM).await, Err((413, "body_too_large")));
        assert_eq!(outcome(none(), vec![b'['; max + 1], BY_FORM).await, Ok(max + 1));
        let batch = limits::BATCH_BODY_BYTES_MAX;
        assert_eq!(outcome(none(), vec![b'['; batch + 1], BY_FORM).await, Err((413, "body_too_large")));
        assert_eq!(outcome(none(), vec![b' '; max + 1], BY_FORM).await, Err((413, "body_too_large")));
    }

    #[tokio::test]
    async fn a_length_that_is_claimed_is_refused_before_a_byte_is_read() {
        let claimed = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static("1000000000"))]);
        assert_eq!(outcome(claimed, Vec::new(), BY_FORM).await, Err((413, "body_too_large")));
    }

    #[tokio::test]
    async fn gzip_counts_after_decoding() {
        let event = gzip(&vec![b'{'; 5_000]);
        assert_eq!(outcome(headers(&["gzip"]), event, BY_FORM).await, Ok(5_000));
        let bomb = gzip(&vec![b' '; 40_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(outcome(headers(&["gzip"]), bomb, BY_FORM).await, Err((413, "body_too_large")));
        let broken = gzip(b"{}")[..10].to_vec();
        assert_eq!(outcome(headers(&["gzip"]), broken, BY_FORM).await, Err((400, "bad_gzip")));
    }

    #[tokio::test]
    async fn any_other_or_nested_encoding_is_refused() {
        for bad in [&["br"][..], &["deflate"], &["zstd"], &["gzip, gzip"], &["gzip", "gzip"], &["identity", "gzip"]] {
            assert_eq!(outcome(headers(bad), gzip(b"{}"), BY_FORM).await, Err((415, "unsupported_encoding")));
        }
    }

    #[tokio::test]
    async fn what_all_requests_hold_together_is_bounded() {
        let budget = Budget(Arc::new(AtomicUsize::new(HELD_BYTES_MAX - 3)));
        let problem = read(&HeaderMap::new(), Body::from("{   }"), BY_FORM, &budget).await.unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.code), (503, "full"));
        assert_eq!(budget.0.load(Ordering::Relaxed), HELD_BYTES_MAX - 3);
    }
}
