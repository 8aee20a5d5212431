//! `overlay show`: what overlays change, as they are written. No source is asked.

use serde_json::{Value, json};

use crate::cli::args::{Output, OverlayShow};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::json::FORMAT;
use crate::cli::printer::{Printer, paint, painted, shown};
use crate::cli::report::words::count;
use crate::desired::overlay::Overlay;
use crate::engine::Workspace;
use crate::engine::overlay::{all, named, short, used_by};
use crate::merge::structured::keys_of;
use crate::model::ranges::compress;
use crate::model::{DeploymentName, Kind, OverlayName, TreePath};

/// One path of an overlay: how it is changed, and what there is to say about that.
struct Line<'o> {
    how: &'static str,
    path: &'o TreePath,
    about: String,
}

pub(super) fn run(args: &OverlayShow, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let mut names: Vec<OverlayName> = all(&workspace).keys().cloned().collect();
    if let Some(text) = &args.name {
        let name = super::name(text)?;
        named(&workspace, &name)?;
        names = vec![name];
    }
    if args.output == Output::Json {
        let rows: Vec<Value> = names.iter().map(|name| object(&workspace, name)).collect();
        printer.data(&format!("{:#}\n", json!({ "format": FORMAT, "kind": "overlays", "overlays": rows })));
        return Ok(Exit::Done);
    }
    if names.is_empty() {
        printer.talk(format!("no overlays; {} begins one", context.hints.command(&["overlay", "new"])));
    }
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            printer.data("\n");
        }
        printer.data(&text(&workspace, name, context));
    }
    Ok(Exit::Done)
}

fn text(workspace: &Workspace, name: &OverlayName, context: &Context) -> String {
    let head = paint::name(name.as_str());
    let overlay = match all(workspace).get(name) {
        Some(Ok(overlay)) => overlay,
        Some(Err(why)) => return format!("{head}  {} {}\n", painted(paint::BAD, "damaged:"), shown(why)),
        None => return String::new(),
    };
    let base = overlay.manifest.base.as_ref().map_or_else(
        || "no base".to_owned(),
        |base| format!("written against {} (tree {})", shown(short(&base.version)), base.tree.short()),
    );
    let users = used_by(workspace, name);
    let users = match users.is_empty() {
        true => "used by no deployment".to_owned(),
        false => format!("used by {}", compress(users.into_iter().map(DeploymentName::as_str))),
    };
    let mut out = format!("{head}  for {}, {base} · {users}\n", overlay.manifest.pack);
    let lines = lines(overlay);
    let widest = lines.iter().map(|line| line.path.as_str().len()).max().unwrap_or(0).min(48);
    for Line { how, path, about } in &lines {
        let line = format!("    {how:<6} {:<widest$}  {}", path.as_str(), paint::faint(&shown(about)));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if !overlay.unfinished.is_empty() {
        let finish = context.hints.command(&["overlay", "rebase", name.as_str(), "--finish"]);
        out.push_str(&format!("    → edit each .conflict file, then {finish}\n"));
    }
    out
}

fn lines(overlay: &Overlay) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for path in &overlay.manifest.remove {
        lines.push(Line { how: "remove", path, about: String::new() });
    }
    for (path, (kind, bytes)) in &overlay.files {
        let (how, about) = match kind {
            Kind::Link => ("link", format!("→ {}", String::from_utf8_lossy(bytes))),
            Kind::Exec => ("file", format!("{}, executable", count(bytes.len(), "byte"))),
            Kind::File => ("file", count(bytes.len(), "byte")),
        };
        lines.push(Line { how, path, about });
    }
    for (path, patch) in &overlay.patches {
        let printed = patch.print();
        // Below the two lines that name the file.
        let below = || printed.split(|byte| *byte == b'\n').skip(2);
        let (added, gone) =
            (below().filter(|line| line.starts_with(b"+")), below().filter(|line| line.starts_with(b"-")));
        lines.push(Line { how: "patch", path, about: format!("+{} -{}", added.count(), gone.count()) });
    }
    for (path, (format, keys)) in &overlay.merges {
        let about = keys_of(*format, keys).map_or_else(|error| error.to_string(), |keys| keys.join(" "));
        lines.push(Line { how: "keys", path, about });
    }
    for (path, (change, _)) in &overlay.unfinished {
        let file = format!("{path}{}.conflict", change.suffix());
        lines.push(Line { how: "!", path, about: format!("not finished: {file}") });
    }
    lines.sort_by_key(|line| line.path);
    lines
}

fn object(workspace: &Workspace, name: &OverlayName) -> Value {
    let overlay = match all(workspace).get(name) {
        Some(Ok(overlay)) => overlay,
        Some(Err(why)) => return json!({ "overlay": name, "damaged": shown(why) }),
        None => return Value::Null,
    };
    let line = |line: Line<'_>| {
        let how = if line.how == "!" { "unfinished" } else { line.how };
        json!({ "path": line.path, "how": how, "about": line.about })
    };
    let base = overlay.manifest.base.as_ref();
    json!({
        "overlay": name,
        "pack": overlay.manifest.pack,
        "base": base.map(|base| json!({ "version": base.version, "tree": base.tree })),
        "used_by": used_by(workspace, name),
        "paths": lines(overlay).into_iter().map(line).collect::<Vec<_>>(),
    })
}
