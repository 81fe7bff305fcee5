//! The table of options, for docs/options.md and README.md.

use crate::{Output, root};
use std::fs;

const BEGIN: &str = "<!-- options -->";
const END: &str = "<!-- /options -->";

const INTRODUCTION: &str = "\
# Options

Every option there is, in every language. This page is generated from the table in
`caster-core/src/options.rs`.

A name can be written in either way: `hashSecret` or `hash_secret`. A plain Caster has the options
marked *both*, a Node has all of them. What is not given has its default. A value that is not
accepted and a name that does not exist are errors that say what is accepted; in the npm package
an unknown name is a warning.

";

pub fn outputs() -> Result<Vec<Output>, String> {
    let table = caster_core::options::table_markdown();
    let mut outputs =
        vec![Output { path: "docs/options.md", text: format!("{INTRODUCTION}{table}") }];
    if let Ok(readme) = fs::read_to_string(root().join("README.md"))
        && readme.contains(BEGIN)
    {
        outputs.push(Output { path: "README.md", text: between_markers(&readme, &table)? });
    }
    Ok(outputs)
}

/// `text` with `table` between the markers.
fn between_markers(text: &str, table: &str) -> Result<String, String> {
    let (before, rest) = text.split_once(BEGIN).expect("the caller has looked");
    let Some((_, after)) = rest.split_once(END) else {
        return Err(format!("README.md has {BEGIN} and no {END} behind it"));
    };
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = between_markers(&text, "| new |\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\n| new |\n{END}\nb\n"));
        assert_eq!(between_markers(&new, "| new |\n").unwrap(), new);
        assert!(between_markers(BEGIN, "").is_err());
    }
}
