//! `[status]` and the keys of hosts: where statuses are published, and whose word counts.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;

use super::document::Node;
use super::location::{Remote, local_path, remote};
use super::packs::accept;
use super::problem::quoted;
use super::profile::Written;
use super::raw::RawFile;
use super::read::{Read, exactly_one};
use super::report::{Report, fault};
use super::scalar::{self, from_text, refused};
use crate::model::DeploymentName;
use crate::model::fleet::Url;
use crate::model::publishing::{HEARTBEAT, PREFIX, Publishing, StoreAddress};
use crate::model::status_key::StatusKey;

/// A public key with which statuses are signed.
#[derive(Debug, Clone)]
pub(super) struct PublicKey(pub StatusKey);
scalar::schema!(PublicKey, { "type": "string", "pattern": "^ssh-ed25519 [A-Za-z0-9+/=]+" });

impl Read for PublicKey {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a public key", report, |text| {
            StatusKey::new(text).map(Self).map_err(|error| {
                refused(format!("{}: {error}", quoted(text))).hint("what `packfleet bootstrap` prints")
            })
        })
    }
}

/// What is said of statuses, if anything is and all of it is right.
pub(super) fn publishing(
    raw: &RawFile,
    written: &[Written],
    directory: &Utf8Path,
    report: &mut Report,
) -> Option<Publishing> {
    let hosts = hosts(raw, written, report);
    let stanza = raw.status.get()?;
    report.within("status", |report| {
        let one = exactly_one(&**stanza, &stanza.place, &["git", "directory"], report);
        let prefix = match stanza.ref_prefix.get() {
            None => Some(PREFIX.to_owned()),
            Some(text) => {
                let prefix = report.within("ref_prefix", |report| {
                    accept(&text.place, prefix(&text.value.0), "not a place for refs", report)
                });
                if stanza.git.is_absent() && stanza.directory.get().is_some() {
                    let fault = fault("`status.ref_prefix` is for `git`", "a directory has no refs");
                    report.add(&text.place, fault.hint("take it out"));
                }
                prefix
            }
        };
        let store = match (stanza.git.get(), stanza.directory.get()) {
            _ if !one => None,
            (Some(text), _) => report.within("git", |report| {
                let url = match accept(&text.place, remote(text, directory), "not a URL", report)? {
                    Remote::Direct(url) => Url::new(url),
                    Remote::Ssh => Url::new(text.value.clone()),
                };
                Some(StoreAddress::Git { url, prefix: prefix? })
            }),
            (None, Some(text)) => report.within("directory", |report| {
                let path = accept(&text.place, local_path(text, directory), "not a path", report);
                path.map(StoreAddress::Directory)
            }),
            (None, None) => None,
        };
        let heartbeat = stanza.heartbeat.get().and_then(|period| Duration::try_from(period.value.0).ok());
        Some(Publishing {
            store: store?,
            heartbeat: heartbeat.unwrap_or(HEARTBEAT),
            key: stanza.key.get().map(|key| key.value.0.clone()),
            hosts,
        })
    })
}

/// Keys of hosts that speak for themselves; each speaks for one alone.
fn hosts(raw: &RawFile, written: &[Written], report: &mut Report) -> BTreeMap<DeploymentName, StatusKey> {
    let mut hosts: BTreeMap<DeploymentName, StatusKey> = BTreeMap::new();
    let mut owners: BTreeMap<String, &DeploymentName> = BTreeMap::new();
    report.within("deployments", |report| {
        for stanza in written {
            let Some(key) = stanza.raw.status_key.get() else { continue };
            let name = &stanza.name;
            if raw.status.is_absent() {
                let message = format!("{name} has a `status_key`, and nothing says where statuses are");
                let hint = "add [status] with git or directory, or take the key out";
                report.add(&key.place, fault(message, "there is no [status]").hint(hint));
            }
            if let Some(other) = owners.insert(key.value.0.fingerprint(), name) {
                let message = format!("{other} and {name} have the same `status_key`");
                let hint = "each host has a key of its own: `packfleet bootstrap` makes and prints it";
                report.add(&key.place, fault(message, "one could speak for the other").hint(hint));
            }
            hosts.insert(name.clone(), key.value.0.clone());
        }
    });
    hosts
}

fn prefix(text: &str) -> Result<String, super::scalar::Refused> {
    let text = text.trim_end_matches('/');
    match text.strip_prefix("refs/") {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err(refused(format!("{} does not begin with `refs/`", quoted(text)))
            .hint(format!("as in {PREFIX:?}"))),
    }
}
