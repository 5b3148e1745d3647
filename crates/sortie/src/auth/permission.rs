//! What a token may do, in the words of those who give tokens out: each permission with the roles that hold it, and which
//! permission each route needs.
//!
//! Invariants: this is the one place where a request is allowed or not. A route whose resource does not stand in
//! [`Permission::of`] fails a test, and so does one whose line in the table of routes names other roles than those that
//! hold its permission.

use super::{Role, Roles};
use crate::http::route::Verb;

macro_rules! permissions {
    ($($name:ident $text:literal $roles:expr;)*) => {
        /// One thing that a token may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Permission {
            $(#[doc = $text] $name,)*
        }

        impl Permission {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Permission] = &[$(Permission::$name,)*];

            /// Its name for people.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Permission::$name => $text,)* }
            }

            /// The roles that hold it.
            pub(crate) const fn roles(self) -> Roles {
                match self { $(Permission::$name => $roles,)* }
            }
        }
    };
}
permissions! {
    AlertsRead "alerts: read" Roles::READERS;
    AlertsWrite "alerts: read, write and delete" Roles::ANALYSTS;
    CasesRead "cases: read" Roles::READERS;
    CasesWrite "cases: read, write and delete" Roles::ANALYSTS;
    GroupingRead "detection grouping rules: read" Roles::READERS;
    GroupingWrite "detection grouping rules: read, write and delete" Roles::ANALYSTS;
    WatchlistRead "watchlist: read" Roles::READERS;
    WatchlistWrite "watchlist: read, write and delete" Roles::ANALYSTS;
    WebhooksRead "webhooks: read" Roles::READERS;
    WebhooksWrite "webhooks: read, write and delete" Roles::AUTHORS;
    WebhooksSend "webhooks: send by hand" Roles::ANALYSTS;
    PlaybooksRead "playbooks: read" Roles::READERS;
    PlaybooksWrite "playbooks: read, write and delete" Roles::AUTHORS;
    PlaybooksRun "playbooks: run by hand" Roles::STARTERS;
    RunsRead "runs: read" Roles::READERS;
    RunsSteer "runs: cancel and retry" Roles::ANALYSTS;
    EventsRead "events: read" Roles::READERS;
    SearchesOwn "searches: read and save" Roles::READERS;
    NotificationsRead "notifications: read" Roles::READERS;
    NotificationsWrite "notifications: read, write and delete" Roles::ANALYSTS;
    ApprovalsRead "approvals: read" Roles::READERS;
    ApprovalsDecide "approvals: decide" Roles::APPROVERS;
    AuditRead "audit: read and export" Roles::AUDITORS;
    AuditKeep "audit: keys and holds" Roles::ADMINS;
    Brakes "automation: pause and mute" Roles::ANALYSTS;
    ServerRead "server: read" Roles::READERS;
    SessionOwn "session: end one's own" Roles::READERS;
    Tokens "tokens and users: read, write and delete" Roles::ADMINS;
    Secrets "secrets: name, write and delete" Roles::ADMINS;
    Backup "backup: write" Roles::ADMINS;
}

