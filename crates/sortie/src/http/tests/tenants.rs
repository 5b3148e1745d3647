//! A token of one tenant sees that tenant and nothing that tells of others.

use super::Server;
use crate::auth::Role;

async fn server() -> (Server, String) {
    let server = Server::with_tenants(&["acme", "bolt"]).await;
    let acme = server.token(Role::Admin, Some("acme")).await;
    for (tenant, id) in [("acme", "A-1"), ("bolt", "B-1"), ("acme", "X"), ("bolt", "X")] {
        let body =
            format!(r#"{{"type":"alert.created","tenant":"{tenant}","alert":{{"id":"{id}","name":"{tenant}"}}}}"#);
        assert_eq!(server.event(&body).await.status, 202);
    }
    (server, acme)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_are_filtered_and_what_is_not_visible_does_not_exist() {
    let (server, acme) = server().await;
    for path in ["/v1/alerts", "/v1/events", "/v1/audit"] {
        let own = server.get(path, &acme).await;
        assert_eq!(own.status, 200, "{path}");
        let all = server.get(path, &server.admin).await.json().to_string();
        assert!(own.json().to_string().contains("acme") || own.json().to_string().contains("A-1"), "{path}");
        assert!(!own.json().to_string().contains("bolt"), "{path}: {}", own.json());
        assert!(all.contains("bolt"), "{path}");
    }
    assert_eq!(server.get("/v1/alerts/A-1", &acme).await.status, 200);
    for path in ["/v1/alerts/B-1", "/v1/alerts/B-1?tenant=bolt", "/v1/alerts?tenant=bolt", "/v1/alerts/B-1/history"] {
        assert_eq!(server.get(path, &acme).await.status, 404, "{path}");
    }
    let events = server.get("/v1/events", &server.admin).await.json();
    let other = events["items"].as_array().unwrap().iter().find(|e| e["tenant"] == "bolt").unwrap();
    let path = format!("/v1/events/{}", other["event_id"].as_str().unwrap());
    assert_eq!(server.get(&path, &server.admin).await.status, 200);
    assert_eq!(server.get(&path, &acme).await.status, 404);
    assert_eq!(server.get(&path.replace("events", "explain"), &acme).await.status, 404);
    assert_eq!(server.get("/metrics", &acme).await.status, 403);
    assert_eq!(server.get("/v1/tokens", &acme).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_in_two_tenants_asks_which_one_is_meant() {
    let (server, acme) = server().await;
    assert_eq!(server.get("/v1/alerts/X", &server.admin).await.code(), (409, "ambiguous_tenant".to_owned()));
    assert_eq!(server.get("/v1/alerts/X?tenant=bolt", &server.admin).await.json()["name"], "bolt");
    assert_eq!(server.get("/v1/alerts/X", &acme).await.json()["name"], "acme");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_a_tenant_or_with_an_unknown_one_is_refused() {
    let (server, _) = server().await;
    for tenant in ["", r#""tenant":"nobody","#] {
        let body = format!(r#"{{"type":"alert.created",{tenant}"alert":{{"id":"A-2"}}}}"#);
        assert_eq!(server.event(&body).await.status, 400);
    }
}
