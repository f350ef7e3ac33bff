//! Turns what spdk-sys found into what the integration tests ask about.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(spdk_internals)");
    if env::var("DEP_SPDK_INTERNALS").as_deref() == Ok("1") {
        println!("cargo::rustc-cfg=spdk_internals");
    }
}
