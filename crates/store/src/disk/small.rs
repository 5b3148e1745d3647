//! The stored form of small values: claims, tallies, times. Numbers are big endian; the forms are forever.

use model::{Seq, Time};

use crate::api::{Claim, Error, Tally};

const CLAIM_BYTES: usize = 36;

/// A claim in its stored form.
pub(super) fn claim(claim: &Claim) -> [u8; CLAIM_BYTES] {
    let mut value = [0; CLAIM_BYTES];
    value[..8].copy_from_slice(&claim.by.0.to_be_bytes());
    value[8..12].copy_from_slice(&claim.tag.to_be_bytes());
    value[12..28].copy_from_slice(&claim.body);
    value[28..].copy_from_slice(&claim.until.micros().to_be_bytes());
    value
}

/// A claim from its stored form.
pub(super) fn read_claim(key: [u8; 16], value: &[u8]) -> Result<Claim, Error> {
    let cut = || Error::Corrupt { detail: "a claim is cut short".to_owned() };
    let (by, rest) = value.split_first_chunk::<8>().ok_or_else(cut)?;
    let (tag, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let (body, rest) = rest.split_first_chunk::<16>().ok_or_else(cut)?;
    let (by, tag) = (Seq(u64::from_be_bytes(*by)), u32::from_be_bytes(*tag));
    Ok(Claim { key, by, tag, body: *body, until: read_time(rest)? })
}

/// Until when it is wanted, then the times, each in eight bytes.
pub(super) fn tally(tally: &Tally) -> Vec<u8> {
    let times = std::iter::once(&tally.until).chain(&tally.times);
    times.flat_map(|time| time.micros().to_be_bytes()).collect()
}

/// A tally from its stored form: until when it is wanted, and the times.
pub(super) fn read_tally(value: &[u8]) -> Result<(Time, Vec<Time>), Error> {
    let (until, times) = value.split_at(value.len().min(size_of::<i64>()));
    let times = times.chunks(size_of::<i64>()).map(read_time).collect::<Result<Vec<Time>, Error>>()?;
    Ok((read_time(until)?, times))
}

/// A time from its stored form.
pub(super) fn read_time(value: &[u8]) -> Result<Time, Error> {
    let bytes = value.try_into().map_err(|_| Error::Corrupt { detail: "a time is cut short".to_owned() })?;
    Ok(Time::from_micros(i64::from_be_bytes(bytes)))
}
