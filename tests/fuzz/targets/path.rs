//! Paths, roots, names and links: what is accepted cannot escape, and says the same however it is taken apart.

use std::path::{Component, Path};

use packfleet::model::link::{self, LinkFault};
use packfleet::model::path::STATE_DIR;
use packfleet::model::{HostPath, PackName, TreePath};

use super::{Target, joined, texts};

/// One path, a path and another one, or a link's place and its text.
pub const TARGET: Target = Target {
    name: "path",
    seeds: || {
        let mut seeds: Vec<Vec<u8>> =
            ["a/b/c", "ä ö/-x/\"q\"", ".gitignore", "/srv/root/", "GIT~1/x", "a.b_c-d"]
                .map(|text| text.as_bytes().to_vec())
                .into();
        for [one, other] in [
            ["a/b", "a"],
            ["skills/bot", "skills/bot/prompt.md"],
            ["d/e/link", "../../x/./y"],
            ["link", "../out"],
            ["/srv/a", "/srv/a/b"],
        ] {
            seeds.push(joined(&[one, other]));
        }
        seeds.push("x/".repeat(126).into_bytes());
        seeds
    },
    words: &[
        "/",
        "..",
        ".",
        "//",
        ".git",
        "git~1",
        ".packfleet",
        "\u{200c}",
        "\u{feff}",
        ":",
        ". ",
        "\\",
        "\0",
        "a/",
        "::$DATA",
    ],
    check,
};

fn check(data: &[u8]) {
    let Some(texts) = texts(data) else { return };
    for text in &texts {
        one(text);
    }
    if let [one, other] = texts[..] {
        pair(one, other);
        link(one, other);
    }
}

fn one(text: &str) {
    if let Ok(path) = TreePath::new(text) {
        assert_eq!(path.as_str(), text, "nothing is normalised silently");
        assert!(text.len() <= 4000 && !text.chars().any(char::is_control));
        // The kernel's view: only names, no climbing, nothing from the top.
        let parts: Vec<Component<'_>> = Path::new(text).components().collect();
        assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))), "{parts:?}");
        assert_eq!(parts.len(), path.components().count());
        for component in path.components() {
            assert!(!component.is_empty() && component.len() <= 255);
            assert!(!means_git(component), "{component:?} means .git");
            assert!(!component.eq_ignore_ascii_case(STATE_DIR));
        }
        let json = serde_json::to_string(&path).expect("a path serialises");
        assert_eq!(serde_json::from_str::<TreePath>(&json).expect("what was printed is read"), path);
        let mut above = path.clone();
        for ancestor in path.ancestors() {
            assert!(path.is_below(&ancestor) && !ancestor.is_below(&path));
            assert_eq!(above.parent().as_ref(), Some(&ancestor));
            assert_eq!(TreePath::new(ancestor.as_str()).as_ref(), Ok(&ancestor), "an ancestor is a path");
            let rest = path.strip(&ancestor).expect("it lies below");
            assert_eq!(ancestor.join(&rest).as_ref(), Ok(&path));
            above = ancestor;
        }
        assert_eq!(above.parent(), None);
        assert!(path.as_str().ends_with(path.file_name()));
    }
    if let Ok(root) = HostPath::new(text) {
        assert_eq!(HostPath::new(root.as_str()).as_ref(), Ok(&root), "a printed root is read");
        let parts: Vec<Component<'_>> = Path::new(root.as_str()).components().collect();
        assert!(matches!(parts[..], [Component::RootDir, Component::Normal(_), ..]), "{parts:?}");
        assert!(parts[1..].iter().all(|part| matches!(part, Component::Normal(_))), "{parts:?}");
        assert!(root.overlaps(&root));
    }
    if let Ok(name) = PackName::new(text) {
        assert_eq!(name.as_str(), text);
        let tree = TreePath::new(text);
        assert!(tree.is_ok() || text.eq_ignore_ascii_case("git~1"), "a name is one component: {tree:?}");
    }
}

fn pair(one: &str, other: &str) {
    if let (Ok(one), Ok(other)) = (TreePath::new(one), TreePath::new(other)) {
        let split = |path: &TreePath| path.components().map(str::to_owned).collect::<Vec<_>>();
        let (a, b) = (split(&one), split(&other));
        assert_eq!(one.is_below(&other), a.len() > b.len() && a.starts_with(&b));
        assert_eq!(one.strip(&other).is_some(), one.is_below(&other));
        if let Ok(whole) = one.join(&other) {
            assert_eq!(split(&whole), [a, b].concat());
            assert_eq!(whole.strip(&one), Some(other));
        }
    }
    if let (Ok(one), Ok(other)) = (HostPath::new(one), HostPath::new(other)) {
        let (a, b) = (Path::new(one.as_str()), Path::new(other.as_str()));
        assert_eq!(one.overlaps(&other), a.starts_with(b) || b.starts_with(a));
        assert_eq!(one.overlaps(&other), other.overlaps(&one));
    }
}

fn link(at: &str, text: &str) {
    let Ok(at) = TreePath::new(at) else { return };
    let found = link::check(&at, text, |_| None, |_| true);
    // Walked by hand, without other links in the way.
    let mut place: Vec<&str> = at.components().collect();
    place.pop();
    let mut climbs = false;
    for component in text.split('/') {
        match component {
            "" | "." => {}
            ".." => climbs |= place.pop().is_none(),
            name => place.push(name),
        }
    }
    let state = place.iter().any(|name| name.eq_ignore_ascii_case(STATE_DIR));
    match found {
        Ok(()) => assert!(!text.starts_with('/') && !climbs && !state && !text.is_empty()),
        Err(LinkFault::Empty) => assert!(text.is_empty()),
        Err(LinkFault::Absolute) => assert!(text.starts_with('/')),
        Err(LinkFault::Leaves) => assert!(climbs),
        Err(LinkFault::State) => assert!(state),
        Err(LinkFault::Text) => assert!(text.len() > 4000 || text.chars().any(char::is_control)),
    }
    // A link to itself, and one that is a detour: never a panic, and never more allowed than without.
    for other in ["x", ".", "..", "a/../..", text] {
        let through =
            link::check(&at, text, |place| (place == "a" || place == "x").then_some(other), |_| true);
        assert!(found.is_ok() || through.is_err(), "{other:?}");
    }
}

/// Written anew from what NTFS and HFS+ do: characters that are skipped, a stream's name, dots and blanks at the end.
fn means_git(component: &str) -> bool {
    let skipped =
        |c: &char| !matches!(u32::from(*c), 0x200c..=0x200f | 0x202a..=0x202e | 0x206a..=0x206f | 0xfeff);
    let seen: String = component.chars().filter(skipped).collect::<String>().to_lowercase();
    let stem = seen.split_once(':').map_or(seen.as_str(), |(stem, _)| stem);
    [".git", "git~1"].contains(&stem.trim_end_matches(&['.', ' '][..]))
}
