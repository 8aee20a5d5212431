//! What a fleet file may say, and what is said of one that may not: each line is a text and all its problems,
//! with their places.

use camino::Utf8PathBuf;
use packfleet::desired::fleet_file::{Context, FleetText, includes, parse};
use packfleet::desired::problem::Problems;
use packfleet::desired::schema::json_schema;
use packfleet::model::fleet::{Changed, Deleted, Fleet, Source};
use packfleet::model::pack::Requirement;
use serde_json::Value;

/// A fleet with one source and one pack, in nine lines; the cases go on in line 10.
const HEAD: &str = r#"[fleet]
name = "t"
[sources.s]
url = "https://example.org/s.git"
[packs.p]
source = "s"
dir = "."
target = "p"

"#;

fn context() -> Context {
    let overlay = |name: &str, pack: Option<&str>| (name.to_owned(), pack.map(str::to_owned));
    Context {
        directory: Utf8PathBuf::from("/srv/fleet"),
        overlays: [overlay("quiet", None), overlay("loud", Some("p")), overlay("other", Some("q"))].into(),
    }
}

fn files(texts: &[(&str, &str)]) -> Vec<FleetText> {
    texts.iter().map(|(name, text)| FleetText { name: (*name).into(), text: (*text).into() }).collect()
}

fn fleet(text: &str) -> Fleet {
    match parse(&files(&[("fleet.toml", text)]), &context()) {
        Ok(fleet) => fleet,
        Err(problems) => panic!("{:#?}", shown(&problems, &[("fleet.toml", text)])),
    }
}

/// `line:column underlined: message`, and the hint after an arrow.
fn shown(problems: &Problems, texts: &[(&str, &str)]) -> Vec<String> {
    let show = |problem: &packfleet::desired::problem::Problem| {
        let (at, (_, text)) = texts
            .iter()
            .enumerate()
            .find(|(_, (name, _))| *name == problem.file)
            .expect("a file that exists");
        let file = if at == 0 { String::new() } else { format!("{} ", problem.file) };
        let (line, column) = problem.line_column(text);
        let underlined = text[problem.span.clone()].split('\n').next().unwrap_or_default();
        assert!(!problem.message.is_empty() && !problem.label.is_empty());
        let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!(" → {hint}"));
        format!("{file}{line}:{column} {underlined}: {}{hint}", problem.message)
    };
    problems.0.iter().map(show).collect()
}

fn problems(texts: &[(&str, &str)]) -> Vec<String> {
    match parse(&files(texts), &context()) {
        Ok(_) => Vec::new(),
        Err(problems) => shown(&problems, texts),
    }
}

/// The problems of what follows the head.
fn after_head(text: &str) -> Vec<String> {
    problems(&[("fleet.toml", &format!("{HEAD}{text}"))])
}

mod print {
    #[test]
    fn all() {
        for text in super::CASES {
            println!("{:?}", text);
            println!("{:#?}", super::after_head(text));
        }
    }
}
const CASES: &[&str] = &[];
