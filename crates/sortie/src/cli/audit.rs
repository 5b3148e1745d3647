//! `sortie audit`: who did what, and whether the record of it is whole.

use std::fs::File;
use std::io::{BufWriter, Read as _};
use std::path::Path;

use engine::ledger::note::Verifier;
use engine::ledger::proof::{self, RunProof};
use engine::ledger::value::{self, ValueProof};
use engine::ledger::verify::Outside;
use engine::ledger::{Report, unpack};
use engine::outbound::Method;
use serde_json::json;

use super::World;
use super::api::{Api, Ask, block_on};
use super::args::{AuditCommand, AuditExport, AuditList, AuditVerify, HoldCommand, KeyCommand};
use super::backup::bytes_for_people;
use super::console::{Tone, counted, one_line};
use super::exit::Error;
use super::records::{self, Column};

/// Largest file of keys, checkpoints or a proof, in bytes.
const FILE_BYTES_MAX: u64 = 256_000_000;

/// Longest value that is proved, in bytes.
const VALUE_BYTES_MAX: u64 = 64 * 1024;

const AUDIT: &[Column] =
    &[("ENTRY", &["seq"]), ("TIME", &["time"]), ("WHO", &["actor"]), ("DID", &["action"]), ("TO", &["object"])];

const HOLDS: &[Column] =
    &[("HELD", &["object"]), ("TENANT", &["tenant"]), ("SINCE", &["since"]), ("BY", &["by"]), ("WHY", &["reason"])];

/// `sortie audit`.
pub(super) fn run(world: &World, command: AuditCommand) -> Result<(), Error> {
    match command {
        AuditCommand::List(list) => listing(world, *list),
        AuditCommand::Verify(arguments) => verify(world, &arguments),
        AuditCommand::Prove { id } => {
            let proof = records::ask(world, Ask::get(&["v1", "audit", "runs", &id, "proof"]))?;
            Ok(world.console.data(&format!("{proof:#}"))?)
        }
        AuditCommand::ProveValue { id, secret, value_file } => {
            let value = match &value_file {
                Some(path) => text(path)?,
                None => {
                    let mut text = String::new();
                    std::io::stdin().take(VALUE_BYTES_MAX).read_to_string(&mut text)?;
                    text
                }
            };
            let body = json!({ "secret": secret, "value": without_line_end(&value) });
            let proof = records::ask(world, Ask::post(&["v1", "audit", "runs", &id, "prove-value"], body))?;
            world
                .console
                .talk("whoever has this proof and the value checks it: sortie audit verify FILE --value-file VALUE");
            Ok(world.console.data(&format!("{proof:#}"))?)
        }
        AuditCommand::Export(arguments) => export(world, &arguments),
        AuditCommand::Checkpoint => {
            let signed = records::ask(world, Ask::get(&["v1", "audit", "checkpoint"]))?;
            world
                .console
                .talk("keep this where the server cannot reach it; `sortie audit verify --checkpoint FILE` uses it");
            Ok(world.console.data(signed["checkpoint"].as_str().unwrap_or_default())?)
        }
        AuditCommand::Hold(command) => holds(world, command),
        AuditCommand::Key(KeyCommand::Show) => {
            let signed = records::ask(world, Ask::get(&["v1", "audit", "checkpoint"]))?;
            Ok(world.console.data(signed["key"].as_str().unwrap_or_default())?)
        }
        AuditCommand::Key(KeyCommand::Rotate) => {
            let made = records::ask(world, Ask::post(&["v1", "audit", "key", "rotate"], json!({})))?;
            world.console.talk_in(Tone::Good, "signing with a new key from now on; tell it to those who verify:");
            Ok(world.console.data(made["key"].as_str().unwrap_or_default())?)
        }
    }
}

fn holds(world: &World, command: HoldCommand) -> Result<(), Error> {
    match command {
        HoldCommand::List(output) => records::list(world, "holds", Vec::new(), HOLDS, output),
        HoldCommand::Place { object, reason, tenant } => {
            let body = json!({ "object": object, "reason": reason });
            records::ask(world, Ask { query: &[("tenant", tenant)], ..Ask::post(&["v1", "holds"], body) })?;
            world.console.talk_in(Tone::Good, &format!("{object} is held: retention drops nothing of it"));
            Ok(())
        }
        HoldCommand::Lift { object, tenant } => {
            let path = ["v1", "holds", object.as_str()];
            let ask = Ask { method: Method::DELETE, query: &[("tenant", tenant)], ..Ask::get(&path) };
            records::ask(world, ask)?;
            world.console.talk_in(Tone::Good, &format!("{object} is no longer held"));
            Ok(())
        }
    }
}

