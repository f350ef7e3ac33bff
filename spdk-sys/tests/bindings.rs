//! The bindings that travel with the crate for its documentation are what bindgen generates from the headers.

const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/bindings.rs"));
const FOR_DOCS: &str = include_str!("../src/bindings_for_docs.rs");

/// What the compiler sees: how it is laid out on lines, and bindgen's comment, differ between its versions.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("/*"));
    let bare: String = lines.flat_map(|line| line.chars()).filter(|c| !c.is_whitespace()).collect();
    bare.replace(",)", ")").replace(",}", "}")
}

/// Those for the documentation are v20.07's.
fn version() -> &'static str {
    // SAFETY: returns a static, NUL-terminated string.
    let version = unsafe { std::ffi::CStr::from_ptr(spdk_sys::shim_spdk_version()) };
    version.to_str().expect("ASCII")
}

#[test]
fn those_for_the_documentation_are_what_bindgen_generates() {
    if !version().starts_with("SPDK v20.07") {
        return;
    }
    assert!(code(FOR_DOCS).matches("pubfn").count() > 30);
    assert!(
        code(GENERATED) == code(FOR_DOCS),
        "copy {} over src/bindings_for_docs.rs",
        concat!(env!("OUT_DIR"), "/bindings.rs")
    );
}

#[test]
fn the_shims_are_linked() {
    assert!(version().starts_with("SPDK v"), "{}", version());
    // SAFETY: no precondition.
    let _internals = unsafe { spdk_sys::shim_has_internals() };
}
