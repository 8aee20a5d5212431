//! Unified diffs for people.

/// The unified diff from `old` to `new` under the header names given; empty if they are equal.
/// Bytes that are not text give one line that says so.
pub fn unified_diff(old_name: &str, new_name: &str, old: &[u8], new: &[u8]) -> String {
    let _ = (old_name, new_name, old, new);
    todo!()
}
