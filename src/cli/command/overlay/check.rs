//! `overlay check`: which overlays would not survive which version.

use serde_json::{Value, json};

use crate::cli::args::{Output, OverlayCheck};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::json::FORMAT;
use crate::cli::printer::{Printer, paint, painted, shown};
use crate::cli::report::words::count;
use crate::desired::finding::Finding;
use crate::desired::overlay::Overlay;
use crate::engine::overlay::{Check, Verdict, all, check, named, short};
use crate::model::OverlayName;

pub(super) fn run(args: &OverlayCheck, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let names: Vec<OverlayName> = match args.names.as_slice() {
        [] => all(&workspace).keys().cloned().collect(),
        some => some.iter().map(|text| super::name(text)).collect::<Result<_, _>>()?,
    };
    let mut checked: Vec<(&Overlay, Vec<Check>)> = Vec::new();
    for name in &names {
        let overlay = named(&workspace, name)?;
        checked.push((overlay, check(&workspace, name, args.to.as_deref())?));
    }
    let holds = checked.iter().flat_map(|(_, checks)| checks).any(|check| check.verdict.holds());
    let exit = if holds { Exit::Held } else { Exit::Done };
    match args.output {
        Output::Json => {
            let rows: Vec<Value> = checked.iter().map(|(overlay, checks)| object(overlay, checks)).collect();
            let all = json!({ "format": FORMAT, "kind": "overlay-check", "exit_code": exit.code(), "overlays": rows });
            printer.data(&format!("{all:#}\n"));
        }
        Output::Text if checked.is_empty() => printer.talk("no overlays: nothing to check"),
        Output::Text => {
            let blocks: Vec<String> =
                checked.iter().map(|(overlay, checks)| text(overlay, checks, context)).collect();
            printer.data(&blocks.join("\n"));
        }
    }
    Ok(exit)
}

fn text(overlay: &Overlay, checks: &[Check], context: &Context) -> String {
    let name = &overlay.name;
    let base = match &overlay.manifest.base {
        Some(base) => format!("written against {}", shown(short(&base.version))),
        None => "no base: what upstream changed is not known".to_owned(),
    };
    let mut out = format!("{}  for {}, {base}\n", paint::name(name.as_str()), overlay.manifest.pack);
    if checks.is_empty() {
        out.push_str("  there is no newer version\n");
    }
    let widest = checks.iter().map(|check| check.version.short().len()).max().unwrap_or(0);
    for Check { version, verdict } in checks {
        let (style, word, findings): (_, String, &[Finding]) = match verdict {
            Verdict::Survives(notes) if notes.is_empty() => (paint::GOOD, "survives".into(), notes),
            Verdict::Survives(notes) => {
                (paint::GOOD, format!("survives, {}", count(notes.len(), "note")), notes)
            }
            Verdict::Conflicts(findings) => (paint::BAD, "does not survive".into(), findings),
            Verdict::Fails(why) => (paint::BAD, format!("does not survive: {}", shown(why)), &[]),
            Verdict::NoVersion(why) => {
                (paint::FAINT, format!("cannot be installed, with or without it: {}", shown(why)), &[])
            }
        };
        out.push_str(&format!("  {:<widest$}  {}\n", shown(version.short()), painted(style, &word)));
        for finding in findings {
            let mark = match finding.is_conflict() {
                true => painted(paint::BAD, "X"),
                false => painted(paint::CHANGE, "note:"),
            };
            out.push_str(&format!("    {mark} {}: {}\n", finding.path, shown(&finding.text())));
        }
        if matches!(verdict, Verdict::Conflicts(_)) {
            let words = ["overlay", "rebase", name.as_str(), "--to", version.label.as_str()];
            out.push_str(&format!("    → {}\n", context.hints.command(&words)));
        }
    }
    out
}

fn object(overlay: &Overlay, checks: &[Check]) -> Value {
    let finding = |finding: &Finding| json!({ "path": finding.path, "conflict": finding.is_conflict(), "text": shown(&finding.text()) });
    let check = |check: &Check| {
        let (verdict, findings, text) = match &check.verdict {
            Verdict::Survives(findings) => ("survives", Some(findings), None),
            Verdict::Conflicts(findings) => ("conflicts", Some(findings), None),
            Verdict::Fails(why) => ("fails", None, Some(shown(why))),
            Verdict::NoVersion(why) => ("no-version", None, Some(shown(why))),
        };
        json!({
            "version": check.version.label,
            "commit": check.version.commit(),
            "verdict": verdict,
            "text": text,
            "findings": findings.into_iter().flatten().map(finding).collect::<Vec<_>>(),
        })
    };
    json!({
        "overlay": overlay.name,
        "pack": overlay.manifest.pack,
        "base": overlay.manifest.base.as_ref().map(|base| &base.version),
        "versions": checks.iter().map(check).collect::<Vec<_>>(),
    })
}
