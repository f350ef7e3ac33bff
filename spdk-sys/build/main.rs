//! Finds SPDK, compiles the shims against it, generates the bindings and says how to link.
//!
//! Dependents with `spdk-sys` as a direct dependency read what was found from `DEP_SPDK_*`:
//! `ROOT` (the tree, when there is one), `VERSION` (as 20.07), `INTERNALS` (0 or 1), `FOUND` (how).

mod bindings;
mod find;
mod link;
mod shims;

use std::env;
use std::path::PathBuf;

fn main() {
    for file in ["build", "shim", "wrapper.h", "src"] {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rustc-check-cfg=cfg(spdk_docs_only)");

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));

    // docs.rs has no SPDK: the bindings that travel with the crate are enough to document it.
    println!("cargo::rerun-if-env-changed=DOCS_RS");
    if env::var_os("DOCS_RS").is_some() {
        println!("cargo::rustc-cfg=spdk_docs_only");
        println!("cargo::metadata=FOUND=docs-only");
        println!("cargo::metadata=INTERNALS=1");
        println!("cargo::metadata=VERSION=20.07");
        return;
    }

    let spdk = match find::find(&find::Places::of_environment()) {
        Ok(spdk) => spdk,
        Err(why) => {
            eprintln!("\n{why}\n");
            std::process::exit(1);
        }
    };
    println!("cargo::warning={}", spdk.summary());

    bindings::generate(&spdk, &out_dir);
    shims::compile(&spdk);
    link::emit(&spdk);

    println!("cargo::metadata=FOUND={}", spdk.found);
    println!("cargo::metadata=VERSION={}", spdk.version);
    println!("cargo::metadata=INTERNALS={}", u8::from(spdk.internals.is_some()));
    if let Some(root) = &spdk.root {
        println!("cargo::metadata=ROOT={}", root.display());
    }
}
