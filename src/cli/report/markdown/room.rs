//! What of a report finds room, where there is not enough for all of it.
//!
//! ```text
//! rows of the table ─► texts of what needs a person ─► other texts ─► diffs of what needs a person ─► other diffs
//! ```
//! Within each of these the short ones come first, and one that is longer than its share is cut to it, at the end of a
//! line: so one that is very long hides none of the others. What is left over goes to those that were cut. Law: whatever
//! is cut is named, with how much of it and what shows it whole.

use super::{fenced, html};
use crate::cli::report::words::count;
use crate::model::ranges::compress;

/// For the words about what was cut, at the end.
const MARGIN: usize = 2_000;
/// Fences, and the words at the end of what was cut.
const FRAME: usize = 400;
/// Less of a text than that tells nothing.
const LEAST: usize = 200;
/// Names that are told, in characters.
const NAMES: usize = 300;

/// What is said of some deployments that are alike.
pub(super) struct Details {
    /// Their names, drawn together.
    pub names: String,
    /// One of them.
    pub first: String,
    /// How they stand.
    pub word: &'static str,
    /// Whether a person is needed: then it is unfolded.
    pub open: bool,
    /// What happens there.
    pub said: String,
    /// Line by line.
    pub diff: String,
}

impl Details {
    fn head(&self) -> String {
        let open = if self.open { " open" } else { "" };
        format!("<details{open}><summary><b>{}</b>: {}</summary>\n\n", html(&self.names), self.word)
    }
}

/// How much room each part has, in characters of the part itself; `None`: it is left out.
type Rooms = Vec<Option<usize>>;

/// Rows and blocks, of at most `most` characters. `shows` is the command that shows a deployment whole.
pub(super) fn fitted(
    rows: &[String],
    blocks: &[Details],
    most: usize,
    shows: impl Fn(&str) -> String,
) -> String {
    let mut out = String::new();
    let mut left = most.saturating_sub(MARGIN);
    // A long table leaves half to what needs a person.
    let needed = |block: &Details| length(&block.head()) + length(&block.said) + FRAME;
    let reserved: usize = blocks.iter().filter(|block| block.open).map(needed).sum();
    let mut table = left - reserved.min(left / 2);
    let mut shown = 0;
    for row in rows {
        let length = length(row);
        if length > table {
            break;
        }
        out.push_str(row);
        (table, left, shown) = (table - length, left - length, shown + 1);
    }
    let (texts, diffs) = rooms(blocks, left);
    let mut cut = Vec::new();
    if shown < rows.len() {
        cut.push(format!("{} of {} of the table", count(rows.len() - shown, "row"), rows.len()));
    }
    let (mut out_of, mut partly, mut without, mut first) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut body = String::new();
    for ((block, text), diff) in blocks.iter().zip(&texts).zip(&diffs) {
        let name = block.names.as_str();
        let Some(text) = text else {
            out_of.push(name);
            first = first.or(Some(block));
            continue;
        };
        body.push_str(&block.head());
        let mut whole = true;
        for (language, what, part, room) in
            [("text", "what happens", &block.said, &Some(*text)), ("diff", "the diff", &block.diff, diff)]
        {
            let Some(room) = room else {
                if !part.is_empty() {
                    without.push(name);
                    first = first.or(Some(block));
                }
                continue;
            };
            let (kept, missing, of) = clipped(part, *room);
            if !kept.is_empty() {
                body.push_str(&fenced(language, kept));
            }
            if missing > 0 {
                whole = false;
                body.push_str(&format!(
                    "\n**Clipped**: {missing} of {} of {what}; all of it: `{}`\n\n",
                    count(of, "line"),
                    shows(&block.first)
                ));
            }
        }
        if !whole {
            partly.push(name);
            first = first.or(Some(block));
        }
        body.push_str("</details>\n");
    }
    if !body.is_empty() {
        out.push('\n');
        out.push_str(&body);
    }
    for (what, names) in [("all details of", out_of), ("the diffs of", without), ("lines of", partly)] {
        if !names.is_empty() {
            cut.push(format!("{what} {}", html(&few(&names))));
        }
    }
    if !cut.is_empty() {
        let name = first.map_or("NAME", |block| block.first.as_str());
        out.push_str(&format!(
            "\n**Clipped**: {} did not fit. `{}` shows all of that one.\n",
            cut.join("; "),
            shows(name)
        ));
    }
    out
}

