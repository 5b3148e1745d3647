//! The triggers and conditions of an explained decision: every operand with what it says and sees, and which decided.

use engine::decide::Look;
use playbook::{Answer, Inside, Operand, Says, Span};
use serde_json::{Value, json};

use super::console::{Console, Tone, one_line};

/// Longest value that is shown to people, in characters.
const VALUE_CHARS_MAX: usize = 80;

/// The triggers of a playbook as JSON.
pub(super) fn as_json(looks: &[Look], file: &str) -> Value {
    let place = |at: &Span| json!({ "file": file, "line": at.line, "column": at.column });
    let all = looks.iter().enumerate().map(|(index, look)| {
        let conditions: Vec<Value> = look
            .conditions
            .iter()
            .map(|asked| {
                let (answer, reason) = match &asked.answer {
                    Answer::Yes => ("yes", Value::Null),
                    Answer::No { reason, .. } => ("no", Value::from(reason.as_str())),
                    Answer::Failed { code, message, .. } => ("failed", Value::from(format!("{message} ({code})"))),
                };
                let operands = operands_json(&asked.operands, &place);
                json!({ "text": asked.text, "answer": answer, "reason": reason, "operands": operands })
            })
            .collect();
        json!({
            "trigger": index,
            "kind": look.kind,
            "fits": look.fits,
            "reason": look.reason,
            "at": place(&look.at),
            "conditions": conditions,
        })
    });
    all.collect()
}

fn operands_json(operands: &[Operand], place: &dyn Fn(&Span) -> Value) -> Value {
    operands.iter().map(|operand| operand_json(operand, place)).collect()
}

fn operand_json(operand: &Operand, place: &dyn Fn(&Span) -> Value) -> Value {
    let (answer, error) = match &operand.says {
        Says::Yes => ("yes", Value::Null),
        Says::No => ("no", Value::Null),
        Says::Failed { code, message } => ("failed", Value::from(format!("{message} ({code})"))),
    };
    let values: Vec<Value> =
        operand.values.iter().map(|(text, value)| json!({ "text": text, "value": value })).collect();
    let inside = |inside: &Inside| {
        let operands = operands_json(&inside.operands, place);
        json!({ "name": inside.name, "item": inside.item, "operands": operands })
    };
    json!({
        "text": operand.text,
        "at": place(&operand.at),
        "answer": answer,
        "error": error,
        "reached": operand.reached,
        "decides": operand.decides,
        "decides_together": operand.together,
        "values": values,
        "inside": operand.inside.iter().map(inside).collect::<Vec<_>>(),
    })
}

/// One decision with its triggers, for people.
pub(super) fn show(console: &Console, decision: &Value) -> std::io::Result<()> {
    let Some(triggers) = decision["triggers"].as_array() else { return Ok(()) };
    console.data("")?;
    let verdict = text(&decision["verdict"]);
    let head = format!("{} {}", console.paint(Tone::Bold, &text(&decision["playbook"])), verdict);
    console.data(&head)?;
    for trigger in triggers {
        let says = if trigger["fits"] == true { "fits" } else { "does not fit" };
        let at = place(&trigger["at"]);
        console.data(&format!("  {} {says}: {}  {}", text(&trigger["kind"]), text(&trigger["reason"]), at))?;
        for condition in trigger["conditions"].as_array().into_iter().flatten() {
            let written: Vec<&str> = condition["text"].as_str().unwrap_or_default().split_whitespace().collect();
            console.data(&format!("    {}: {}", text(&condition["answer"]), one_line(&written.join(" "))))?;
            operands(console, &condition["operands"], 6)?;
        }
    }
    Ok(())
}

fn operands(console: &Console, all: &Value, indent: usize) -> std::io::Result<()> {
    for operand in all.as_array().into_iter().flatten() {
        let note = match operand {
            _ if operand["decides"] == true => "  <- decided",
            _ if operand["decides_together"] == true => "  <- decided together",
            _ if operand["reached"] == false => "  (not reached)",
            _ => "",
        };
        let answer = text(&operand["answer"]);
        let tone = match answer.as_str() {
            "yes" => Tone::Good,
            "failed" => Tone::Bad,
            _ => Tone::Plain,
        };
        let padded = console.paint(tone, &format!("{answer:<6}"));
        let line = format!("{:indent$}{padded} {}{note}  {}", "", text(&operand["text"]), place(&operand["at"]));
        console.data(&line)?;
        for value in operand["values"].as_array().into_iter().flatten() {
            console.data(&format!("{:indent$}         {} is {}", "", text(&value["text"]), short(&value["value"])))?;
        }
        if let Some(error) = operand["error"].as_str() {
            console.data(&format!("{:indent$}         {}", "", one_line(error)))?;
        }
        for inside in operand["inside"].as_array().into_iter().flatten() {
            console.data(&format!(
                "{:indent$}       for {} = {}",
                "",
                text(&inside["name"]),
                short(&inside["item"])
            ))?;
            operands(console, &inside["operands"], indent + 9)?;
        }
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map(one_line).unwrap_or_default()
}

fn place(at: &Value) -> String {
    at["file"].as_str().map_or_else(String::new, |file| format!("{}:{}:{}", one_line(file), at["line"], at["column"]))
}

fn short(value: &Value) -> String {
    let text = one_line(&value.to_string());
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    text.chars().take(VALUE_CHARS_MAX - 1).chain(['…']).collect()
}
