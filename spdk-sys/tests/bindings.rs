//! The bindings that travel with the crate for its documentation name what bindgen finds in the headers.

const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/bindings.rs"));
const FOR_DOCS: &str = include_str!("../src/bindings_for_docs.rs");

/// Items and fields; how they are laid out on lines differs between versions of libclang.
fn items(text: &str) -> Vec<String> {
    let kinds = ["pub fn ", "pub struct ", "pub type ", "pub const ", "pub mod "];
    let name = |line: &str| {
        let rest = kinds.iter().find_map(|kind| line.trim_start().strip_prefix(kind))?;
        Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
    };
    let mut names: Vec<String> = text.lines().filter_map(name).collect();
    names.sort();
    names
}

/// Those for the documentation are v20.07's.
fn version() -> &'static str {
    // SAFETY: returns a static, NUL-terminated string.
    let version = unsafe { std::ffi::CStr::from_ptr(spdk_sys::shim_spdk_version()) };
    version.to_str().expect("ASCII")
}

#[test]
fn both_name_the_same_items() {
    if !version().starts_with("SPDK v20.07") {
        return;
    }
    assert!(items(FOR_DOCS).len() > 30);
    assert_eq!(
        items(GENERATED),
        items(FOR_DOCS),
        "copy the generated bindings.rs from the build folder over src/bindings_for_docs.rs"
    );
}

#[test]
fn the_shims_are_linked() {
    assert!(version().starts_with("SPDK v"), "{}", version());
    // SAFETY: no precondition.
    let _internals = unsafe { spdk_sys::shim_has_internals() };
}
