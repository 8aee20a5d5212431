//! `capture`: what was edited on hosts becomes overlays, in the working tree or on a branch.

use std::collections::BTreeSet;

use crate::cli::args::Capture;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, shown, word};
use crate::cli::report::secrets;
use crate::cli::report::words::count;
use crate::desired::compose::How;
use crate::desired::fleet_edit::Pin;
use crate::desired::secrets::Fingerprint;
use crate::engine::capture::{Captured, Piece, Request, capture};
use crate::engine::edited::Paths;
use crate::engine::{Recover, capture::CaptureError};

pub(super) fn run(args: &Capture, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let request = Request {
        deployments: context.select(&workspace, &args.selectors)?,
        pack: args.pack.as_deref().map(|text| context.pack(text)).transpose()?,
        paths: Paths::new(&args.path).map_err(CaptureError::from)?,
        profile: args.for_profile.clone(),
        allowed: allowed(&args.allow_secret)?,
    };
    let found = capture(&workspace, &request, &context.options(Recover::Report), &())?;
    for (deployment, skipped) in &found.skipped {
        printer.talk(format!("{}  {}: left out: {}", deployment, skipped.path, shown(&skipped.why)));
    }
    if !found.leaks.is_empty() {
        let leaks = found.leaks.iter().map(|(deployment, leak)| (Some(deployment), leak));
        printer.data(&secrets::text(leaks));
        printer.talk(secrets::hint("nothing was captured", found.leaks.len()));
        return Ok(Exit::Refused);
    }
    if found.captured.is_empty() {
        printer.talk("nothing to capture: no edit that is meant");
        return Ok(Exit::Done);
    }
    let scan = secrets::none(&args.allow_secret);
    match &args.branch {
        None => found.write(&workspace)?,
        Some(branch) => {
            let commit = found.commit(&workspace, branch, context.now)?;
            for captured in &found.captured {
                printer.data(&text(captured, scan));
            }
            printer.talk(format!("committed {} on {branch}; the working tree is as it was", commit.short()));
            printer.talk(format!(
                "the edits stay on the hosts as edits until it is merged and applied: git merge {}",
                word(branch)
            ));
            return Ok(Exit::Done);
        }
    }
    for captured in &found.captured {
        printer.data(&text(captured, scan));
    }
    let names: BTreeSet<&str> = found.captured.iter().map(|captured| captured.deployment.as_str()).collect();
    let mut apply = vec!["apply"];
    apply.extend(names);
    printer.talk(format!("written, not committed; next: git diff, then {}", context.hints.command(&apply)));
    Ok(Exit::Done)
}

/// Fingerprints, as they were typed.
pub(super) fn allowed(texts: &[String]) -> Result<BTreeSet<Fingerprint>, CliError> {
    let parsed = texts.iter().map(|text| {
        text.parse().map_err(|why: String| CliError::Usage {
            what: format!("--allow-secret: {why}"),
            hint: Some("it takes the fingerprint, never the secret itself".to_owned()),
        })
    });
    parsed.collect()
}

fn text(captured: &Captured, scan: &str) -> String {
    let Captured { deployment, pack, overlay, version, tree, .. } = captured;
    let verb = if captured.extended { "extended" } else { "new" };
    let mut out = format!(
        "{deployment}  {pack} {} → overlays/{overlay}  {verb} · base {}, tree {} · {scan}\n",
        shown(version),
        shown(version),
        tree.short()
    );
    let widest = captured.pieces.iter().map(|piece| piece.root.as_str().len()).max().unwrap_or(0);
    for piece in &captured.pieces {
        out.push_str(&format!("  {:<widest$}  {}\n", piece.root, says(piece)));
    }
    match &captured.pin {
        (Pin::Own, file) => out.push_str(&format!("  {}  names it last in the pin\n", shown(file))),
        (Pin::Unchanged, _) => {}
        (Pin::Inherited(from), file) => out.push_str(&format!(
            "  {}  the pin of {} was inherited and is written in full for {deployment} now: it no longer follows it\n",
            shown(file),
            shown(from)
        )),
    }
    if !captured.shared.is_empty() {
        let names: Vec<&str> = captured.shared.iter().take(5).map(|name| name.as_str()).collect();
        let more = if captured.shared.len() > names.len() { ", …" } else { "" };
        out.push_str(&format!(
            "  note: it is laid on {} as well: {}{more}\n",
            count(captured.shared.len(), "other deployment"),
            names.join(", ")
        ));
    }
    out
}

/// How the overlay says it.
fn says(piece: &Piece) -> String {
    let how = match piece.how {
        How::Patch => "patch",
        How::Keys => "merged keys",
        How::Whole => "whole file",
        How::Remove => "removed",
        How::Nothing => "as the other overlays have it: nothing is said any more",
    };
    let displaces = if piece.displaces {
        ", because another overlay changes the same lines: upgrades will not be merged into it"
    } else {
        ""
    };
    format!("{how}{displaces}")
}
