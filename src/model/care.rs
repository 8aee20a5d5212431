//! Care: what is run on a host, and what is looked at there, once a change lies on it.
//!
//! ```text
//! switch ─► on_change ─► restarts ─► quick checks ─► commit ─► watch
//!                                        └ ill ─► undone        └ ill ─► rolled back
//! ```
//! All of it comes from `fleet.toml`. [`Aftercare`] is that for one deployment, as plain data: the host carries
//! it out beside the files, and needs nobody to go on. [`Aftercare::tasks`] says what of it one change calls
//! for. Deliberately absent: anything that a pack or a host could say about commands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use globset::{Glob, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::fleet::{Policies, Url};
use super::pack::InstallMap;
use super::plan::Action;
use super::{PackName, TreePath};

/// A program with its arguments; no shell.
pub type Command = Vec<String>;

/// A command that is run when some of a pack's paths changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnChange {
    /// Globs over the pack's paths.
    pub paths: Vec<String>,
    /// The command.
    pub run: Command,
}

impl OnChange {
    /// Whether a path of the pack is meant.
    fn means(&self, path: &TreePath) -> bool {
        let mut globs = GlobSetBuilder::new();
        for glob in self.paths.iter().filter_map(|glob| Glob::new(glob).ok()) {
            globs.add(glob);
        }
        globs.build().is_ok_and(|globs| globs.is_match(path.as_str()))
    }
}

/// Whose systemd manages a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Manager {
    /// The system's.
    #[default]
    System,
    /// That of the user who runs packfleet there.
    User,
}

/// When a unit stops for a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stop {
    /// Only when it is restarted, after the switch.
    #[default]
    WithRestart,
    /// Before the switch.
    First,
}

/// A systemd unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub manager: Manager,
}

/// What is restarted when a pack changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// A systemd unit.
    Unit {
        /// Which.
        unit: Unit,
        /// When it stops.
        stop: Stop,
    },
    /// Whatever this command restarts.
    Command(Command),
}

/// Where errors are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watched {
    /// In the journal of a unit.
    Journal(Unit),
    /// In a file under the root.
    Log(TreePath),
}

/// One check of health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// A URL that must answer.
    Http {
        /// Which; a password in it is never shown.
        url: Url,
        /// With this status.
        expect: u16,
        /// Within this time of the restart.
        within: Duration,
    },
    /// A command that must succeed.
    Command {
        /// Which.
        run: Command,
        /// With this exit status.
        expect: i32,
        /// Within this time of the restart.
        within: Duration,
    },
    /// The unit must stay active, without a restart.
    ActiveFor {
        /// Which.
        unit: Unit,
        /// How long.
        period: Duration,
    },
    /// Errors, before against after.
    Errors {
        /// Where they are counted.
        watched: Watched,
        /// What one looks like: a regular expression.
        error: String,
        /// By how many percent they may increase.
        max_increase: u32,
        /// So many never count.
        at_least: u64,
        /// How long is watched, before and after.
        over: Duration,
    },
}

impl Check {
    /// Whether it is made before the generation is committed; the others are watched afterwards.
    pub const fn is_quick(&self) -> bool {
        matches!(self, Self::Http { .. } | Self::Command { .. })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, .. } => write!(f, "http {url}"),
            Self::Command { run, .. } => write!(f, "command {}", run.join(" ")),
            Self::ActiveFor { period, .. } => write!(f, "active_for {}", seconds(*period)),
            Self::Errors { watched: Watched::Journal(unit), .. } => write!(f, "journal {}", unit.name),
            Self::Errors { watched: Watched::Log(path), .. } => write!(f, "log {path}"),
        }
    }
}

/// A time span as people write it.
pub fn seconds(period: Duration) -> String {
    match (period.as_secs(), period.subsec_millis()) {
        (0, millis) => format!("{millis}ms"),
        (whole, 0) if whole % 3600 == 0 => format!("{}h", whole / 3600),
        (whole, 0) if whole % 60 == 0 => format!("{}m", whole / 60),
        (whole, _) => format!("{whole}s"),
    }
}

