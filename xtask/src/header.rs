//! include/caster.h, from the exported functions of caster-ffi.

use crate::{Output, root};
use caster_core::ErrorCode;

/// The sources, in the order in which the header shows them.
const SOURCES: &[&str] =
    &["status", "options", "args", "peer", "event", "node", "middleware", "caster"];

const ABOUT: &str = "\
/*
 * caster.h: LAN discovery without a server.
 *
 * A node (caster_node_t) says with a heartbeat that it is there, follows the heartbeats of
 * others, and tells with events who came, changed and left, and what they said. Below it is a
 * multicast socket with a pipeline of middleware (caster_t), for programs that want only that.
 *
 * Everything here is made with a function whose name has `new` in it, used through a pointer to
 * an object of which only the library knows what is inside, and freed with the function whose
 * name has `free` in it. One thread of the library for all nodes of one network receives and
 * keeps time. Sending happens on the thread that sends.
 *
 * Events come in one of two ways; the first call decides which one it is for a node or caster:
 *
 *   - callbacks: caster_node_on_up and its like, called on another thread of the library, so
 *     that a slow callback stops no heartbeat;
 *   - polling: caster_node_poll on a thread of the program, if wanted beside a descriptor for
 *     poll, epoll or an event loop, from caster_node_fd.
 *
 * Events wait in a bounded queue, in the order in which they happened. If the program is too
 * slow, the newest messages are dropped, counted, and reported by an event of type error. up,
 * update and down are never lost: those of one node are merged.
 *
 * What holds for every function, unless it says otherwise:
 *
 *   - Strings are UTF-8 and end with a NUL. What the library is given it copies.
 *   - It may be called on any thread, on several at once, and inside callbacks.
 *   - An object must not be freed while another thread is in a call on it.
 *   - NULL where it must not be is an error, never a crash.
 *   - Outputs are written only when CASTER_OK is returned.
 *   - Nothing is thrown, and a fault inside the library is CASTER_ERR_INTERNAL.
 *   - After fork, the child must not use the objects of its parent, not even free them.
 */";

const API: &str = "\
/** Marks everything that the library exports. */
#ifndef CASTER_API
#define CASTER_API
#endif
";

pub fn outputs() -> Result<Vec<Output>, String> {
    let ffi = root().join("caster-ffi");
    let mut config = cbindgen::Config::from_file(ffi.join("cbindgen.toml"))?;
    config.header = Some(ABOUT.into());
    config.after_includes = Some(format!("\n{API}\n{}\n{}", version(), statuses()));
    let builder = SOURCES.iter().fold(cbindgen::Builder::new(), |builder, name| {
        builder.with_src(ffi.join("src").join(name).with_extension("rs"))
    });
    let mut bytes = Vec::new();
    builder.with_config(config).generate().map_err(|error| error.to_string())?.write(&mut bytes);
    let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    Ok(vec![Output { path: "include/caster.h", text: with_sections(&text) }])
}

fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let numbers: Vec<u32> =
        version.split('.').map(|number| number.parse().expect("numbers and dots")).collect();
    let [major, minor, patch] = numbers[..] else { panic!("a version has three numbers") };
    let number = major * 10_000 + minor * 100 + patch;
    format!(
        "/** The version of this header; `caster_version` has that of the library. */\n\
         #define CASTER_VERSION \"{version}\"\n\
         #define CASTER_VERSION_MAJOR {major}\n\
         #define CASTER_VERSION_MINOR {minor}\n\
         #define CASTER_VERSION_PATCH {patch}\n\
         /** 10000 * major + 100 * minor + patch. */\n\
         #define CASTER_VERSION_NUMBER {number}\n"
    )
}

/// The table of the core as macros.
fn statuses() -> String {
    let mut out = String::from("/** It went well. */\n#define CASTER_OK 0\n");
    for code in ErrorCode::ALL {
        let (text, name, number) = (code.text(), code.name(), code.number());
        out.push_str(&format!("/** {text} */\n#define CASTER_ERR_{name} (-{number})\n"));
    }
    out
}

/// Turns `@section Title` at the start of a comment into a heading of its own.
fn with_sections(text: &str) -> String {
    const RULE: &str =
        "---------------------------------------------------------------------------------------";
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let title = lines.peek().and_then(|next| next.strip_prefix(" * @section "));
        match title.filter(|_| line == "/**") {
            Some(title) => {
                let rule = &RULE[..RULE.len() - title.len()];
                out.push_str(&format!("/* {title} {rule} */\n\n/**\n"));
                lines.next();
                // The empty line that ends the heading.
                lines.next_if_eq(&" *");
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_a_heading() {
        let text = with_sections("/**\n * @section Things\n *\n * A thing.\n */\nint thing;\n");
        assert!(text.starts_with("/* Things ---"), "{text}");
        assert!(text.ends_with(" */\n\n/**\n * A thing.\n */\nint thing;\n"), "{text}");
    }
}
