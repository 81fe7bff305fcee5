//! include/caster.h, from the exported functions of caster-ffi.

use crate::{Output, root};
use caster_core::ErrorCode;

/// The sources, in the order in which the header shows them.
const SOURCES: &[&str] = &[
    "callback",
    "status",
    "logging",
    "options",
    "peer",
    "event",
    "stats",
    "node",
    "middleware",
    "caster",
    "network",
];

const ABOUT: &str = "\
/*
 * caster.h: LAN discovery without a server.
 *
 * A node (caster_node_t) announces itself with heartbeats, follows the heartbeats of its peers, and
 * reports joins, changes, leaves and messages as events. Below it, a caster (caster_t) is a multicast
 * socket with a pipeline of middleware. Objects are opaque: a function with `new` in its name creates
 * one, and a function with `free` in its name frees it. One thread of the library receives and keeps
 * time for all nodes of a network; sending happens on the calling thread. docs/c-api.md is a tutorial;
 * docs/options.md lists the options.
 *
 * EVENTS. A program takes events in one of three ways. The first call decides between callbacks and
 * polling for a node or caster; the descriptor belongs to polling:
 *
 *   - callbacks: caster_node_on_up and similar functions. A dispatcher thread of this node or caster
 *     calls them one at a time; a slow callback does not delay heartbeats;
 *   - polling: caster_node_poll waits on the calling thread, up to its timeout;
 *   - a descriptor: caster_node_fd is readable while events wait, for poll, epoll, libuv, GLib or
 *     a game loop, which then call caster_node_poll with a timeout of 0.
 *
 * ORDER AND LOSS. Events are delivered in the order in which they happened. They wait in a bounded
 * queue (options maxEvents and maxEventBytes). When it is full, the newest messages are dropped and
 * counted (events_lost), and an error event with CASTER_ERR_LAGGED follows once the queue has been
 * emptied. up, update and down are never lost: those of one node are merged, so that up and down
 * always alternate.
 *
 * MEMORY. The library copies its arguments. Pointers from callbacks and accessors are borrowed: an
 * event is valid until its callback returns, a part of an event, a peer or a snapshot as long as the
 * whole. caster_event_dup and caster_peer_dup make copies. A pointer that a function writes to an
 * output (caster_event_t **, char **) is owned by the caller, and the caller frees it.
 *
 * The following applies to every function, unless its comment states otherwise:
 *
 *   - Strings are UTF-8 and end with a NUL.
 *   - It may be called on any thread, on several threads at once, and inside callbacks.
 *   - Nodes, casters and virtual networks are checked. Their pointers are numbers and not addresses. A call
 *     on one that was freed, or on a pointer that is none of that type, is CASTER_ERR_INVALID_ARGUMENT; an
 *     accessor returns NULL or 0, and a second caster_node_free does nothing; caster_last_error tells it. One
 *     may be freed while other threads are in calls on it: waiting calls return, and memory is released by the
 *     last one.
 *   - All other objects, and strings, are plain memory: they must not be freed twice, be used after that, or
 *     be freed while another thread is in a call on them.
 *   - NULL for an argument that must not be NULL is an error, never a crash.
 *   - Outputs are written only if CASTER_OK is returned.
 *   - It never throws; a fault inside the library is CASTER_ERR_INTERNAL.
 *   - After fork, nodes and casters of the parent are of no use to the child: functions that return a
 *     status return CASTER_ERR_FORKED, and freeing one returns at once. The child makes its own.
 *   - The library is never unloaded: dlclose has no effect.
 *
 * A comment that begins with \"As\" and a name includes the rules of that function about threads,
 * ownership, NULL and errors.
 */";

const API: &str = "\
/** Marks the exported functions of the library. */
#ifndef CASTER_API
#define CASTER_API
#endif

/** Marks what is deprecated: since which version, and what to use instead. Both are strings. */
#if defined(__GNUC__)
#define CASTER_DEPRECATED(since, use) __attribute__((deprecated(\"since \" since \": use \" use)))
#elif defined(_MSC_VER)
#define CASTER_DEPRECATED(since, use) __declspec(deprecated(\"since \" since \": use \" use))
#else
#define CASTER_DEPRECATED(since, use)
#endif

