//! Generates the bindings: a narrow part of SPDK's public API, and the shims.

use std::path::Path;

use crate::find::Spdk;

const FUNCTIONS: &[&str] = &[
    "shim_.*",
    "spdk_nvme_transport_available_by_name",
    "spdk_nvme_ctrlr_cmd_(admin|io)_raw",
    "spdk_nvme_ctrlr_process_admin_completions",
    "spdk_nvme_qpair_process_completions",
    "spdk_nvme_ctrlr_disconnect_io_qpair",
    "spdk_free",
    "spdk_vtophys",
    "spdk_get_ticks",
    "spdk_get_ticks_hz",
];

const TYPES: &[&str] = &["shim_.*", "spdk_nvme_cmd_cb"];

const CONSTANTS: &[&str] = &["SHIM_PCIE_MOST_PAGES"];

/// Handles, of which only the address matters.
const HANDLES: &[&str] = &["spdk_nvme_ctrlr", "spdk_nvme_qpair"];

pub fn generate(spdk: &Spdk, out_dir: &Path) {
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_arg("-I.")
        .clang_arg("-Ishim")
        .clang_arg("-D_GNU_SOURCE")
        .clang_args(spdk.include.iter().map(|dir| format!("-I{}", dir.display())))
        .use_core()
        .layout_tests(false)
        .generate_comments(false)
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .formatter(bindgen::Formatter::Prettyplease)
        // Only what is named. The structures of the NVMe specification are full of bitfields that bindgen
        // cannot lay out; src/lib.rs has them as bytes, and shim/sizes.c checks their sizes.
        .allowlist_recursively(false)
        .rust_edition(bindgen::RustEdition::Edition2024);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in CONSTANTS {
        builder = builder.allowlist_var(name);
    }
    for name in HANDLES {
        builder = builder.allowlist_type(name).opaque_type(name);
    }
    let generated = builder.generate().unwrap_or_else(|why| {
        eprintln!(
            "\nbindgen could not read SPDK's headers: {why}\n\
             If libclang is missing, install it (Debian: apt-get install libclang-dev), or point LIBCLANG_PATH at it.\n"
        );
        std::process::exit(1);
    });
    generated.write_to_file(out_dir.join("bindings.rs")).expect("OUT_DIR is writable");
}
