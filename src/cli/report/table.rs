//! Tables without lines, as wide as they must be and no wider than the terminal.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

/// No column is made narrower than this.
const NARROWEST: u16 = 16;

/// Lines of a table. With a `width`, cells of the column `gives` are broken, and no others: half a time or
/// half a number is worse than a long line. Trailing blanks are taken off.
pub fn table(head: &[&str], rows: &[Vec<String>], gives: &str, width: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    if let Some(width) = width.and_then(|width| u16::try_from(width).ok()) {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    let contents = table.column_max_content_widths();
    for ((name, column), content) in head.iter().zip(table.column_iter_mut()).zip(contents) {
        column.set_padding((0, 2));
        column.set_constraint(match *name == gives {
            true => ColumnConstraint::LowerBoundary(Width::Fixed(content.min(NARROWEST) + 2)),
            false => ColumnConstraint::ContentWidth,
        });
    }
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_and_break_where_the_terminal_ends() {
        let rows = [
            vec!["dev".into(), "in sync".into(), String::new()],
            vec!["production".into(), "held".into(), "1 conflict: packfleet why production".into()],
        ];
        assert_eq!(
            table(&["NAME", "SYNC", "WHY"], &rows, "WHY", None),
            "NAME        SYNC     WHY\n\
             dev         in sync\n\
             production  held     1 conflict: packfleet why production\n"
        );
        let narrow = table(&["NAME", "SYNC", "WHY"], &rows, "WHY", Some(40));
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(narrow.contains("1 conflict:"), "{narrow}");
        let narrowest = table(&["NAME", "SYNC", "WHY"], &rows, "WHY", Some(1));
        assert!(narrowest.contains("production  held     1 conflict:\n"), "{narrowest}");
    }
}
