//! Errors of a host, as they travel: each arrives as the same variant with the same words and causes.

use std::io;

use serde::{Deserialize, Serialize};

use crate::host::{BlobError, HostError, Told};
use crate::model::cause::chain;
use crate::model::{Content, HostPath, TreePath};

/// A [`HostError`].
#[derive(Debug, Serialize, Deserialize)]
pub enum Fault {
    /// `Root`
    Root(HostPath, String),
    /// `State`
    State(HostPath, String),
    /// `Locked`
    Locked(HostPath, String),
    /// `Damaged`, with its causes, outermost first
    Damaged(String, HostPath, Vec<String>),
    /// `Stale`: planned, found
    Stale(HostPath, u64, u64),
    /// `Unfit`
    Unfit(TreePath, String),
    /// `Io`: operation, path, number and words of the system's answer
    Io(String, String, Option<i32>, String),
    /// `Changed`
    Changed(TreePath),
    /// `Blob`
    Blob(Content, String),
    /// `NoEdit`
    NoEdit(u64),
    /// `Pending`
    Pending(u64, String),
    /// Any other, as words: itself, then its causes
    Told(Vec<String>),
}

impl From<HostError> for Fault {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Root { root, why } => Self::Root(root, why),
            HostError::State { root, why } => Self::State(root, why),
            HostError::Locked { root, by } => Self::Locked(root, by),
            HostError::Damaged { what, root, source } => {
                Self::Damaged(what.into_owned(), root, chain(source.as_ref()))
            }
            HostError::Stale { root, planned, found } => Self::Stale(root, planned, found),
            HostError::Unfit { path, why } => Self::Unfit(path, why),
            HostError::Io { operation, path, source } => {
                Self::Io(operation.into_owned(), path, source.raw_os_error(), source.to_string())
            }
            HostError::Changed { path } => Self::Changed(path),
            HostError::Blob(BlobError { content, why }) => Self::Blob(content, why),
            HostError::NoEdit(id) => Self::NoEdit(id),
            HostError::Pending { generation, why } => Self::Pending(generation, why),
            error @ (HostError::Unreachable { .. } | HostError::Cut { .. } | HostError::Agent { .. }) => {
                Self::Told(chain(&error))
            }
            HostError::Told(told) => Self::Told(chain(&told)),
        }
    }
}

impl From<Fault> for HostError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Root(root, why) => Self::Root { root, why },
            Fault::State(root, why) => Self::State { root, why },
            Fault::Locked(root, by) => Self::Locked { root, by },
            Fault::Damaged(what, root, causes) => {
                Self::Damaged { what: what.into(), root, source: Box::new(Told::new(causes)) }
            }
            Fault::Stale(root, planned, found) => Self::Stale { root, planned, found },
            Fault::Unfit(path, why) => Self::Unfit { path, why },
            Fault::Io(operation, path, number, text) => {
                let source = number.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error);
                Self::Io { operation: operation.into(), path, source }
            }
            Fault::Changed(path) => Self::Changed { path },
            Fault::Blob(content, why) => Self::Blob(BlobError { content, why }),
            Fault::NoEdit(id) => Self::NoEdit(id),
            Fault::Pending(generation, why) => Self::Pending { generation, why },
            Fault::Told(words) => Self::Told(Told::new(words)),
        }
    }
}