/**
 * Nullability of pointers, for compilers that check it (clang). A pointer without annotation must not
 * be NULL; pointers behind a pointer have no annotation. CASTER_NO_NULLABILITY, defined before this
 * file is included, disables it.
 */
#if defined(__clang__) && !defined(CASTER_NO_NULLABILITY)
#define CASTER_NULLABLE _Nullable
#define CASTER_NONNULL _Nonnull
#pragma clang diagnostic push
#pragma clang diagnostic ignored \"-Wnullability-extension\"
#pragma clang diagnostic ignored \"-Wnullability-completeness\"
#pragma clang assume_nonnull begin
#else
#define CASTER_NULLABLE
#define CASTER_NONNULL
#endif
";

const END: &str = "\
#if defined(__clang__) && !defined(CASTER_NO_NULLABILITY)
#pragma clang assume_nonnull end
#pragma clang diagnostic pop
#endif
";

pub fn outputs() -> Result<Vec<Output>, String> {
    let ffi = root().join("caster-ffi");
    let mut config = cbindgen::Config::from_file(ffi.join("cbindgen.toml"))?;
    config.header = Some(ABOUT.into());
    config.after_includes = Some(format!(
        "\n{API}\n{}{}\n{}{}",
        heading("Version of this header"),
        version(),
        heading("Status codes"),
        statuses()
    ));
    let builder = SOURCES.iter().fold(cbindgen::Builder::new(), |builder, name| {
        builder.with_src(ffi.join("src").join(name).with_extension("rs"))
    });
    let mut bytes = Vec::new();
    builder.with_config(config).generate().map_err(|error| error.to_string())?.write(&mut bytes);
    let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    Ok(vec![Output { path: "include/caster.h", text: arranged(&text) }])
}

fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let numbers: Vec<u32> =
        version.split('.').map(|number| number.parse().expect("numbers and dots")).collect();
    let [major, minor, patch] = numbers[..] else { panic!("a version has three numbers") };
    let number = major * 10_000 + minor * 100 + patch;
    format!(
        "/** The version of this header; `caster_version` has that of the library. */\n\
         #define CASTER_VERSION_STRING \"{version}\"\n\
         #define CASTER_VERSION_MAJOR {major}\n\
         #define CASTER_VERSION_MINOR {minor}\n\
         #define CASTER_VERSION_PATCH {patch}\n\
         /** 10000 * major + 100 * minor + patch. */\n\
         #define CASTER_VERSION_NUMBER {number}\n"
    )
}

/// The table of the core as macros.
fn statuses() -> String {
    let mut out = String::from("/** Success. */\n#define CASTER_OK 0\n");
    for code in ErrorCode::ALL {
        let (text, name, number) = (code.text(), code.name(), code.number());
        out.push_str(&format!("/** {text} */\n#define CASTER_ERR_{name} (-{number})\n"));
    }
    out
}

/// Parameters that may be NULL in every function that returns a status. All other pointers of such
/// functions must not be NULL.
const MAY_BE_NULL: &[&str] = &[
    "algorithm",
    "bytes",
    "callback",
    "data",
    "drop",
    "era",
    "jsons",
    "keys",
    "rx",
    "secret",
    "sizes",
    "tx",
    "user_data",
    "value_json",
    "values_json",
];

/// The same for single functions.
const MAY_BE_NULL_IN: &[(&str, &str)] = &[
    ("caster_network_caster", "options"),
    ("caster_network_node", "options"),
    ("caster_new", "options"),
    ("caster_node_new", "options"),
    ("caster_node_use_crypto", "key"),
    ("caster_node_use_crypto_bytes", "key"),
    ("caster_use_crypto", "key"),
    ("caster_use_crypto_bytes", "key"),
];

