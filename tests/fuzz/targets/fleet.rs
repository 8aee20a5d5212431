//! The fleet file: all that is wrong has a place; what is right means the same however it is written down.

use camino::Utf8PathBuf;
use packfleet::desired::fleet_edit::{Whose, add_overlay};
use packfleet::desired::fleet_file::{Context, FleetText, includes, parse};
use packfleet::desired::problem::masked_source;
use packfleet::model::OverlayName;
use packfleet::model::fleet::Fleet;

use super::{Target, joined, texts};

/// A fleet file, and perhaps files that it includes.
pub const TARGET: Target = Target {
    name: "fleet",
    seeds: || {
        let head = "[fleet]\nname = \"f\"\n[sources.s]\nurl = \"https://u:p@example.org/s.git\"\n[packs.p]\nsource = \"s\"\ndir = \"p\"\n";
        let one = format!(
            "{head}target = \"p\"\n[deployments.d]\nhost = \"local\"\nroot = \"/srv/d\"\npacks.p = {{ version = \"1\" }}\n"
        );
        let more = "[profiles.q]\nhost = \"local\"\nlabels = [\"x\"]\npacks.p = { tag = \"v1\", overlays = [\"quiet\"] }\n\
                    [deployments.\"e-{1..3}\"]\nprofile = \"q\"\nroot = \"/srv/e{}\"\n[deployments.e-2]\nroot = \"/srv/other\"\n\
                    depends_on = [\"e-1\"]\n";
        let rich = format!(
            "{head}install = {{ \"src\" = \"bin/p\", \"a.md\" = \"doc/a.md\" }}\nhost_owns = [\".env\", {{ file = \"c.json\", keys = [\"/k\"] }}]\n\
             modes = \"ignore\"\ncheck = [[\"make\", \"test\"]]\nedits = {{ changed = \"keep\" }}\n[budget]\nmax_delete = \"10%\"\n\
             consent = [\"p@1.0.0..2.0.0\"]\n[limits]\nbytes = \"1MiB\"\n\n# the fleet\n[deployments.d]\nhost = \"local\"\nroot = \"r/d\"\n\
             [deployments.d.packs.p]\nbranch = \"main\"\nfollow = true\nfeatures = [\"x\"]\noverlays = [\n  \"quiet\", # why\n]\n"
        );
        vec![
            one.clone().into(),
            rich.into(),
            joined(&[&one, more]),
            include_bytes!("../../fleet_file/full.toml").to_vec(),
        ]
    },
    words: &[
        "[fleet]\n",
        "[deployments.x]\n",
        "[profiles.q]\n",
        "[packs.p]\n",
        "[[rollout]]\n",
        "packs.p = ",
        "{ version = \"1\" }",
        "host = \"local\"\n",
        "root = \"/x\"\n",
        "root = \"/\"\n",
        "\"..\"",
        "\"-x\"",
        "depends_on = [\"d\"]\n",
        "requires = [\"p\"]\n",
        "profile = \"q\"\n",
        "{1..3}",
        "{}",
        "label:x",
        "*",
        "state = \"absent\"\n",
        "include = [\"*.toml\"]\n",
        "<<<<<<< a\n",
        "\"\"\"",
        "'",
        "= ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "#",
        "\n",
        "\r\n",
        "\u{e4}",
        "9999999999999999999",
        "-1",
        "1.5",
        "2030-01-01",
        "\"150%\"",
        "\"24h\"",
        "token = \"t\"\n",
        "https://a:b@c/",
    ],
    check,
};

