//! What two fleet files say otherwise about one deployment: all that decides what an apply does there, apart from
//! the packs' files.
//!
//! Values come as the fleet file has them, in words; whoever shows them masks what is secret. Deliberately absent:
//! labels (what they select is compared instead) and how often or how many hosts are asked.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::PackName;
use crate::model::care::{Care, Check, Command, Service, seconds};
use crate::model::fleet::{Changed, Deleted, Deployment, Edits, Fleet, HostAddress, Mode, Source, State};
use crate::model::pack::Pack;
use crate::model::rollout::{Share, stage_of};

use super::care;

/// One thing that is said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// Of which pack, if of one.
    pub pack: Option<PackName>,
    /// Its name: the key of the fleet file.
    pub what: String,
    /// What it was; `None`: not said.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// A fleet and one of its deployments.
pub type Of<'a> = (&'a Fleet, &'a Deployment);

/// All that differs. Of packs that are in `told`, what the version and the files tell anyway is left out.
pub fn changes(is: Of<'_>, was: Of<'_>, told: &BTreeSet<PackName>) -> Vec<Setting> {
    let mut list = List { pack: None, all: Vec::new() };
    of_deployment(&mut list, is.1, was.1);
    of_fleet(&mut list, is, was);
    let names: BTreeSet<&PackName> = is.1.packs.keys().chain(was.1.packs.keys()).collect();
    for name in names {
        list.pack = Some(name.clone());
        of_pack(&mut list, is, was, name, told.contains(name));
    }
    list.pack = None;
    // With the policy of a pack, that for packs that go is told.
    if list.all.iter().all(|setting| setting.what != "edits") {
        list.value("edits of packs that go", edits(was.1.edits), edits(is.1.edits));
    }
    list.all
}

struct List {
    pack: Option<PackName>,
    all: Vec<Setting>,
}

impl List {
    /// One value; nothing where it is the same.
    fn one(&mut self, what: &str, before: Option<String>, after: Option<String>) {
        if before != after {
            self.all.push(Setting { pack: self.pack.clone(), what: what.to_owned(), before, after });
        }
    }

    /// A value that is always there.
    fn value(&mut self, what: &str, before: impl ToString, after: impl ToString) {
        self.one(what, Some(before.to_string()), Some(after.to_string()));
    }

    /// Many, where order is not news: each that came or went; all of both where only the order differs.
    fn many(&mut self, what: &str, before: Vec<String>, after: Vec<String>) {
        if before == after {
            return;
        }
        let length = self.all.len();
        for gone in before.iter().filter(|it| !after.contains(it)) {
            self.one(what, Some(gone.clone()), None);
        }
        for new in after.iter().filter(|it| !before.contains(it)) {
            self.one(what, None, Some(new.clone()));
        }
        if self.all.len() == length {
            self.one(what, Some(before.join(", ")), Some(after.join(", ")));
        }
    }
}

fn of_deployment(list: &mut List, is: &Deployment, was: &Deployment) {
    let mode = |it: &Deployment| match it.mode {
        Mode::Converge => "converge",
        Mode::Observe => "observe",
    };
    let state = |it: &Deployment| match it.state {
        State::Present => "present",
        State::Absent => "absent",
    };
    let host = |it: &Deployment| match &it.host {
        HostAddress::Local => "local".to_owned(),
        HostAddress::Ssh { to, privilege } => match privilege {
            crate::model::ssh::Privilege::Login => to.to_string(),
            crate::model::ssh::Privilege::Sudo => format!("{to} (sudo)"),
        },
    };
    let pause = |it: &Deployment| {
        it.pause.as_ref().map(|pause| match pause.until {
            Some(until) => format!("{} (until {until})", pause.reason),
            None => pause.reason.clone(),
        })
    };
    let window =
        |it: &Deployment| it.window.as_ref().map(|window| format!("{} {}", window.text, window.zone));
    let on = |it: &Deployment| it.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>();
    list.value("mode", mode(was), mode(is));
    list.value("state", state(was), state(is));
    list.value("host", host(was), host(is));
    list.value("root", &was.root, &is.root);
    list.one("location", was.location.clone(), is.location.clone());
    list.one("pause", pause(was), pause(is));
    list.one("window", window(was), window(is));
    list.many("depends_on", on(was), on(is));
}

fn of_fleet(list: &mut List, (is, deployment): Of<'_>, (was, _): Of<'_>) {
    let path = |path: &Option<crate::model::TreePath>| path.as_ref().map(ToString::to_string);
    list.one("version_file", path(&was.version_file), path(&is.version_file));
    list.one("sync_log", path(&was.sync_log), path(&is.sync_log));
    list.value("keep_generations", was.keep_generations, is.keep_generations);
    list.value("max_delete", percent(was.budget.max_delete), percent(is.budget.max_delete));
    list.value("max_change", percent(was.budget.max_change), percent(is.budget.max_change));
    let consents = |fleet: &Fleet| {
        let mine = fleet.budget.consent.iter().filter(|consent| deployment.packs.contains_key(&consent.pack));
        mine.map(|it| format!("{}@{}..{}", it.pack, it.from, it.to)).collect::<Vec<_>>()
    };
    list.many("consent", consents(was), consents(is));
    let limits = |fleet: &Fleet| {
        let it = fleet.limits;
        format!(
            "{} entries, {} bytes, {} a file, {} of paths, {} deep",
            it.entries, it.bytes, it.file, it.paths, it.depth
        )
    };
    list.value("limits", limits(was), limits(is));
    let stage = |fleet: &Fleet| stage_of(&fleet.rollout, &deployment.name);
    let number = |fleet: &Fleet| stage(fleet).map(|at| (at + 1).to_string());
    list.one("stage", number(was), number(is));
    let at = |fleet: &Fleet| stage(fleet).and_then(|at| fleet.rollout.get(at)).cloned();
    if let (Some(old), Some(new)) = (at(was), at(is)) {
        let share = |share: Option<Share>| {
            share.map(|share| match share {
                Share::Number(number) => number.to_string(),
                Share::Percent(percent) => format!("{percent}%"),
            })
        };
        list.value("soak of its stage", span(old.soak), span(new.soak));
        list.one("max_parallel of its stage", share(old.max_parallel), share(new.max_parallel));
        list.value("max_failures of its stage", old.max_failures, new.max_failures);
    }
}

