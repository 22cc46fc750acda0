//! Tables as kubectl has them: titles in capitals, columns apart by three blanks, no lines.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::Output;
use super::paint::{self, TITLE};

const GAP: u16 = 3;

/// The table as text; no rows and no titles give nothing.
pub(crate) fn table(output: Output, titles: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if output.headers {
        table.set_header(titles.iter().copied());
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    let mut out = String::new();
    for (i, line) in table.lines().enumerate() {
        let line = line.trim_end();
        if i == 0 && output.headers {
            out.push_str(&paint::with(TITLE, line));
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(headers: bool, rows: &[Vec<String>]) -> String {
        let output = Output {
            format: None,
            headers,
        };
        anstream::adapter::strip_str(&table(output, &["NAME", "N"], rows)).to_string()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_no_blank() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        let rows = [row("default", "1"), row("a", "")];
        assert_eq!(plain(true, &rows), "NAME      N\ndefault   1\na\n");
        assert_eq!(plain(false, &rows), "default   1\na\n");
        assert_eq!(plain(true, &[]), "NAME   N\n");
        assert_eq!(plain(false, &[]), "");
    }
}
