//! Gives the component a shadow stack that plans of some depth fit into.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        // Planning recurses once a level of the query; one mebibyte, the
        // linker's default, is used up by a few hundred of them.
        println!("cargo:rustc-link-arg-bins=-zstack-size=16777216");
    }
}
