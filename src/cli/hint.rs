//! What to type or to edit next: one answer for every cause of a hold, a wait or a failure.
//!
//! Commands are written so that they can be pasted: with the fleet file if it is not the usual one, and quoted
//! for a shell where a path needs it.

use camino::{Utf8Path, Utf8PathBuf};

use super::printer::{shown, word};
use crate::daemon::Trouble;
use crate::engine::status::Unheard;
use crate::engine::{Failure, overlay};
use crate::host::HostError;
use crate::host::examine::Fix;
use crate::model::fleet::{Changed, Deployment};
use crate::model::plan::{Conflict, HoldCause, Obstacle, OverlayFault, OverlayStep, Purpose};
use crate::model::ssh::ANOTHER_KEY;
use crate::model::{DeploymentName, PackName, TreePath};

/// Where hints point to.
#[derive(Debug, Clone)]
pub struct Hints {
    file: Utf8PathBuf,
}

impl Hints {
    /// Hints for a fleet file, as its name was typed.
    pub fn new(file: &Utf8Path) -> Self {
        Self { file: file.to_owned() }
    }

    /// The fleet file, as people would write it.
    pub fn file(&self) -> String {
        shown(self.file.as_str())
    }

    /// The directory that it lies in, as it was typed.
    pub fn directory(&self) -> &Utf8Path {
        self.file.parent().unwrap_or(Utf8Path::new(""))
    }

    /// A command of packfleet, to be pasted.
    pub fn command(&self, words: &[&str]) -> String {
        let mut line = "packfleet".to_owned();
        if self.file != "fleet.toml" && self.file != "./fleet.toml" {
            line.push_str(" -f ");
            line.push_str(&word(self.file.as_str()));
        }
        for next in words {
            line.push(' ');
            line.push_str(&word(next));
        }
        line
    }

    /// What clears a hold on a deployment; `purpose` is the plan's that holds.
    pub fn of_hold(
        &self,
        cause: &HoldCause,
        pack: Option<&PackName>,
        path: Option<&TreePath>,
        deployment: &Deployment,
        purpose: &Purpose,
    ) -> String {
        let name = deployment.name.as_str();
        let path = path.map_or("", TreePath::as_str);
        let pack = pack.map_or("", PackName::as_str);
        let again = match purpose {
            Purpose::Rollback { to } => self.command(&["rollback", name, "--to", &to.to_string()]),
            _ => self.command(&["apply", name]),
        };
        match cause {
            HoldCause::Conflict { .. } if matches!(purpose, Purpose::Rollback { .. }) => format!(
                "keep a copy of {} elsewhere and undo your edit of it, then {again}",
                on_host(deployment, path)
            ),
            HoldCause::Conflict { conflict, base, .. } => {
                let resolve = self.command(&["resolve", name, path]);
                let policy = deployment.packs.get(pack).map_or(deployment.edits, |pack| pack.edits);
                match **conflict {
                    // A local side would be taken back at once.
                    _ if policy.changed == Changed::Revert => format!("{resolve} --take pack"),
                    Conflict::Text { .. } => format!("{resolve} --edit | --take local | --take pack"),
                    _ if base.is_none() => format!("{resolve} --take local | --take pack"),
                    _ => format!("{resolve} --take local | --take pack | --take FILE"),
                }
            }
            HoldCause::Obstructed(obstacle) => match obstacle {
                Obstacle::Unreadable(_) => {
                    format!("make {} readable for this user, then {again}", on_host(deployment, path))
                }
                Obstacle::Busy => format!("{again}, once nothing writes to it"),
                Obstacle::Ancestor { at, .. } => format!(
                    "move {} away, or make it a plain directory, then {again}",
                    on_host(deployment, at.as_str())
                ),
                Obstacle::Directory { foreign: Some(foreign) } => format!(
                    "move {} away, then {again}",
                    on_host(deployment, &format!("{path}/{}", shown(foreign)))
                ),
                Obstacle::Directory { foreign: None } | Obstacle::Special(_) => {
                    format!("move {} away, then {again}", on_host(deployment, path))
                }
            },
            HoldCause::Nested { by } => format!("clears with {by}"),
            HoldCause::Requires { pack } | HoldCause::Tied { pack } => format!("clears with pack {pack}"),
            HoldCause::Version(_) if pack.is_empty() => format!("correct that, then {again}"),
            HoldCause::Version(_) => {
                format!("correct pack {pack} in {} or in its source, then {again}", self.file())
            }
            HoldCause::Major { to, .. } => format!(
                "read what changed; then packs.{pack} = {{ version = \"{}\" }} in {}, and {again}",
                shown(to),
                self.file()
            ),
            HoldCause::Overlays { faults, to } => {
                let mut steps: Vec<String> = Vec::new();
                for fault in faults {
                    let step = self.of_fault(fault, to);
                    if !steps.contains(&step) {
                        steps.push(step);
                    }
                }
                format!("{}, then {again}", steps.join(", "))
            }
            HoldCause::Check { .. } => {
                format!("correct pack {pack}, its overlays or your edits of it, then {again}")
            }
            HoldCause::Signature(_) => format!(
                "have it signed by a listed key, or list the key in signed_by's file; then {}",
                self.command(&["plan", name])
            ),
            HoldCause::Source(_) => {
                format!("see that the source of {pack} answers, then {}", self.command(&["plan", name]))
            }
            HoldCause::Gone { .. } => format!(
                "see whether a disk is not mounted; if it is to be filled anew, {}",
                self.command(&["apply", name])
            ),
            HoldCause::Rejected { .. } => format!(
                "{}, or let {} give another version",
                self.command(&["retry", name, pack]),
                self.file()
            ),
            HoldCause::Budget { consent, .. } => format!(
                "if it is meant: `consent = [\"{}\"]` under [budget] in {}, then {again}",
                shown(consent),
                self.file()
            ),
        }
    }