/// What `fleet.toml` says about running one pack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Care {
    /// What is run when some paths changed.
    pub on_change: Vec<OnChange>,
    /// What is restarted.
    pub service: Option<Service>,
    /// What must hold afterwards.
    pub health: Vec<Check>,
}

/// Whether a pack is there once the change is carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It is.
    #[default]
    Stays,
    /// It is removed: its unit stops, and nothing of it is run or looked at.
    Departs,
}

/// The care for one pack on one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackCare {
    /// The pack.
    pub pack: PackName,
    /// Where its files go.
    pub install: InstallMap,
    /// The directory in which its commands run; `None` is the root.
    pub at: Option<TreePath>,
    /// Whether it is there afterwards.
    pub fate: Fate,
    /// What is run and looked at.
    pub care: Care,
}

/// All that a host needs to see a change through, and back, by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aftercare {
    /// Every pack of the deployment for which something is to be done; what a pack requires comes before it.
    pub packs: Vec<PackCare>,
    /// The policies for edits, for going back.
    pub policies: Policies,
    /// What VERSION says about the place.
    pub location: Option<String>,
    /// The VERSION file.
    pub version_file: Option<TreePath>,
    /// The sync log.
    pub sync_log: Option<TreePath>,
    /// Generations to keep.
    pub keep_generations: u32,
}

/// A command and the directory in which it runs (`None`: the root).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Where.
    pub at: Option<TreePath>,
    /// What.
    pub run: Command,
}

/// What is restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restart {
    /// A unit.
    Unit(Unit),
    /// Whatever the command restarts.
    Command(Task),
}

/// What one change calls for, each thing once, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tasks {
    /// Units to stop before the switch.
    pub stops: Vec<Unit>,
    /// Commands to run after it.
    pub on_change: Vec<Task>,
    /// What to restart then.
    pub restarts: Vec<Restart>,
    /// What to look at then: the pack, where its commands run, the check.
    pub checks: Vec<(PackName, Option<TreePath>, Check)>,
}

impl Tasks {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.stops.is_empty()
            && self.on_change.is_empty()
            && self.restarts.is_empty()
            && self.checks.is_empty()
    }

    /// Whether something is to be watched once the generation is committed.
    pub fn is_watched(&self) -> bool {
        self.checks.iter().any(|(_, _, check)| !check.is_quick())
    }
}

impl Aftercare {
    /// What carrying out these actions calls for.
    pub fn tasks(&self, actions: &[Action]) -> Tasks {
        let mut changed: BTreeMap<&PackName, BTreeSet<&TreePath>> = BTreeMap::new();
        for action in actions {
            changed.entry(&action.pack).or_default().insert(&action.path);
        }
        let mut tasks = Tasks::default();
        for PackCare { pack, install, at, care, fate } in &self.packs {
            let Some(paths) = changed.get(pack) else { continue };
            if *fate == Fate::Departs {
                if let Some(Service::Unit { unit, .. }) = &care.service
                    && !tasks.stops.contains(unit)
                {
                    tasks.stops.push(unit.clone());
                }
                continue;
            }
            let origins: Vec<TreePath> = paths.iter().filter_map(|path| install.origin(path)).collect();
            for on_change in &care.on_change {
                let task = Task { at: at.clone(), run: on_change.run.clone() };
                if !tasks.on_change.contains(&task) && origins.iter().any(|path| on_change.means(path)) {
                    tasks.on_change.push(task);
                }
            }
            let restart = match &care.service {
                None => None,
                Some(Service::Unit { unit, stop }) => {
                    if *stop == Stop::First && !tasks.stops.contains(unit) {
                        tasks.stops.push(unit.clone());
                    }
                    Some(Restart::Unit(unit.clone()))
                }
                Some(Service::Command(run)) => {
                    Some(Restart::Command(Task { at: at.clone(), run: run.clone() }))
                }
            };
            tasks.restarts.extend(restart.filter(|restart| !tasks.restarts.contains(restart)));
            tasks.checks.extend(care.health.iter().map(|check| (pack.clone(), at.clone(), check.clone())));
        }
        tasks
    }

