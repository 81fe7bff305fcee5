//! Modules import from their own floor or from a floor below, never in a circle.
//!
//! The floors are listed once, in the section "Floors" of ARCHITECTURE.md. Tests within the sources
//! may import anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Graph = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// The sources by the path of their module, as in `driver::hub`; the root is `lib`.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(root().join("src")).unwrap().with_extension("");
            let name = relative.to_str().unwrap().replace('/', "::");
            let name = name.strip_suffix("::mod").unwrap_or(&name).to_owned();
            match path.is_dir() {
                _ if name.split("::").any(|part| part == "tests") => {}
                true => folders.push(path),
                false => drop(found.insert(name, fs::read_to_string(&path).unwrap())),
            }
        }
    }
    found
}

/// The source without comments and without its tests.
fn code_of(source: &str) -> String {
    let end = source.find("#[cfg(test)]\nmod tests {").unwrap_or(source.len());
    let lines = source[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Reads a path or a tree of paths, as they stand in `use`, and notes each from its beginning.
fn read_tree<'a>(mut text: &'a str, mut path: Vec<String>, to: &mut Vec<Vec<String>>) -> &'a str {
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix('{') {
            text = rest;
            loop {
                text = read_tree(text, path.clone(), to).trim_start();
                match text.strip_prefix(',') {
                    Some(rest) => text = rest,
                    None => return text.strip_prefix('}').unwrap_or(text),
                }
            }
        }
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        if end > 0 {
            path.push(text[..end].to_owned());
        }
        text = &text[end..];
        match text.strip_prefix("::") {
            Some(rest) => text = rest,
            None => {
                to.push(path);
                return text;
            }
        }
    }
}

/// All paths of a source that begin with `crate` or `super`, and in the face of a folder those by
/// which it imports from its own rooms.
fn paths(code: &str, is_face: bool) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let starts: &[&str] =
        if is_face { &["crate::", "super::", "use "] } else { &["crate::", "super::"] };
    for start in starts {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            // A visibility is not an import.
            if code[..at].ends_with("pub(in ") {
                continue;
            }
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                let from = at + if *start == "use " { start.len() } else { 0 };
                read_tree(&code[from..], Vec::new(), &mut found);
            }
        }
    }
    found
}

/// The module that a path leads to from another one.
fn resolve(path: &[String], from: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let mut at: Vec<&str> = if from == "lib" { Vec::new() } else { from.split("::").collect() };
    let mut path = path.iter().map(String::as_str).peekable();
    match path.peek() {
        Some(&"crate") => {
            at.clear();
            path.next();
        }
        Some(&"super") => {
            while path.next_if_eq(&"super").is_some() {
                at.pop();
            }
        }
        // One of its own rooms, or another crate.
        Some(first) if !modules.contains_key(&[&at[..], &[*first]].concat().join("::")) => {
            return None;
        }
        _ => {}
    }
    for part in path {
        at.push(part);
        if !modules.contains_key(&at.join("::")) {
            at.pop();
            break;
        }
    }
    Some(if at.is_empty() { "lib".to_owned() } else { at.join("::") })
}

/// The modules that each module imports from.
fn graph(modules: &BTreeMap<String, String>) -> Graph {
    let is_face = |name: &str| modules.keys().any(|other| other.starts_with(&format!("{name}::")));
    let imports = |name: &String, source: &String| {
        let code = code_of(source);
        let found = paths(&code, is_face(name));
        let found = found.iter().filter_map(|path| resolve(path, name, modules));
        found.filter(|other| other != name).collect()
    };
    modules.iter().map(|(name, source)| (name.clone(), imports(name, source))).collect()
}

/// A circle of imports, if there is one.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    fn visit(at: &str, graph: &Graph, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        if let Some(start) = way.iter().position(|other| other == at) {
            way.drain(..start);
            return true;
        }
        if done.contains(at) {
            return false;
        }
        way.push(at.to_owned());
        if graph.get(at).into_iter().flatten().any(|next| visit(next, graph, way, done)) {
            return true;
        }
        way.pop();
        done.insert(at.to_owned());
        false
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| {
        let mut way = Vec::new();
        visit(start, graph, &mut way, &mut done).then_some(way)
    })
}

/// The floors from the lowest to the highest: the modules in backquotes of each line of the list.
fn floors() -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("../ARCHITECTURE.md")).unwrap();
    let section = text.split("## Floors\n").nth(1).expect("there is a section Floors");
    let section = section.split("\n#").next().unwrap();
    let is_item = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit());
    let names = |line: &str| line.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    section.lines().filter(is_item).map(names).collect()
}

/// The floor of a module: where it stands itself, or the folder that it is in.
fn floor_of(module: &str, floors: &[Vec<String>]) -> Option<usize> {
    let stands = |name: &str| floors.iter().position(|floor| floor.iter().any(|it| it == name));
    let mut name = module;
    loop {
        if let Some(floor) = stands(name) {
            return Some(floor);
        }
        name = name.rsplit_once("::")?.0;
    }
}

#[test]
fn no_module_imports_from_a_floor_above_its_own() {
    let (graph, floors) = (graph(&sources()), floors());
    let mut wrong = Vec::new();
    for (module, imports) in &graph {
        let Some(floor) = floor_of(module, &floors) else {
            wrong.push(format!("{module} stands on no floor"));
            continue;
        };
        for other in imports {
            if floor_of(other, &floors).is_some_and(|above| above > floor) {
                wrong.push(format!("{module} imports from {other}, which is above it"));
            }
        }
    }
    for name in floors.iter().flatten() {
        if !graph.contains_key(name) {
            wrong.push(format!("there is no module {name}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_modules_import_from_each_other_in_a_circle() {
    let circle = circle(&graph(&sources()));
    assert!(circle.is_none(), "{}", circle.unwrap_or_default().join(" → "));
}

#[test]
fn the_reader_of_imports_sees_what_rust_sees() {
    let code = "use crate::a::{self, b::{C, D}, e::*};\nfn f() { super::g::h(); my_crate::x(); }";
    let found: Vec<String> = paths(code, false).iter().map(|path| path.join("::")).collect();
    let expected =
        ["crate::a::self", "crate::a::b::C", "crate::a::b::D", "crate::a::e", "super::g::h"];
    assert_eq!(found, expected);
    let modules = ["lib", "a", "a::b", "a::b::c"].map(|name| (name.to_owned(), String::new()));
    let modules = modules.into();
    let to = |path: &str, from| {
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        resolve(&path, from, &modules)
    };
    assert_eq!(to("crate::a::b::X", "a").as_deref(), Some("a::b"));
    assert_eq!(to("super::super::Y", "a::b::c").as_deref(), Some("a"));
    assert_eq!(to("crate::Z", "a").as_deref(), Some("lib"));
    assert_eq!(to("b::X", "a").as_deref(), Some("a::b"));
    assert_eq!(to("std::fmt", "a"), None);
    let tied = |pairs: &[(&str, &str)]| -> Graph {
        pairs.iter().map(|(a, b)| (a.to_string(), BTreeSet::from([b.to_string()]))).collect()
    };
    assert!(circle(&tied(&[("a", "b"), ("b", "c")])).is_none());
    assert_eq!(circle(&tied(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap(), ["b", "c"]);
}