/// The header as people read it: what belongs to a section stands in it, and what may be NULL is
/// marked.
///
/// `@section Title` at the start of a comment makes a heading above it. `@in Title` moves a type
/// or constant below the heading of that section.
fn arranged(text: &str) -> String {
    const OPEN: &str = "#ifdef __cplusplus\nextern \"C\" {\n#endif";
    const CLOSE: &str = "#ifdef __cplusplus\n}";
    let (top, functions) = text.split_once(OPEN).expect("cbindgen writes it");
    let (functions, bottom) = functions.rsplit_once(CLOSE).expect("cbindgen writes it");
    let functions = functions.split_once('\n').map_or("", |(_, rest)| rest);
    let bottom = bottom.split_once('\n').map_or("", |(_, rest)| rest);

    let mut moved: Vec<(String, String)> = Vec::new();
    let mut out = String::with_capacity(text.len() * 2);
    let mut in_types = false;
    for block in top.split("\n\n") {
        match tagged(block, "@in ") {
            Some((title, block)) => moved.push((title, block)),
            None => {
                if block.contains("\ntypedef struct") && !std::mem::replace(&mut in_types, true) {
                    out.push_str(&heading("Types"));
                }
                out.push_str(&with_marks(block.trim_end()));
                out.push_str("\n\n");
            }
        }
    }
    out.push_str(OPEN);
    out.push_str("\n\n");
    for block in functions.trim().split("\n\n") {
        let block = match tagged(block, "@section ") {
            Some((title, block)) => {
                out.push_str(&heading(&title));
                let (here, elsewhere) =
                    moved.into_iter().partition(|(section, _)| *section == title);
                moved = elsewhere;
                let here: Vec<(String, String)> = here;
                for (_, block) in here {
                    let block = on_one_line(&block);
                    if !block.contains("\n#define") && !out.ends_with("\n\n") {
                        out.push('\n');
                    }
                    out.push_str(&with_marks(&block));
                    out.push_str(if block.contains("\n#define") { "\n" } else { "\n\n" });
                }
                out.push('\n');
                block
            }
            None => block.to_owned(),
        };
        out.push_str(&with_marks(&block));
        out.push_str("\n\n");
    }
    assert!(moved.is_empty(), "there is no section of this title: {moved:?}");
    out.push_str("#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n");
    out.push_str(END);
    out.push_str(bottom.split_once('\n').map_or("", |(_, rest)| rest));
    squeezed(&out)
}

fn heading(title: &str) -> String {
    let rule = "-".repeat(90_usize.saturating_sub(title.len()));
    format!("/* {title} {rule} */\n\n")
}

/// No more than one empty line, and none at the end.
fn squeezed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if !line.is_empty() || !out.ends_with("\n\n") {
            out.push_str(line);
            out.push('\n');
        }
    }
    format!("{}\n", out.trim_end())
}

/// The text behind a tag in the first line of a comment, and the block without it.
fn tagged(block: &str, tag: &str) -> Option<(String, String)> {
    let block = block.trim_end();
    let body = block.trim_start_matches('\n').strip_prefix("/**\n * ")?.strip_prefix(tag)?;
    let (title, rest) = body.split_once('\n')?;
    let rest = rest.strip_prefix(" *\n").unwrap_or(rest);
    Some((title.to_owned(), format!("/**\n{rest}")))
}

/// A constant whose comment has one line takes two lines.
fn on_one_line(block: &str) -> String {
    let parts = block.strip_prefix("/**\n * ").and_then(|rest| rest.split_once("\n */\n#define"));
    match parts {
        Some((comment, rest)) if !comment.contains('\n') => {
            format!("/** {comment} */\n#define{rest}")
        }
        _ => block.to_owned(),
    }
}

