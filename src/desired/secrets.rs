//! Secrets in texts that are about to leave a host: found by rules, and never shown.
//!
//! ```text
//! rules (secrets.toml, then the fleet's .gitleaks.toml) ─► keywords ─► regex ─► entropy ─► allowlists ─► Finding
//! ```
//! The rules are written in gitleaks' dialect, as far as it speaks of texts: commits and decoding are left
//! out, and keys that are not known are passed over, for the file is another program's. What was found leaves
//! this module as a rule, a line and a fingerprint; the secret does not, in no field and in no message. A
//! fingerprint is stable: the same secret under the same rule at the same path has the same one, so that a
//! person can allow it once. Law: a text is searched whole, whatever bytes are in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::Regex;
use serde::Deserialize;

pub use super::mask::Text;
use super::mask::{Mask, RawMask};

/// The rules that every scan has.
const OWN: &str = include_str!("secrets.toml");
/// A line with this is passed over: somebody looked at it, in the text itself.
const ALLOWED_HERE: &[u8] = b"gitleaks:allow";
/// Hexadecimal digits of a fingerprint: enough to tell secrets apart, too few to hold one.
const DIGITS: usize = 12;

/// A secret, without the secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// In which line it begins, from 1.
    pub line: usize,
    /// The rule that found it.
    pub rule: String,
    /// What to allow it by.
    pub fingerprint: Fingerprint,
}

/// A short digest of a rule, a path and the digest of a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(Box<str>);

