//! Gives libcaster.so its soname.

/// The number of the ABI: it goes up when a program that was linked with an earlier libcaster
/// could break, and has nothing to do with the version of Caster.
const ABI: u32 = 0;

// Which symbols are visible needs nothing here: rustc passes the linker a version script that exports
// what is `no_mangle` and hides the rest, which tests/c/run.sh looks at. A second script with a named
// version is refused by GNU ld ("anonymous version tag cannot be combined with other version tags").

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").expect("cargo sets it");
    match system.as_str() {
        "macos" | "ios" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libcaster.{ABI}.dylib");
        }
        "windows" => {}
        _ => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcaster.so.{ABI}");
            // Threads of the library may be running when the program calls dlclose.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
            // Cargo forgets `strip = "symbols"` of the profile for a package with a level of its own.
            let is = |name, value| std::env::var(name).is_ok_and(|it| it == value);
            if is("PROFILE", "release") && is("DEBUG", "false") {
                println!("cargo:rustc-cdylib-link-arg=-Wl,--strip-all");
            }
        }
    }
}
