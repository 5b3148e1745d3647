//! The query of a request: known keys only, each once, and what they mean in every listing.

use axum::extract::Query as Decoded;
use axum::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::record::nearest;
use model::{Seq, Time, limits};
use store::Cursor;

use super::problem::Problem;
use super::route::Key;

/// Longest query string, in bytes.
pub(crate) const QUERY_BYTES_MAX: usize = 8 * 1024;

/// The keys and values of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a request whose route knows these keys.
    ///
    /// # Errors
    /// 400 for a key that is not known (named, with the near miss), stands twice, or cannot be decoded.
    pub(crate) fn read(uri: &Uri, known: &[Key]) -> Result<Query, Problem> {
        let Some(text) = uri.query() else { return Ok(Query::default()) };
        if text.len() > QUERY_BYTES_MAX {
            return Err(Problem::bad("invalid_query", format!("the query is longer than {QUERY_BYTES_MAX} bytes")));
        }
        let Ok(Decoded(pairs)) = Decoded::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Problem::bad("invalid_query", "the query cannot be decoded"));
        };
        Query::of(pairs, known)
    }

    /// The same from keys and values that are decoded already.
    ///
    /// # Errors
    /// 400 for a key that is not known or stands twice.
    pub(crate) fn of(pairs: Vec<(String, String)>, known: &[Key]) -> Result<Query, Problem> {
        for (i, (key, _)) in pairs.iter().enumerate() {
            if !known.iter().any(|k| k.name == key) {
                return Err(unknown(key, known));
            }
            if pairs[..i].iter().any(|(other, _)| other == key) {
                return Err(Problem::bad("invalid_query", format!("the query key `{key}` stands twice")));
            }
        }
        Ok(Query(pairs))
    }

    /// The keys and values.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The same without some keys.
    pub(crate) fn without(&self, keys: &[&str]) -> Query {
        Query(self.0.iter().filter(|(key, _)| !keys.contains(&key.as_str())).cloned().collect())
    }

    /// The same with another key.
    pub(crate) fn with(mut self, key: &str, value: String) -> Query {
        self.0.push((key.to_owned(), value));
        self
    }

    /// A value that is given and not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The same, owned.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_owned)
    }

    /// The comma-separated values of a key.
    pub(crate) fn list(&self, key: &str) -> Vec<&str> {
        self.get(key)
            .map_or(Vec::new(), |text| text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect())
    }

    /// An instant.
    ///
    /// # Errors
    /// 400 when it is none.
    pub(crate) fn time(&self, key: &str) -> Result<Option<Time>, Problem> {
        let wrong = |e: model::time::TimeError| Problem::bad("invalid_query", format!("`{key}`: {e}"));
        self.get(key).map(Time::parse).transpose().map_err(wrong)
    }

    /// `true` or `false`; absent is `false`.
    ///
    /// # Errors
    /// 400 when it is neither.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, Problem> {
        match self.get(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad("invalid_query", format!("`{key}` is `true` or `false`"))),
        }
    }

    /// How many items a page may have.
    ///
    /// # Errors
    /// 400 when it is no number from 1 to [`limits::PAGE_ITEMS_MAX`].
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(limits::PAGE_ITEMS_DEFAULT) };
        text.parse().ok().filter(|n| (1..=limits::PAGE_ITEMS_MAX).contains(n)).ok_or_else(|| {
            Problem::bad("invalid_query", format!("`limit` is a number from 1 to {}", limits::PAGE_ITEMS_MAX))
        })
    }

    /// Where the page starts.
    ///
    /// # Errors
    /// 400 when it is no cursor.
    pub(crate) fn cursor(&self) -> Result<Option<Cursor>, Problem> {
        let Some(text) = self.get("cursor") else { return Ok(None) };
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (seq, n) = std::str::from_utf8(&bytes).ok()?.split_once('.')?;
            Some(Cursor { seq: Seq(seq.parse().ok()?), n: n.parse().ok()? })
        };
        match read() {
            Some(cursor) => Ok(Some(cursor)),
            None => Err(Problem::bad("invalid_query", "`cursor` is not one that a listing gave")),
        }
    }
}

/// A cursor as it is given out.
pub(crate) fn cursor_text(cursor: Cursor) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{}", cursor.seq, cursor.n))
}

fn unknown(key: &str, known: &[Key]) -> Problem {
    let shown: String = key.chars().filter(|c| !c.is_control()).take(80).collect();
    let help = match nearest(&shown, known.iter().map(|k| k.name)) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => "; none is known here".to_owned(),
        None => format!("; known are {}", known.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")),
    };
    Problem::bad("unknown_query_key", format!("unknown query key `{shown}`{help}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Key] =
        &[Key { name: "limit", doc: "" }, Key { name: "cursor", doc: "" }, Key { name: "status", doc: "" }];

    fn read(query: &str) -> Result<Query, Problem> {
        Query::read(&format!("/v1/runs?{query}").parse().unwrap(), KNOWN)
    }

    #[test]
    fn an_unknown_key_is_refused_and_named_with_the_near_miss() {
        let problem = read("limt=5").unwrap_err();
        assert_eq!(problem.code, "unknown_query_key");
        assert_eq!(problem.detail, "unknown query key `limt`; did you mean `limit`?");
        assert!(read("token_hash__gt=a").unwrap_err().detail.contains("known are limit, cursor, status"));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        assert_eq!(read("limit=1&limit=2").unwrap_err().code, "invalid_query");
    }

    #[test]
    fn limits_and_lists_are_read_and_bounded() {
        assert_eq!(read("limit=1000").unwrap().limit(), Ok(1000));
        assert_eq!(read("").unwrap().limit(), Ok(limits::PAGE_ITEMS_DEFAULT));
        for bad in ["limit=0", "limit=1001", "limit=-1", "limit=x"] {
            assert!(read(bad).unwrap().limit().is_err(), "{bad}");
        }
        assert_eq!(read("status=failed,%20timed_out,").unwrap().list("status"), ["failed", "timed_out"]);
    }

    #[test]
    fn cursors_are_read_back_and_nothing_else_is_one() {
        let cursor = Cursor { seq: Seq(499), n: 3 };
        let query = read(&format!("cursor={}", cursor_text(cursor))).unwrap();
        assert_eq!(query.cursor(), Ok(Some(cursor)));
        for bad in ["cursor=499.3", "cursor=%FF", "cursor=AAAA"] {
            assert!(read(bad).unwrap().cursor().is_err(), "{bad}");
        }
    }
}