fn listing(world: &World, list: AuditList) -> Result<(), Error> {
    let mut filters = records::paging(&list.paging);
    filters.extend([("actor", list.actor), ("action", list.action), ("object", list.object)]);
    records::list(world, "audit", filters, AUDIT, list.output)
}

fn verify(world: &World, arguments: &AuditVerify) -> Result<(), Error> {
    let outside = outside(arguments)?;
    let report = match &arguments.file {
        Some(path) => of_file(world, path, arguments.value_file.as_deref(), &outside)?,
        None => {
            let keys: Vec<String> = outside.keys.iter().map(ToString::to_string).collect();
            let body = json!({ "keys": keys, "checkpoints": outside.checkpoints });
            let answer = records::ask(world, Ask::post(&["v1", "audit", "verify"], body))?;
            serde_json::from_value(answer)
                .map_err(|e| Error::Failed { message: format!("the report cannot be read: {e}") })?
        }
    };
    if arguments.output.json {
        world.console.data(&format!("{:#}", json!(report)))?;
    } else {
        tell(world, &report)?;
    }
    if report.ok {
        return Ok(());
    }
    let count = report.findings_total;
    let message = if count == 1 { "1 thing is wrong".to_owned() } else { format!("{count} things are wrong") };
    Err(Error::Failed { message })
}

fn of_file(world: &World, path: &Path, value_file: Option<&Path>, outside: &Outside) -> Result<Report, Error> {
    let mut file = File::open(path).map_err(|e| wrong(path, e))?;
    let mut start = [0; 1];
    file.read_exact(&mut start).map_err(|e| wrong(path, e))?;
    if start == *b"{" {
        let text_of_proof = text(path)?;
        if let Ok(proof) = serde_json::from_str::<ValueProof>(&text_of_proof) {
            let value = value_file.map(text).transpose()?;
            return Ok(value::verify(
                &proof,
                value.as_deref().map(|value| without_line_end(value).as_bytes()),
                outside,
            ));
        }
        let proof: RunProof = serde_json::from_str(&text_of_proof).map_err(|e| wrong(path, e))?;
        return Ok(proof::verify(&proof, outside));
    }
    let file = File::open(path).map_err(|e| wrong(path, e))?;
    let mut tell = |done, of| world.console.progress("entries", done, of);
    let report = unpack::bundle(file, outside, &mut tell);
    world.console.progress_done();
    report.map_err(|message| Error::File { path: path.display().to_string(), message })
}

/// A value as it was typed into a file, without the end of its only line.
fn without_line_end(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// Keys and checkpoints that were kept elsewhere.
fn outside(arguments: &AuditVerify) -> Result<Outside, Error> {
    let mut outside = Outside::default();
    for given in &arguments.keys {
        let lines =
            if given.contains('+') && !Path::new(given).exists() { given.clone() } else { text(given.as_ref())? };
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let key: Verifier = line.parse().map_err(|e| Error::Usage {
                message: format!("--key: {e}"),
                help: "`sortie audit key show` prints the key of a server".to_owned(),
            })?;
            outside.keys.push(key);
        }
    }
    for path in &arguments.checkpoints {
        outside.checkpoints.extend(notes(&text(path)?));
    }
    Ok(outside)
}

/// The notes of a file: each ends with its signatures and an empty line, or the end of the file.
fn notes(text: &str) -> Vec<String> {
    if text.trim_start().starts_with('{') {
        // What a destination was sent: one JSON text after the other, the note in each.
        let bodies = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>().map_while(Result::ok);
        return bodies.filter_map(|body| body["checkpoint"].as_str().map(str::to_owned)).collect();
    }
    let mut notes = Vec::new();
    let mut note = String::new();
    let mut signed = false;
    for line in text.lines() {
        let signature = line.starts_with('\u{2014}');
        if signed && !signature {
            notes.push(std::mem::take(&mut note));
            signed = false;
            if line.is_empty() {
                continue;
            }
        }
        signed |= signature;
        note.push_str(line);
        note.push('\n');
    }
    if !note.trim().is_empty() {
        notes.push(note);
    }
    notes
}

fn text(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let file = File::open(path).map_err(|e| wrong(path, e))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|e| wrong(path, e))?;
    Ok(text)
}

fn wrong(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::File { path: path.display().to_string(), message: error.to_string() }
}

