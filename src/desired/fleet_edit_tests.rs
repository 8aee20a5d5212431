//! One overlay more, in every way in which a pin can be written.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::super::fleet_file::{Context, parse};
use super::*;
use crate::model::fleet::Fleet;

const HEAD: &str = "[fleet]\nname = \"f\"\n[sources.s]\nurl = \"x\"\n[packs.bot]\nsource = \"s\"\ndir = \"bot\"\ntarget = \"bot\"\n[packs.core]\nsource = \"s\"\ndir = \"core\"\ntarget = \"core\"\n";

fn meaning(texts: &[FleetText]) -> Fleet {
    let overlays = ["a", "b", "new"].map(|name| (name.to_owned(), Some("bot".to_owned())));
    let context = Context { directory: Utf8PathBuf::from("/fleet"), overlays: BTreeMap::from(overlays) };
    parse(texts, &context).unwrap_or_else(|problems| panic!("{problems:?}\n{}", texts[0].text))
}

fn texts(parts: &[&str]) -> Vec<FleetText> {
    let mut texts: Vec<FleetText> = parts
        .iter()
        .enumerate()
        .map(|(index, text)| FleetText { name: format!("{index}.toml"), text: (*text).to_owned() })
        .collect();
    texts[0].text.insert_str(0, HEAD);
    texts
}

fn edit(texts: &[FleetText], whose: &Whose, deployment: &str) -> Result<Edited, EditError> {
    let [pack, overlay] = ["bot", "new"];
    add_overlay(texts, whose, &deployment.parse().unwrap(), &pack.parse().unwrap(), &overlay.parse().unwrap())
}

/// Edits the pin of `d-1`, or of a profile, and checks the law; gives the text without the head.
fn edited(parts: &[&str], whose: &Whose) -> (usize, String, Pin) {
    let mut texts = texts(parts);
    let mut meant = meaning(&texts);
    let edited = edit(&texts, whose, "d-1").unwrap();
    texts[edited.file].text = edited.text.clone();
    for (name, deployment) in &mut meant.deployments {
        let reached = match whose {
            Whose::Deployment(_) => name.as_str() == "d-1",
            Whose::Profile(_) => true,
        };
        if let Some(pin) = deployment.packs.get_mut("bot").filter(|_| reached) {
            let new: OverlayName = "new".parse().unwrap();
            if !pin.overlays.contains(&new) {
                pin.overlays.push(new);
            }
        }
    }
    assert_eq!(meaning(&texts), meant, "{}", edited.text);
    let text = edited.text.strip_prefix(HEAD).map_or(edited.text.clone(), str::to_owned);
    (edited.file, text, edited.pin)
}

#[test]
fn a_pin_of_its_own() {
    let whose = Whose::Deployment("d-1".parse().unwrap());
    for (before, after) in [
        (
            "[deployments.d-1] # one\nhost = \"local\"\nroot = \"r\"\npacks.bot = { version = \"1\" } # why\n",
            "[deployments.d-1] # one\nhost = \"local\"\nroot = \"r\"\npacks.bot = { version = \"1\", overlays = [\"new\"] } # why\n",
        ),
        (
            "[deployments.d-1]\nhost = \"local\"\nroot = \"r\"\npacks.bot = {version = \"1\", overlays = [\"a\", \"b\"], features = [\"x\"]}\n",
            "[deployments.d-1]\nhost = \"local\"\nroot = \"r\"\npacks.bot = {version = \"1\", overlays = [\"a\", \"b\", \"new\"], features = [\"x\"]}\n",
        ),
        (
            "[deployments.d-1]\nhost = \"local\"\nroot = \"r\"\n[deployments.d-1.packs.bot]\nversion = \"1\"\noverlays = [\n    \"a\", # first\n    # and\n    \"b\",\n]\n# end\n",
            "[deployments.d-1]\nhost = \"local\"\nroot = \"r\"\n[deployments.d-1.packs.bot]\nversion = \"1\"\noverlays = [\n    \"a\", # first\n    # and\n    \"b\",\n    \"new\",\n]\n# end\n",
        ),
        (
            "[deployments.d-1]\nhost = \"local\"\nroot = \"r\"\npacks = { core = { version = \"1\" }, bot = { version = \"1\", overlays = [] } }\n",
            "[deployments.d-1]\nhost = \"local\"\nroot = \"r\"\npacks = { core = { version = \"1\" }, bot = { version = \"1\", overlays = [\"new\"] } }\n",
        ),
        (
            "[deployments.d-1]\nhost = \"local\"\nroot = \"r\"\npacks.bot.version = \"1\"\n",
            "[deployments.d-1]\nhost = \"local\"\nroot = \"r\"\npacks.bot.version = \"1\"\npacks.bot.overlays = [\"new\"]\n",
        ),
    ] {
        assert_eq!(edited(&[before], &whose), (0, after.to_owned(), Pin::Own));
        // A second time there is nothing to do.
        assert_eq!(edited(&[after], &whose), (0, after.to_owned(), Pin::Unchanged));
    }
}