impl Permission {
    /// What a route of the API or of the pages needs, by its resource and whether it reads; nothing for a resource that is
    /// not known here.
    pub(crate) fn of(verb: Verb, path: &str) -> Option<Permission> {
        use Permission as P;
        let path = path.strip_prefix("/v1").unwrap_or(path);
        let mut parts = path.trim_start_matches('/').split('/');
        let (resource, last) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
        let or = |read: Permission, write: Permission| if verb == Verb::Get { read } else { write };
        Some(match (resource, last) {
            ("alerts" | "cases", "send") => P::WebhooksSend,
            ("alerts", _) => or(P::AlertsRead, P::AlertsWrite),
            ("cases", _) => or(P::CasesRead, P::CasesWrite),
            ("grouping", _) => or(P::GroupingRead, P::GroupingWrite),
            ("watchlist", _) => or(P::WatchlistRead, P::WatchlistWrite),
            ("destinations", "_new" | "edit") => P::WebhooksWrite,
            ("destinations", _) => or(P::WebhooksRead, P::WebhooksWrite),
            ("deliveries", _) => or(P::WebhooksRead, P::WebhooksSend),
            ("playbooks", "run") => P::PlaybooksRun,
            ("playbooks", _) => or(P::PlaybooksRead, P::PlaybooksWrite),
            ("runs", _) => or(P::RunsRead, P::RunsSteer),
            ("events" | "explain" | "history", _) => P::EventsRead,
            ("searches", _) => P::SearchesOwn,
            ("notifications", _) => or(P::NotificationsRead, P::NotificationsWrite),
            ("approvals", _) => or(P::ApprovalsRead, P::ApprovalsDecide),
            ("audit", "rotate" | "prove-value") => P::AuditKeep,
            ("audit", _) => P::AuditRead,
            ("holds", _) => or(P::AuditRead, P::AuditKeep),
            ("pause" | "resume" | "entities", _) => P::Brakes,
            ("mutes", _) => or(P::ServerRead, P::Brakes),
            ("stats" | "status" | "activity" | "metrics" | "", _) => P::ServerRead,
            ("sign-out" | "account", _) => P::SessionOwn,
            ("tokens" | "users", _) => P::Tokens,
            ("secrets", _) => P::Secrets,
            ("backup", _) => P::Backup,
            _ => return None,
        })
    }

    /// Whether a role holds it.
    pub(crate) const fn is_held_by(self, role: Role) -> bool {
        self.roles().contains(role)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::http::route::Access;
    use crate::http::table::ROUTES;

    #[test]
    fn every_route_needs_one_permission_and_its_roles_are_those_that_hold_it() {
        let mut asked = 0;
        for route in ROUTES {
            let Access::Roles(roles) = route.access else { continue };
            let line = format!("{} {}", route.verb.name(), route.path);
            let Some(permission) = Permission::of(route.verb, route.path) else {
                panic!("{line} stands in no permission: give its resource a line in `Permission::of`");
            };
            assert_eq!(permission.roles(), roles, "{line} needs `{}`", permission.name());
            asked += 1;
        }
        assert!(asked > 40, "{asked}");
    }

    #[test]
    fn who_reads_neither_writes_nor_steers() {
        for permission in Permission::ALL.iter().filter(|one| one.is_held_by(Role::Viewer)) {
            let harmless = permission.name().contains("read") || permission.name().contains("own");
            assert!(harmless, "{}", permission.name());
        }
        assert!(Permission::ALL.iter().all(|one| one.is_held_by(Role::Admin)));
    }

    /// `BLESS=1 cargo test -p sortie permission` writes the page anew.
    #[test]
    fn the_page_about_permissions_is_that_of_the_code() {
        let mut page = "# Permissions\n\nA token has a role; a role is a set of permissions. Every route of the API and every page needs one of them, checked in one\n\
                        place before the request is read. What belongs to a tenant that the token is not bound to answers 404. This page is made\nfrom the code.\n\n"
            .to_owned();
        let heads: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        writeln!(page, "| permission | {} |", heads.join(" | ")).unwrap();
        writeln!(page, "|---|{}", "---|".repeat(heads.len())).unwrap();
        for permission in Permission::ALL {
            let marks: Vec<&str> =
                Role::ALL.iter().map(|role| if permission.is_held_by(*role) { "yes" } else { "" }).collect();
            writeln!(page, "| {} | {} |", permission.name(), marks.join(" | ")).unwrap();
        }
        page.push_str(
            "\nA destination with `auth` or `sign` places a secret: only the role admin makes one, or changes where it goes. Which\n\
             route needs what: [HTTP](http.md).\n",
        );
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/permissions.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == page, "docs/reference/permissions.md is old: BLESS=1 cargo test -p sortie permission");
    }
}