    /// What clears a fault of an overlay on a version.
    fn of_fault(&self, fault: &OverlayFault, to: &str) -> String {
        let name = fault.overlay.as_str();
        match fault.next {
            OverlayStep::Rebase => self.command(&["overlay", "rebase", name, "--to", to]),
            OverlayStep::Finish => self.command(&["overlay", "rebase", name, "--finish"]),
            OverlayStep::Correct => format!("correct overlays/{name}"),
        }
    }

    /// What makes the fleet repository well again; `None` where its text says so already.
    pub fn of_trouble(trouble: &Trouble) -> Option<String> {
        Some(match trouble {
            Trouble::Rewound { .. } => {
                "if history was rewritten on purpose, run once with --allow-rewind".to_owned()
            }
            Trouble::Unsigned(_) => {
                "sign the branch's newest commit (git commit -S) with a key of the list, and push".to_owned()
            }
            Trouble::State { path, .. } => {
                format!("make {path} readable and writable, or delete it if it is damaged")
            }
            _ => return None,
        })
    }

    /// What clears a failure on a deployment; `None` where its text says so already.
    pub fn of_failure(&self, failure: &Failure, name: &DeploymentName) -> Option<String> {
        let apply = self.command(&["apply", name.as_str()]);
        let plan = self.command(&["plan", name.as_str()]);
        let error = match failure {
            Failure::Host(error) => error,
            Failure::Moved { .. } => return Some(format!("{plan} shows what is there now; then {apply}")),
            Failure::OtherPlan { .. } => {
                return Some(format!("{plan} shows it as it is now; save that, and agree to it"));
            }
            Failure::Lost(_) => return Some(format!("report it, with the output of {apply} -vv")),
            Failure::Unheard(Unheard::Silent) => return Some(format!("{apply} publishes it")),
            Failure::Unheard(Unheard::Unread(_)) => {
                return Some("see that the store of [status] answers; the next pass asks again".to_owned());
            }
            Failure::Unheard(Unheard::Refused(_)) => {
                return Some(format!(
                    "find out who can write there, then {apply} publishes it anew; a key that changed is corrected in {}",
                    self.file()
                ));
            }
            Failure::Rewound { .. } => {
                return Some("if history was rewritten on purpose, run once with --allow-rewind".to_owned());
            }
            Failure::Ill(_) | Failure::Request(_) | Failure::Already(_) => return None,
            Failure::Interrupted => return Some(apply),
        };
        Some(match error {
            HostError::Root { .. } => {
                format!("correct that, or `root` of {name} in {}, then {plan}", self.file())
            }
            HostError::State { root, .. } => format!(
                "look at {root}/.packfleet: if it is not this deployment's, correct `root` of {name} in {}",
                self.file()
            ),
            HostError::Locked { .. } => format!("{apply}, once that run has ended"),
            HostError::Damaged { root, .. } => format!(
                "move {root}/.packfleet away, but keep it (saved edits lie in it); then {plan}: what is equal is \
                 adopted, what differs is held"
            ),
            HostError::Stale { .. } => format!("{plan} shows what is there now; then {apply}"),
            HostError::Unfit { .. } => format!("correct that, then {apply}"),
            HostError::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    format!("run as a user who may do that, or correct its owner or mode, then {apply}")
                }
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    format!("free some space, then {apply}")
                }
                _ => format!("correct that, then {apply}"),
            },
            HostError::Changed { .. } => format!("{apply}, once nothing writes to it"),
            HostError::Blob(_) => format!("see that the pack's source answers, then {apply}"),
            HostError::Unreachable { host, source } => unreachable(host, &source.to_string(), &plan),
            HostError::Agent { why, .. } if why.starts_with("sudo ") => format!(
                "as root on the host, with visudo -f /etc/sudoers.d/packfleet, for the user who logs in: \
                 USER ALL=(root) NOPASSWD: /bin/sh (that is all of root); then {plan}"
            ),
            HostError::Cut { .. } => format!("{plan} shows what is there now; then {apply}"),
            HostError::Agent { .. } | HostError::Told(_) => format!("correct that, then {plan}"),
            HostError::NoEdit(_) => self.command(&["edits", "list", name.as_str()]),
            HostError::Pending { .. } => format!("correct that, then {apply} goes on with it"),
        })
    }

    /// What to do first about a pack that is not on record and whose paths hold files of nobody.
    pub fn of_first_contact(&self, name: &DeploymentName) -> String {
        let adopt = self.command(&["adopt", name.as_str()]);
        format!("{adopt} looks for the version that was put there by hand, and records it")
    }

    /// What to do about a failure with an overlay; `None` where its text says so already.
    pub fn of_overlay(&self, failure: &overlay::Failure) -> Option<String> {
        match failure {
            overlay::Failure::Unknown { near: None, .. } => {
                Some(format!("{} lists them", self.command(&["overlay", "show"])))
            }
            overlay::Failure::NoVersion(_) => {
                Some("name one: --version 1.2.3, or a tag or commit".to_owned())
            }
            overlay::Failure::Damaged { name, .. } => {
                Some(format!("see overlays/{name}, then {}", self.command(&["validate"])))
            }
            overlay::Failure::Exists(_) => Some("name another one, or add files to it".to_owned()),
            _ => None,
        }
    }

    /// What makes something good that was examined.
    pub fn of_fix(&self, fix: &Fix, name: Option<&DeploymentName>) -> String {
        let name = name.map_or("", DeploymentName::as_str);
        match fix {
            Fix::Bootstrap => self.command(&["bootstrap", name]),
            Fix::Apply => self.command(&["apply", name]),
            Fix::Text(words) => shown(words),
        }
    }

    /// What clears an interrupted switch.
    pub fn of_interrupted(&self, name: &DeploymentName) -> String {
        self.command(&["apply", name.as_str()])
    }
}

