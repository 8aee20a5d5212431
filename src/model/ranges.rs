//! Many names in few words: `edge-001..187, 190..300`.

/// Names, with runs of numbers drawn together. The order is kept, but for neighbours that differ in their number
/// alone: these stand by number. A run is at least three names that count up by one, in equally wide digits or
/// without leading zeros.
pub fn compress<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut each: Vec<Run<'a>> = names.into_iter().map(Run::new).collect();
    for family in each.chunk_by_mut(|one, next| one.prefix == next.prefix && one.is_numbered()) {
        family.sort_by_key(|run| (run.number(), run.first.len()));
    }
    let mut runs: Vec<Run<'a>> = Vec::new();
    for next in each {
        match runs.last_mut() {
            Some(run) if run.goes_on_with(&next) => run.last = next.last,
            _ => runs.push(next),
        }
    }
    let mut out: Vec<String> = Vec::new();
    let mut before: Option<&str> = None;
    for run in runs {
        // The prefix of a numbered family is written once.
        let prefix = if before == Some(run.prefix) && run.is_numbered() { "" } else { run.prefix };
        before = run.is_numbered().then_some(run.prefix);
        match run.len() {
            1 => out.push(format!("{prefix}{}", run.first)),
            2 => {
                out.push(format!("{prefix}{}", run.first));
                out.push(run.last.to_owned());
            }
            _ => out.push(format!("{prefix}{}..{}", run.first, run.last)),
        }
    }
    out.join(", ")
}

struct Run<'a> {
    prefix: &'a str,
    first: &'a str,
    last: &'a str,
}

impl<'a> Run<'a> {
    fn new(name: &'a str) -> Self {
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &name[prefix.len()..];
        // More digits than a number holds are a name.
        if digits.len() > 15 || prefix.is_empty() {
            return Self { prefix: name, first: "", last: "" };
        }
        Self { prefix, first: digits, last: digits }
    }

    fn is_numbered(&self) -> bool {
        !self.first.is_empty()
    }

    fn number(&self) -> Option<u64> {
        self.first.parse().ok()
    }

    fn goes_on_with(&self, next: &Self) -> bool {
        let padded = |digits: &str| digits.starts_with('0');
        self.prefix == next.prefix
            && (self.last.len() == next.first.len() || !padded(self.last) && !padded(next.first))
            && self.last.parse::<u64>().is_ok_and(|last| next.number() == Some(last + 1))
    }

    fn len(&self) -> u64 {
        let number = |digits: &str| digits.parse::<u64>().unwrap_or(0);
        number(self.last) - number(self.first) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_drawn_together() {
        for (names, expected) in [
            (vec!["dev", "prod"], "dev, prod"),
            (vec!["edge-001", "edge-002", "edge-003", "edge-005"], "edge-001..003, 005"),
            (vec!["edge-1", "edge-2"], "edge-1, 2"),
            (vec!["edge-9", "edge-10"], "edge-9, 10"),
            (vec!["edge-1", "edge-10", "edge-11", "edge-2", "edge-9"], "edge-1, 2, 9..11"),
            (vec!["edge-08", "edge-09", "edge-1", "edge-10"], "edge-1, 08..10"),
            (vec!["edge-0", "edge-1", "edge-2"], "edge-0..2"),
            (vec!["a1", "a2", "a3", "b4", "b5", "b6"], "a1..3, b4..6"),
            (vec!["a1", "x", "a2"], "a1, x, a2"),
            (vec!["1", "2", "3"], "1, 2, 3"),
            (vec![], ""),
        ] {
            assert_eq!(compress(names), expected);
        }
        let many: Vec<String> = (1..=187).chain(190..=300).map(|n| format!("edge-{n:03}")).collect();
        assert_eq!(compress(many.iter().map(String::as_str)), "edge-001..187, 190..300");
    }
}
