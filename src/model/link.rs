//! Where symbolic links lead, as a computation on text.
//!
//! A link is checked twice. Lexically: its text, taken from the directory in which it lies, may not climb
//! above the top. And as a kernel would walk it, through the other links of the same tree: where `b` is a
//! link to a directory nearer the top, `b/../x` lies elsewhere than it reads. Both walks must stay inside.
//! Where nothing is known to lie, a name counts as a directory, so that dangling links are judged too.

use super::TreePath;
use super::path::STATE_DIR;

/// What is wrong with a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// No text.
    #[error("is empty")]
    Empty,
    /// Its text begins with `/`, or leads through a link whose text does.
    #[error("is absolute")]
    Absolute,
    /// Leads out of the tree.
    #[error("leads out of the tree")]
    Leaves,
    /// Leads into packfleet's own state.
    #[error("leads into .packfleet, packfleet's own state")]
    State,
    /// A control character, or more than 4,000 bytes.
    #[error("holds a control character or is longer than 4000 bytes")]
    Text,
}

/// Kernels give up after so many links on one walk.
const MOST_LINKS: usize = 40;

/// Checks the link at `at` with this text. `link` gives the text of each link of the tree; `inside` says
/// whether a place (`""` is the top) is one that the link may lead to.
///
/// A chain of links that never ends leads nowhere, which is harmless.
pub fn check<'a>(
    at: &TreePath,
    text: &'a str,
    link: impl Fn(&str) -> Option<&'a str>,
    inside: impl Fn(&str) -> bool,
) -> Result<(), LinkFault> {
    if text.is_empty() {
        return Err(LinkFault::Empty);
    }
    if text.len() > 4000 || text.chars().any(char::is_control) {
        return Err(LinkFault::Text);
    }
    let lexical = walk(at, text, |_| None)?;
    let followed = walk(at, text, link)?;
    for place in [lexical, followed].into_iter().flatten() {
        if place.split('/').any(|component| component.eq_ignore_ascii_case(STATE_DIR)) {
            return Err(LinkFault::State);
        }
        if !inside(&place) {
            return Err(LinkFault::Leaves);
        }
    }
    Ok(())
}

/// Where the walk ends, with `""` for the top; `None` if it never does.
fn walk<'a>(
    at: &TreePath,
    text: &'a str,
    link: impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<String>, LinkFault> {
    let mut place = at.parent().map_or_else(String::new, String::from);
    let mut ahead: Vec<&str> = Vec::new();
    let mut links = 0;
    let mut next = Some(text);
    while let Some(text) = next.take() {
        if text.starts_with('/') {
            return Err(LinkFault::Absolute);
        }
        ahead.extend(text.rsplit('/'));
        while let Some(component) = ahead.pop() {
            match component {
                "" | "." => {}
                ".." if place.is_empty() => return Err(LinkFault::Leaves),
                ".." => place.truncate(place.rfind('/').unwrap_or(0)),
                name => {
                    let parent = place.len();
                    if parent > 0 {
                        place.push('/');
                    }
                    place.push_str(name);
                    if let Some(text) = link(&place) {
                        links += 1;
                        if links > MOST_LINKS {
                            return Ok(None);
                        }
                        place.truncate(parent);
                        next = Some(text);
                        break;
                    }
                }
            }
        }
    }
    Ok(Some(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let tree = [("up", "d/e/b"), ("d/e/b", "../.."), ("loop", "loop"), ("d/here", ".")];
        let link = |path: &str| tree.iter().find(|(at, _)| *at == path).map(|(_, text)| *text);
        let inside = |place: &str| !place.starts_with("other");
        for (at, text, expected) in [
            ("a", "b", Ok(())),
            ("a", "d/../b", Ok(())),
            ("d/a", "../b", Ok(())),
            ("a", ".", Ok(())),
            ("d/a", "..", Ok(())),
            ("a", "missing/x//y/", Ok(())),
            ("a", "loop/../../x", Err(LinkFault::Leaves)),
            ("d/a", "../loop/x", Ok(())),
            ("a", "d/here/here/x", Ok(())),
            ("a", "", Err(LinkFault::Empty)),
            ("a", "/etc/passwd", Err(LinkFault::Absolute)),
            ("a", "..", Err(LinkFault::Leaves)),
            ("d/a", "../..", Err(LinkFault::Leaves)),
            ("a", "b/../../x", Err(LinkFault::Leaves)),
            // Reads as d/e/x, is ../x.
            ("a", "d/e/b/../x", Err(LinkFault::Leaves)),
            ("a", "up/../x", Err(LinkFault::Leaves)),
            ("a", "other/x", Err(LinkFault::Leaves)),
            ("a", "d/../other", Err(LinkFault::Leaves)),
            ("a", ".packfleet/record", Err(LinkFault::State)),
            ("a", "d/e/b/.PackFleet", Err(LinkFault::State)),
            ("a", "b\n", Err(LinkFault::Text)),
        ] {
            assert_eq!(check(&TreePath::new(at).unwrap(), text, link, inside), expected, "{at} -> {text}");
        }
        let long = "x/".repeat(2001);
        assert_eq!(check(&TreePath::new("a").unwrap(), &long, link, inside), Err(LinkFault::Text));
    }
}
