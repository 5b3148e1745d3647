//! The routes: one line each. Router, permissions, query keys and `/openapi.json` are made from this table; a handler that
//! does not stand here cannot be reached, and a line without an [`Access`] does not compile.
//!
//! Length: one line for each route and each key of a query, and the list is what a reader looks for.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, Request};
use axum::http::StatusCode;
use axum::routing::MethodRouter;

use super::api::{
    approvals, attachments, audit, backup, brakes, deliveries, destinations, events, found, grouping, ledger, meta,
    notifications, objects, playbooks, runs, secrets, tokens, trials, users, watchlist, workshop,
};
use super::problem::Problem;
use super::route::{Access, EVIDENCE as EVIDENCE_FILE, Key, PAGE as HTML, Route, Verb};
use super::{App, dispatch, handshake, ingest};
use crate::auth::Roles;
use crate::pages;

const LIMIT: Key = Key { name: "limit", doc: "most items of the page, 1 to 1000" };
const CURSOR: Key = Key { name: "cursor", doc: "where to go on: `next_cursor` of the page before" };
const SINCE: Key = Key { name: "since", doc: "arrived at or after this RFC 3339 time" };
const UNTIL: Key = Key { name: "until", doc: "arrived before this RFC 3339 time" };
const FORMAT: Key =
    key("format", "`csv`: all of the list as comma-separated values (at most `limit` rows when that is given)");
const TENANT: Key = Key { name: "tenant", doc: "of this tenant" };
const STATUS: Key = Key { name: "status", doc: "with one of these statuses, separated by commas" };

const fn key(name: &'static str, doc: &'static str) -> Key {
    Key { name, doc }
}

const IN: &[Key] = &[
    key("dry_run", "`true` shows mapping and decisions and keeps nothing"),
    key("validationToken", "sent back as text (the question of Microsoft Graph)"),
];

const RUNS: &[Key] = &[
    key("playbook", "of this playbook"),
    STATUS,
    key("alert", "about this alert"),
    key("case", "about this case"),
    key("event", "started by this event"),
    key("destination", "with a delivery to this destination"),
    FORMAT,
    TENANT,
    SINCE,
    UNTIL,
    LIMIT,
    CURSOR,
];

const DELIVERIES: &[Key] = &[RUNS[0], RUNS[2], RUNS[3], RUNS[4], RUNS[5], TENANT, SINCE, UNTIL, LIMIT, CURSOR];

const EVENTS: &[Key] = &[
    key("source", "from this source"),
    key("type", "of this type, or of a prefix such as `holm.*`"),
    key("alert", "about this alert"),
    key("case", "about this case"),
    FORMAT,
    TENANT,
    SINCE,
    UNTIL,
    LIMIT,
    CURSOR,
];

const RECORDED: &[Key] = &[TENANT, SINCE, UNTIL, LIMIT, CURSOR];

const OBJECTS: &[Key] = &[
    key("stage", "in one of these stages, separated by commas"),
    key("priority", "of one of these priorities, separated by commas"),
    key("queue", "in this queue"),
    key("assignee", "of this person"),
    key("tag", "with this tag"),
    key("q", "with this query, such as `priority:critical AND NOT stage:Closed`"),
    key("sort", "in this order, such as `-risk_score,updated_at`"),
    key("search", "as this saved search says"),
    FORMAT,
    TENANT,
    SINCE,
    UNTIL,
    LIMIT,
    CURSOR,
];

const ALERTS: &[Key] =
    &[OBJECTS[1], OBJECTS[4], OBJECTS[5], OBJECTS[6], OBJECTS[7], FORMAT, TENANT, SINCE, UNTIL, LIMIT, CURSOR];

const AUDIT: &[Key] = &[
    key("actor", "by this actor: `token:alice`, or `alice`; `user:*` for all of a kind"),
    key("action", "with this action, such as `case.updated`, `token.created`, `refused`, or of this kind of entry"),
    key("object", "about this object, such as `case:C-1`"),
    FORMAT,
    TENANT,
    SINCE,
    UNTIL,
    LIMIT,
    CURSOR,
];

const UPLOAD: &[Key] = &[key("name", "the file's name"), TENANT];
const EVIDENCE: &[Key] = &[
    key("case", "only what is about this case, with its runs"),
    key("alert", "only what is about this alert, with its runs"),
    key("run", "only this run"),
    TENANT,
    key("since", "recorded at or after this RFC 3339 time"),
    key("until", "recorded before this RFC 3339 time"),
];

