//! From when until when a certificate is valid, read from its bytes (RFC 5280, 4.1).
//!
//! Only what leads to the two times is read; whether the certificate is good otherwise is for TLS to say.

use model::Time;

/// DER's tag of a sequence.
const SEQUENCE: u8 = 0x30;
/// DER's tag of the certificate's version, which may be absent.
const VERSION: u8 = 0xa0;
/// DER's tag of a time with two digits for the year.
const UTC_TIME: u8 = 0x17;
/// DER's tag of a time with four.
const GENERALIZED_TIME: u8 = 0x18;

/// From when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Time,
    pub(super) until: Time,
}

/// The times of a certificate in DER form; nothing when it is none.
pub(super) fn validity(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = tagged(der, SEQUENCE)?;
    let (mut body, _) = tagged(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        body = any(body)?.2;
    }
    // Serial number, signature, issuer.
    for _ in 0..3 {
        body = any(body)?.2;
    }
    let (times, _) = tagged(body, SEQUENCE)?;
    let (tag, from, rest) = any(times)?;
    let from = time(tag, from)?;
    let (tag, until, _) = any(rest)?;
    Some(Validity { from, until: time(tag, until)? })
}

/// The first element: its tag, what is in it, and what follows.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (inner, rest) = rest.split_at_checked(length)?;
    Some((*tag, inner, rest))
}

fn tagged(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, inner, rest) = any(bytes)?;
    (tag == wanted).then_some((inner, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, bytes: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // RFC 5280, 4.1.2.5.1: from 50 on it is the last century.
        UTC_TIME => format!("{}{text}", if text.get(..2)? >= "50" { "19" } else { "20" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to);
    let (date, clock) = (
        format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?),
        format!("{}:{}:{}", part(8, 10)?, part(10, 12)?, part(12, 14)?),
    );
    Time::parse(&format!("{date}T{clock}Z")).ok()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn der(pem: &[u8]) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem).unwrap()
    }

    #[test]
    fn the_times_of_a_certificate_are_read() {
        let good = validity(&der(include_bytes!("../../../engine/src/outbound/testdata/good.pem"))).unwrap();
        let expired = validity(&der(include_bytes!("../../../engine/src/outbound/testdata/expired.pem"))).unwrap();
        let now = engine::clock::wall();
        assert!(good.from < now && now < good.until, "{good:?}");
        assert!(expired.from < expired.until && expired.until < now, "{expired:?}");
    }

    #[test]
    fn both_forms_of_time_are_read_and_nothing_else() {
        let at = |text: &str| Some(Time::parse(text).unwrap());
        assert_eq!(time(UTC_TIME, b"261125173000Z"), at("2026-11-25T17:30:00Z"));
        assert_eq!(time(UTC_TIME, b"991231235959Z"), at("1999-12-31T23:59:59Z"));
        assert_eq!(time(GENERALIZED_TIME, b"20991231235959Z"), at("2099-12-31T23:59:59Z"));
        for (tag, bad) in [
            (UTC_TIME, &b"261125173000"[..]),
            (UTC_TIME, b"26112517300Z"),
            (GENERALIZED_TIME, b"2026-1-2511111Z"),
            (2, b"261125173000Z"),
        ] {
            assert_eq!(time(tag, bad), None);
        }
    }

    #[test]
    fn a_damaged_certificate_is_none_wherever_it_is_cut() {
        let whole = der(include_bytes!("../../../engine/src/outbound/testdata/good.pem"));
        for end in 0..whole.len() {
            assert_eq!(validity(&whole[..end]), None, "{end}");
        }
        assert_eq!(validity(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
