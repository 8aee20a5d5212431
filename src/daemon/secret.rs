//! A secret that a person gave by the environment: a webhook's, a message's address. Never printed.

use std::fmt;

/// Bytes that nothing shows.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// `None` for an empty one: an empty secret would let everybody in.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then_some(Self(text))
    }

    /// What it is, for the one place that needs it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_printed_and_not_empty() {
        assert!(Secret::new("").is_none());
        assert_eq!(format!("{:?}", Secret::new("hunter2").unwrap()), "Secret(***)");
    }
}