const PAGE: &[Key] = &[LIMIT, CURSOR];
const DONE: &[Key] = &[key("done", "what was just done")];
const OBJECT_PAGE: &[Key] = &[TENANT, CURSOR, DONE[0]];
const PLAYBOOK_PAGE: &[Key] = &[key("version", "the digest of another version"), CURSOR, DONE[0]];
const WATCHLIST_PAGE: &[Key] = &[TENANT, DONE[0]];
const DESTINATIONS_PAGE: &[Key] = &[LIMIT, CURSOR, DONE[0]];
const APPROVALS_PAGE: &[Key] = &[TENANT, LIMIT, DONE[0]];
const TO: &[Key] = &[key("to", "where to go afterwards: a path of this server")];
/// What providers send along, of which code, state, issuer and error are looked at.
const CALLBACK: &[Key] = &[
    key("code", "what is exchanged for an ID token"),
    key("state", "which sign-in it belongs to"),
    key("iss", "who sent the browser back"),
    key("error", "why the provider did not let the person in"),
    key("error_description", "not read"),
    key("error_uri", "not read"),
    key("session_state", "not read"),
    key("scope", "not read"),
    key("authuser", "not read"),
    key("hd", "not read"),
    key("prompt", "not read"),
];
const VERSION: &[Key] = &[key("v", "the digest of the file, so that a browser may keep it")];
const OF_TENANT: &[Key] = &[TENANT];
const PAGE_OF_TENANT: &[Key] = &[TENANT, LIMIT, CURSOR];

const AUDITORS: Access = Access::Roles(Roles::AUDITORS);
const STARTERS: Access = Access::Roles(Roles::STARTERS);
const AUTHORS: Access = Access::Roles(Roles::AUTHORS);
const APPROVERS: Access = Access::Roles(Roles::APPROVERS);
const ADMINS: Access = Access::Roles(Roles::ADMINS);
const READERS: Access = Access::Roles(Roles::READERS);
const ANALYSTS: Access = Access::Roles(Roles::ANALYSTS);

macro_rules! route {
    ($verb:ident $path:literal, $access:expr, $about:literal, $query:expr, $takes:expr, $gives:expr, $handler:expr) => {
        Route {
            verb: Verb::$verb,
            path: $path,
            access: $access,
            about: $about,
            query: $query,
            takes: $takes,
            gives: $gives,
            handler: |call| Box::pin($handler(call)),
        }
    };
}

/// A form of the pages: it is read, and checked to come from one of them, before its handler sees it.
macro_rules! form {
    ($path:literal, $access:expr, $about:literal, $handler:expr) => {
        route!(Post $path, $access, $about, &[], Some("Form"), (303, HTML), |call| pages::form::posted(call, $handler))
    };
}

/// The same with a file of at most so many bytes.
macro_rules! upload {
    ($path:literal, $access:expr, $about:literal, $bytes:expr, $handler:expr) => {
        route!(Post $path, $access, $about, &[], Some("Form"), (303, HTML), |call| pages::form::uploaded(call, $bytes, $handler))
    };
}

