//! The triggers and conditions of an explained decision: every operand with what it says and sees, and which decided.

use serde_json::Value;

use super::console::{Console, Tone, one_line};

/// Longest value that is shown to people, in characters.
const VALUE_CHARS_MAX: usize = 80;

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
