//! The examples are tools: what they print is true, what they refuse they explain, and Ctrl-C ends them.

mod identify;
mod interrupts;
mod perf;
mod refusals;
mod tool;
mod top;
mod verify;

use nvme_spdk::DmaBuf;
use tool::{id, target, tool};

#[test]
fn hello_world_writes_and_reads_back() {
    let controller = tool::connect();
    let namespace = controller.namespace(2).expect("namespace 2");
    let qpair = controller.create_qpair(2).expect("a queue pair");
    let done =
        tool("hello_world").args(["-r", &format!("{} ns:2", id()), "--lba", "77", "good morning"]).end();
    assert!(done.out.contains("nvme-spdk embedded target (EMBEDDED0001)"), "{done:?}");
    assert!(done.out.contains("namespace 2, 0.067 GB: good morning\n"), "{done:?}");
    assert_eq!(done.code, 0);
    let block = DmaBuf::new(512).expect("memory");
    namespace.read(&qpair, &block, 77, 1).expect("it answers");
    assert_eq!(block.to_vec(0..13), b"good morning\0");
}

#[test]
fn without_a_controller_there_is_an_embedded_target() {
    let done = tool("hello_world").end();
    assert!(done.err.contains("using an embedded target at 127.0.0.1:"), "{done:?}");
    assert!(done.out.contains("namespace 1, 0.268 GB: Hello world!\n"), "{done:?}");
    assert_eq!(done.code, 0);
    // Addresses that are written down plainly.
    let done = tool("hello_world").args(["-r", &target().address().to_string()]).end();
    assert_eq!((done.code, done.out.matches("Hello world!").count()), (0, 2), "{done:?}");
}
