//! Gives libcaster.so its soname.

/// The number of the ABI: it goes up when a program that was linked with an earlier libcaster
/// could break, and has nothing to do with the version of Caster.
const ABI: u32 = 0;

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
            // Threads of the library may be running when somebody calls dlclose.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
    }
}
