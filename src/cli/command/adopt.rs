//! `adopt`: the versions nearest to what lies on a root, a question, and a record; or a branch as an overlay.

use crate::cli::args::{Adopt, Output};
use crate::cli::context::Context;
use crate::cli::documents;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::progress::Progress;
use crate::cli::publish::publish;
use crate::cli::report::adopt as report;
use crate::cli::report::lines::Length;
use crate::engine::adopt::{self, Ask, import};
use crate::engine::{Recover, Workspace};
use crate::model::fleet::{Deployment, Mode};
use crate::model::{OverlayName, PackName};

pub(super) fn run(args: &Adopt, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let pack = args.pack.as_deref().map(|text| context.pack(text)).transpose()?;
    if let Some(branch) = &args.from_branch {
        return overlay(args, branch, &workspace, deployment, pack.as_ref(), context, printer);
    }
    let name = deployment.name.as_str();
    if deployment.mode == Mode::Observe {
        return Err(CliError::Usage {
            what: format!("{name} is observed only (mode = \"observe\"): nothing is recorded there"),
            hint: Some(format!("set mode = \"converge\" in {}", context.hints.file())),
        });
    }
    let failed = || CliError::failure(&deployment.name);
    let options = context.options(Recover::Now);
    let ask = Ask { pack: pack.as_ref(), at: args.at.as_deref() };
    let progress = Progress::begin(context.shows_progress, 1);
    let proposal = adopt::propose(&workspace, deployment, ask, &options, progress.told().as_ref());
    progress.end();
    let proposal = proposal.map_err(failed())?;
    let length = if context.verbose { Length::Whole } else { Length::Short };
    let candidates = usize::from(args.candidates);
    if args.output == Output::Json {
        let document = documents::adopt(&deployment.name, &proposal, candidates);
        let all = proposal.packs.iter().all(|search| search.choice.is_some());
        let mut generation = None;
        if args.yes && proposal.records() {
            let done = adopt::record(&workspace, deployment, proposal, &options).map_err(failed())?;
            generation = done.committed;
            publish(&workspace, &[deployment.name.clone()].into(), context, printer);
        }
        printer.data(&documents::adopted(document, generation));
        return Ok(if all { Exit::Done } else { Exit::Held });
    }
    printer.data(&report::proposal(&proposal, deployment, &context.hints, candidates, length));
    if !proposal.records() {
        printer.talk("nothing was recorded");
        return Ok(Exit::Held);
    }
    let exit = match proposal.packs.iter().all(|search| search.choice.is_some()) {
        true => Exit::Done,
        false => Exit::Held,
    };
    printer.data(&format!("\n{}\n", report::sum(&proposal)));
    if !args.yes {
        if !context.can_ask {
            return Err(CliError::Usage {
                what: "adopt asks before it records, and there is no terminal to ask on".to_owned(),
                hint: Some(format!("{} records without asking", yes(args, context))),
            });
        }
        super::apply::confirm(printer)?;
    }
    let told = report::recorded(&proposal);
    let done = adopt::record(&workspace, deployment, proposal, &options).map_err(failed())?;
    printer.data(&format!(
        "{name}  adopted  {told} · generation {} · 0 files written\n",
        done.committed.unwrap_or_default()
    ));
    printer.talk(format!("next: {}", context.hints.command(&["plan", name])));
    publish(&workspace, &[deployment.name.clone()].into(), context, printer);
    Ok(exit)
}

fn yes(args: &Adopt, context: &Context) -> String {
    let mut words = vec!["adopt", args.deployment.as_str()];
    words.extend(args.pack.iter().flat_map(|pack| ["--pack", pack.as_str()]));
    words.extend(args.at.iter().flat_map(|at| ["--at", at.as_str()]));
    words.push("--yes");
    context.hints.command(&words)
}

/// A branch of the source, as an overlay in the fleet repository's working tree.
fn overlay(
    args: &Adopt,
    branch: &str,
    workspace: &Workspace,
    deployment: &Deployment,
    pack: Option<&PackName>,
    context: &Context,
    printer: &mut Printer,
) -> Result<Exit, CliError> {
    let usage = |what: String, hint: String| CliError::Usage { what, hint: Some(hint) };
    let names: Vec<&str> = deployment.packs.keys().map(PackName::as_str).collect();
    let one = match (pack, names.as_slice()) {
        (Some(pack), _) => Some(pack),
        (None, [_]) => deployment.packs.keys().next(),
        (None, _) => None,
    };
    let found = one
        .filter(|pack| deployment.packs.contains_key(*pack))
        .and_then(|pack| workspace.fleet.packs.get(pack));
    let Some(pack) = found else {
        let what = match pack {
            Some(pack) => format!("{} has no pack {pack}", deployment.name),
            None => "a branch becomes an overlay of one pack".to_owned(),
        };
        return Err(usage(what, format!("name it with --pack, one of {}", names.join(", "))));
    };
    let text = args.name.clone().unwrap_or_else(|| branch.replace('/', "-"));
    let name = OverlayName::new(&text).map_err(|error| {
        usage(format!("{text:?} cannot be the name of an overlay: {error}"), "give one with --name".into())
    })?;
    if workspace.fleet.directory.join("overlays").join(name.as_str()).exists() {
        return Err(usage(
            format!("overlays/{name} exists already"),
            "give another name with --name".to_owned(),
        ));
    }
    let import = import::import(workspace, deployment, pack, branch, &name)
        .map_err(CliError::failure(&deployment.name))?;
    let written = import::write(workspace, &import)?;
    printer.data(&report::imported(&import, &written, &context.hints));
    printer.talk(format!(
        "next: overlays = [\"{name}\"] at packs.{} of a deployment or profile in {}, then {}; commit both",
        pack.name,
        context.hints.file(),
        context.hints.command(&["plan", deployment.name.as_str()])
    ));
    Ok(if import.conflicts.is_empty() { Exit::Done } else { Exit::Held })
}
