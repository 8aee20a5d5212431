//! The sentences of a [`View`](crate::daemon::view::View): the very ones that `status`, `why` and `plan` print,
//! without colours and secrets.

use super::why::{Step, steps};
use super::words;
use super::{lines, plain, status};
use crate::cli::error::causes;
use crate::cli::hint::Hints;
use crate::cli::printer::shown;
use crate::daemon::board::standing_word;
use crate::daemon::view::{About, Problem, Reason, Row, Wording};
use crate::engine::mask::Mask;
use crate::engine::{LoadError, Report, Survey, Workspace};

/// Words for people, with commands that can be pasted.
#[derive(Debug, Clone)]
pub struct Words {
    hints: Hints,
}

impl Words {
    /// Words with these hints.
    pub fn new(hints: Hints) -> Self {
        Self { hints }
    }
}

impl Wording for Words {
    fn why(&self, workspace: &Workspace, report: &Report) -> String {
        let text = plain(&status::why(workspace, report, &self.hints));
        let first = text.lines().next().unwrap_or_default();
        Mask::new(workspace).words(first)
    }

    fn reasons(&self, workspace: &Workspace, reports: &[Report], report: &Report) -> Vec<Reason> {
        let mask = Mask::new(workspace);
        let steps = steps(workspace, reports, report, &self.hints);
        steps.into_iter().map(|step| reason(step, &mask)).collect()
    }

    fn rows(&self, survey: &Survey) -> Vec<Row> {
        let standing = |path: &crate::model::TreePath| {
            survey.drift.paths.get(path).map(|judged| standing_word(judged.standing)).unwrap_or_default()
        };
        let mut rows = Vec::new();
        for pack in survey.drift.packs.keys() {
            rows.extend(lines::of_pack(survey, pack).into_iter().map(|line| Row {
                standing: standing(&line.path),
                path: line.path.to_string(),
                pack: pack.to_string(),
                letter: line.letter,
                note: plain(&line.note),
            }));
        }
        for hold in &survey.plan.holds {
            let (Some(path), Some(pack)) = (&hold.path, &hold.pack) else { continue };
            let note = words::hold(&hold.cause);
            rows.push(Row {
                standing: standing(path),
                path: path.to_string(),
                pack: pack.to_string(),
                letter: 'X',
                note: note.lines().next().unwrap_or_default().to_owned(),
            });
        }
        rows.sort_by(|a, b| (&a.path, a.letter).cmp(&(&b.path, b.letter)));
        rows
    }

    fn problems(&self, error: &LoadError) -> Vec<Problem> {
        let LoadError::Invalid { texts, problems, .. } = error else {
            let mut message = shown(&error.to_string());
            for cause in causes(error) {
                message.push_str(&format!(": {cause}"));
            }
            let about = About::FleetFile;
            return vec![Problem { file: self.hints.file(), line: None, message, hint: None, about }];
        };
        let one = |problem: &crate::desired::problem::Problem| {
            let source = texts.iter().find(|text| text.name == problem.file);
            Problem {
                file: problem.file.clone(),
                line: source.map(|text| problem.line_column(&text.text).0),
                message: shown(&problem.message),
                hint: problem.hint.as_deref().map(shown),
                about: About::FleetFile,
            }
        };
        problems.0.iter().map(one).collect()
    }
}

/// A step of `why`; what goes over several lines becomes details.
fn reason(step: Step, mask: &Mask<'_>) -> Reason {
    let clean = |text: &str| mask.words(plain(text).trim());
    let mut lines = step.text.lines();
    let text = clean(lines.next().unwrap_or_default());
    let more: Vec<String> = lines.map(str::to_owned).collect();
    Reason {
        cause: step.word,
        deployment: step.deployment.to_string(),
        text,
        details: more.iter().chain(&step.details).map(|line| clean(line)).collect(),
        next: clean(&step.clears),
        depth: step.depth,
    }
}
