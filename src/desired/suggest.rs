//! "Did you mean": the known name that is nearest to an unknown one.

/// The nearest of the known names, if it is near enough to have been meant. Ties go to the first.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing costs the product of the lengths; nobody means a name by something that long.
    if unknown.len() > 128 {
        return None;
    }
    let folded = unknown.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for name in known.filter(|name| name.len() <= 128) {
        let near = strsim::jaro_winkler(&folded, &name.to_lowercase());
        if near > 0.8 && best.is_none_or(|(other, _)| near > other) {
            best = Some((near, name));
        }
    }
    best.map(|(_, name)| name)
}

/// A hint for an unknown name: the nearest known one, else the list of all, if it is short.
pub(super) fn did_you_mean<'a>(
    unknown: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(name) = nearest(unknown, known.clone()) {
        return Some(format!("did you mean {name:?}?"));
    }
    let all: Vec<&str> = known.take(33).collect();
    match all.len() {
        0 | 33 => None,
        _ => Some(format!("known here: {}", all.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_find_their_name() {
        let known = ["version_file", "sync_log", "include", "edits"];
        for (unknown, expected) in [
            ("versoin_file", Some("version_file")),
            ("Edits", Some("edits")),
            ("synclog", Some("sync_log")),
            ("zzz", None),
        ] {
            assert_eq!(nearest(unknown, known.into_iter()), expected, "{unknown}");
        }
        assert_eq!(
            did_you_mean("zzz", known.into_iter()).as_deref(),
            Some("known here: version_file, sync_log, include, edits")
        );
        assert_eq!(did_you_mean("zzz", [].into_iter()), None);
    }
}
