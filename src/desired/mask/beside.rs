//! Values that stand beside a secret's name: `name: API_TOKEN`, and `value: …` behind or before it, in one entry of a
//! list, one object or one element; and all of an object that says of itself that it is secret.
//!
//! The name is looked at, then a few lines around it, up to where another entry begins. Deliberately absent: parsers; a
//! value that stands further away.

use std::ops::Range;

use super::{Mask, Of, Sign, Text, column, indent, is_marker, lines, sign};

/// How far, in bytes and in lines, a value is looked for beside its name.
const NEAR: usize = 4 << 10;
const NEAR_LINES: usize = 8;

impl Mask {
    /// Values that stand beside a secret's name, rather than behind it: `name: API_TOKEN`, then `value: …`.
    pub(super) fn beside(&self, what: Text<'_>, text: &[u8], found: &mut Vec<Range<usize>>) {
        let yaml = Of { what, key: b"", head: None }.is_yaml();
        for captures in self.label.captures_iter(text) {
            let (Some(label), Some(name)) = (captures.get(1), captures.get(2)) else { continue };
            if !self.is_secret(name.as_bytes()) || self.is_secret(label.as_bytes()) {
                continue;
            }
            let back = label.start().saturating_sub(NEAR);
            let near: Vec<_> = lines(text, back..label.start()).collect();
            let start = near.last().map_or(label.start(), |line| line.start);
            let at = column(&text[start..]);
            let is_item = |bytes: &[u8]| indent(bytes) < at && bytes.trim_ascii_start().starts_with(b"- ");
            let (mut end, far) = (label.end(), text.len().min(label.end() + NEAR));
            for (number, line) in lines(text, label.end()..far).take(NEAR_LINES).enumerate() {
                let bytes = &text[line.clone()];
                let leaves = yaml && !bytes.trim_ascii().is_empty() && column(bytes) < at;
                if number > 0 && !is_marker(bytes) && (is_item(bytes) || leaves) {
                    break;
                }
                end = line.end;
            }
            let next =
                self.between.find(&text[label.end()..end]).map_or(end, |next| label.end() + next.start());
            let other =
                self.label.find(&text[name.end()..next]).map_or(next, |other| name.end() + other.start());
            if self.values_in(what, text, label.end()..next, other, found) {
                continue;
            }
            let mut begin = label.start();
            for line in near.into_iter().rev().take(NEAR_LINES / 2) {
                begin = line.start;
                if is_item(&text[line]) {
                    break;
                }
            }
            let before = self.between.find_iter(&text[begin..label.start()]).last();
            let begin = before.map_or(begin, |before| begin + before.end());
            self.values_in(what, text, begin..label.start(), label.start(), found);
        }
    }

    /// Hides what a part of a text gives, more than one value up to `other` only; whether it gives anything.
    fn values_in(
        &self,
        what: Text<'_>,
        text: &[u8],
        part: Range<usize>,
        other: usize,
        found: &mut Vec<Range<usize>>,
    ) -> bool {
        let (mut at, mut any) = (part.start, false);
        while at < part.end
            && let Some(word) = self.given.find_at(&text[..part.end], at)
            && !(any && word.start() >= other)
        {
            at = word.end();
            if let Some((after, sign)) = sign(text, word.range()).filter(|(_, sign)| *sign != Sign::Option) {
                at = at.max(self.behind(what, text, word.range(), (after, sign), found));
                any = true;
            }
        }
        any
    }

    /// All that an object holds whose kind says that it is secret.
    pub(super) fn objects(&self, what: Text<'_>, text: &[u8], found: &mut Vec<Range<usize>>) {
        let mut done = 0;
        for object in self.object.find_iter(text) {
            if object.start() < done {
                continue;
            }
            let parts = |part: &[u8]| part.windows(4).position(|four| four == b"\n---");
            let begin = text[done..object.start()].windows(4).rposition(|four| four == b"\n---");
            let begin = begin.map_or(done, |begin| done + begin);
            done = parts(&text[object.end()..]).map_or(text.len(), |end| object.end() + end);
            for held in self.held.captures_iter(&text[begin..done]).filter_map(|held| held.get(1)) {
                let word = begin + held.start()..begin + held.end();
                if let Some(sign) = sign(text, word.clone()) {
                    self.behind(what, text, word, sign, found);
                }
            }
        }
    }
}
