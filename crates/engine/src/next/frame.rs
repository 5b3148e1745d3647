//! Where a list of steps stands in a run: the path before it, the rounds around it, the error that it handles.

use std::sync::Arc;

use model::run::RunState;
use playbook::{Body, Step};

/// A list of steps with everything around it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Frame<'a>(Arc<Level<'a>>);

#[derive(Debug)]
struct Level<'a> {
    steps: &'a [Step],
    prefix: String,
    around: Around<'a>,
    outer: Option<Frame<'a>>,
}

/// What a list has that the list around it has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Around<'a> {
    /// Nothing.
    Nothing,
    /// The variable of a loop.
    Item {
        /// Its name.
        var: &'a str,
        /// The loop.
        path: String,
        /// Which item, from 0.
        index: u32,
    },
    /// An error.
    Error {
        /// The path of the step that failed.
        path: String,
    },
}

impl<'a> Frame<'a> {
    /// A list of the playbook itself.
    pub fn top(steps: &'a [Step], prefix: &str) -> Frame<'a> {
        Frame(Arc::new(Level { steps, prefix: prefix.to_owned(), around: Around::Nothing, outer: None }))
    }

    /// A list in a step of this one.
    pub fn inside(&self, steps: &'a [Step], prefix: String, around: Around<'a>) -> Frame<'a> {
        Frame(Arc::new(Level { steps, prefix, around, outer: Some(self.clone()) }))
    }

    /// The steps of the list.
    pub fn steps(&self) -> &'a [Step] {
        self.0.steps
    }

    /// The path of a step of the list.
    pub fn path(&self, step: &Step) -> String {
        format!("{}{}", self.0.prefix, step.segment())
    }

    /// What there is around the list, the innermost first.
    pub fn around(&self) -> impl Iterator<Item = &Around<'a>> {
        let mut here = Some(self);
        std::iter::from_fn(move || {
            let level = &here?.0;
            here = level.outer.as_ref();
            Some(&level.around)
        })
    }

    /// The list in which a step stands, by what is left of its path from here on. `failed_in` says which step of a list
    /// failed.
    pub(super) fn descend(
        &self,
        rest: &str,
        state: &RunState,
        failed_in: &dyn Fn(&Frame<'a>) -> Option<String>,
    ) -> Option<Frame<'a>> {
        let (segment, rest) = rest.split_once('/').map_or((rest, None), |(segment, rest)| (segment, Some(rest)));
        let step = self.steps().iter().find(|step| step.segment() == segment)?;
        let Some(rest) = rest else { return Some(self.clone()) };
        let (between, rest) = rest.split_once('/')?;
        let path = self.path(step);
        let number = between.parse::<u32>().ok();
        let known = |(name, _): &(String, &[Step])| name == between || (name == "*" && number.is_some());
        let (_, list) = step.lists().into_iter().find(known)?;
        let around = match (&step.body, between, number) {
            (_, "on_error", _) => {
                let culprit = state.steps.get(&path).and_then(|step| step.culprit.clone());
                Around::Error { path: culprit.unwrap_or_else(|| path.clone()) }
            }
            (Body::ForEach(each), _, Some(index)) => Around::Item { var: &each.var, path: path.clone(), index },
            (Body::Try(guard), "catch", _) => {
                let tried = self.inside(&guard.steps, format!("{path}/try/"), Around::Nothing);
                failed_in(&tried).map_or(Around::Nothing, |path| Around::Error { path })
            }
            _ => Around::Nothing,
        };
        self.inside(list, format!("{path}/{between}/"), around).descend(rest, state, failed_in)
    }

    /// The steps with an id that may be read from here, with their paths; a later one of the same id counts.
    pub fn readable(&self, state: &RunState) -> Vec<(&'a str, String)> {
        let mut found = Vec::new();
        self.collect(state, &mut found);
        found
    }

    fn collect(&self, state: &RunState, found: &mut Vec<(&'a str, String)>) {
        if let Some(outer) = &self.0.outer {
            outer.collect(state, found);
        }
        readable_in(self.0.steps, &self.0.prefix, state, found);
    }
}

fn readable_in<'a>(steps: &'a [Step], prefix: &str, state: &RunState, found: &mut Vec<(&'a str, String)>) {
    for step in steps {
        let path = format!("{prefix}{}", step.segment());
        // What has not begun has nothing in it to read.
        let Some(known) = state.steps.get(&path) else { continue };
        for (between, list) in step.lists() {
            match &step.body {
                Body::ForEach(_) if between == "*" => {}
                Body::Repeat(_) if between == "*" => {
                    let turn = known.rounds.as_ref().map_or(0, |rounds| rounds.ends().len().saturating_sub(1));
                    readable_in(list, &format!("{path}/{turn}/"), state, found);
                }
                _ => readable_in(list, &format!("{path}/{between}/"), state, found),
            }
        }
        if !step.id.is_empty() {
            found.push((&step.id, path));
        }
    }
}