fn tell(world: &World, report: &Report) -> Result<(), Error> {
    let console = &world.console;
    let Report { entries, payloads, dropped, size, root, .. } = report;
    let (word, tone) = if report.ok { ("whole", Tone::Good) } else { ("NOT WHOLE", Tone::Bad) };
    console.data(&console.paint(tone, &format!("the record is {word}")))?;
    if let (Some((first, last)), Some((from, to))) = (report.range, report.times) {
        console.data(&format!("  entries {first} to {last}, {from} to {to}"))?;
    }
    let gone =
        if *dropped > 0 { format!(", {dropped} dropped by retention (their hashes stand)") } else { String::new() };
    console.data(&format!("  {entries} checked, {payloads} with their payloads{gone}"))?;
    console.data(&format!("  tree: {size} leaves, root {root}"))?;
    match &report.signer {
        Some(key) => {
            let known = if report.signer_known { "the key that was given" } else { "a key that nobody vouched for" };
            let when = report.newest_checkpoint.map_or_else(String::new, |time| format!(", the newest of {time}"));
            console.data(&format!(
                "  {} in agreement, signed by {known}{when}",
                counted(report.checkpoints, "checkpoint")
            ))?;
            console.data(&format!("  {key}"))?;
        }
        None => console.data("  no checkpoint vouches for it")?,
    }
    if report.unsigned > 0 {
        console.data(&format!(
            "  {} newer than the last checkpoint",
            match report.unsigned {
                1 => "1 entry".to_owned(),
                n => format!("{n} entries"),
            }
        ))?;
    }
    if report.open_runs > 0 {
        let named = report.open_run_ids.join(", ");
        console.data(&format!("  {} without an end so far: {named}", counted(report.open_runs, "run")))?;
    }
    for finding in &report.findings {
        let at = finding.entry.map_or_else(String::new, |entry| format!(" at entry {entry}"));
        let line = format!("  {}{at}: {}", finding.kind.name(), one_line(&finding.detail));
        console.data(&console.paint(Tone::Bad, &line))?;
    }
    for remark in &report.remarks {
        console.talk_in(Tone::Dim, &format!("  note: {remark}"));
    }
    Ok(())
}

fn export(world: &World, arguments: &AuditExport) -> Result<(), Error> {
    let path = &arguments.out;
    if path.exists() {
        let message = "it exists already; evidence is never written over".to_owned();
        return Err(Error::File { path: path.display().to_string(), message });
    }
    let partial = path.with_extension("partial");
    let written =
        write(world, arguments, &partial).and_then(|()| std::fs::rename(&partial, path).map_err(|e| wrong(path, e)));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    let bytes = std::fs::metadata(path).map_or(0, |data| data.len());
    world.console.talk_in(Tone::Good, &format!("wrote {} ({})", path.display(), bytes_for_people(bytes)));
    world.console.talk(&format!("check it anywhere: sortie audit verify {}", path.display()));
    Ok(())
}

fn write(world: &World, arguments: &AuditExport, partial: &Path) -> Result<(), Error> {
    let query = [
        ("case", arguments.case.clone()),
        ("alert", arguments.alert.clone()),
        ("run", arguments.run.clone()),
        ("tenant", arguments.tenant.clone()),
        ("since", arguments.since.clone()),
        ("until", arguments.until.clone()),
    ];
    let file = File::create(partial).map_err(|e| wrong(partial, e))?;
    let mut out = Counted { out: BufWriter::new(file), bytes: 0, world };
    block_on(async {
        let api = Api::find(world).await?;
        api.download(&["v1", "audit", "export"], &query, &mut out).await
    })?;
    world.console.progress_done();
    let file = out.out.into_inner().map_err(|e| wrong(partial, e.error()))?;
    file.sync_all().map_err(|e| wrong(partial, e))
}

/// Counts what is written, for whoever waits.
struct Counted<'a> {
    out: BufWriter<File>,
    bytes: u64,
    world: &'a World,
}

impl std::io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        self.world.console.progress("kB written", self.bytes / 1_000, 0);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_any_number_of_notes() {
        let note = "origin\n1\nAAAA\n\n\u{2014} name AAAA\n";
        assert_eq!(notes(note), [note]);
        assert_eq!(notes(&format!("{note}\n{note}\n")), [note, note]);
        assert_eq!(notes(&format!("{note}{note}")), [note, note]);
        assert!(notes("").is_empty());
        let body = json!({ "type": "ledger.checkpoint", "checkpoint": note }).to_string();
        assert_eq!(notes(&format!("{body}\n{body}\n")), [note, note], "what a destination was sent");
    }
}
