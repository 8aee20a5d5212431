//! What is to be changed in a document, as a tree by key.
//!
//! Every change takes the value of *another* document at the same key, or removes one, so that a tree of
//! changes needs no values of its own. This is where merging is decided; the editors of the formats only
//! carry it out.

use std::collections::{BTreeMap, BTreeSet};

use super::value::{Value, quote};
use super::{StructuredError, Taking, Text};

/// A change at one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Take the other document's value.
    Take,
    /// Remove the key.
    Remove,
    /// Change keys of the object; make it, where it is absent.
    Into(Changes),
}

/// Changes by key.
pub type Changes = BTreeMap<String, Change>;

/// What RFC 7396 does to a target.
pub(super) fn of_patch(target: &Value, patch: &Value) -> Changes {
    let mut changes = Changes::new();
    for (key, wanted) in patch.as_object().into_iter().flatten() {
        let change = match (target.get(key), wanted) {
            (None, Value::Null) => None,
            (Some(_), Value::Null) => Some(Change::Remove),
            (Some(there @ Value::Object(_)), Value::Object(_)) => {
                let inner = of_patch(there, wanted);
                (!inner.is_empty()).then_some(Change::Into(inner))
            }
            (there, wanted) if there == Some(&without_nulls(wanted)) => None,
            _ => Some(Change::Take),
        };
        changes.extend(change.map(|change| (key.clone(), change)));
    }
    changes
}

/// What makes `ours` say what `theirs` says.
pub(super) fn between(ours: &Value, theirs: &Value) -> Changes {
    match three_way(Some(ours), Some(ours), Some(theirs), "", &mut Vec::new()) {
        Some(_) => members(Some(ours), Some(ours), Some(theirs), "", &mut Vec::new()),
        None => Changes::new(),
    }
}

/// The change to ours that brings in what only the other side changed; keys that both changed differently
/// are added to `conflicts`.
pub(super) fn three_way(
    base: Option<&Value>,
    ours: Option<&Value>,
    theirs: Option<&Value>,
    pointer: &str,
    conflicts: &mut Vec<String>,
) -> Option<Change> {
    if base == theirs || ours == theirs {
        return None;
    }
    if base == ours {
        return Some(if theirs.is_some() { Change::Take } else { Change::Remove });
    }
    let object = |value: Option<&Value>| matches!(value, Some(Value::Object(_)));
    if object(ours) && object(theirs) && (base.is_none() || object(base)) {
        let changes = members(base, ours, theirs, pointer, conflicts);
        return (!changes.is_empty()).then_some(Change::Into(changes));
    }
    conflicts.push(pointer.to_owned());
    None
}

fn members(
    base: Option<&Value>,
    ours: Option<&Value>,
    theirs: Option<&Value>,
    pointer: &str,
    conflicts: &mut Vec<String>,
) -> Changes {
    let sides = [base, ours, theirs];
    let keys: BTreeSet<&String> =
        sides.iter().flatten().filter_map(|side| side.as_object()).flat_map(BTreeMap::keys).collect();
    let mut changes = Changes::new();
    for key in keys {
        let [base, ours, theirs] = sides.map(|side| side.and_then(|side| side.get(key)));
        let change = three_way(base, ours, theirs, &below(pointer, key), conflicts);
        changes.extend(change.map(|change| (key.clone(), change)));
    }
    changes
}

/// The change that gives `theirs` the host's value at a pointer.
pub(super) fn of_host(
    theirs: &Value,
    host: &Value,
    tokens: &[String],
    pointer: &str,
) -> Result<Option<Change>, StructuredError> {
    let found = tokens.iter().try_fold(host, |value, token| value.get(token));
    let mut there = Some(theirs);
    for token in tokens {
        if let Some(value) = there
            && value.as_object().is_none()
        {
            if found.is_none() {
                return Ok(None);
            }
            return Err(StructuredError::NoObject { text: Text::Theirs, pointer: pointer.to_owned() });
        }
        there = there.and_then(|value| value.get(token));
    }
    let leaf = match (there, found) {
        (there, found) if there == found => return Ok(None),
        (_, Some(_)) => Change::Take,
        (_, None) => Change::Remove,
    };
    let wrap = |inner: Change, token: &String| Change::Into([(token.clone(), inner)].into());
    Ok(Some(tokens.iter().rev().fold(leaf, wrap)))
}

/// Adds a change of the root to others; the one nearer to the root wins.
pub(super) fn add(changes: &mut Changes, change: Change) {
    let Change::Into(added) = change else { return };
    for (key, change) in added {
        match changes.get_mut(&key) {
            Some(Change::Into(inner)) if matches!(change, Change::Into(_)) => add(inner, change),
            Some(Change::Into(_)) | None => {
                changes.insert(key, change);
            }
            Some(Change::Take | Change::Remove) => {}
        }
    }
}

