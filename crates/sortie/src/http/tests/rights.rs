//! Every route, asked by every role and by nobody; and what is recorded of refusals.

use super::Server;
use crate::auth::brake::FAILURES_MAX;
use crate::auth::{Role, Roles};
use crate::http::route::{Access, Route};
use crate::http::table::ROUTES;

/// The permissions as they are meant, apart from the table, so that a slip there shows. `*` is everyone with a token.
const MEANT: &str = "\
POST /v1/in/{source}: sender
POST /v1/in/{source}/{token}: sender
OPTIONS /v1/in/{source}: sender
OPTIONS /v1/in/{source}/{token}: sender
GET /v1/runs: *
GET /v1/runs/{id}: *
POST /v1/runs/{id}/cancel: admin, analyst
POST /v1/runs/{id}/retry: admin, analyst
GET /v1/events: *
GET /v1/events/{id}: *
GET /v1/explain/{id}: *
GET /v1/history/events: *
GET /v1/alerts: *
GET /v1/alerts/{id}: *
PATCH /v1/alerts/{id}: admin, analyst
GET /v1/alerts/{id}/history: *
POST /v1/alerts/{id}/comments: admin, analyst
POST /v1/alerts/{id}/send: admin, analyst
GET /v1/alerts/{id}/attachments: *
POST /v1/alerts/{id}/attachments: admin, analyst
GET /v1/alerts/{id}/attachments/{file}: *
DELETE /v1/alerts/{id}/attachments/{file}: admin, analyst
GET /v1/cases: *
GET /v1/cases/{id}: *
PATCH /v1/cases/{id}: admin, analyst
GET /v1/cases/{id}/history: *
POST /v1/cases/{id}/comments: admin, analyst
POST /v1/cases/{id}/send: admin, analyst
GET /v1/cases/{id}/attachments: *
POST /v1/cases/{id}/attachments: admin, analyst
GET /v1/cases/{id}/attachments/{file}: *
DELETE /v1/cases/{id}/attachments/{file}: admin, analyst
GET /v1/searches: *
POST /v1/searches: *
GET /v1/searches/{name}: *
DELETE /v1/searches/{name}: *
GET /v1/stats: *
GET /v1/notifications: *
POST /v1/notifications: admin, analyst
DELETE /v1/notifications/{name}: admin, analyst
GET /v1/deliveries: *
GET /v1/deliveries/{id}: *
POST /v1/deliveries/redeliver: admin, analyst
POST /v1/deliveries/{id}/redeliver: admin, analyst
GET /v1/approvals: *
GET /v1/approvals/{id}: *
POST /v1/approvals/{id}: admin, approver
GET /v1/playbooks: *
GET /v1/playbooks/{id}: *
GET /v1/playbooks/{id}/versions: *
GET /v1/playbooks/{id}/versions/{digest}: *
POST /v1/playbooks/{id}/enable: admin, author
POST /v1/playbooks/{id}/disable: admin, author
POST /v1/playbooks/{id}/run: admin, author, analyst
POST /v1/playbooks/{id}/test: admin, author
POST /v1/playbooks/{id}/backtest: admin, author
GET /v1/destinations: *
GET /v1/destinations/{id}: *
POST /v1/destinations: admin, author
PATCH /v1/destinations/{id}: admin, author
DELETE /v1/destinations/{id}: admin, author
POST /v1/destinations/{id}/enable: admin, author
POST /v1/destinations/{id}/disable: admin, author
POST /v1/destinations/test: admin, author
POST /v1/destinations/{id}/test: admin, author
POST /v1/destinations/validate: admin, author
POST /v1/destinations/{id}/validate: admin, author
GET /v1/secrets: admin
POST /v1/secrets: admin
DELETE /v1/secrets/{name}: admin
GET /v1/tokens: admin
POST /v1/tokens: admin
DELETE /v1/tokens/{name}: admin
GET /v1/watchlist: *
POST /v1/watchlist: admin, analyst
DELETE /v1/watchlist/{kind}/{id}: admin, analyst
GET /v1/grouping: *
POST /v1/grouping: admin, analyst
DELETE /v1/grouping/{name}: admin, analyst
GET /v1/users: admin
POST /v1/users: admin
DELETE /v1/users/{name}: admin
POST /v1/users/{name}/password: admin
GET /v1/audit: admin, auditor
POST /v1/audit/verify: admin, auditor
GET /v1/audit/checkpoint: admin, auditor
GET /v1/audit/runs/{id}/proof: admin, auditor
POST /v1/audit/runs/{id}/prove-value: admin
GET /v1/audit/export: admin, auditor
POST /v1/audit/key/rotate: admin
GET /v1/holds: admin, auditor
POST /v1/holds: admin
DELETE /v1/holds/{object}: admin
GET /v1/backup: admin
POST /v1/pause: admin, analyst
POST /v1/resume: admin, analyst
POST /v1/entities/{kind}/{id}/mute: admin, analyst
POST /v1/entities/{kind}/{id}/unmute: admin, analyst
GET /v1/mutes: *
GET /v1/status: *
GET /v1/activity: *
GET /healthz: open
GET /readyz: open
GET /metrics: *
GET /openapi.json: open
GET /: *
POST /pause: admin, analyst
POST /resume: admin, analyst
GET /runs: *
GET /runs/{id}: *
POST /runs/{id}/again: admin, analyst
POST /runs/{id}/cancel: admin, analyst
GET /events: *
GET /events/{id}: *
GET /alerts: *
GET /alerts/{id}: *
POST /alerts/{id}/change: admin, analyst
POST /alerts/{id}/comment: admin, analyst
POST /alerts/{id}/send: admin, analyst
GET /alerts/{id}/files/{file}: *
POST /alerts/{id}/attach: admin, analyst
POST /alerts/{id}/detach: admin, analyst
GET /cases: *
GET /cases/{id}: *
POST /cases/{id}/change: admin, analyst
POST /cases/{id}/comment: admin, analyst
POST /cases/{id}/send: admin, analyst
GET /cases/{id}/files/{file}: *
POST /cases/{id}/attach: admin, analyst
POST /cases/{id}/detach: admin, analyst
POST /searches: *
POST /searches/delete: *
GET /watchlist: *
POST /watchlist: admin, analyst
POST /watchlist/remove: admin, analyst
POST /mutes: admin, analyst
POST /mutes/end: admin, analyst
GET /playbooks: *
GET /playbooks/{id}: *
POST /playbooks/{id}/switch: admin, author
POST /playbooks/{id}/run: admin, author, analyst
POST /playbooks/{id}/test: admin, author
POST /playbooks/{id}/backtest: admin, author
GET /destinations: *
POST /destinations: admin, author
GET /destinations/_new: admin, author
GET /destinations/{id}: *
POST /destinations/{id}/test: admin, author
POST /destinations/{id}/switch: admin, author
POST /destinations/{id}/validate: admin, author
GET /destinations/{id}/edit: admin, author
POST /destinations/{id}/change: admin, author
POST /destinations/{id}/delete: admin, author
GET /deliveries: *
GET /deliveries/{id}: *
POST /deliveries/{id}/again: admin, analyst
POST /deliveries/again: admin, analyst
GET /approvals: *
POST /approvals/{id}: admin, approver
GET /audit: admin, auditor
POST /audit/verify: admin, auditor
GET /audit/export: admin, auditor
GET /sign-in: open
POST /sign-in: open
GET /sign-in/oidc: open
GET /sign-in/oidc/callback: open
POST /sign-out: *
GET /account: *
POST /account/password: *
GET /static/{name}: open
";

