//! What people do to a file on a host.

use packfleet::model::Kind;

use crate::pack::{Files, change_line};

/// One step of an edit.
#[derive(Debug, Clone)]
pub enum Step {
    /// A file or link, with these bytes; what lay there goes.
    Write(String, Kind, Vec<u8>),
    /// A file, a link, or a directory with all that it holds.
    Remove(String),
    /// An empty directory.
    Directory(String),
}

pub const KINDS: [&str; 29] = [
    "change the first line",
    "change a middle line",
    "change the last line",
    "append",
    "prepend",
    "delete a middle line",
    "change two places",
    "rewrite",
    "empty",
    "delete",
    "rename by hand",
    "move to where a version has it",
    "flip the exec bit",
    "flip the exec bit and append",
    "convert line endings",
    "drop or add the final newline",
    "replace by binary",
    "replace by a link",
    "replace by a directory with a file",
    "replace by an empty directory",
    "put a file beside",
    "put a file where a version has one",
    "put a directory where a version has a file",
    "exactly what upstream ships",
    "what upstream ships, and a line",
    "change a key",
    "add a key",
    "delete the directory that it lies in",
    "copy",
];

/// A line that no version has.
pub const MINE: &str = "mine, not to be lost";

/// Names that only some versions have.
const ELSEWHERE: [(&str, &str); 5] = [
    ("t/app.txt", "t/main.txt"),
    ("t/run.sh", "t/bin/run.sh"),
    ("t/lib/a.txt", "t/library/a.txt"),
    ("t/lib/b.txt", "t/extra.txt"),
    ("t/conf.json", "t/etc/conf.json"),
];

/// The steps of an edit of one file; `None` where it means nothing.
pub fn edit(kind: &str, path: &str, now: &Files, to: &Files) -> Option<Vec<Step>> {
    let (was, bytes) = now.get(path)?;
    let text = *was != Kind::Link && std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0);
    let count = bytes.split_inclusive(|byte| *byte == b'\n').count();
    let write = |bytes: Vec<u8>| Some(vec![Step::Write(path.to_owned(), *was, bytes)]);
    let textual = |bytes: Vec<u8>| if text { write(bytes) } else { None };
    let mine = format!("{MINE}\n");
    let elsewhere =
        || ELSEWHERE.iter().find(|(from, to)| *from == path && !now.contains_key(*to)).map(|(_, to)| *to);
    match kind {
        "change the first line" => textual(change_line(bytes, 1, MINE)),
        "change a middle line" if count > 2 => textual(change_line(bytes, count.div_ceil(2), MINE)),
        "change the last line" if count > 1 => textual(change_line(bytes, count, MINE)),
        "append" => textual([bytes, mine.as_bytes()].concat()),
        "prepend" => textual([mine.as_bytes(), bytes].concat()),
        "delete a middle line" if count > 2 => {
            let mut all: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            all.remove(count / 2);
            textual(all.concat())
        }
        "change two places" if count > 3 => textual(change_line(&change_line(bytes, 2, MINE), count, MINE)),
        "rewrite" => textual(format!("{MINE}\nand all that was there has gone\n").into_bytes()),
        "empty" if !bytes.is_empty() => textual(Vec::new()),
        "delete" => Some(vec![Step::Remove(path.to_owned())]),
        "rename by hand" => Some(vec![
            Step::Remove(path.to_owned()),
            Step::Write(format!("{path}.mine"), *was, bytes.clone()),
        ]),
        "move to where a version has it" => Some(vec![
            Step::Remove(path.to_owned()),
            Step::Write(elsewhere()?.to_owned(), *was, bytes.clone()),
        ]),
        "flip the exec bit" if *was != Kind::Link => {
            Some(vec![Step::Write(path.to_owned(), flipped(*was), bytes.clone())])
        }
        "flip the exec bit and append" if text => {
            Some(vec![Step::Write(path.to_owned(), flipped(*was), [bytes, mine.as_bytes()].concat())])
        }
        "convert line endings" if text && count > 0 => {
            let text = String::from_utf8(bytes.clone()).ok()?;
            let unix = text.replace("\r\n", "\n");
            write(if text.contains("\r\n") { unix } else { unix.replace('\n', "\r\n") }.into_bytes())
        }
        "drop or add the final newline" if text && count > 0 => {
            let mut bytes = bytes.clone();
            if bytes.pop_if(|last| *last == b'\n').is_none() {
                bytes.push(b'\n');
            }
            write(bytes)
        }
        "replace by binary" => Some(vec![Step::Write(path.to_owned(), Kind::File, b"\0mine\0".to_vec())]),
        "replace by a link" => Some(vec![Step::Write(path.to_owned(), Kind::Link, b"mine".to_vec())]),
        "replace by a directory with a file" => Some(vec![
            Step::Remove(path.to_owned()),
            Step::Write(format!("{path}/mine"), Kind::File, mine.into_bytes()),
        ]),
        "replace by an empty directory" => {
            Some(vec![Step::Remove(path.to_owned()), Step::Directory(path.to_owned())])
        }
        "put a file beside" => Some(vec![Step::Write(format!("{path}.mine"), Kind::File, mine.into_bytes())]),
        "put a file where a version has one" => {
            Some(vec![Step::Write(elsewhere()?.to_owned(), Kind::File, mine.into_bytes())])
        }
        "put a directory where a version has a file" => {
            Some(vec![Step::Write(format!("{}/mine", elsewhere()?), Kind::File, mine.into_bytes())])
        }
        "exactly what upstream ships" => Some(match to.get(path) {
            Some(file) if now.get(path) == Some(file) => return None,
            Some((kind, bytes)) => vec![Step::Write(path.to_owned(), *kind, bytes.clone())],
            None => vec![Step::Remove(path.to_owned())],
        }),
        "what upstream ships, and a line" => match to.get(path) {
            Some((kind, bytes)) if *kind != Kind::Link && !bytes.contains(&0) => {
                Some(vec![Step::Write(path.to_owned(), *kind, [bytes, mine.as_bytes()].concat())])
            }
            _ => None,
        },
        "change a key" if text => {
            let text = String::from_utf8(bytes.clone()).ok()?;
            let changed = text
                .replace("info", MINE)
                .replace("hour = 2", "hour = 77")
                .replace("\"hour\": 2", "\"hour\": 77");
            if changed == text { None } else { write(changed.into_bytes()) }
        }
        "add a key" if text => {
            let text = String::from_utf8(bytes.clone()).ok()?;
            let changed = text
                .replace("  \"port\"", "  \"mine\": 1,\n  \"port\"")
                .replace("port = ", "mine = 1\nport = ");
            if changed == text { None } else { write(changed.into_bytes()) }
        }
        "delete the directory that it lies in" => match path.rsplit_once('/') {
            Some((above, _)) if above != "t" => Some(vec![Step::Remove(above.to_owned())]),
            _ => None,
        },
        "copy" => {
            Some(vec![Step::Write(format!("t/copied/{}", path.replace('/', "-")), *was, bytes.clone())])
        }
        _ => None,
    }
}

fn flipped(kind: Kind) -> Kind {
    Kind::regular(kind == Kind::File)
}