fn of_pack(list: &mut List, is: Of<'_>, was: Of<'_>, name: &PackName, told: bool) {
    let (new, old) = (is.1.packs.get(name), was.1.packs.get(name));
    if !told {
        list.one(
            "asked for",
            old.map(|it| it.requirement.to_string()),
            new.map(|it| it.requirement.to_string()),
        );
    }
    // What comes or goes is told by its files, and by what will be run for them.
    let (Some(new), Some(old)) = (new, old) else { return };
    let names = |it: &crate::model::fleet::Assignment| {
        it.overlays.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    if !told {
        list.many("overlays", names(old), names(new));
    }
    list.value("follow", old.follow, new.follow);
    list.many("features", old.features.clone(), new.features.clone());
    list.value("edits", edits(old.edits), edits(new.edits));
    let (Some(new), Some(old)) = (is.0.packs.get(name), was.0.packs.get(name)) else { return };
    list.one("source", source(was.0, old), source(is.0, new));
    list.one("signed_by", signed_by(was.0, old), signed_by(is.0, new));
    list.one("dir", old.dir.as_ref().map(ToString::to_string), new.dir.as_ref().map(ToString::to_string));
    let install = |pack: &Pack| {
        let at = |path: &Option<crate::model::TreePath>| {
            path.as_ref().map_or_else(|| ".".to_owned(), ToString::to_string)
        };
        pack.install.0.iter().map(|line| format!("{} to {}", at(&line.from), at(&line.to))).collect()
    };
    list.many("install", install(old), install(new));
    list.many("host_owns", old.host_owns.clone(), new.host_owns.clone());
    let keys = |pack: &Pack| {
        pack.host_keys.iter().map(|it| format!("{}: {}", it.file, it.keys.join(", "))).collect()
    };
    list.many("host_keys", keys(old), keys(new));
    list.value("modes", format!("{:?}", old.modes), format!("{:?}", new.modes));
    list.value("atomic", old.atomic, new.atomic);
    list.many(
        "requires",
        old.requires.iter().map(ToString::to_string).collect(),
        new.requires.iter().map(ToString::to_string).collect(),
    );
    list.value("version_key", &old.version_key, &new.version_key);
    let commands = |all: &[Command]| all.iter().map(|run| run.join(" ")).collect();
    list.many("check", commands(&old.checks), commands(&new.checks));
    of_care(list, &care::of(is.1, new), &care::of(was.1, old));
}

fn of_care(list: &mut List, is: &Care, was: &Care) {
    let on_change = |care: &Care| {
        care.on_change
            .iter()
            .map(|it| format!("{} (for {})", it.run.join(" "), it.paths.join(", ")))
            .collect()
    };
    list.many("on_change", on_change(was), on_change(is));
    let service = |care: &Care| {
        care.service.as_ref().map(|service| match service {
            Service::Unit { unit, stop } => format!("{} ({:?}, {stop:?})", unit.name, unit.manager),
            Service::Command(run) => run.join(" "),
        })
    };
    list.many("restart", service(was).into_iter().collect(), service(is).into_iter().collect());
    let checks = |care: &Care| care.health.iter().map(check).collect();
    list.many("health", checks(was), checks(is));
}

/// A check with all that it asks for.
fn check(check: &Check) -> String {
    match check {
        Check::Http { expect, within, .. } => format!("{check} (expect {expect} within {})", span(*within)),
        Check::Command { expect, within, .. } => {
            format!("{check} (expect {expect} within {})", span(*within))
        }
        Check::ActiveFor { unit, .. } => format!("{check} ({})", unit.name),
        Check::Errors { error, max_increase, at_least, over, .. } => {
            format!("{check} (/{error}/, {max_increase}% more and {at_least} at least, over {})", span(*over))
        }
    }
}

fn source(fleet: &Fleet, pack: &Pack) -> Option<String> {
    Some(match fleet.sources.get(&pack.source)? {
        Source::Git { url, .. } => url.to_string(),
        Source::Directory(path) => path.to_string(),
    })
}

fn signed_by(fleet: &Fleet, pack: &Pack) -> Option<String> {
    match fleet.sources.get(&pack.source)? {
        Source::Git { signed_by, .. } => signed_by.as_ref().map(ToString::to_string),
        Source::Directory(_) => None,
    }
}

fn edits(edits: Edits) -> String {
    let changed = match edits.changed {
        Changed::Merge => "merge",
        Changed::Keep => "keep",
        Changed::Revert => "revert",
    };
    let deleted = match edits.deleted {
        Deleted::Restore => "restore",
        Deleted::Keep => "keep",
    };
    format!("changed {changed}, deleted {deleted}")
}

fn percent(number: u8) -> String {
    format!("{number}%")
}

fn span(period: Duration) -> String {
    if period.is_zero() { "none".to_owned() } else { seconds(period) }
}