/// What a document says after its changes.
pub(super) fn applied(target: &Value, other: &Value, changes: &Changes, taking: Taking) -> Value {
    let mut members = target.as_object().cloned().unwrap_or_default();
    for (key, change) in changes {
        match (change, other.get(key)) {
            (Change::Take, Some(value)) if taking == Taking::Overlay => {
                members.insert(key.clone(), without_nulls(value));
            }
            (Change::Take, Some(value)) => {
                members.insert(key.clone(), value.clone());
            }
            (Change::Into(inner), Some(other)) => {
                let empty = Value::Object(BTreeMap::new());
                let value = applied(members.get(key).unwrap_or(&empty), other, inner, taking);
                members.insert(key.clone(), value);
            }
            (Change::Remove, _) => {
                members.remove(key);
            }
            // A key of which the other document has nothing can only be changed by removing below it.
            (Change::Into(inner), None) => {
                let empty = Value::Object(BTreeMap::new());
                if let Some(value) = members.get(key) {
                    let value = applied(value, &empty, inner, taking);
                    members.insert(key.clone(), value);
                }
            }
            (Change::Take, None) => {}
        }
    }
    Value::Object(members)
}

/// What makes `from` say what `to` says, key by key: an object that both have is changed inside.
pub(super) fn difference(from: &Value, to: &Value) -> Changes {
    let (Some(old), Some(new)) = (from.as_object(), to.as_object()) else { return Changes::new() };
    let mut changes = Changes::new();
    for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
        let change = match (old.get(key), new.get(key)) {
            (old, new) if old == new => continue,
            (Some(old @ Value::Object(_)), Some(new @ Value::Object(_))) => {
                Change::Into(difference(old, new))
            }
            (_, Some(_)) => Change::Take,
            (_, None) => Change::Remove,
        };
        changes.insert(key.clone(), change);
    }
    changes
}

/// The changes that take a value, and apart from them those that remove a key: as changes that take a null
/// from [`nulls`].
pub(super) fn parted(changes: &Changes) -> (Changes, Changes) {
    let (mut takes, mut removes) = (Changes::new(), Changes::new());
    for (key, change) in changes {
        match change {
            Change::Take => drop(takes.insert(key.clone(), Change::Take)),
            Change::Remove => drop(removes.insert(key.clone(), Change::Take)),
            Change::Into(inner) => {
                let (inner_takes, inner_removes) = parted(inner);
                for (into, inner) in [(&mut takes, inner_takes), (&mut removes, inner_removes)] {
                    if !inner.is_empty() {
                        into.insert(key.clone(), Change::Into(inner));
                    }
                }
            }
        }
    }
    (takes, removes)
}

/// A JSON text with a null at every key that is taken.
pub(super) fn nulls(changes: &Changes) -> String {
    let mut out = String::from("{");
    for (index, (key, change)) in changes.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        quote(key, &mut out);
        out.push_str(": ");
        match change {
            Change::Into(inner) => out.push_str(&nulls(inner)),
            Change::Take | Change::Remove => out.push_str("null"),
        }
    }
    out.push('}');
    out
}

/// RFC 7396 on nothing: what a patch's value says where there was none.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(_, member)| **member != Value::Null)
                .map(|(key, member)| (key.clone(), without_nulls(member)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Pointers at which a patch and upstream, from `base` to `new`, disagree.
pub(super) fn contested(patch: &Value, base: &Value, new: &Value) -> Vec<String> {
    fn look(
        patch: &Value,
        base: Option<&Value>,
        new: Option<&Value>,
        pointer: &str,
        found: &mut Vec<String>,
    ) {
        let object = |value: Option<&Value>| value.is_some_and(|value| value.as_object().is_some());
        let wanted = without_nulls(patch);
        let done = if *patch == Value::Null { new.is_none() } else { new == Some(&wanted) };
        if base == new || done {
            return;
        }
        match patch.as_object() {
            Some(members) if object(new) && (base.is_none() || object(base)) => {
                for (key, patch) in members {
                    let (base, new) = (base.and_then(|it| it.get(key)), new.and_then(|it| it.get(key)));
                    look(patch, base, new, &below(pointer, key), found);
                }
            }
            _ => found.push(pointer.to_owned()),
        }
    }
    let mut found = Vec::new();
    look(patch, Some(base), Some(new), "", &mut found);
    // Keys in their order are not pointers in theirs: `/` is written `~1`.
    found.sort();
    found
}

/// Pointers of all that is no object, or an empty one.
pub(super) fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value.as_object() {
        Some(members) if !members.is_empty() => {
            for (key, member) in members {
                leaves(member, &below(pointer, key), found);
            }
        }
        _ => found.push(pointer.to_owned()),
    }
}

/// Takes a key out, and every object on the way that has nothing else.
pub(super) fn leave_out(value: &mut Value, tokens: &[String]) {
    let Value::Object(members) = value else { return };
    match tokens {
        [] => members.clear(),
        [last] => {
            members.remove(last);
        }
        [first, rest @ ..] => {
            if let Some(inner) = members.get_mut(first) {
                leave_out(inner, rest);
                if inner.as_object().is_some_and(BTreeMap::is_empty) {
                    members.remove(first);
                }
            }
        }
    }
}

/// The keys that a JSON pointer names; at least one.
pub(super) fn tokens(pointer: &str) -> Result<Vec<String>, StructuredError> {
    let rest = pointer.strip_prefix('/').ok_or_else(|| StructuredError::Pointer(pointer.to_owned()))?;
    Ok(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
}

/// The pointer of a key below another.
pub(super) fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