impl Fingerprint {
    fn of(rule: &str, path: &str, secret: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("packfleet secret fingerprint v1");
        for part in [rule.as_bytes(), path.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(blake3::hash(secret).as_bytes());
        let digits = hasher.finalize().to_hex();
        Self(digits[..DIGITS].into())
    }
}

impl FromStr for Fingerprint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hex && text.len() == DIGITS {
            Ok(Self(text.into()))
        } else {
            Err(format!("a fingerprint is {DIGITS} hexadecimal digits, as the scan prints it"))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A rule file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// No TOML, or a key with a value of another kind.
    #[error("line {line}: {why}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What the parser said.
        why: String,
    },
    /// A regular expression that does not compile.
    #[error("{place}: {regex:?} is no regular expression that is understood here")]
    Regex {
        /// The rule, or the allowlist.
        place: String,
        /// As it is written.
        regex: String,
        /// Why not.
        #[source]
        source: regex::Error,
    },
    /// A group that the expression does not have.
    #[error("rule {rule}: its regex has no group {group}")]
    Group {
        /// The rule.
        rule: String,
        /// `secretGroup`.
        group: usize,
    },
    /// Keywords that cannot be searched for.
    #[error("the keywords cannot be searched for")]
    Keywords(#[source] aho_corasick::BuildError),
    /// Ours, without what is masked.
    #[error("it does not say what is masked")]
    Mask,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRules {
    #[serde(default)]
    extend: RawExtend,
    #[serde(default)]
    rules: Vec<RawRule>,
    allowlist: Option<RawAllowlist>,
    #[serde(default)]
    allowlists: Vec<RawAllowlist>,
    /// Ours alone counts.
    mask: Option<RawMask>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawExtend {
    #[serde(default)]
    disabled_rules: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRule {
    id: String,
    regex: Option<String>,
    path: Option<String>,
    #[serde(default)]
    keywords: Vec<String>,
    entropy: Option<f64>,
    secret_group: Option<usize>,
    allowlist: Option<RawAllowlist>,
    #[serde(default)]
    allowlists: Vec<RawAllowlist>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAllowlist {
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    stopwords: Vec<String>,
    #[serde(default)]
    regex_target: Target,
    #[serde(default)]
    condition: Condition,
    /// Rules that it is for; all, if it names none.
    #[serde(default)]
    target_rules: Vec<String>,
}

/// What an allowlist's expressions look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Target {
    #[default]
    Secret,
    Match,
    Line,
}

/// Whether one of an allowlist's kinds is enough, or each that it has must speak for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Condition {
    #[default]
    #[serde(rename = "OR", alias = "or")]
    Or,
    #[serde(rename = "AND", alias = "and")]
    And,
}

#[derive(Debug, Clone)]
struct Allowlist {
    regexes: Vec<Regex>,
    paths: Vec<Regex>,
    stopwords: Vec<String>,
    target: Target,
    condition: Condition,
    rules: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Rule {
    regex: Option<Regex>,
    path: Option<Regex>,
    keywords: Vec<String>,
    entropy: f64,
    group: Option<usize>,
    allowlists: Vec<Allowlist>,
}

/// Compiled rules.
#[derive(Debug, Clone)]
pub struct Rules {
    rules: BTreeMap<String, Rule>,
    allowlists: Vec<Allowlist>,
    mask: Mask,
    /// All keywords, and for each the rules that it wakes.
    keywords: AhoCorasick,
    wakes: Vec<Vec<String>>,
}

impl Rules {
    /// packfleet's own rules, and those of a fleet's `.gitleaks.toml` on top: a rule of the same id takes the
    /// place of ours.
    pub fn new(of_fleet: Option<&str>) -> Result<Self, RulesError> {
        let (mut rules, mut allowlists) = (BTreeMap::new(), Vec::new());
        let mask = Mask::new(add(OWN, &mut rules, &mut allowlists)?.ok_or(RulesError::Mask)?)?;
        if let Some(text) = of_fleet {
            add(text, &mut rules, &mut allowlists)?;
        }
        let mut words: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, rule) in &rules {
            for word in &rule.keywords {
                words.entry(word.to_ascii_lowercase()).or_default().push(id.clone());
            }
        }
        let (words, wakes): (Vec<String>, Vec<Vec<String>>) = words.into_iter().unzip();
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(words)
            .map_err(RulesError::Keywords)?;
        Ok(Self { rules, allowlists, mask, keywords, wakes })
    }
}

fn add(
    text: &str,
    rules: &mut BTreeMap<String, Rule>,
    allowlists: &mut Vec<Allowlist>,
) -> Result<Option<RawMask>, RulesError> {
    let raw: RawRules = toml::from_str(text).map_err(|error| RulesError::Syntax {
        line: error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count()),
        why: error.message().to_owned(),
    })?;
    for id in &raw.extend.disabled_rules {
        rules.remove(id);
    }
    for list in raw.allowlist.into_iter().chain(raw.allowlists) {
        allowlists.push(Allowlist::new(list, "the allowlist")?);
    }
    for rule in raw.rules {
        let place = format!("rule {}", rule.id);
        let regex = rule.regex.map(|regex| compiled(regex, &place)).transpose()?;
        let groups = regex.as_ref().map_or(0, |regex| regex.captures_len() - 1);
        let group = rule.secret_group.filter(|group| *group > 0);
        if let Some(group) = group.filter(|group| *group > groups) {
            return Err(RulesError::Group { rule: rule.id, group });
        }
        let lists = rule.allowlist.into_iter().chain(rule.allowlists);
        let compiled = Rule {
            regex,
            path: rule.path.map(|path| compiled(path, &place)).transpose()?,
            keywords: rule.keywords.into_iter().filter(|word| !word.is_empty()).collect(),
            entropy: rule.entropy.unwrap_or(0.0),
            group,
            allowlists: lists.map(|list| Allowlist::new(list, &place)).collect::<Result<_, _>>()?,
        };
        rules.insert(rule.id, compiled);
    }
    Ok(raw.mask)
}

pub(super) fn compiled(regex: String, place: &str) -> Result<Regex, RulesError> {
    Regex::new(&regex).map_err(|source| RulesError::Regex { place: place.to_owned(), regex, source })
}

/// What a rule's expression hit.
struct Hit<'t> {
    secret: &'t [u8],
    whole: &'t [u8],
    line: &'t [u8],
}

impl Allowlist {
    fn new(raw: RawAllowlist, place: &str) -> Result<Self, RulesError> {
        let all = |texts: Vec<String>| -> Result<Vec<Regex>, RulesError> {
            texts.into_iter().map(|text| compiled(text, place)).collect()
        };
        Ok(Self {
            regexes: all(raw.regexes)?,
            paths: all(raw.paths)?,
            stopwords: raw.stopwords.iter().map(|word| word.to_ascii_lowercase()).collect(),
            target: raw.regex_target,
            condition: raw.condition,
            rules: raw.target_rules.into_iter().collect(),
        })
    }

