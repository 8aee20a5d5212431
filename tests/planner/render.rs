//! A whole plan as text, with contents by name.

use std::collections::BTreeMap;
use std::fmt::Write;

use packfleet::model::plan::{Conflict, Hold, HoldCause, Obstacle, Plan};
use packfleet::model::record::Recorded;
use packfleet::model::{Entry, Kind, PackName, TreePath};

use crate::world::World;

impl World {
    pub fn show(&self, entry: Option<Entry>) -> String {
        let Some(entry) = entry else { return "-".into() };
        let text = self.names.get(&entry.content).cloned().unwrap_or_else(|| entry.content.short());
        match entry.kind {
            Kind::File => text,
            Kind::Exec => format!("{text}*"),
            Kind::Link => format!("@{text}"),
        }
    }

    /// Actions, holds, directories to prune and the next record.
    pub fn render(&self, plan: &Plan) -> String {
        let mut out = String::new();
        for action in &plan.actions {
            let cause = format!("{:?}", action.cause).to_lowercase();
            let saved = if action.save { ", saved" } else { "" };
            let (before, after) = (self.show(action.before), self.show(action.after));
            writeln!(out, "{} {} {before} -> {after} ({cause}{saved})", action.pack, action.path).unwrap();
        }
        for hold in &plan.holds {
            writeln!(out, "hold {}", self.hold(hold)).unwrap();
        }
        for directory in &plan.prune {
            writeln!(out, "prune {directory}").unwrap();
        }
        if !plan.commits {
            out.push_str("no commit\n");
            return out;
        }
        let mut by_pack: BTreeMap<PackName, Vec<(&TreePath, &Recorded)>> =
            plan.next.packs.keys().map(|name| (name.clone(), Vec::new())).collect();
        for (path, recorded) in &plan.next.entries {
            by_pack.entry(recorded.owner.clone()).or_default().push((path, recorded));
        }
        if by_pack.is_empty() {
            out.push_str("record empty\n");
        }
        for (name, entries) in by_pack {
            let pin = plan.next.packs.get(&name).map(|pack| &pack.pin);
            write!(out, "record {name} {}", pin.map_or("?", |pin| pin.version.as_str())).unwrap();
            for (path, recorded) in entries {
                let item = match (recorded.base, recorded.written) {
                    (None, written) => format!("!{}", self.show(written)),
                    (base, written) if base == written => self.show(base),
                    (base, written) => format!("{}~{}", self.show(base), self.show(written)),
                };
                let commit = match &recorded.commit {
                    None => "^".to_owned(),
                    commit if *commit == pin.and_then(|pin| pin.commit.clone()) => String::new(),
                    Some(commit) => format!("#{}", self.commits[commit]),
                };
                write!(out, " {path}={item}{commit}").unwrap();
            }
            out.push('\n');
        }
        let list = |out: &mut String, title: &str, items: Vec<String>| {
            if !items.is_empty() {
                writeln!(out, "{title} {}", items.join(" ")).unwrap();
            }
        };
        list(&mut out, "dirs", plan.next.directories.iter().map(ToString::to_string).collect());
        list(&mut out, "decisions", plan.next.decisions.keys().map(ToString::to_string).collect());
        for (name, rejection) in &plan.next.rejected {
            let digests = rejection.digests.iter().map(|digest| match digest {
                Some(digest) => self.digests.get(digest).map_or("?", String::as_str),
                None => "absent",
            });
            let digests = digests.collect::<Vec<_>>().join(" ");
            writeln!(out, "rejected {name} {} {digests}", rejection.restored).unwrap();
        }
        out
    }

    fn hold(&self, hold: &Hold) -> String {
        let pack = hold.pack.as_ref().map_or_else(|| "deployment".into(), ToString::to_string);
        let at = hold.path.as_ref().map_or_else(String::new, |path| format!(" {path}"));
        let cause = match &hold.cause {
            HoldCause::Conflict { base, actual, desired, renamed, conflict } => {
                let sides = [base, actual, desired].map(|entry| self.show(*entry)).join("/");
                let what = match &**conflict {
                    Conflict::Text { .. } => "text".to_owned(),
                    other => format!("{other:?}"),
                };
                let renamed = renamed.as_ref().map_or_else(String::new, |to| format!(" renamed to {to}"));
                format!("conflict {sides} {what}{renamed}")
            }
            HoldCause::Obstructed(Obstacle::Directory { foreign }) => {
                format!("directory ({})", foreign.as_deref().unwrap_or("nothing foreign"))
            }
            HoldCause::Obstructed(Obstacle::Ancestor { at, what }) => format!("{what} at {at}"),
            HoldCause::Overlays { to, .. } => format!("overlays {to}"),
            HoldCause::Major { from, to, .. } => format!("major {from} {to}"),
            HoldCause::Check { command, .. } => format!("check {command}"),
            HoldCause::Signature(why) => format!("signature: {why}"),
            HoldCause::Obstructed(Obstacle::Special(what)) => what.clone(),
            HoldCause::Obstructed(Obstacle::Unreadable(what)) => format!("unreadable: {what}"),
            HoldCause::Obstructed(Obstacle::Busy) => "busy".into(),
            HoldCause::Nested { by } => format!("nested with {by}"),
            HoldCause::Requires { pack } => format!("requires {pack}"),
            HoldCause::Tied { pack } => format!("tied to {pack}"),
            HoldCause::Version(text) => format!("version: {text}"),
            HoldCause::Source(text) => format!("source: {text}"),
            HoldCause::Gone { generation } => format!("gone, was at generation {generation}"),
            HoldCause::Rejected { desired, restored } => {
                let what = if desired.is_some() { "given" } else { "absent" };
                format!("rejected {what}, generation {restored} stands")
            }
            HoldCause::Budget { limit, files, of, percent, consent } => {
                format!("{limit} {files} of {of} over {percent}%, consent {consent}")
            }
        };
        format!("{pack}{at}: {cause}")
    }
}
