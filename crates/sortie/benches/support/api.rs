//! Questions to the running server.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::Result;
use super::http::{Connection, request};

/// The server's API.
pub(crate) struct Api {
    connection: Connection,
}

impl Api {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub(crate) async fn open(address: SocketAddr) -> Result<Api> {
        Ok(Api { connection: Connection::open(address).await? })
    }

    /// Asks and expects 200.
    ///
    /// # Errors
    /// When something else is answered.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        let answer = self.connection.send(&request("GET", path, b"")).await?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        Err(format!("GET {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into())
    }

    /// All items of a listing, page by page.
    ///
    /// # Errors
    /// When a page cannot be had.
    pub(crate) async fn all(&mut self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let page: Value = serde_json::from_slice(&self.get(&format!("{path}{join}limit=1000{cursor}")).await?)?;
            items.extend(page["items"].as_array().ok_or("a page has no `items`")?.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    /// Waits until no run is open any more; answers whether that came to be.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn idle(&mut self, patience: Duration) -> Result<bool> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let open = self.figure("sortie_runs_open").await?;
            if open == Some(0.0) {
                return Ok(true);
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sees that all playbooks are in force: without them there is nothing to measure.
    ///
    /// # Errors
    /// When they are not.
    pub(crate) async fn expect_playbooks(&mut self, wanted: usize) -> Result<()> {
        match self.figure("sortie_playbooks_loaded").await? {
            Some(loaded) if loaded == wanted as f64 => Ok(()),
            loaded => Err(format!("{loaded:?} of {wanted} playbooks are in force; see the server's log").into()),
        }
    }

    /// A figure of `/metrics`, summed over its labels.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn figure(&mut self, name: &str) -> Result<Option<f64>> {
        let text = String::from_utf8(self.get("/metrics").await?)?;
        Ok(read_figure(&text, name))
    }
}

/// A figure of a text in the form of Prometheus, summed over its labels.
pub(crate) fn read_figure(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with(' ') || rest.starts_with('{')).then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok())?
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
