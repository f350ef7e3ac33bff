//! Raw bindings to SPDK's NVMe driver, as narrow as a safe crate above them needs.
//!
//! Two kinds of names: `spdk_*` is SPDK's public API, `shim_*` are small C functions of this crate for
//! what that API cannot express (see `shim/shim.h`). Use the `nvme-spdk` crate unless you build one.
//!
//! # Finding SPDK
//!
//! In this order; the build prints which one it took.
//!
//! 1. `SPDK_DIR`: the root of a built SPDK tree.
//! 2. pkg-config: an installed SPDK with `spdk_nvme.pc` (`SPDK_NO_PKG_CONFIG=1` skips it).
//! 3. The vendored tree, which `make setup` fetches and builds in a checkout of the project.
//!
//! The archives of SPDK and DPDK are linked whole, because their transports, socket implementations,
//! drivers and memory pool operations register themselves in constructors.
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, clippy::all)]
// What the C headers say of their names is in the C headers.
#![allow(missing_docs)]

#[cfg(not(spdk_docs_only))]
include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

// What bindgen wrote for SPDK v20.07, so that the documentation builds where there is no SPDK.
#[cfg(spdk_docs_only)]
include!("bindings_for_docs.rs");

/// A submission queue entry, as bytes (NVMe base specification, figure "Common Command Format").
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub struct spdk_nvme_cmd {
    pub bytes: [u8; 64],
}

/// A completion queue entry, as bytes (NVMe base specification, figure "Common Completion Queue Entry").
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub struct spdk_nvme_cpl {
    pub bytes: [u8; 16],
}

/// What Identify Controller returns, as bytes.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub struct spdk_nvme_ctrlr_data {
    pub bytes: [u8; 4096],
}

// shim/sizes.c asserts the same of SPDK's own definitions.
const _: () = assert!(size_of::<spdk_nvme_cmd>() == 64);
const _: () = assert!(size_of::<spdk_nvme_cpl>() == 16);
const _: () = assert!(size_of::<spdk_nvme_ctrlr_data>() == 4096);
