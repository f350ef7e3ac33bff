//! Passes on where spdk-sys found SPDK, so that the embedded target is found without being told.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEP_SPDK_ROOT");
    if let Ok(root) = std::env::var("DEP_SPDK_ROOT") {
        println!("cargo::rustc-env=NVME_SPDK_TREE={root}");
    }
}