/// The block with `CASTER_NULLABLE` in its declaration, if it is one of a function or of the type
/// of one.
fn with_marks(block: &str) -> String {
    let at = match block.find("CASTER_API").filter(|&at| !block[at..].starts_with("CASTER_API\n#"))
    {
        Some(at) if block[at..].contains('(') => at,
        _ => match block.find("typedef ").filter(|&at| block[at..].contains("(*")) {
            Some(at) => at,
            None => return block.to_owned(),
        },
    };
    if block.contains("#define CASTER_API") {
        return block.to_owned();
    }
    let (comment, declaration) = block.split_at(at);
    let one_line = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
    let (before, parameters) = one_line.rsplit_once('(').expect("it has parameters");
    let parameters = parameters.trim_end_matches(");");
    let is_type = before.starts_with("typedef");
    let name = before.rsplit([' ', '*']).next().unwrap_or_default().trim_end_matches(')');
    let is_status = before.contains("caster_status_t ");
    let parameters: Vec<String> = parameters
        .split(", ")
        .map(|parameter| {
            let own = parameter.rsplit([' ', '*']).next().unwrap_or_default();
            let nullable = if is_type {
                own == "user_data"
            } else {
                !is_status || MAY_BE_NULL.contains(&own) || MAY_BE_NULL_IN.contains(&(name, own))
            };
            if nullable { marked(parameter, own) } else { parameter.to_owned() }
        })
        .collect();
    let mut before = before.to_owned();
    if !is_type && before.contains('*') && !comment.contains("Never NULL") {
        before = marked(&before, name);
    }
    let line = format!("{before}({});", parameters.join(", "));
    if line.len() <= 100 {
        return format!("{comment}{line}");
    }
    format!("{comment}{before}(\n    {});", parameters.join(",\n    "))
}

/// `type *name` with the mark in front of the name; what is no pointer stays.
fn marked(declaration: &str, name: &str) -> String {
    let kind = &declaration[..declaration.len() - name.len()];
    if kind.ends_with('*') || kind.ends_with("_fn_t ") {
        format!("{kind}CASTER_NULLABLE {name}")
    } else {
        declaration.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> String {
        outputs().unwrap().remove(0).text
    }

    #[test]
    fn a_tag_is_taken_out() {
        let block = "/**\n * @section Things\n *\n * A thing.\n */\nint thing;";
        let (title, rest) = tagged(block, "@section ").unwrap();
        assert_eq!(title, "Things");
        assert_eq!(rest, "/**\n * A thing.\n */\nint thing;");
        assert!(tagged(&rest, "@section ").is_none());
    }

    #[test]
    fn what_may_be_null_is_marked() {
        let mark = |text: &str| with_marks(text).replace("CASTER_NULLABLE", "?");
        assert_eq!(
            mark("CASTER_API caster_status_t caster_a(caster_t *caster,\n   size_t *bytes);"),
            "CASTER_API caster_status_t caster_a(caster_t *caster, size_t *?bytes);"
                .replace("*?", "*? ")
        );
        assert_eq!(
            mark("CASTER_API const char *caster_b(const caster_t *caster);"),
            "CASTER_API const char *? caster_b(const caster_t *? caster);"
        );
        assert_eq!(
            mark("/** Never NULL. */\nCASTER_API const char *caster_c(void);"),
            "/** Never NULL. */\nCASTER_API const char *caster_c(void);"
        );
    }

    /// Thread, ownership and NULL are told for every function.
    #[test]
    fn every_function_tells_what_callers_must_know() {
        let header = header();
        let mut count = 0;
        for block in header.split("\n\n") {
            let Some((comment, declaration)) = block.split_once("CASTER_API ") else { continue };
            if block.contains("#define") {
                continue;
            }
            count += 1;
            let comment: String = comment
                .lines()
                .map(|line| line.trim_start_matches([' ', '*', '/']))
                .collect::<Vec<_>>()
                .join(" ");
            let refers = comment.split("As `").skip(1).any(|rest| {
                let name = rest.split('`').next().unwrap_or_default();
                header.contains(&format!("{name}("))
            });
            if refers {
                continue;
            }
            let threads = [
                "Any thread",
                "One thread at a time",
                "Only inside the middleware",
                "holds for it too",
            ];
            assert!(threads.iter().any(|phrase| comment.contains(phrase)), "threads: {block}");
            let is_alone = comment.contains("holds for it too");
            assert!(
                !declaration.contains('*') || comment.contains("NULL") || is_alone,
                "NULL: {block}"
            );
            if declaration.contains("**") {
                let owner = ["The caller owns", "frees it"];
                assert!(owner.iter().all(|phrase| comment.contains(phrase)), "owner: {block}");
            }
        }
        assert!(count > 120, "{count} functions");
    }

    #[test]
    fn no_tag_is_left() {
        let header = header();
        assert!(!header.contains("@in ") && !header.contains("@section"), "a tag is left");
    }
}
