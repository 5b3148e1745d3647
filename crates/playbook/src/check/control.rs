//! What bounds the runs of a playbook: `dedupe`, `concurrency`, `throttle`, `fuse`, `expect`.

use std::ops::RangeInclusive;
use std::time::Duration;

use model::{limits, period};

use super::Checker;
use crate::control::{Concurrency, Control, Dedupe, Rate, Throttle, WhenFull};
use crate::fields::{Fields, text_of};
use crate::script::{Expression, Names, ScriptSource};
use crate::yaml::Node;

impl Checker<'_> {
    /// Reads everything that bounds the runs. `names` are those that the playbook's `when` may use.
    pub(super) fn control(&mut self, fields: &mut Fields<'_>, names: &Names) -> Control {
        Control {
            dedupe: self.dedupe(fields, names),
            concurrency: self.concurrency(fields, names),
            throttle: self.throttle(fields, names),
            fuse: self.rate(fields, "fuse"),
            expect: self.rate(fields, "expect"),
            observe: fields.one_of(&mut self.reader, "mode", &["act", "observe"]) == Some("observe"),
        }
    }

    fn dedupe(&mut self, fields: &mut Fields<'_>, names: &Names) -> Option<Dedupe> {
        let mut block = fields.fields(&mut self.reader, "dedupe")?;
        let span = block.span();
        let key = self.key(&mut block, names);
        let window = self.bounded(&mut block, "window");
        block.finish(&mut self.reader);
        Some(Dedupe { key, window: window?, span })
    }

    fn concurrency(&mut self, fields: &mut Fields<'_>, names: &Names) -> Option<Concurrency> {
        let mut block = fields.fields(&mut self.reader, "concurrency")?;
        let span = block.span();
        let key = self.key(&mut block, names);
        let max = self.number(&mut block, "max", 1..=limits::CONCURRENCY_RUNS_MAX);
        let when_full = block.one_of(&mut self.reader, "when_full", &WhenFull::NAMES).map(WhenFull::of);
        block.finish(&mut self.reader);
        Some(Concurrency { key, max: max?, when_full: when_full.unwrap_or_default(), span })
    }

    fn throttle(&mut self, fields: &mut Fields<'_>, names: &Names) -> Option<Throttle> {
        let mut block = fields.fields(&mut self.reader, "throttle")?;
        let span = block.span();
        let key = self.key(&mut block, names);
        let count = self.number(&mut block, "count", 1..=limits::RATE_COUNT_MAX);
        let per = self.bounded(&mut block, "per");
        block.finish(&mut self.reader);
        Some(Throttle { key, count: count?, per: per?, span })
    }

    fn rate(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Option<Rate> {
        let mut block = fields.fields(&mut self.reader, name)?;
        let span = block.span();
        let runs = self.number(&mut block, "runs", 1..=limits::RATE_COUNT_MAX);
        let per = self.bounded(&mut block, "per");
        block.finish(&mut self.reader);
        Some(Rate { runs: runs?, per: per?, span })
    }

    /// What is told apart.
    fn key(&mut self, block: &mut Fields<'_>, names: &Names) -> Option<Expression> {
        let node = block.opt_node("key")?;
        self.expression(node, "key", names)
    }

    /// An expression whose value tells things apart: one that is always the same tells nothing.
    pub(super) fn expression(&mut self, node: &Node, name: &str, names: &Names) -> Option<Expression> {
        text_of(&mut self.reader, node, name)?;
        match Expression::compile(ScriptSource::of(&self.reader, node), names, self.evaluator) {
            Ok(expression) if expression.constant().is_some() => {
                let message = format!("`{name}` is always the same, so that it tells nothing apart");
                let help = "write an expression such as `case.id`, or leave it out to take everything together";
                self.reader.error("PB117", node.span, message, Some(help.to_owned()));
                None
            }
            Ok(expression) => Some(expression),
            Err(found) => {
                self.reader.extend(found);
                None
            }
        }
    }

    /// A number that must be there.
    pub(super) fn number(
        &mut self,
        block: &mut Fields<'_>,
        name: &'static str,
        of: RangeInclusive<u32>,
    ) -> Option<u32> {
        block.node(&mut self.reader, name)?;
        let of = i64::from(*of.start())..=i64::from(*of.end());
        block.int(&mut self.reader, name, of).and_then(|value| u32::try_from(value).ok())
    }

    /// A length of time that must be there, and can be kept for so long.
    pub(super) fn bounded(&mut self, block: &mut Fields<'_>, name: &'static str) -> Option<Duration> {
        let node = block.node(&mut self.reader, name)?;
        let found = self.reader.period(node, name)?;
        self.within_bounds(node, name, found)
    }

    /// Whether a length of time is one that can be kept.
    pub(super) fn within_bounds(&mut self, node: &Node, name: &str, found: Duration) -> Option<Duration> {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(limits::RATE_SECONDS_MAX));
        if (least..=most).contains(&found) {
            return Some(found);
        }
        let days = most.as_secs() / 86_400;
        let message = format!("`{name}` must be from {} to {days}d", period::format(least));
        self.reader.error("PB118", node.span, message, None);
        None
    }
}