    /// What going back from these actions calls for. Packs that are not `present` afterwards have nothing left to
    /// run: their units stop, but for those that were `up` before the change. Errors are not counted again.
    pub fn going_back(
        &self,
        actions: &[Action],
        up: &BTreeSet<Unit>,
        present: impl Fn(&PackName) -> bool,
    ) -> Tasks {
        let mut stays = self.clone();
        stays.packs.iter_mut().for_each(|care| care.fate = Fate::Stays);
        let mut gone = stays.clone();
        stays.packs.retain(|care| present(&care.pack));
        gone.packs.retain(|care| !present(&care.pack));
        let mut tasks = stays.tasks(actions);
        tasks.stops.clear();
        tasks.checks.retain(|(_, _, check)| !matches!(check, Check::Errors { .. }));
        for restart in gone.tasks(actions).restarts {
            match &restart {
                _ if tasks.restarts.contains(&restart) => {}
                Restart::Unit(unit) if up.contains(unit) => tasks.restarts.push(restart),
                Restart::Unit(unit) => tasks.stops.push(unit.clone()),
                Restart::Command(_) => {}
            }
        }
        tasks
    }

    /// What shows how packs fare at this moment: quick checks, and whether units are up.
    pub fn glance(&self, present: impl Fn(&PackName) -> bool) -> Tasks {
        let mut tasks = self.look(present);
        for (_, _, check) in &mut tasks.checks {
            if let Check::ActiveFor { period, .. } = check {
                *period = Duration::ZERO;
            }
        }
        tasks
    }

    /// What shows how packs fare, whatever changed: all that can be told at once.
    pub fn look(&self, present: impl Fn(&PackName) -> bool) -> Tasks {
        let mut tasks = Tasks::default();
        for PackCare { pack, at, care, .. } in self.packs.iter().filter(|care| present(&care.pack)) {
            let told = care.health.iter().filter(|check| !matches!(check, Check::Errors { .. }));
            tasks.checks.extend(told.map(|check| (pack.clone(), at.clone(), check.clone())));
        }
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pack::Install;
    use crate::model::plan::Cause;

    fn care(pack: &str, on_change: &[(&str, &str)], unit: &str) -> PackCare {
        let unit = Unit { name: unit.into(), manager: Manager::System };
        let path = |text: &str| TreePath::new(text).unwrap();
        PackCare {
            pack: pack.parse().unwrap(),
            install: InstallMap(vec![Install { from: Some(path("src")), to: Some(path(pack)) }]),
            at: None,
            fate: Fate::Stays,
            care: Care {
                on_change: on_change
                    .iter()
                    .map(|(glob, run)| OnChange { paths: vec![(*glob).into()], run: vec![(*run).into()] })
                    .collect(),
                service: Some(Service::Unit { unit, stop: Stop::First }),
                health: Vec::new(),
            },
        }
    }

    fn put(pack: &str, path: &str) -> Action {
        Action {
            path: TreePath::new(path).unwrap(),
            pack: pack.parse().unwrap(),
            before: None,
            after: None,
            cause: Cause::Create,
            save: false,
        }
    }

    #[test]
    fn each_thing_once_in_the_order_of_packs_and_only_for_what_changed() {
        let aftercare = Aftercare {
            packs: vec![
                care("base", &[("src/*.service", "reload")], "app"),
                care("app", &[("src/*.service", "reload"), ("src/package.json", "install")], "app"),
                care("other", &[("**", "never")], "other"),
            ],
            ..Default::default()
        };
        let tasks = aftercare.tasks(&[
            put("app", "app/x.service"),
            put("base", "base/y.service"),
            put("app", "app/sub/package.json"),
        ]);
        let runs: Vec<&str> = tasks.on_change.iter().map(|task| task.run[0].as_str()).collect();
        assert_eq!(runs, ["reload"]);
        assert_eq!(tasks.restarts.len(), 1);
        assert_eq!(tasks.stops.len(), 1);
        assert!(aftercare.tasks(&[]).is_empty());
    }
}
