//! What a fleet file may say already, but packfleet cannot do yet.
//!
//! Such keys are read and checked like all others, and then refused: to accept and ignore a health check or a
//! maintenance window would be a lie. **To support one, delete its line from [`NOT_YET`].**

use super::report::{Fault, fault};

/// Table, key (or a kind of value of a key, after a space), and what to do until then.
const NOT_YET: [(&str, &str, &str); 0] = [];

/// Why a key, or a kind of its value, is refused for now; `None` once it is supported.
pub(super) fn refusal(table: &str, key: &str) -> Option<Fault> {
    let (table, key, hint) = NOT_YET.iter().find(|(t, k, _)| (*t, *k) == (table, key))?;
    let (key, kind) = key.split_at(key.find(' ').unwrap_or(key.len()));
    let message = format!("`{key}`{kind} of {table} is not yet supported");
    Some(fault(message, "not yet supported").hint(*hint))
}