fn line(route: &Route) -> String {
    let who = match route.access {
        Access::Open => "open".to_owned(),
        Access::Sender => "sender".to_owned(),
        Access::Roles(roles) if roles == Roles::READERS => "*".to_owned(),
        Access::Roles(roles) => roles.names(),
    };
    format!("{} {}: {who}\n", route.verb.name(), route.path)
}

#[test]
fn the_table_says_what_is_meant() {
    assert_eq!(ROUTES.iter().map(line).collect::<String>(), MEANT);
}

#[test]
fn the_reference_names_every_route_and_no_other() {
    let page = include_str!("../../../../../docs/reference/http.md");
    let named = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).map(|(request, _)| request);
    let named: Vec<&str> = named.filter(|request| request.contains(" /")).collect();
    let routes: Vec<String> = ROUTES.iter().map(|route| format!("{} {}", route.verb.name(), route.path)).collect();
    assert_eq!(named, routes);
}

/// A path of the route that leads to nothing.
fn path(route: &Route) -> String {
    route
        .path
        .replace("{id}", "none")
        .replace("{kind}", "host")
        .replace("{file}", "none")
        .replace("{name}", "none")
        .replace("{digest}", "none")
        .replace("{source}", "generic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_lets_in_its_roles_and_nobody_else() {
    let server = Server::start().await;
    let mut asked = 0;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, server.token(role, None).await));
    }
    for route in ROUTES {
        let Access::Roles(roles) = route.access else { continue };
        let nobody = server.ask(route.verb.name(), &path(route), &[], b"").await;
        assert_eq!(nobody.status, 401, "{}", line(route));
        for (role, token) in &tokens {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            let reply = server.ask(route.verb.name(), &path(route), &headers, b"").await;
            let case = format!("{} as {}: {}", line(route), role.name(), reply.status);
            if roles.contains(*role) {
                assert!(![401, 403, 404, 405].contains(&reply.status) || reply.json()["detail"].is_string(), "{case}");
                assert!(![401, 403, 405, 500].contains(&reply.status), "{case}");
            } else {
                assert_eq!(reply.code(), (403, "forbidden".to_owned()), "{case}");
            }
            asked += 1;
        }
    }
    assert!(asked >= 6 * 30, "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_down_and_recorded_and_locks_nobody_out() {
    let server = Server::start().await;
    let mut statuses = Vec::new();
    for n in 0..FAILURES_MAX + 2 {
        statuses.push(server.get("/v1/runs", &format!("sortie_guess{n}")).await.status);
    }
    assert_eq!(statuses.iter().filter(|s| **s == 401).count(), FAILURES_MAX as usize);
    let slowed = server.get("/v1/runs", "sortie_guess").await;
    assert_eq!(slowed.code(), (429, "too_many_attempts".to_owned()));
    assert!(slowed.header("retry-after").is_some());
    assert_eq!(server.get("/v1/runs", &server.admin).await.status, 200);
    let trail = server.get("/v1/audit?action=refused", &server.admin).await.json();
    let refused = trail["items"].as_array().unwrap();
    assert!(refused.len() > FAILURES_MAX as usize, "{}", refused.len());
    assert_eq!(refused[0]["detail"]["peer"], "127.0.0.1");
    assert!(!trail.to_string().contains("guess"), "what was presented is recorded nowhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_until_it_is_deleted_and_is_shown_once() {
    let server = Server::start().await;
    let made = server.post("/v1/tokens", &server.admin, r#"{"name":"bob","role":"viewer"}"#).await;
    assert_eq!(made.status, 201);
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(server.get("/v1/runs", &secret).await.status, 200);
    assert!(!server.get("/v1/tokens", &server.admin).await.json().to_string().contains(&secret));
    let again = server.post("/v1/tokens", &server.admin, r#"{"name":"bob","role":"admin"}"#).await;
    assert_eq!(again.code(), (409, "name_taken".to_owned()));
    let bearer = format!("Bearer {}", server.admin);
    let gone = server.ask("DELETE", "/v1/tokens/bob", &[("authorization", &bearer)], b"").await;
    assert_eq!(gone.status, 200);
    assert_eq!(server.get("/v1/runs", &secret).await.status, 401);
    let last = server.ask("DELETE", "/v1/tokens/admin", &[("authorization", &bearer)], b"").await;
    assert_eq!(last.code(), (409, "last_admin".to_owned()));
    let trail = server.get("/v1/audit?actor=admin&object=token:bob", &server.admin).await.json();
    let actions: Vec<_> = trail["items"].as_array().unwrap().iter().map(|i| i["action"].clone()).collect();
    assert_eq!(actions, ["token.deleted", "token.created"]);
}
