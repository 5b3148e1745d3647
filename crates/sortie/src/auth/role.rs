//! The six roles, and sets of them. Which set a request needs stands in one table, `http::table`.

use serde::{Deserialize, Serialize};

/// What a token's holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Everything, tokens and secrets included.
    Admin,
    /// Reads, and writes playbooks and destinations without secrets, tests, runs by hand.
    Author,
    /// Reads, and changes alerts and cases, sends and runs by hand, cancels, retries, redelivers.
    Analyst,
    /// Reads, and decides approvals.
    Approver,
    /// Reads, and the audit trail.
    Auditor,
    /// Reads.
    Viewer,
}

impl Role {
    /// All of them, the strongest first.
    pub(crate) const ALL: [Role; 6] =
        [Role::Admin, Role::Author, Role::Analyst, Role::Approver, Role::Auditor, Role::Viewer];

    /// The name in the API and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Author => "author",
            Role::Analyst => "analyst",
            Role::Approver => "approver",
            Role::Auditor => "auditor",
            Role::Viewer => "viewer",
        }
    }

    /// The role of this name.
    pub(crate) fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether it may see what receivers answered: their answers can hold what an internal service says (and only that
    /// is why someone who merely reads does not see them).
    pub(crate) const fn sees_answers(self) -> bool {
        matches!(self, Role::Admin | Role::Author | Role::Analyst | Role::Auditor)
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles(u8);

impl Roles {
    /// Everyone who has a token.
    pub(crate) const READERS: Roles = Roles::of(&Role::ALL);
    /// Who reads the audit trail.
    pub(crate) const AUDITORS: Roles = Roles::of(&[Role::Auditor, Role::Admin]);
    /// Who changes alerts and cases, and steers runs.
    pub(crate) const ANALYSTS: Roles = Roles::of(&[Role::Analyst, Role::Admin]);
    /// Who starts playbooks by hand.
    pub(crate) const STARTERS: Roles = Roles::of(&[Role::Analyst, Role::Author, Role::Admin]);
    /// Who writes playbooks and destinations.
    pub(crate) const AUTHORS: Roles = Roles::of(&[Role::Author, Role::Admin]);
    /// Who answers what playbooks ask.
    pub(crate) const APPROVERS: Roles = Roles::of(&[Role::Approver, Role::Admin]);
    /// Who rules.
    pub(crate) const ADMINS: Roles = Roles::of(&[Role::Admin]);

    const fn of(roles: &[Role]) -> Roles {
        let mut bits = 0;
        let mut i = 0;
        while i < roles.len() {
            bits |= 1 << roles[i] as u8;
            i += 1;
        }
        Roles(bits)
    }

    /// Whether the role is one of them.
    pub(crate) const fn contains(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Their names, the strongest first, for people.
    pub(crate) fn names(self) -> String {
        let names: Vec<&str> = Role::ALL.into_iter().filter(|role| self.contains(*role)).map(Role::name).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_is_in_every_set_and_a_viewer_only_reads() {
        for set in [Roles::AUDITORS, Roles::ANALYSTS, Roles::STARTERS, Roles::AUTHORS, Roles::ADMINS] {
            assert!(set.contains(Role::Admin));
            assert!(!set.contains(Role::Viewer));
        }
        assert!(Role::ALL.into_iter().all(|role| Roles::READERS.contains(role)));
    }

    #[test]
    fn names_are_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
        }
        assert_eq!(Role::from_name("root"), None);
    }
}