/// What leads to a host, by what ssh said.
fn unreachable(host: &str, said: &str, then: &str) -> String {
    let host = shown(host);
    if said.contains(ANOTHER_KEY) {
        return format!(
            "the host was set up anew, or another machine answers in its place: compare ssh-keygen -lf \
             /etc/ssh/ssh_host_ed25519_key.pub on the host itself with what ssh {host} shows; only if they agree, \
             remove the old line as ssh {host} says; then {then}"
        );
    }
    if said.contains("Host key verification failed") {
        return format!(
            "ssh does not know the host's key: ssh {host} shows its fingerprint, which ssh-keygen -lf \
             /etc/ssh/ssh_host_ed25519_key.pub on the host must show, too; say yes there, then {then}"
        );
    }
    if said.contains("Permission denied") {
        return format!("ssh-copy-id {host}, or name key and user in your ssh config; then {then}");
    }
    format!("see that ssh leads to {host}, then {then}")
}

/// A path beneath a deployment's root, in full.
fn on_host(deployment: &Deployment, path: &str) -> String {
    word(&format!("{}/{path}", deployment.root))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::fleet::{Edits, HostAddress, Mode, State};
    use crate::model::{Content, Entry, HostPath, Kind};

    fn deployment() -> Deployment {
        Deployment {
            name: DeploymentName::new("prod").unwrap(),
            host: HostAddress::Local,
            root: HostPath::new("/opt/a b").unwrap(),
            location: None,
            labels: BTreeSet::new(),
            mode: Mode::Converge,
            state: State::Present,
            depends_on: BTreeSet::new(),
            packs: BTreeMap::new(),
            edits: Edits::default(),
            health: BTreeMap::new(),
            pause: None,
            window: None,
        }
    }

    #[test]
    fn every_cause_has_a_next_step() {
        let path = TreePath::new("x/it's").unwrap();
        let pack = PackName::new("bot").unwrap();
        let entry = Some(Entry { kind: Kind::File, content: Content::of(b"") });
        let conflict = |base, conflict| HoldCause::Conflict {
            base,
            actual: entry,
            desired: entry,
            renamed: None,
            conflict: Box::new(conflict),
        };
        let obstructed = HoldCause::Obstructed;
        let at = TreePath::new("x").unwrap();
        let budget = HoldCause::Budget {
            limit: "max_delete".into(),
            files: 9,
            of: 10,
            percent: 25,
            consent: "bot@1..2".into(),
        };
        let resolve = "packfleet -f f.toml resolve prod 'x/it'\\''s'";
        let apply = "packfleet -f f.toml apply prod";
        for (cause, expected) in [
            (
                conflict(entry, Conflict::Text { line: 1, places: 1 }),
                format!("{resolve} --edit | --take local | --take pack"),
            ),
            (
                conflict(entry, Conflict::Binary),
                format!("{resolve} --take local | --take pack | --take FILE"),
            ),
            (conflict(None, Conflict::NotOurs), format!("{resolve} --take local | --take pack")),
            (
                obstructed(Obstacle::Unreadable("x".into())),
                format!("make '/opt/a b/x/it'\\''s' readable for this user, then {apply}"),
            ),
            (obstructed(Obstacle::Busy), format!("{apply}, once nothing writes to it")),
            (
                obstructed(Obstacle::Ancestor { at: at.clone(), what: "symlink".into() }),
                format!("move '/opt/a b/x' away, or make it a plain directory, then {apply}"),
            ),
            (
                obstructed(Obstacle::Directory { foreign: Some("a\nb".into()) }),
                format!("move '/opt/a b/x/it'\\''s/a\\nb' away, then {apply}"),
            ),
            (
                obstructed(Obstacle::Special("socket".into())),
                format!("move '/opt/a b/x/it'\\''s' away, then {apply}"),
            ),
            (HoldCause::Nested { by: at }, "clears with x".into()),
            (HoldCause::Requires { pack: pack.clone() }, "clears with pack bot".into()),
            (HoldCause::Tied { pack: pack.clone() }, "clears with pack bot".into()),
            (
                HoldCause::Version("x".into()),
                format!("correct pack bot in f.toml or in its source, then {apply}"),
            ),
            (
                HoldCause::Source("x".into()),
                "see that the source of bot answers, then packfleet -f f.toml plan prod".into(),
            ),
            (
                HoldCause::Rejected { desired: None, restored: 1 },
                "packfleet -f f.toml retry prod bot, or let f.toml give another version".into(),
            ),
            (
                budget,
                format!("if it is meant: `consent = [\"bot@1..2\"]` under [budget] in f.toml, then {apply}"),
            ),
        ] {
            let hints = Hints::new(Utf8Path::new("f.toml"));
            let found = hints.of_hold(&cause, Some(&pack), Some(&path), &deployment(), &Purpose::Sync);
            assert_eq!(found, expected, "{cause:?}");
        }
    }

    #[test]
    fn a_policy_that_reverts_leaves_one_side_to_take() {
        let hints = Hints::new(Utf8Path::new("./fleet.toml"));
        let mut deployment = deployment();
        deployment.edits.changed = Changed::Revert;
        let cause = HoldCause::Conflict {
            base: None,
            actual: None,
            desired: None,
            renamed: None,
            conflict: Box::new(Conflict::NotOurs),
        };
        let path = TreePath::new("x").unwrap();
        let found = hints.of_hold(&cause, None, Some(&path), &deployment, &Purpose::Sync);
        assert_eq!(found, "packfleet resolve prod x --take pack");
        let found = hints.of_hold(&cause, None, Some(&path), &deployment, &Purpose::Rollback { to: 2 });
        assert!(found.ends_with("then packfleet rollback prod --to 2"), "{found}");
    }
}
