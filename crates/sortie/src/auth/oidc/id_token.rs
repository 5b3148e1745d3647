//! What a provider says about a person: a signed JSON Web Token (RFC 7519), checked as OpenID Connect Core 3.1.3.7 asks.
//!
//! Invariants: the algorithm is chosen here by the kind of the provider's key, never by the token, so that neither `none`
//! nor a secret-key algorithm can be talked into; a token is for us, of this provider, of this sign-in and of now, or it
//! is nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;

/// Longest token, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// How far the clocks of the provider and of this server may be apart, in seconds.
const SKEW_SECONDS: i64 = 60;
/// Most keys of a provider that are looked at.
const KEYS_MAX: usize = 64;

/// Why a token is nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It is no token.
    #[error("it is no signed JSON Web Token")]
    Form,
    /// It is signed in a way that is not accepted.
    #[error("it is not signed with RS256, ES256 or EdDSA")]
    Algorithm,
    /// No key of the provider made it. A provider that has changed its keys is asked for them again.
    #[error("no key of the provider fits it")]
    Key,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is wrong.
    #[error("its claim `{0}` is wrong")]
    Claim(&'static str),
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// Who made it.
    pub(crate) issuer: &'a str,
    /// Whom it is for.
    pub(crate) client_id: &'a str,
    /// The sign-in that it belongs to.
    pub(crate) nonce: &'a str,
    /// The time, in seconds since 1970.
    pub(crate) now: i64,
}

