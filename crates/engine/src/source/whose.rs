//! Whose an event is.

use model::record::Problem;

use super::{Context, Source};

/// The tenant of everything where none are configured.
const DEFAULT_TENANT: &str = "default";

/// Whose event it is: what the source or token is bound to, else what the event says.
pub(super) fn tenant(
    source: &Source,
    ctx: &Context<'_>,
    said: Option<String>,
    warnings: &mut Vec<String>,
) -> Result<String, Problem> {
    let problem = |message: String| Problem { path: "tenant".to_owned(), message };
    let said = match (&source.tenants, said) {
        (Some(names), Some(said)) => match names.get(&said) {
            Some(Some(tenant)) => return Ok(tenant.clone()),
            Some(None) => return Err(problem(format!("`{said}` is switched off"))),
            None => Some(said),
        },
        (_, said) => said,
    };
    // What a product calls its customers are rarely our names: it counts where it is one of them, and the source decides.
    let said = match ctx.tenants {
        _ if !source.shape.lenient() => said,
        Some(known) => said.filter(|said| ctx.tenant.is_none() && known.contains(said)),
        None => None,
    };
    let Some(known) = ctx.tenants else {
        if let Some(said) = said.filter(|said| said != DEFAULT_TENANT) {
            warnings.push(format!("`tenant` {said} is not used: no tenants are configured"));
        }
        return Ok(DEFAULT_TENANT.to_owned());
    };
    let name = match (ctx.tenant, said) {
        (Some(bound), Some(said)) if bound != said => {
            return Err(problem("it is not the tenant of this source".to_owned()));
        }
        (Some(bound), _) => bound.to_owned(),
        (None, Some(said)) => said,
        (None, None) => return Err(problem("it is missing, and tenants are configured".to_owned())),
    };
    if known.contains(&name) { Ok(name) } else { Err(problem("there is no such tenant".to_owned())) }
}
