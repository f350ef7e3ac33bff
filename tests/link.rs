//! The transports register themselves in constructors that a linker would drop.

#[test]
fn both_transports_are_there() {
    assert!(nvme_spdk::transport_available("PCIE"));
    assert!(nvme_spdk::transport_available("TCP"));
    assert!(!nvme_spdk::transport_available("PIGEON"));
    assert!(!nvme_spdk::transport_available("T\0CP"));
}

#[test]
fn the_version_is_known_without_starting_anything() {
    assert!(nvme_spdk::spdk_version().starts_with("SPDK v"));
    assert!(!nvme_spdk::Env::is_running());
}