/// A key of a provider (RFC 7517).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Key {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// The signatures that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    fn named(name: &str) -> Option<Algorithm> {
        match name {
            "RS256" => Some(Algorithm::Rs256),
            "ES256" => Some(Algorithm::Es256),
            "EdDSA" => Some(Algorithm::EdDsa),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl Key {
    /// Whether it can have made a token of this header.
    fn fits(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        let kind = match algorithm {
            Algorithm::Rs256 => self.kty == "RSA",
            Algorithm::Es256 => self.kty == "EC" && self.crv.as_deref() == Some("P-256"),
            Algorithm::EdDsa => self.kty == "OKP" && self.crv.as_deref() == Some("Ed25519"),
        };
        kind && self.alg.as_deref().is_none_or(|alg| alg == algorithm.name())
            && self.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
            && kid.is_none_or(|kid| self.kid.as_deref() == Some(kid))
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let part = |text: &Option<String>| text.as_deref().and_then(bytes).unwrap_or_default();
        match algorithm {
            Algorithm::Rs256 => {
                let key = RsaPublicKeyComponents { n: part(&self.n), e: part(&self.e) };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Algorithm::Es256 => {
                let point = [&[4][..], &part(&self.x), &part(&self.y)].concat();
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Algorithm::EdDsa => {
                UnparsedPublicKey::new(&signature::ED25519, part(&self.x)).verify(message, signature).is_ok()
            }
        }
    }
}

/// The claims of a token, after every check.
///
/// # Errors
/// [`Refused`] with the first check that failed.
pub(crate) fn claims(token: &str, keys: &Value, expected: Expected<'_>) -> Result<Value, Refused> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refused::Form);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Refused::Form)?;
    let (head, body) = message.split_once('.').filter(|(_, body)| !body.contains('.')).ok_or(Refused::Form)?;
    let header: Header = read(head)?;
    if header.crit.is_some() {
        return Err(Refused::Form); // it asks for something that is not known here
    }
    let algorithm = Algorithm::named(&header.alg).ok_or(Refused::Algorithm)?;
    let signature = bytes(signature).ok_or(Refused::Form)?;
    let all = keys.get("keys").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // A key that cannot be read is one that is not used here.
    let known = all.iter().take(KEYS_MAX).filter_map(|key| Key::deserialize(key).ok());
    let fitting: Vec<Key> = known.filter(|key| key.fits(algorithm, header.kid.as_deref())).collect();
    if fitting.is_empty() {
        return Err(Refused::Key);
    }
    if !fitting.iter().any(|key| key.verifies(algorithm, message.as_bytes(), &signature)) {
        return Err(Refused::Signature);
    }
    let claims: Value = read(body)?;
    check(&claims, expected)?;
    Ok(claims)
}

fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, Refused> {
    let bytes = bytes(part).ok_or(Refused::Form)?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::Form)
}

fn check(claims: &Value, expected: Expected<'_>) -> Result<(), Refused> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let seconds = |name: &str| claims.get(name).and_then(|value| value.as_i64().or_else(|| value.as_f64().map(whole)));
    let must = |holds: bool, name: &'static str| if holds { Ok(()) } else { Err(Refused::Claim(name)) };
    must(text("iss") == Some(expected.issuer), "iss")?;
    let (for_us, for_others) = match claims.get("aud") {
        Some(Value::String(one)) => (one == expected.client_id, false),
        Some(Value::Array(all)) => (all.iter().any(|one| one == expected.client_id), all.len() > 1),
        _ => (false, false),
    };
    must(for_us, "aud")?;
    // Where it is for several, it must say that it was made for us.
    let party = text("azp");
    must(party.map_or(!for_others, |party| party == expected.client_id), "azp")?;
    must(text("sub").is_some_and(|sub| !sub.is_empty()), "sub")?;
    must(seconds("exp").is_some_and(|exp| expected.now < exp.saturating_add(SKEW_SECONDS)), "exp")?;
    must(seconds("iat").is_some_and(|iat| iat <= expected.now + SKEW_SECONDS), "iat")?;
    must(seconds("nbf").is_none_or(|nbf| nbf <= expected.now + SKEW_SECONDS), "nbf")?;
    must(text("nonce") == Some(expected.nonce), "nonce")
}

#[expect(clippy::cast_possible_truncation, reason = "a time far outside of what fits is clamped, and then wrong")]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    const EXPECTED: Expected<'static> =
        Expected { issuer: "https://id.example.com", client_id: "sortie", nonce: "n-1", now: 1_000_000 };

    fn encode(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn good() -> Value {
        json!({ "iss": "https://id.example.com", "aud": "sortie", "sub": "7", "exp": 1_000_300, "iat": 999_999, "nonce": "n-1" })
    }

    /// A signer with an Ed25519 key, and its public half.
    struct Signer(Ed25519KeyPair);

    impl Signer {
        fn new() -> Signer {
            let seed = [7; 32];
            Signer(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap())
        }

        fn keys(&self) -> Value {
            let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "use": "sig", "x": x }] })
        }

        fn token(&self, header: &Value, claims: &Value) -> String {
            let message = format!("{}.{}", encode(header), encode(claims));
            let signature = URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()).as_ref());
            format!("{message}.{signature}")
        }
    }

    fn asked(change: impl FnOnce(&mut Value)) -> Result<Value, Refused> {
        let signer = Signer::new();
        let mut body = good();
        change(&mut body);
        claims(&signer.token(&json!({ "alg": "EdDSA", "kid": "k1" }), &body), &signer.keys(), EXPECTED)
    }

    #[test]
    fn a_good_token_says_who_it_is() {
        assert_eq!(asked(|_| {}).unwrap()["sub"], "7");
        assert!(asked(|body| body["aud"] = json!(["sortie"])).is_ok());
        assert!(
            asked(|body| {
                body["aud"] = json!(["sortie", "other"]);
                body["azp"] = json!("sortie")
            })
            .is_ok()
        );
    }

    #[test]
    fn every_claim_that_is_wrong_is_refused_and_named() {
        let wrong =
            |name: &'static str, value: Value| assert_eq!(asked(|b| b[name] = value), Err(Refused::Claim(name)));
        wrong("iss", json!("https://id.example.com/"));
        wrong("aud", json!("other"));
        wrong("aud", json!(null));
        wrong("azp", json!("other"));
        wrong("exp", json!(999_900));
        wrong("exp", json!("later"));
        wrong("iat", json!(1_000_100));
        wrong("nbf", json!(1_000_100));
        wrong("nonce", json!("n-2"));
        wrong("nonce", json!(null));
        wrong("sub", json!(""));
        assert_eq!(asked(|body| body["aud"] = json!(["sortie", "other"])), Err(Refused::Claim("azp")));
    }

    #[test]
    fn no_token_chooses_how_it_is_checked() {
        let signer = Signer::new();
        let keys = signer.keys();
        let by = |header: Value| claims(&signer.token(&header, &good()), &keys, EXPECTED);
        for alg in ["none", "HS256", "None", "RS512", ""] {
            assert_eq!(by(json!({ "alg": alg, "kid": "k1" })), Err(Refused::Algorithm), "{alg}");
        }
        // A key of one kind does not become one of another.
        for alg in ["RS256", "ES256"] {
            assert_eq!(by(json!({ "alg": alg, "kid": "k1" })), Err(Refused::Key), "{alg}");
        }
        assert_eq!(by(json!({ "alg": "EdDSA", "kid": "k2" })), Err(Refused::Key));
        assert_eq!(by(json!({ "alg": "EdDSA", "kid": "k1", "crit": ["b64"] })), Err(Refused::Form));
        let unsigned = format!("{}.{}.", encode(&json!({ "alg": "none" })), encode(&good()));
        assert_eq!(claims(&unsigned, &keys, EXPECTED), Err(Refused::Algorithm));
    }

    #[test]
    fn a_changed_token_and_one_of_another_key_are_refused() {
        let signer = Signer::new();
        let token = signer.token(&json!({ "alg": "EdDSA", "kid": "k1" }), &good());
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let mut body = good();
        body["sub"] = json!("8");
        parts[1] = encode(&body);
        assert_eq!(claims(&parts.join("."), &signer.keys(), EXPECTED), Err(Refused::Signature));
        for broken in ["", "a", "a.b", "a.b.c.d", "é.é.é", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(claims(broken, &signer.keys(), EXPECTED), Err(Refused::Form));
        }
        assert_eq!(claims(&token, &json!({}), EXPECTED), Err(Refused::Key));
    }

    #[test]
    fn tokens_signed_on_a_curve_are_checked() {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65) }] });
        let message = format!("{}.{}", encode(&json!({ "alg": "ES256" })), encode(&good()));
        let signature = pair.sign(&random, message.as_bytes()).unwrap();
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        assert_eq!(claims(&token, &keys, EXPECTED).unwrap()["sub"], "7");
    }
}
