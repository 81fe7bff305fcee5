//! docs/options.md, and what README.md and docs/c-api.md quote: the table of options, and example
//! programs.
//!
//! A quotation stands between `<!-- NAME -->` and `<!-- /NAME -->`, where the name is `options` or
//! the path of a file in examples/.

use crate::{Output, python, root};
use std::fs;

const INTRODUCTION: &str = "\
# Options

All options of all languages. This page is generated from the table in
`caster-core/src/options/table.rs`.

Both `hashSecret` and `hash_secret` are accepted. A plain Caster has the options marked *both*, a Node
has all of them. An omitted option has its default. An invalid value and an unknown name are errors that
list the accepted ones; in the npm package an unknown name is a warning.

";

/// Pages with quotations.
const QUOTING: &[&str] = &["README.md", "docs/c-api.md"];

pub fn outputs() -> Result<Vec<Output>, String> {
    let table = caster_core::options::table_markdown();
    let mut outputs =
        vec![Output { path: "docs/options.md", text: format!("{INTRODUCTION}{table}") }];
    for path in QUOTING {
        if let Ok(text) = fs::read_to_string(root().join(path)) {
            let text = with_quotations(&text, |name| quotation(name, &table))
                .map_err(|error| format!("{path}: {error}"))?;
            outputs.push(Output { path, text });
        }
    }
    outputs.extend(python::outputs());
    Ok(outputs)
}

/// The text between the markers of this name; None for an unknown name.
fn quotation(name: &str, table: &str) -> Result<Option<String>, String> {
    if name == "options" {
        return Ok(Some(table.into()));
    }
    if !name.starts_with("examples/") {
        return Ok(None);
    }
    let code =
        fs::read_to_string(root().join(name)).map_err(|error| format!("quotes {name}: {error}"))?;
    let language = match name.rsplit('.').next() {
        Some("rs") => "rust",
        Some("py") => "python",
        Some(extension) => extension,
        None => "",
    };
    Ok(Some(format!("```{language}\n{}\n```\n", code.trim_end())))
}

/// `text` with everything between markers replaced by the result of `quote` for their name.
fn with_quotations(
    text: &str,
    quote: impl Fn(&str) -> Result<Option<String>, String>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        out.push_str(line);
        out.push('\n');
        rest = after;
        let name = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        let Some(name) = name.filter(|name| !name.starts_with('/')) else { continue };
        let Some(quoted) = quote(name)? else { continue };
        let end = format!("<!-- /{name} -->");
        let (_, after) =
            rest.split_once(&end).ok_or_else(|| format!("has {line} and no {end} behind it"))?;
        out.push_str(&quoted);
        out.push_str(&end);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_known_markers_is_replaced() {
        let quote = |name: &str| Ok((name == "a").then(|| "new\n".to_owned()));
        let text = "x\n<!-- a -->\nold\n<!-- /a -->\ny\n<!-- b -->\nz\n<!-- /b -->\nend";
        let new = with_quotations(text, quote).unwrap();
        let expected = "x\n<!-- a -->\nnew\n<!-- /a -->\ny\n<!-- b -->\nz\n<!-- /b -->\nend";
        assert_eq!(new, expected);
        assert_eq!(with_quotations(&new, quote).unwrap(), new);
        assert!(with_quotations("<!-- a -->\n", quote).is_err());
    }
}