    fn allows(&self, rule: &str, path: &str, hit: &Hit<'_>) -> bool {
        if !self.rules.is_empty() && !self.rules.contains(rule) {
            return false;
        }
        let looked_at = match self.target {
            Target::Secret => hit.secret,
            Target::Match => hit.whole,
            Target::Line => hit.line,
        };
        let secret = hit.secret.to_ascii_lowercase();
        let stopped = |word: &String| {
            let word = word.as_bytes();
            !word.is_empty() && secret.windows(word.len()).any(|window| window == word)
        };
        let kinds = [
            (self.regexes.is_empty(), self.regexes.iter().any(|regex| regex.is_match(looked_at))),
            (self.paths.is_empty(), self.paths.iter().any(|regex| regex.is_match(path.as_bytes()))),
            (self.stopwords.is_empty(), self.stopwords.iter().any(stopped)),
        ];
        match self.condition {
            Condition::Or => kinds.iter().any(|(_, speaks)| *speaks),
            Condition::And => {
                kinds.iter().any(|(_, speaks)| *speaks)
                    && kinds.iter().all(|(empty, speaks)| *empty || *speaks)
            }
        }
    }
}

/// Every secret in a text, in the order of its lines. `path` is where the text lies, for rules and allowlists
/// that speak of paths, and for fingerprints.
pub fn scan(path: &str, text: &[u8], rules: &Rules) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    for (id, place) in hits(path, text, rules) {
        let Some(Place { whole, secret }) = place else {
            let fingerprint = Fingerprint::of(id, path, path.as_bytes());
            findings.insert(Finding { line: 1, rule: id.to_owned(), fingerprint });
            continue;
        };
        let line = 1 + text[..whole.start].iter().filter(|byte| **byte == b'\n').count();
        // A match may begin with the end of the line above.
        let line = line + text[whole].iter().take_while(|byte| **byte == b'\n').count();
        let fingerprint = Fingerprint::of(id, path, &text[secret]);
        findings.insert(Finding { line, rule: id.to_owned(), fingerprint });
    }
    findings.into_iter().collect()
}

/// Where the secrets of a text lie, in order and apart from each other: what no report may show. Beside what
/// the rules find, that is all that a [`Mask`] hides.
pub fn spans(what: Text<'_>, text: &[u8], rules: &Rules) -> Vec<Range<usize>> {
    let path = match what {
        Text::File(path) => path,
        Text::Words => "",
    };
    let mut spans: Vec<Range<usize>> =
        hits(path, text, rules).into_iter().filter_map(|(_, place)| Some(place?.secret)).collect();
    spans.extend(rules.mask.spans(what, text));
    spans.sort_by_key(|span| (span.start, span.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for span in spans {
        match apart.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => apart.push(span),
        }
    }
    apart
}

/// Where a rule's expression hit.
struct Place {
    whole: Range<usize>,
    secret: Range<usize>,
}

/// Every hit that nobody allowed, by rule; no place where a rule speaks of the path alone.
fn hits<'r>(path: &str, text: &[u8], rules: &'r Rules) -> Vec<(&'r str, Option<Place>)> {
    let mut awake: BTreeSet<&str> =
        rules.rules.iter().filter(|(_, rule)| rule.keywords.is_empty()).map(|(id, _)| id.as_str()).collect();
    for found in rules.keywords.find_overlapping_iter(text) {
        awake.extend(rules.wakes[found.pattern().as_usize()].iter().map(String::as_str));
    }
    let mut hits = Vec::new();
    for (id, rule) in rules.rules.iter().filter(|(id, _)| awake.contains(id.as_str())) {
        if rule.path.as_ref().is_some_and(|wanted| !wanted.is_match(path.as_bytes())) {
            continue;
        }
        let allowed = |hit: &Hit<'_>| {
            rules.allowlists.iter().chain(&rule.allowlists).any(|list| list.allows(id, path, hit))
        };
        let Some(regex) = &rule.regex else {
            // A rule of a path alone: the file itself should not be there.
            let hit = Hit { secret: path.as_bytes(), whole: path.as_bytes(), line: &[] };
            if rule.path.is_some() && !allowed(&hit) {
                hits.push((id.as_str(), None));
            }
            continue;
        };
        for captures in regex.captures_iter(text) {
            let Some(whole) = captures.get(0) else { continue };
            let group = match rule.group {
                Some(group) => captures.get(group),
                None => captures.iter().skip(1).flatten().find(|group| !group.is_empty()),
            };
            let secret = group.unwrap_or(whole);
            let hit = Hit {
                secret: secret.as_bytes(),
                whole: whole.as_bytes(),
                line: line_of(text, secret.start()),
            };
            let here = hit.line.windows(ALLOWED_HERE.len()).any(|window| window == ALLOWED_HERE);
            if !here && entropy(hit.secret) >= rule.entropy && !allowed(&hit) {
                hits.push((id.as_str(), Some(Place { whole: whole.range(), secret: secret.range() })));
            }
        }
    }
    hits
}

fn line_of(text: &[u8], at: usize) -> &[u8] {
    let start = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let end = text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| at + end);
    &text[start..end]
}

/// Bits per byte: what is random has many, a word few.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let all = bytes.len() as f64;
    let bits = |count: &u32| {
        let share = f64::from(*count) / all;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(bits).sum()
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
