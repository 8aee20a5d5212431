//! What `run` says to people, on standard error: one line per change of state, none per pass.
//!
//! What stands as it stood before is not said again, whoever looked at it and why.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::sync::Arc;

use super::apply::{apply, kept};
use super::words::count;
use crate::cli::error::{causes, problems_text};
use crate::cli::hint::Hints;
use crate::cli::printer::{Printer, paint, painted, shown};
use crate::daemon::queue::Kind;
use crate::daemon::{Audience, News, Trouble};
use crate::engine::workspace::LoadError;
use crate::engine::{Outcome, Report, Workspace};
use crate::model::fleet::Mode;
use crate::model::pack::CommitId;
use crate::model::{DeploymentName, SourceName};

/// Says what changes.
pub struct Journal {
    printer: Printer,
    hints: Hints,
    width: usize,
    fleet: Option<(Arc<Workspace>, Option<CommitId>)>,
    /// How each deployment stood when something was said of it.
    stood: BTreeMap<DeploymentName, String>,
    /// Sources that do not answer.
    silent: BTreeSet<SourceName>,
}

impl Journal {
    /// Nothing was said yet.
    pub fn new(printer: Printer, hints: Hints, width: usize) -> Self {
        Self { printer, hints, width, fleet: None, stood: BTreeMap::new(), silent: BTreeSet::new() }
    }

    fn fleet(&mut self, workspace: &Arc<Workspace>, commit: Option<&CommitId>) {
        let fleet = &workspace.fleet;
        self.stood.retain(|name, _| fleet.deployments.contains_key(name));
        let known = self.fleet.as_ref().is_some_and(|(before, at)| {
            at.as_ref() == commit && (Arc::ptr_eq(before, workspace) || before.says_the_same(workspace))
        });
        if !known {
            let number = count(fleet.deployments.len(), "deployment");
            let at = commit.map_or(String::new(), |commit| format!(" at {}", commit.short()));
            self.printer.talk(format!("fleet {}{at}: {number}", paint::name(fleet.name.as_str())));
        }
        self.fleet = Some((Arc::clone(workspace), commit.cloned()));
    }

    fn trouble(&mut self, trouble: &Trouble, in_force: bool) {
        if let Trouble::Load(LoadError::Invalid { texts, problems, .. }) = trouble {
            self.printer.talk(problems_text(texts, &problems.0, &self.hints, self.width));
        } else {
            let mut text =
                format!("{} {}", painted(paint::BAD.bold(), "error:"), shown(&trouble.to_string()));
            for cause in causes(trouble) {
                text.push_str(&format!("\n  because: {cause}"));
            }
            if let Some(hint) = Hints::of_trouble(trouble) {
                text.push_str(&format!("\n{} {hint}", painted(paint::GOOD, "hint:")));
            }
            self.printer.talk(text);
        }
        self.printer.talk(if in_force {
            "the last good fleet stays in force until that is mended"
        } else {
            "no fleet is in force until that is mended"
        });
    }

    fn asked(&mut self, errors: &[(SourceName, String)]) {
        for (name, why) in errors.iter().filter(|(name, _)| !self.silent.contains(name)) {
            self.printer.talk(format!("source {name} does not answer: {}", shown(why)));
        }
        let now: BTreeSet<SourceName> = errors.iter().map(|(name, _)| name.clone()).collect();
        for name in self.silent.difference(&now) {
            self.printer.talk(format!("source {name} answers again"));
        }
        self.silent = now;
    }

    fn looked(&mut self, workspace: &Workspace, report: &Report, kind: Kind) {
        let deployment = workspace.fleet.deployments.get(&report.deployment);
        let observed = deployment.is_some_and(|deployment| deployment.mode == Mode::Observe);
        // The pass that follows says what came of it.
        if kind == Kind::Look && report.outcome == Outcome::Planned && !observed {
            return;
        }
        let text = apply(workspace, slice::from_ref(report), &self.hints);
        let fine = matches!(report.outcome, Outcome::InSync | Outcome::Applied | Outcome::RolledBack);
        let now = match &report.survey {
            Some(survey) if fine => format!("fine, {}, {}", kept(survey), report.is_ill()),
            _ => text.clone(),
        };
        let usual = format!("fine, 0, {}", false);
        let before = self.stood.insert(report.deployment.clone(), now.clone());
        let happened = report.committed.is_some() || report.recovered.is_some();
        if happened || before.unwrap_or(usual) != now {
            self.printer.talk(text.trim_end());
        }
    }
}

impl Audience for Journal {
    fn hear(&mut self, news: &News<'_>) {
        match news {
            News::Begun { .. } => {}
            News::Fleet { workspace, commit } => self.fleet(workspace, *commit),
            News::Trouble { trouble, in_force } => self.trouble(trouble, *in_force),
            News::TroubleOver => self.printer.talk("the fleet repository is well again"),
            News::Asked { errors, .. } => self.asked(errors),
            News::Looked { workspace, reports, pass } => {
                for report in reports.iter().filter(|report| report.selected) {
                    self.looked(workspace, report, pass.kind);
                }
            }
            News::Stopping => {
                self.printer.talk("stopping: what is under way is finished, nothing more is begun");
            }
        }
    }
}
