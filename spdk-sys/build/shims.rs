//! Compiles the C shims with the headers of the SPDK that was found.

use crate::find::Spdk;

const SOURCES: &[&str] = &[
    "versions.c",
    "env.c",
    "log.c",
    "ctrlr.c",
    "qpair.c",
    "hook.c",
    "tcp.c",
    "pcie.c",
    "sharing.c",
    "sizes.c",
];

pub fn compile(spdk: &Spdk) {
    let mut build = cc::Build::new();
    build
        .files(SOURCES.iter().map(|name| format!("shim/{name}")))
        .include("shim")
        .includes(&spdk.include)
        .define("_GNU_SOURCE", None)
        // As SPDK's own release builds: its assertions would end the process for what a controller has sent.
        .define("NDEBUG", None)
        .opt_level(2)
        .flag("-std=gnu99")
        // SPDK is written for these two.
        .flag("-fno-strict-aliasing")
        .flag_if_supported("-Wno-unused-parameter");
    if let Some(internals) = &spdk.internals {
        build.includes(internals).define("SHIM_INTERNALS", None);
    }
    build.compile("spdk_sys_shim");
}
