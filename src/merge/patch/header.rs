//! File names in the headers of a patch.
//!
//! A header may name the file with one of git's one-letter prefixes or without any; everything else is
//! another file. Names with quotes, backslashes or (as git is set by default) other than ASCII characters
//! are written in C quotes; a name with a space is closed by a tab, behind which `diff` puts a time.

use crate::model::TreePath;

/// Prefixes of `git diff`, `diff.mnemonicPrefix` included.
const PREFIXES: [&str; 7] = ["a/", "b/", "i/", "w/", "c/", "o/", ""];

/// The name as a header has it.
pub(super) fn spelled(prefix: &str, path: &TreePath) -> String {
    let name = format!("{prefix}/{path}");
    if name.contains(['"', '\\']) {
        return format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    // Without the tab, `patch` would cut the name at the space.
    if name.contains(' ') { format!("{name}\t") } else { name }
}

/// What stands behind `---` or `+++`, without time and quotes.
pub(super) fn name(rest: &[u8]) -> Vec<u8> {
    if let Some((name, _)) = unquoted(rest) {
        return name;
    }
    rest.split(|byte| *byte == b'\t').next().unwrap_or_default().to_vec()
}

/// Whether a name means the file.
pub(super) fn means(name: &[u8], path: &TreePath) -> bool {
    PREFIXES.iter().any(|prefix| name.strip_prefix(prefix.as_bytes()) == Some(path.as_str().as_bytes()))
}

/// Whether what stands behind `diff --git` is this file's name, twice.
pub(super) fn means_twice(rest: &[u8], path: &TreePath) -> bool {
    // Names may hold spaces, so the line is compared, not cut.
    let behind_first: Option<&[u8]> = match unquoted(rest) {
        Some((name, behind)) => means(&name, path).then_some(behind),
        None => PREFIXES
            .iter()
            .find_map(|prefix| rest.strip_prefix(format!("{prefix}{path}").as_bytes()))
            .filter(|behind| behind.starts_with(b" ")),
    };
    let second = behind_first.and_then(|behind| behind.strip_prefix(b" "));
    second.is_some_and(|second| match unquoted(second) {
        Some((name, behind)) => behind.is_empty() && means(&name, path),
        None => means(second, path),
    })
}

/// A text in C quotes, and what stands behind it; `None` if it is in none.
fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut name = Vec::new();
    loop {
        let (first, behind) = rest.split_first()?;
        rest = behind;
        match first {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (escaped, behind) = rest.split_first()?;
                rest = behind;
                name.push(match escaped {
                    b'0'..=b'3' => {
                        let digits = behind.get(..2)?;
                        rest = behind.get(2..)?;
                        let digit = |byte: u8| matches!(byte, b'0'..=b'7').then(|| byte - b'0');
                        (escaped - b'0') * 64 + digit(digits[0])? * 8 + digit(digits[1])?
                    }
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    b'"' | b'\\' => *escaped,
                    _ => return None,
                });
            }
            other => name.push(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let path = TreePath::new("a b/ä\".md").unwrap();
        for (text, expected) in [
            ("a/a b/ä\".md", true),
            ("\"b/a b/\\303\\244\\\".md\"", true),
            ("\"b/a b/\\303\\244\\\".md\"\t2024-01-01", true),
            ("a b/ä\".md\t2024-01-01 00:00:00", true),
            ("x/a b/ä\".md", false),
            ("../a/a b/ä\".md", false),
            ("/dev/null", false),
            ("\"a/a b/\\303\\244\\\".md", false),
            ("", false),
        ] {
            assert_eq!(means(&name(text.as_bytes()), &path), expected, "{text}");
        }
        for (text, expected) in [
            ("a/a b/ä\".md b/a b/ä\".md", true),
            ("\"a/a b/\\303\\244\\\".md\" \"b/a b/\\303\\244\\\".md\"", true),
            ("a/a b/ä\".md b/other", false),
            ("a/other b/a b/ä\".md", false),
            ("a/a b/ä\".md", false),
        ] {
            assert_eq!(means_twice(text.as_bytes(), &path), expected, "{text}");
        }
        assert_eq!(spelled("a", &path), "\"a/a b/ä\\\".md\"");
        assert_eq!(spelled("a", &TreePath::new("x y").unwrap()), "a/x y\t");
    }
}