/// All routes.
pub(crate) static ROUTES: &[Route] = &[
    route!(Post "/v1/in/{source}", Access::Sender, "events in: one object, an array, or NDJSON",
        IN, Some("Event"), (202, "Taken"), ingest::take),
    route!(Post "/v1/in/{source}/{token}", Access::Sender, "the same, for products that cannot set headers: the secret is the last part of the path",
        IN, Some("Event"), (202, "Taken"), ingest::take),
    route!(Options "/v1/in/{source}", Access::Sender, "whether the address takes events of this origin (CloudEvents)",
        &[], None, (200, "Text"), handshake::options),
    route!(Options "/v1/in/{source}/{token}", Access::Sender, "the same, with the secret in the path",
        &[], None, (200, "Text"), handshake::options),
    route!(Get "/v1/runs", READERS, "runs, newest first", RUNS, None, (200, "Runs"), runs::list),
    route!(Get "/v1/runs/{id}", READERS, "a run with its steps, its history and its text", &[], None, (200, "RunDetail"), runs::show),
    route!(Post "/v1/runs/{id}/cancel", ANALYSTS, "stops a run", &[], Some("Empty"), (200, "RunMade"), runs::cancel),
    route!(Post "/v1/runs/{id}/retry", ANALYSTS, "repeats a run as a new one", &[], Some("Retry"), (202, "RunMade"), runs::retry),
    route!(Get "/v1/events", READERS, "events, newest first", EVENTS, None, (200, "Events"), events::list),
    route!(Get "/v1/events/{id}", READERS, "an event with its raw body, its transitions and its decisions", &[], None, (200, "EventDetail"), events::show),
    route!(Get "/v1/explain/{id}", READERS, "why playbooks ran or did not run for an event", &[], None, (200, "Explained"), events::explain),
    route!(Get "/v1/history/events", READERS, "what was accepted, oldest first, as it was recorded: for back-tests", RECORDED, None, (200, "RecordedEvents"), events::recorded),
    route!(Get "/v1/alerts", READERS, "alerts, the one changed last in front", ALERTS, None, (200, "Objects"), objects::alerts),
    route!(Get "/v1/alerts/{id}", READERS, "an alert", OF_TENANT, None, (200, "Object"), objects::alert),
    route!(Patch "/v1/alerts/{id}", ANALYSTS, "changes fields of an alert", OF_TENANT, Some("Fields"), (200, "Object"), objects::patch_alert),
    route!(Get "/v1/alerts/{id}/history", READERS, "what happened to an alert, newest first", PAGE_OF_TENANT, None, (200, "Moments"), objects::alert_history),
    route!(Post "/v1/alerts/{id}/comments", ANALYSTS, "comments an alert", OF_TENANT, Some("Comment"), (201, "Recorded"), objects::comment_alert),
    route!(Post "/v1/alerts/{id}/send", ANALYSTS, "sends an alert to up to three destinations", OF_TENANT, Some("Send"), (202, "RunMade"), objects::send_alert),
    route!(Get "/v1/alerts/{id}/attachments", READERS, "the files that were put to an alert", OF_TENANT, None, (200, "Attachments"), attachments::of_alert),
    route!(Post "/v1/alerts/{id}/attachments", ANALYSTS, "puts a file to an alert", UPLOAD, Some("Bytes"), (201, "Attachment"), attachments::to_alert),
    route!(Get "/v1/alerts/{id}/attachments/{file}", READERS, "the content of a file", OF_TENANT, None, (200, "Bytes"), attachments::from_alert),
    route!(Delete "/v1/alerts/{id}/attachments/{file}", ANALYSTS, "takes a file off an alert", OF_TENANT, None, (200, "Attachment"), attachments::off_alert),
    route!(Get "/v1/cases", READERS, "cases, the one changed last in front", OBJECTS, None, (200, "Objects"), objects::cases),
    route!(Get "/v1/cases/{id}", READERS, "a case", OF_TENANT, None, (200, "Object"), objects::case),
    route!(Patch "/v1/cases/{id}", ANALYSTS, "changes fields of a case", OF_TENANT, Some("Fields"), (200, "Object"), objects::patch_case),
    route!(Get "/v1/cases/{id}/history", READERS, "what happened to a case, newest first", PAGE_OF_TENANT, None, (200, "Moments"), objects::case_history),
    route!(Post "/v1/cases/{id}/comments", ANALYSTS, "comments a case", OF_TENANT, Some("Comment"), (201, "Recorded"), objects::comment_case),
    route!(Post "/v1/cases/{id}/send", ANALYSTS, "sends a case to up to three destinations", OF_TENANT, Some("Send"), (202, "RunMade"), objects::send_case),
    route!(Get "/v1/cases/{id}/attachments", READERS, "the files that were put to a case", OF_TENANT, None, (200, "Attachments"), attachments::of_case),
    route!(Post "/v1/cases/{id}/attachments", ANALYSTS, "puts a file to a case", UPLOAD, Some("Bytes"), (201, "Attachment"), attachments::to_case),
    route!(Get "/v1/cases/{id}/attachments/{file}", READERS, "the content of a file", OF_TENANT, None, (200, "Bytes"), attachments::from_case),
    route!(Delete "/v1/cases/{id}/attachments/{file}", ANALYSTS, "takes a file off a case", OF_TENANT, None, (200, "Attachment"), attachments::off_case),
    route!(Get "/v1/searches", READERS, "saved searches, and what the caller searched for lately", &[], None, (200, "Searches"), found::searches),
    route!(Post "/v1/searches", READERS, "saves a search", &[], Some("SearchWish"), (201, "Search"), found::save),
    route!(Get "/v1/searches/{name}", READERS, "a saved search", &[], None, (200, "Search"), found::one_search),
    route!(Delete "/v1/searches/{name}", READERS, "deletes a saved search of the caller's", &[], None, (200, "Search"), found::forget),
    route!(Get "/v1/stats", READERS, "figures about alerts and cases", OF_TENANT, None, (200, "Stats"), found::figures),
    route!(Get "/v1/notifications", READERS, "who is told of what", OF_TENANT, None, (200, "Notifications"), notifications::list),
    route!(Post "/v1/notifications", ANALYSTS, "tells somebody of something from now on", &[], Some("NotificationWish"), (201, "Notification"), notifications::make),
    route!(Delete "/v1/notifications/{name}", ANALYSTS, "ends a notification", &[], None, (200, "Ended"), notifications::end),
    route!(Get "/v1/deliveries", READERS, "deliveries, those of the newest run in front", RUNS, None, (200, "Deliveries"), deliveries::list),
    route!(Get "/v1/deliveries/{id}", READERS, "a delivery with its tries", &[], None, (200, "DeliveryDetail"), deliveries::show),
    route!(Post "/v1/deliveries/redeliver", ANALYSTS, "sends the failed deliveries that the query asks for again, a page at a time", DELIVERIES, Some("Empty"), (200, "AllResent"), deliveries::redeliver_all),
    route!(Post "/v1/deliveries/{id}/redeliver", ANALYSTS, "sends a failed delivery again, with the same webhook-id", &[], Some("Empty"), (200, "DeliveryDetail"), deliveries::redeliver),
    route!(Get "/v1/approvals", READERS, "what playbooks ask people now", &[TENANT, LIMIT], None, (200, "Approvals"), approvals::list),
    route!(Get "/v1/approvals/{id}", READERS, "an open question", &[], None, (200, "Approval"), approvals::show),
    route!(Post "/v1/approvals/{id}", APPROVERS, "answers a question, once; not by who started the run", &[], Some("ApprovalAnswer"), (200, "ApprovalAnswered"), approvals::answer),
    route!(Get "/v1/playbooks", READERS, "playbooks, in the order in which they are decided", PAGE, None, (200, "Playbooks"), playbooks::list),
    route!(Get "/v1/playbooks/{id}", READERS, "a playbook with its text and its last runs", &[], None, (200, "PlaybookDetail"), playbooks::show),
    route!(Get "/v1/playbooks/{id}/versions", READERS, "the texts that were in force, newest first", PAGE, None, (200, "Versions"), playbooks::versions),
    route!(Get "/v1/playbooks/{id}/versions/{digest}", READERS, "one of these texts", &[], None, (200, "Version"), playbooks::version),
    route!(Post "/v1/playbooks/{id}/enable", AUTHORS, "switches a playbook on", &[], Some("Empty"), (200, "Playbook"), playbooks::enable),
    route!(Post "/v1/playbooks/{id}/disable", AUTHORS, "switches a playbook off", &[], Some("Empty"), (200, "Playbook"), playbooks::disable),
    route!(Post "/v1/playbooks/{id}/run", STARTERS, "runs a playbook by hand", OF_TENANT, Some("RunByHand"), (202, "RunMade"), playbooks::run),
    route!(Post "/v1/playbooks/{id}/test", AUTHORS, "carries out the tests of a playbook; nothing leaves the machine", &[], Some("Empty"), (200, "TestReport"), workshop::test),
    route!(Post "/v1/playbooks/{id}/backtest", AUTHORS, "what a playbook, or another text of it, would have decided about the events of the last days", OF_TENANT, Some("BacktestWish"), (200, "Backtest"), workshop::backtest),
    route!(Get "/v1/destinations", READERS, "destinations, without their secrets", PAGE, None, (200, "Destinations"), destinations::list),
    route!(Get "/v1/destinations/{id}", READERS, "a destination, without its secrets", &[], None, (200, "Destination"), destinations::show),
    route!(Post "/v1/destinations", AUTHORS, "makes a destination; with `auth` or `sign` it needs the role admin", &[], Some("DestinationWish"), (201, "Destination"), destinations::create),
    route!(Patch "/v1/destinations/{id}", AUTHORS, "changes a destination that is not in the file", &[], Some("DestinationWish"), (200, "Destination"), destinations::patch),
    route!(Delete "/v1/destinations/{id}", AUTHORS, "deletes a destination that is not in the file", &[], None, (200, "Destination"), destinations::delete),
    route!(Post "/v1/destinations/{id}/enable", AUTHORS, "switches a destination on", &[], Some("Empty"), (200, "Destination"), destinations::enable),
    route!(Post "/v1/destinations/{id}/disable", AUTHORS, "switches a destination off; everything else of it stays", &[], Some("Empty"), (200, "Destination"), destinations::disable),
    route!(Post "/v1/destinations/test", AUTHORS, "tests a destination that is not saved", &[], Some("DestinationWish"), (200, "Tested"), trials::test_unsaved),
    route!(Post "/v1/destinations/{id}/test", AUTHORS, "sends a test message to a destination", &[], Some("Empty"), (200, "Tested"), trials::test),
    route!(Post "/v1/destinations/validate", AUTHORS, "asks the login of a destination that is not saved for a token", &[], Some("DestinationWish"), (200, "Validated"), trials::validate_unsaved),
    route!(Post "/v1/destinations/{id}/validate", AUTHORS, "asks the login of a destination for a token, and sends nothing", &[], Some("Empty"), (200, "Validated"), trials::validate),
    route!(Get "/v1/secrets", ADMINS, "the names of the secrets that Sortie keeps", &[], None, (200, "Secrets"), secrets::list),
    route!(Post "/v1/secrets", ADMINS, "keeps a secret, encrypted; its value never comes out again", &[], Some("SecretWish"), (200, "Secret"), secrets::set),
    route!(Delete "/v1/secrets/{name}", ADMINS, "deletes a secret", &[], None, (200, "Secret"), secrets::delete),
    route!(Get "/v1/tokens", ADMINS, "tokens, without their secrets", &[], None, (200, "Tokens"), tokens::list),
    route!(Post "/v1/tokens", ADMINS, "makes a token; its secret is in this answer only", &[], Some("TokenWish"), (201, "TokenMade"), tokens::create),
    route!(Delete "/v1/tokens/{name}", ADMINS, "deletes a token; it opens nothing any more", &[], None, (200, "Token"), tokens::delete),
    route!(Get "/v1/watchlist", READERS, "who is watched, and why", OF_TENANT, None, (200, "Watchlist"), watchlist::list),
    route!(Post "/v1/watchlist", ANALYSTS, "puts an entity on the watchlist", &[], Some("WatchWish"), (201, "Watched"), watchlist::add),
    route!(Delete "/v1/watchlist/{kind}/{id}", ANALYSTS, "takes an entity off the watchlist", OF_TENANT, None, (200, "Unwatched"), watchlist::remove),
    route!(Get "/v1/grouping", READERS, "the rules by which detections become alerts, in their order", OF_TENANT, None, (200, "Groupings"), grouping::list),
    route!(Post "/v1/grouping", ANALYSTS, "makes a grouping rule", &[], Some("GroupingWish"), (201, "Grouping"), grouping::make),
    route!(Delete "/v1/grouping/{name}", ANALYSTS, "ends a grouping rule; its alerts stay", &[], None, (200, "GroupingEnded"), grouping::end),
    route!(Get "/v1/users", ADMINS, "users, without their passwords", &[], None, (200, "Users"), users::list),
    route!(Post "/v1/users", ADMINS, "makes a user; a one-time password is in this answer only", &[], Some("TokenWish"), (201, "UserMade"), users::create),
    route!(Delete "/v1/users/{name}", ADMINS, "deletes a user and ends all sessions of it", &[], None, (200, "User"), users::delete),
    route!(Post "/v1/users/{name}/password", ADMINS, "makes a new one-time password for a user", &[], Some("Empty"), (200, "UserMade"), users::reset),
    route!(Get "/v1/audit", AUDITORS, "who did, changed or was refused what, newest first", AUDIT, None, (200, "Audit"), audit::list),
    route!(Post "/v1/audit/verify", AUDITORS, "verifies the whole history against the ledger and its checkpoints", &[], Some("VerifyWish"), (200, "VerifyReport"), ledger::verify),
    route!(Get "/v1/audit/checkpoint", AUDITORS, "a signed checkpoint over everything recorded so far", &[], None, (200, "Checkpoint"), ledger::checkpoint),
    route!(Get "/v1/audit/runs/{id}/proof", AUDITORS, "the proof that the entries of a run stand in the ledger", &[], None, (200, "RunProof"), ledger::prove),
    route!(Post "/v1/audit/runs/{id}/prove-value", ADMINS, "proves that a value was sent as a secret, which is not stored itself", &[], Some("ValueWish"), (200, "ValueProof"), ledger::prove_value),
    route!(Get "/v1/audit/export", AUDITORS, "an evidence bundle (ZIP) to verify elsewhere", EVIDENCE, None, (200, EVIDENCE_FILE), ledger::export),
    route!(Post "/v1/audit/key/rotate", ADMINS, "signs with a new key from now on", &[], Some("Empty"), (200, "SigningKey"), ledger::rotate),
    route!(Get "/v1/holds", AUDITORS, "legal holds: what retention must not drop", &[], None, (200, "Holds"), ledger::holds),
    route!(Post "/v1/holds", ADMINS, "places a hold on a case, an alert or a run", OF_TENANT, Some("HoldWish"), (201, "Hold"), ledger::hold),
    route!(Delete "/v1/holds/{object}", ADMINS, "lifts a hold", OF_TENANT, None, (200, "Lifted"), ledger::lift_hold),
    route!(Get "/v1/backup", ADMINS, "the whole store as it stands, while the server goes on", &[], None, (200, "Bytes"), backup::write),
    route!(Post "/v1/pause", ANALYSTS, "pauses all automation, or all that leaves", &[], Some("Pause"), (200, "Pauses"), brakes::pause),
    route!(Post "/v1/resume", ANALYSTS, "lifts pauses", &[], Some("Resume"), (200, "Pauses"), brakes::resume),
    route!(Post "/v1/entities/{kind}/{id}/mute", ANALYSTS, "leaves an entity alone until a time: decisions about it are skipped", OF_TENANT, Some("Mute"), (200, "Muted"), brakes::mute),
    route!(Post "/v1/entities/{kind}/{id}/unmute", ANALYSTS, "ends the mute of an entity", OF_TENANT, Some("Empty"), (200, "Unmuted"), brakes::unmute),
    route!(Get "/v1/mutes", READERS, "the muted entities", OF_TENANT, None, (200, "Mutes"), brakes::mutes),
    route!(Get "/v1/status", READERS, "how the server stands", &[], None, (200, "Status"), meta::status),
    route!(Get "/v1/activity", READERS, "events, runs and deliveries of the last day, ten minutes each", &[], None, (200, "Activity"), meta::activity),
    route!(Get "/healthz", Access::Open, "whether the process lives", &[], None, (200, "Health"), meta::healthz),
    route!(Get "/readyz", Access::Open, "whether events are accepted", &[], None, (200, "Health"), meta::readyz),
    route!(Get "/metrics", READERS, "figures for Prometheus", &[], None, (200, "Text"), meta::metrics),
    route!(Get "/openapi.json", Access::Open, "these routes", &[], None, (200, "OpenApi"), meta::openapi),
    route!(Get "/", READERS, "overview", DONE, None, (200, HTML), pages::overview::show),
    form!("/pause", ANALYSTS, "pauses automation, from the overview", pages::overview::pause),
    form!("/resume", ANALYSTS, "lifts a pause, from the overview", pages::overview::resume),
    route!(Get "/runs", READERS, "runs, for people", RUNS, None, (200, HTML), pages::runs::list),
    route!(Get "/runs/{id}", READERS, "a run, for people", DONE, None, (200, HTML), pages::run::show),
    form!("/runs/{id}/again", ANALYSTS, "repeats a run as a new one, from its page", pages::run::again_posted),
    form!("/runs/{id}/cancel", ANALYSTS, "stops a run, from its page", pages::run::cancel),
    route!(Get "/events", READERS, "events, for people", EVENTS, None, (200, HTML), pages::events::list),
    route!(Get "/events/{id}", READERS, "why playbooks ran or did not run for an event, for people", &[], None, (200, HTML), pages::event::show),
    route!(Get "/alerts", READERS, "alerts, for people", ALERTS, None, (200, HTML), pages::objects::alerts),
    route!(Get "/alerts/{id}", READERS, "an alert, for people", OBJECT_PAGE, None, (200, HTML), pages::object::alert),
    form!(
        "/alerts/{id}/change",
        ANALYSTS,
        "changes fields of an alert, from its page",
        pages::object_forms::change_alert
    ),
    form!("/alerts/{id}/comment", ANALYSTS, "comments an alert, from its page", pages::object_forms::comment_alert),
    form!("/alerts/{id}/send", ANALYSTS, "sends an alert by hand, from its page", pages::object_forms::send_alert),
    route!(Get "/alerts/{id}/files/{file}", READERS, "a file of an alert, to be saved", OF_TENANT, None, (200, HTML), pages::attachments::of_alert),
    upload!(
        "/alerts/{id}/attach",
        ANALYSTS,
        "attaches a file, from the page of an alert",
        engine::attach::BYTES_MAX,
        pages::attachments::to_alert
    ),
    form!(
        "/alerts/{id}/detach",
        ANALYSTS,
        "takes a file off, from the page of an alert",
        pages::attachments::off_alert
    ),
    route!(Get "/cases", READERS, "cases, for people", OBJECTS, None, (200, HTML), pages::objects::cases),
    route!(Get "/cases/{id}", READERS, "a case, for people", OBJECT_PAGE, None, (200, HTML), pages::object::case),
    form!("/cases/{id}/change", ANALYSTS, "changes fields of a case, from its page", pages::object_forms::change_case),
    form!("/cases/{id}/comment", ANALYSTS, "comments a case, from its page", pages::object_forms::comment_case),
    form!("/cases/{id}/send", ANALYSTS, "sends a case by hand, from its page", pages::object_forms::send_case),
    route!(Get "/cases/{id}/files/{file}", READERS, "a file of a case, to be saved", OF_TENANT, None, (200, HTML), pages::attachments::of_case),
    upload!(
        "/cases/{id}/attach",
        ANALYSTS,
        "attaches a file, from the page of a case",
        engine::attach::BYTES_MAX,
        pages::attachments::to_case
    ),
    form!("/cases/{id}/detach", ANALYSTS, "takes a file off, from the page of a case", pages::attachments::off_case),
    form!("/searches", READERS, "saves a search, from a list", pages::searches::save),
    form!("/searches/delete", READERS, "deletes a saved search, from a list", pages::searches::delete),
    route!(Get "/watchlist", READERS, "who is watched and who is muted, for people", WATCHLIST_PAGE, None, (200, HTML), pages::watchlist::show),
    form!("/watchlist", ANALYSTS, "puts an entity on the watchlist, from its page", pages::watchlist::add),
    form!("/watchlist/remove", ANALYSTS, "takes an entity off the watchlist, from its page", pages::watchlist::remove),
    form!("/mutes", ANALYSTS, "mutes an entity, from the page of the watchlist", pages::watchlist::mute),
    form!("/mutes/end", ANALYSTS, "ends a mute, from the page of the watchlist", pages::watchlist::unmute),
    route!(Get "/playbooks", READERS, "playbooks, for people", PAGE, None, (200, HTML), pages::playbooks::list),
    route!(Get "/playbooks/{id}", READERS, "a playbook, for people", PLAYBOOK_PAGE, None, (200, HTML), pages::playbook::show),
    form!("/playbooks/{id}/switch", AUTHORS, "switches a playbook on or off, from its page", pages::playbook::switch),
    form!("/playbooks/{id}/run", STARTERS, "runs a playbook by hand, from its page", pages::playbook::run_by_hand),
    form!("/playbooks/{id}/test", AUTHORS, "carries out the tests of a playbook, from its page", pages::tryout::test),
    form!("/playbooks/{id}/backtest", AUTHORS, "tries a playbook on the past, from its page", pages::tryout::backtest),
    route!(Get "/destinations", READERS, "destinations, for people", DESTINATIONS_PAGE, None, (200, HTML), pages::destinations::list),
    form!(
        "/destinations",
        AUTHORS,
        "makes a destination or tries it out, from its form",
        pages::destination_form::make
    ),
    route!(Get "/destinations/_new", AUTHORS, "the form of a new destination", &[], None, (200, HTML), pages::destination_form::blank),
    route!(Get "/destinations/{id}", READERS, "a destination, for people", DONE, None, (200, HTML), pages::destinations::show),
    form!(
        "/destinations/{id}/test",
        AUTHORS,
        "sends a test message, from the page of a destination",
        pages::destinations::test
    ),
    form!(
        "/destinations/{id}/switch",
        AUTHORS,
        "switches a destination on or off, from its page",
        pages::destinations::switch
    ),
    form!(
        "/destinations/{id}/validate",
        AUTHORS,
        "asks the login for a token, from the page of a destination",
        pages::destinations::validate
    ),
    route!(Get "/destinations/{id}/edit", AUTHORS, "the form that changes a destination", &[], None, (200, HTML), pages::destination_form::edit),
    form!(
        "/destinations/{id}/change",
        AUTHORS,
        "changes a destination, from its form",
        pages::destination_form::change
    ),
    form!(
        "/destinations/{id}/delete",
        AUTHORS,
        "deletes a destination, from its page",
        pages::destination_form::delete
    ),
    route!(Get "/deliveries", READERS, "deliveries, for people", RUNS, None, (200, HTML), pages::deliveries::list),
    route!(Get "/deliveries/{id}", READERS, "a delivery, for people", DONE, None, (200, HTML), pages::deliveries::show),
    form!("/deliveries/{id}/again", ANALYSTS, "sends a failed delivery again, from its page", pages::deliveries::again),
    form!(
        "/deliveries/again",
        ANALYSTS,
        "sends failed deliveries again, from their list",
        pages::deliveries::again_all
    ),
    route!(Get "/approvals", READERS, "what playbooks ask people, for people", APPROVALS_PAGE, None, (200, HTML), pages::approvals::list),
    form!("/approvals/{id}", APPROVERS, "answers a question, from its page", pages::approvals::answer),
    route!(Get "/audit", AUDITORS, "who did, changed or was refused what, for people", AUDIT, None, (200, HTML), pages::audit::list),
    form!("/audit/verify", AUDITORS, "verifies the whole history, from its page", pages::audit::verify),
    route!(Get "/audit/export", AUDITORS, "an evidence bundle (ZIP), from its page", EVIDENCE, None, (200, EVIDENCE_FILE), pages::audit::export),
    route!(Get "/sign-in", Access::Open, "the page of signing in", TO, None, (200, HTML), pages::sign_in::show),
    route!(Post "/sign-in", Access::Open, "signs in", &[], Some("Form"), (303, HTML), |call| pages::form::posted_by_anyone(call, pages::sign_in::enter)),
    route!(Get "/sign-in/oidc", Access::Open, "signs in through the identity provider", TO, None, (303, HTML), pages::oidc::begin),
    route!(Get "/sign-in/oidc/callback", Access::Open, "where the identity provider sends the browser back to", CALLBACK, None, (200, HTML), pages::oidc::come_back),
    form!("/sign-out", READERS, "signs out", pages::sign_in::leave),
    route!(Get "/account", READERS, "who one is, and the form that chooses another password", DONE, None, (200, HTML), pages::account::show),
    form!("/account/password", READERS, "chooses another password", pages::account::password),
    route!(Get "/static/{name}", Access::Open, "style, script and icon of the pages", VERSION, None, (200, "Bytes"), pages::assets::show),
];

/// The router made from the table.
pub(crate) fn router(app: Arc<App>) -> Router {
    let paths: std::collections::BTreeSet<&'static str> = ROUTES.iter().map(|route| route.path).collect();
    let mut router = Router::new();
    for path in paths {
        let mut methods = MethodRouter::new();
        for route in ROUTES.iter().filter(|route| route.path == path) {
            let app = Arc::clone(&app);
            let answer = move |params: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
                               request: Request| {
                dispatch::run(Arc::clone(&app), route, params.ok(), request)
            };
            methods = methods.on(route.verb.filter(), answer);
        }
        router = router.route(path, methods);
    }
    let also = Arc::clone(&app);
    router
        .fallback(move |request: Request| async move {
            let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "no page and no route has this address");
            dispatch::nowhere(&app, &request, &problem)
        })
        .method_not_allowed_fallback(move |request: Request| async move {
            let detail = "this path does not know this method; `Allow` names those that it knows";
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
            dispatch::nowhere(&also, &request, &problem)
        })
}
