//! A conflict as people see it: both sides of every place, and the text with markers to edit.
//!
//! For reading and for an editor only; what is a conflict is decided by [`super::text`].

use git2::{MergeFileInput, MergeFileOptions};

use super::text::{initialise, is_binary, is_large, lines, marker_run, marker_size};

/// One place at which both sides changed the same lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Our lines there, with their ends.
    pub ours: Vec<u8>,
    /// Their lines there.
    pub theirs: Vec<u8>,
}

/// A merge that is not clean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The merged text, with markers around both sides and their common origin.
    pub text: Vec<u8>,
    /// How many characters a marker has.
    pub marker: u16,
    /// Every place.
    pub places: Vec<Place>,
}

/// Names of the sides, which follow the markers.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Of what both come from.
    pub base: &'a str,
    /// Of ours.
    pub ours: &'a str,
    /// Of theirs.
    pub theirs: &'a str,
}

/// The marked text of a merge; `None` if a side is binary or too large. A clean merge has no places.
pub fn marked(base: &[u8], ours: &[u8], theirs: &[u8], labels: Labels<'_>) -> Option<Marked> {
    let sides = [base, ours, theirs];
    if sides.iter().any(|side| is_binary(side) || is_large(side)) {
        return None;
    }
    let marker = marker_size(&sides);
    // Of an empty result git2 makes a slice of a null pointer. All others have a line: what all three sides keep, what
    // one adds, or a marker, since deletions that touch each other conflict.
    if base == ours || base == theirs || ours == theirs {
        let text = if base == ours { theirs } else { ours };
        return Some(Marked { text: text.to_vec(), marker, places: Vec::new() });
    }
    let plain = merged(sides, labels, marker, Style::TwoSides)?;
    let text = merged(sides, labels, marker, Style::WithBase)?;
    Some(Marked { text, marker, places: places(&plain, marker) })
}

/// Whether a text still has a marker of that size in it.
pub fn has_markers(text: &[u8], marker: u16) -> bool {
    lines(text).any(|line| marker_run(line).is_some_and(|(_, length)| length == usize::from(marker)))
}

enum Style {
    TwoSides,
    WithBase,
}

fn merged(sides: [&[u8]; 3], labels: Labels<'_>, marker: u16, style: Style) -> Option<Vec<u8>> {
    initialise();
    let [base, ours, theirs] = sides.map(|side| {
        let mut input = MergeFileInput::new();
        input.content(side);
        input
    });
    let mut options = MergeFileOptions::new();
    options.ancestor_label(labels.base).our_label(labels.ours).their_label(labels.theirs).marker_size(marker);
    match style {
        Style::TwoSides => options.style_standard(true),
        Style::WithBase => options.style_diff3(true),
    };
    git2::merge_file(&base, &ours, &theirs, Some(&mut options)).ok().map(|result| result.content().to_vec())
}

fn places(text: &[u8], marker: u16) -> Vec<Place> {
    let mut places = Vec::new();
    let (mut open, mut theirs): (Option<Place>, bool) = (None, false);
    for line in lines(text) {
        let run = marker_run(line).filter(|(_, length)| *length == usize::from(marker));
        match (run, &mut open) {
            (Some((b'<', _)), _) => (open, theirs) = (Some(Place::default()), false),
            (Some((b'=', _)), Some(_)) => theirs = true,
            (Some((b'>', _)), Some(_)) => places.extend(open.take()),
            (_, Some(place)) if theirs => place.theirs.extend(line),
            (_, Some(place)) => place.ours.extend(line),
            (_, None) => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: Labels<'_> = Labels { base: "base", ours: "host", theirs: "pack" };

    #[test]
    fn both_sides_of_every_place_and_a_text_to_edit() {
        let base = b"1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let ours = b"1\nA\n3\n4\n5\n6\n7\nB\n9\n";
        let theirs = b"1\na\n3\n4\n5\n6\n7\nb\n9\n";
        let marked = marked(base, ours, theirs, LABELS).unwrap();
        let place = |ours: &[u8], theirs: &[u8]| Place { ours: ours.to_vec(), theirs: theirs.to_vec() };
        assert_eq!(marked.places, [place(b"A\n", b"a\n"), place(b"B\n", b"b\n")]);
        let text = String::from_utf8(marked.text.clone()).unwrap();
        assert!(
            text.starts_with("1\n<<<<<<< host\nA\n||||||| base\n2\n=======\na\n>>>>>>> pack\n3\n"),
            "{text}"
        );
        assert!(has_markers(&marked.text, marked.marker));
        assert!(!has_markers(ours, marked.marker));
    }

    #[test]
    fn a_clean_merge_has_no_places_and_a_binary_file_no_text() {
        assert_eq!(marked(b"1\n2\n3\n", b"0\n2\n3\n", b"1\n2\n4\n", LABELS).unwrap().places, []);
        assert_eq!(marked(b"1\n2\n3\n", b"0\n2\n3\n", b"1\n2\n4\n", LABELS).unwrap().text, b"0\n2\n4\n");
        assert_eq!(marked(b"a\0", b"b\0", b"c\0", LABELS), None);
        for [base, ours, theirs] in [["", "", ""], ["a\n", "", "a\n"], ["a\n", "a\n", ""], ["a\n", "", ""]] {
            let marked = marked(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), LABELS).unwrap();
            assert_eq!((marked.text, marked.places), (Vec::new(), Vec::new()));
        }
    }

    #[test]
    fn markers_that_are_part_of_a_file_are_no_markers() {
        let ours = b"<<<<<<< not a marker\nA\n";
        let marked =
            marked(b"<<<<<<< not a marker\n1\n", ours, b"<<<<<<< not a marker\n2\n", LABELS).unwrap();
        assert_eq!(marked.marker, 8);
        assert_eq!(marked.places.len(), 1);
        assert!(!has_markers(ours, marked.marker));
    }
}
