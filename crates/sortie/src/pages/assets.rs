//! The style sheet, the script and the icon: part of the binary, named with their digest, so that a browser keeps them
//! until they change.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use model::Digest;

use crate::http::problem::Problem;
use crate::http::route::{Answer, Call};

/// One file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// All of them.
static ASSETS: [Asset; 3] = [
    Asset { name: "sortie.css", media_type: "text/css; charset=utf-8", text: include_str!("assets/sortie.css") },
    Asset { name: "sortie.js", media_type: "text/javascript; charset=utf-8", text: include_str!("assets/sortie.js") },
    Asset { name: "sortie.svg", media_type: "image/svg+xml", text: include_str!("assets/sortie.svg") },
];

/// Digits of the digest that stand in an address.
const DIGITS: usize = 12;

/// The addresses, in the order of the files.
static ADDRESSES: LazyLock<[String; 3]> = LazyLock::new(|| {
    ASSETS.each_ref().map(|asset| {
        let digest = Digest::of(asset.text.as_bytes()).to_string();
        let digits: String = digest.chars().filter(char::is_ascii_hexdigit).take(DIGITS).collect();
        format!("/static/{}?v={digits}", asset.name)
    })
});

/// The address of the style sheet.
pub(super) fn style() -> &'static str {
    &ADDRESSES[0]
}

/// The address of the script.
pub(super) fn script() -> &'static str {
    &ADDRESSES[1]
}

/// The address of the icon.
pub(super) fn icon() -> &'static str {
    &ADDRESSES[2]
}

/// `GET /static/{name}`
pub(crate) async fn show(call: Call) -> Answer {
    let name = call.segment(0);
    let asset =
        ASSETS.iter().find(|asset| asset.name == name).ok_or_else(|| Problem::not_found("file of the pages", name))?;
    let mut answer = Response::new(Body::from(asset.text));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    // The address changes with the content.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(answer)
}