#[test]
fn an_inherited_pin_is_written_in_full() {
    let whose = Whose::Deployment("d-1".parse().unwrap());
    let profile = "[profiles.p]\nroot = \"r\"\n[profiles.p.packs.bot]\nversion = \"1\" # pinned\noverlays = [\n  \"a\",\n]\nfeatures = [\"x\"]\n";
    for (parts, file, after, from) in [
        (
            vec![
                "[profiles.p]\nroot = \"r\"\npacks.bot = { version = \"1\", overlays = [\"a\"] }\n[deployments.d-1]\nprofile = \"p\"\nhost = \"local\"\n\n# end\n",
            ],
            0,
            "[profiles.p]\nroot = \"r\"\npacks.bot = { version = \"1\", overlays = [\"a\"] }\n[deployments.d-1]\nprofile = \"p\"\nhost = \"local\"\npacks.bot = { version = \"1\", overlays = [\"a\", \"new\"] }\n\n# end\n",
            "profile p",
        ),
        (
            vec![
                "",
                profile,
                "[deployments.d-1]\nprofile = \"p\"\nhost = \"local\"\npacks.core = { version = \"1\" }\n",
            ],
            2,
            "[deployments.d-1]\nprofile = \"p\"\nhost = \"local\"\npacks.core = { version = \"1\" }\npacks.bot = { version = \"1\", overlays = [\"a\", \"new\"], features = [\"x\"] }\n",
            "profile p",
        ),
        (
            vec![
                "[deployments.\"d-{1..3}\"]\nhost = \"local\"\nroot = \"r/{}\"\npacks.bot = { version = \"1\" }\n\n[deployments.other]\nhost = \"local\"\nroot = \"o\"\npacks.bot = { version = \"2\" }\n",
            ],
            0,
            "[deployments.\"d-{1..3}\"]\nhost = \"local\"\nroot = \"r/{}\"\npacks.bot = { version = \"1\" }\n\n[deployments.d-1]\npacks.bot = { version = \"1\", overlays = [\"new\"] }\n\n[deployments.other]\nhost = \"local\"\nroot = \"o\"\npacks.bot = { version = \"2\" }\n",
            "range d-{1..3}",
        ),
        (
            vec![
                "[profiles.p]\npacks.bot = { version = \"1\" }\n[deployments.\"d-{1..3}\"]\nprofile = \"p\"\nhost = \"local\"\nroot = \"r/{}\"\n[deployments.d-1]\nlabels = [\"x\"]\n",
            ],
            0,
            "[profiles.p]\npacks.bot = { version = \"1\" }\n[deployments.\"d-{1..3}\"]\nprofile = \"p\"\nhost = \"local\"\nroot = \"r/{}\"\n[deployments.d-1]\nlabels = [\"x\"]\npacks.bot = { version = \"1\", overlays = [\"new\"] }\n",
            "profile p",
        ),
    ] {
        let found = edited(&parts, &whose);
        assert_eq!(found, (file, after.to_owned(), Pin::Inherited(from.to_owned())));
    }
}

#[test]
fn a_profile_s_pin() {
    let whose = Whose::Profile("p".into());
    let before = "[profiles.p]\npacks.bot = { version = \"1\" }\n[deployments.\"d-{1..3}\"]\nprofile = \"p\"\nhost = \"local\"\nroot = \"r/{}\"\n";
    let (_, after, pin) = edited(&[before], &whose);
    assert_eq!((after, pin), (before.replace("\"1\" }", "\"1\", overlays = [\"new\"] }"), Pin::Own));
    let own = format!("{before}packs.bot = {{ version = \"2\" }}\n");
    let refused =
        |text: &str, name: &str| edit(&texts(&[text]), &Whose::Profile(name.into()), "d-1").unwrap_err();
    assert!(matches!(refused(&own, "p"), EditError::NotReached { .. }));
    assert!(matches!(refused(before, "q"), EditError::OtherProfile { .. }));
    let none = "[deployments.d-1]\nhost = \"local\"\nroot = \"r\"\n";
    let whose = Whose::Deployment("d-1".parse().unwrap());
    assert!(matches!(edit(&texts(&[none]), &whose, "d-1").unwrap_err(), EditError::NoPin { .. }));
}