fn check(data: &[u8]) {
    let Some(texts) = texts(data) else { return };
    let context = Context {
        directory: Utf8PathBuf::from("/srv/fleet"),
        overlays: [
            ("quiet".to_owned(), None),
            ("new".to_owned(), None),
            ("loud".to_owned(), Some("p".to_owned())),
        ]
        .into(),
    };
    let files: Vec<FleetText> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| FleetText { name: format!("{number}.toml"), text: (*text).to_owned() })
        .collect();
    let read = parse(&files, &context);
    assert_eq!(read, parse(&files, &context), "the same texts mean the same");
    for text in &texts {
        let masked = masked_source(text);
        assert_eq!(masked.len(), text.len(), "spans hold in the masked text");
        assert_eq!(masked.matches('\n').count(), text.matches('\n').count());
        for include in includes(text) {
            assert!(text.get(include.span.clone()).is_some(), "{include:?}");
        }
    }
    match read {
        Err(problems) => {
            assert!(!problems.0.is_empty(), "a fleet is refused for a reason");
            for problem in &problems.0 {
                let file =
                    files.iter().find(|file| file.name == problem.file).expect("a file that was given");
                assert!(file.text.get(problem.span.clone()).is_some(), "{problem:?} lies outside");
                assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{problem:?}");
            }
        }
        Ok(fleet) => same(&fleet, &files, &context),
    }
}

/// Texts that must mean the same fleet.
fn same(fleet: &Fleet, files: &[FleetText], context: &Context) {
    let means = |files: &[FleetText], what: &str| match parse(files, context) {
        Ok(other) => assert_eq!(&other, fleet, "{what}"),
        Err(problems) => panic!("{what}: {:?}", problems.0),
    };
    let rewritten = |write: &dyn Fn(&str) -> Option<String>| -> Option<Vec<FleetText>> {
        let text = |file: &FleetText| Some(FleetText { name: file.name.clone(), text: write(&file.text)? });
        files.iter().map(text).collect()
    };
    let printed = rewritten(&|text| toml::to_string(&toml::from_str::<toml::Table>(text).ok()?).ok());
    means(&printed.expect("what was read can be printed"), "printed anew");
    means(&rewritten(&|text| Some(format!("\u{feff}{text}\n# behind\n"))).expect("text"), "with a comment");
    let crlf = |text: &str| {
        let lines = !text.contains("\"\"\"") && !text.contains("'''") && !text.contains('\r');
        lines.then(|| text.replace('\n', "\r\n"))
    };
    if let Some(files) = rewritten(&crlf) {
        means(&files, "with other line ends");
    }
    let mut turned = files.to_vec();
    turned[1..].reverse();
    means(&turned, "with its included files in another order");
    apart(files, &means);
    overlaid(fleet, files, context);
}

/// What an included file may hold is moved into one.
fn apart(files: &[FleetText], means: &dyn Fn(&[FleetText], &str)) {
    let Ok(mut own) = toml::from_str::<toml::Table>(&files[0].text) else { return };
    let mut moved = toml::Table::new();
    for key in ["deployments", "packs", "sources", "profiles"] {
        moved.extend(own.remove(key).map(|value| (key.to_owned(), value)));
    }
    let (Ok(own), Ok(moved)) = (toml::to_string(&own), toml::to_string(&moved)) else { return };
    let mut parts = files.to_vec();
    parts[0].text = own;
    parts.push(FleetText { name: "moved.toml".to_owned(), text: moved });
    means(&parts, "in two files");
}

/// One overlay more means one overlay more, and nothing else.
fn overlaid(fleet: &Fleet, files: &[FleetText], context: &Context) {
    let overlay: OverlayName = "new".parse().expect("a name");
    let Some((name, pack)) =
        fleet.deployments.iter().find_map(|(name, deployment)| Some((name, deployment.packs.keys().next()?)))
    else {
        return;
    };
    let Ok(edited) = add_overlay(files, &Whose::Deployment(name.clone()), name, pack, &overlay) else {
        return;
    };
    let mut meant = fleet.clone();
    let pin = meant
        .deployments
        .get_mut(name)
        .and_then(|deployment| deployment.packs.get_mut(pack))
        .expect("its pin");
    if !pin.overlays.contains(&overlay) {
        pin.overlays.push(overlay);
    }
    let mut files = files.to_vec();
    files[edited.file].text = edited.text;
    match parse(&files, context) {
        Ok(found) => assert_eq!(found, meant, "{}", files[edited.file].text),
        Err(problems) => panic!("{:?}\n{}", problems.0, files[edited.file].text),
    }
}