/// Names, and how many more where they are many.
fn few(names: &[&str]) -> String {
    let mut told = 0;
    let mut length = 0;
    for name in names {
        length += name.chars().count() + 2;
        if told > 0 && length > NAMES {
            break;
        }
        told += 1;
    }
    let more = names.len() - told;
    let mut text: String = compress(names[..told].iter().copied()).chars().take(NAMES + 100).collect();
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// How much of each text and of each diff there is room for.
fn rooms(blocks: &[Details], most: usize) -> (Rooms, Rooms) {
    let mut left = most;
    let sizes: Vec<[usize; 2]> = blocks.iter().map(|it| [length(&it.said), length(&it.diff)]).collect();
    let frames: Vec<[usize; 2]> = blocks.iter().map(|it| [length(&it.head()) + FRAME, FRAME]).collect();
    let whole: usize = sizes.iter().chain(&frames).flatten().sum();
    // Where not all has room, none takes more than a quarter before the others had theirs.
    let cap = if whole <= most { usize::MAX } else { most / 4 };
    let mut rooms: Vec<[Option<usize>; 2]> = vec![[None, None]; blocks.len()];
    let passes = [(0, true), (0, false), (1, true), (1, false)];
    for (part, open) in passes {
        let mut these: Vec<usize> = (0..blocks.len())
            .filter(|at| blocks[*at].open == open && (part == 0 || rooms[*at][0].is_some()))
            .filter(|at| part == 0 || sizes[*at][part] > 0)
            .collect();
        these.sort_by_key(|at| sizes[*at][part] + frames[*at][part]);
        let mut others = these.len();
        for at in these {
            let (size, frame) = (sizes[at][part], frames[at][part]);
            // The first come first where the share is too small for anything.
            let share = (left / others).max(frame + LEAST).min(left).min(cap.saturating_add(frame));
            others -= 1;
            let room = size.min(share.saturating_sub(frame));
            if share >= frame && (room == size || room >= LEAST) {
                rooms[at][part] = Some(room);
                left -= room + frame;
            }
        }
    }
    for (part, open) in passes {
        for at in (0..blocks.len()).filter(|at| blocks[*at].open == open) {
            if let Some(room) = &mut rooms[at][part] {
                let more = left.min(sizes[at][part] - *room);
                *room += more;
                left -= more;
            }
        }
    }
    rooms.into_iter().map(|[text, diff]| (text, diff)).unzip()
}

/// As many lines of a text as have room, how many are missing, and how many there are.
fn clipped(text: &str, room: usize) -> (&str, usize, usize) {
    let lines = text.lines().count();
    if length(text) <= room {
        return (text, 0, lines);
    }
    let (mut end, mut left, mut kept) = (0, room, 0);
    for line in text.split_inclusive('\n') {
        let length = length(line);
        if length > left {
            break;
        }
        (end, left, kept) = (end + line.len(), left - length, kept + 1);
    }
    (&text[..end], lines - kept, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, open: bool, said: &str, diff_lines: usize) -> Details {
        Details {
            names: name.to_owned(),
            first: name.to_owned(),
            word: if open { "held" } else { "pending" },
            open,
            said: said.to_owned(),
            diff: "+a line of a diff\n".repeat(diff_lines),
        }
    }

    fn shown(rows: &[String], blocks: &[Details], most: usize) -> String {
        let out = fitted(rows, blocks, most, |name| format!("packfleet plan {name} --diff"));
        assert!(length(&out) <= most, "{} of {most}", length(&out));
        assert_eq!(out.matches("<details").count(), out.matches("</details>").count());
        assert_eq!(out.matches("```").count() % 2, 0);
        out
    }

    #[test]
    fn a_diff_that_is_too_long_hides_nothing_but_its_own_lines() {
        let blocks = [
            block("a", false, "~ big\n", 100_000),
            block("b", false, "~ small\n", 3),
            block("c", true, "X held: because\n", 2),
        ];
        let out = shown(&["| a |\n".to_owned()], &blocks, 65_536);
        for expected in ["~ big", "~ small", "X held: because", "lines of a did not fit", "plan a --diff"] {
            assert!(out.contains(expected), "{expected}: {out:.2000}");
        }
        assert!(out.matches("+a line").count() > 3_000, "room is used");
        assert_eq!(out.matches("**Clipped**").count(), 2);
        let all = shown(&[], &blocks[1..], 65_536);
        assert!(!all.contains("Clipped") && all.matches("+a line").count() == 5);
    }

    #[test]
    fn what_needs_a_person_comes_before_what_does_not() {
        let mut blocks: Vec<Details> =
            (0..500).map(|at| block(&format!("edge-{at}x"), false, "~ a\n", 5)).collect();
        blocks.push(block("last", true, "X held: because\n", 5));
        let rows: Vec<String> = (0..2_000).map(|at| format!("| row {at} of the table |\n")).collect();
        for most in [5_000, 20_000, 65_536] {
            let out = shown(&rows, &blocks, most);
            assert!(out.contains("X held: because") && out.contains("all details of"), "{most}");
        }
        let out = shown(&rows, &blocks, 20_000);
        assert!(out.contains("of 2000 of the table") && out.contains(" more"), "{out}");
    }

    #[test]
    fn a_text_is_cut_at_the_end_of_a_line() {
        assert_eq!(clipped("ab\ncd\n", 6), ("ab\ncd\n", 0, 2));
        assert_eq!(clipped("ab\ncd\n", 5), ("ab\n", 1, 2));
        assert_eq!(clipped("ab\ncd\n", 2), ("", 2, 2));
    }
}
