//! Manifests and stamps: what is read is printed again to the same, whatever the text; and nothing is no text.

use packfleet::model::manifest::{Line, Manifest, Mark, Told};
use packfleet::model::plan::Obstacle;
use packfleet::model::stamp::Stamp;
use packfleet::model::{Kind, ManifestDigest};

use super::record::{drawn, entry, path};
use super::{Draw, Target};

/// A byte that says what the others are: a text, or choices.
pub const TARGET: Target = Target {
    name: "manifest",
    seeds: || {
        let numbers: Vec<u8> = (0..=255).collect();
        let many: Vec<u8> = (0..1200u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut seeds = Vec::new();
        for choices in [&[][..], &numbers, &many] {
            seeds.push([&[1], choices].concat());
            let text = manifest(&mut Draw(choices)).text();
            assert!(Manifest::parse(&text).is_ok(), "{text}");
            seeds.push([&[0], text.as_bytes()].concat());
        }
        assert!(Stamp::parse(STAMP).is_ok(), "{:?}", Stamp::parse(STAMP));
        seeds.push([&[0], STAMP.as_bytes()].concat());
        seeds
    },
    words: &[
        "packfleet manifest 1\n",
        "packfleet status 1\n",
        "\ne 0 . - = = ",
        "\nm ",
        "\nd ",
        "\nu 0123456789abcdef .",
        " ! ",
        " ? ",
        " kf ",
        " ox ",
        "..",
        "{}",
        "[]",
        "null",
    ],
    check,
};

const STAMP: &str = concat!(
    "packfleet status 1\n",
    r#"{"fleet":"f","deployment":"d","root":"/r","sequence":1,"time":"2026-11-24T08:00:00Z","by":"host","#,
    r#""generation":7,"record":null,"#,
    r#""manifest":"0000000000000000000000000000000000000000000000000000000000000000","interrupted":null,"#,
    r#""staged":false,"saved_edits":0,"since":{"p":"2026-11-24T08:00:00Z"},"pause":null,"#,
    r#""health":{"generation":7,"state":"ill","since":"2026-11-24T08:00:00Z"},"version_file":null}"#,
    "\n-----BEGIN SSH SIGNATURE-----\n",
);

fn check(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    if mode % 2 == 1 {
        let manifest = manifest(&mut Draw(rest));
        let text = manifest.text();
        let end = (text.len() * usize::from(*mode) / 256).saturating_sub(1);
        if let Some(Ok(cut)) = text.get(..end).map(Manifest::parse) {
            assert_ne!(cut, manifest, "a part of it is not it");
        }
        return round(&manifest);
    }
    let Ok(text) = std::str::from_utf8(rest) else { return };
    if let Ok(manifest) = Manifest::parse(text) {
        round(&manifest);
    }
    if let Ok(signed) = Stamp::parse(text) {
        assert_eq!(format!("{}{}", signed.text, signed.signature), text);
        let printed = signed.stamp.text();
        assert_eq!(Stamp::parse(&printed).expect("what was printed is read").stamp, signed.stamp);
    }
}

fn round(manifest: &Manifest) {
    let text = manifest.text();
    let again = Manifest::parse(&text).expect("what was printed is read");
    assert_eq!(again, *manifest, "parse(text(x)) = x");
    assert_eq!(ManifestDigest::of(again.text().as_bytes()), ManifestDigest::of(text.as_bytes()));
    // Any path can be asked for.
    for path in manifest.lines.keys().chain(&manifest.made).chain(&manifest.directories) {
        let _ = manifest.spot(path, &manifest.owners());
    }
}

fn manifest(draw: &mut Draw<'_>) -> Manifest {
    let record = drawn(draw);
    let mut manifest = Manifest {
        packs: record.packs,
        rejected: record.rejected,
        decisions: record.decisions,
        made: record.directories,
        ..Manifest::default()
    };
    for (path, recorded) in record.entries {
        let kind = draw.pick(&[Kind::File, Kind::Exec]);
        let actual = match draw.below(7) {
            0 => recorded.written.map_or(Told::Absent, Told::Entry),
            1 => Told::Absent,
            2 => Told::Entry(entry(draw)),
            3 => Told::Obstacle(Obstacle::Special(draw.pick(&["a FIFO", "ä\n"]).to_owned())),
            4 => Told::Something,
            5 => Told::ButForKeys(kind),
            _ => Told::Withheld(kind),
        };
        manifest.lines.insert(path, Line { recorded, actual });
    }
    manifest.directories = draw.some(path).into_iter().collect();
    for _ in 0..draw.below(3) {
        let marks = (0..=draw.below(3)).map(|_| Mark(u64::from(draw.byte()) << draw.below(57))).collect();
        manifest.others.insert(draw.perhaps(path), marks);
    }
    manifest
}
