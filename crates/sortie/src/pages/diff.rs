//! What is different between two texts, line by line.

/// A line of one text or of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// In both.
    Same(&'a str),
    /// In the older text only.
    Removed(&'a str),
    /// In the newer text only.
    Added(&'a str),
}

/// Most cells of the table that finds the longest common part; beyond it the middle is shown as replaced.
const CELLS_MAX: usize = 4_000_000;

/// The lines of both texts in order: what both begin and end with stays, and of the middle the longest common part.
pub(super) fn lines<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_middle, new_middle) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut out: Vec<Line<'a>> = old[..head].iter().map(|line| Line::Same(line)).collect();
    middle(old_middle, new_middle, &mut out);
    out.extend(old[old.len() - tail..].iter().map(|line| Line::Same(line)));
    out
}

fn middle<'a>(old: &[&'a str], new: &[&'a str], out: &mut Vec<Line<'a>>) {
    if old.len().saturating_mul(new.len()) > CELLS_MAX {
        out.extend(old.iter().map(|line| Line::Removed(line)));
        out.extend(new.iter().map(|line| Line::Added(line)));
        return;
    }
    // `common[i][j]` is the length of the longest common part of `old[i..]` and `new[j..]`.
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            out.push(Line::Removed(old[i]));
            i += 1;
        } else {
            out.push(Line::Added(new[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_stays_and_the_rest_is_removed_or_added() {
        assert_eq!(
            lines("a\nb\nc\nd", "a\nc\nx\nd"),
            [Line::Same("a"), Line::Removed("b"), Line::Same("c"), Line::Added("x"), Line::Same("d")]
        );
        assert_eq!(lines("", "a"), [Line::Added("a")]);
        assert_eq!(lines("a", "a"), [Line::Same("a")]);
    }

    #[test]
    fn both_texts_can_be_put_together_again_also_when_they_are_too_long_to_compare() {
        let long = |word: &str| (0..2_500).map(|n| format!("{word}{n}\n")).collect::<String>();
        for (old, new) in [("a\nb\nb\na".to_owned(), "b\na\nb".to_owned()), (long("x"), long("y"))] {
            let all = lines(&old, &new);
            let put = |gone: fn(&&Line<'_>) -> bool| -> Vec<String> {
                let text = |line: &Line<'_>| match line {
                    Line::Same(text) | Line::Removed(text) | Line::Added(text) => (*text).to_owned(),
                };
                all.iter().filter(|line| !gone(line)).map(text).collect()
            };
            assert_eq!(put(|line| matches!(line, Line::Added(_))), old.lines().collect::<Vec<_>>());
            assert_eq!(put(|line| matches!(line, Line::Removed(_))), new.lines().collect::<Vec<_>>());
        }
    }
}
