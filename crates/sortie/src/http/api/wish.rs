//! What tokens and users have in common when they are made: a name, a role, a tenant; and who may rule over what concerns
//! all tenants.

use axum::http::StatusCode;
use serde::Deserialize;

use super::super::problem::Problem;
use super::super::route::Call;
use crate::auth::Role;
use crate::auth::token::is_name;

/// What a new token or user is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Its name.
    pub(super) name: String,
    role: String,
    /// The only tenant that it sees.
    #[serde(default)]
    pub(super) tenant: Option<String>,
}

impl Wish {
    /// The role, once name, role and tenant are such as there are.
    ///
    /// # Errors
    /// 400 with what is wrong.
    pub(super) fn role(&self, call: &Call) -> Result<Role, Problem> {
        if !is_name(&self.name) {
            return Err(Problem::bad("invalid_name", "`name` has 1 to 64 letters, digits and `-_.@`"));
        }
        let role = Role::from_name(&self.role).ok_or_else(|| {
            let known = Role::ALL.map(Role::name).join(", ");
            Problem::bad("invalid_role", format!("`role` is one of {known}"))
        })?;
        if let Some(tenant) = &self.tenant {
            let known = call.app.settings.tenants.as_ref().map_or(tenant == "default", |all| all.contains(tenant));
            if !known {
                return Err(Problem::bad("unknown_tenant", format!("there is no tenant `{tenant}`")));
            }
        }
        Ok(role)
    }
}

/// Refuses a caller that is bound to a tenant what concerns all of them; `why` says it to that caller.
///
/// # Errors
/// 403.
pub(super) fn must_see_all(call: &Call, why: &'static str) -> Result<(), Problem> {
    match call.caller.tenant {
        None => Ok(()),
        Some(_) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", why)),
    }
}
