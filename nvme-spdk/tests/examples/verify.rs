//! verify finds what is wrong, and nothing else.

use nvme_spdk::DmaBuf;

use crate::tool::{Done, connect, id, tool};

fn verify(more: &[&str]) -> Done {
    tool("verify").args(["-r", &format!("{} ns:1", id())]).args(more).end()
}

/// Writes a block behind the back of the tool, through another controller.
fn plant(lba: u64, change: impl FnOnce(&DmaBuf)) {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(2).expect("a queue pair");
    let block = DmaBuf::new(512).expect("memory");
    namespace.read(&qpair, &block, lba, 1).expect("it answers");
    change(&block);
    namespace.write(&qpair, &block, lba, 1).expect("it answers");
}

#[test]
fn regions_patterns_sizes_and_depths() {
    for more in [
        &["--lba", "0", "--blocks", "20000"][..],
        &["--lba", "131000", "-o", "4096", "-q", "64", "--random"],
        &["--lba", "7", "--blocks", "1001", "-o", "512", "-q", "1", "--pattern", "lba"],
        &["--lba", "1", "--blocks", "1000", "-o", "131072", "--pattern", "0xdeadbeef", "--random"],
        &["--blocks", "100", "--pattern", "zeros"],
        &["--blocks", "100", "--pattern", "ones"],
    ] {
        let done = verify(more);
        assert_eq!(done.code, 0, "{more:?}: {done:?}");
        assert!(done.out.ends_with("NSID 1: every byte is right\n"), "{more:?}: {done:?}");
    }
    // The last one wrote ones up to block 99.
    plant(99, |block| assert_eq!(block.to_vec(0..512), [0xff; 512]));
    plant(100, |block| assert_ne!(block.to_vec(0..512), [0xff; 512]));
}

#[test]
fn corruption_is_found_byte_by_byte() {
    let region = ["--lba", "1000", "--blocks", "5000", "--seed", "42"];
    let write = verify(&[&region[..], &["--only", "write"]].concat());
    assert_eq!(write.code, 0, "{write:?}");
    assert!(!write.out.contains("checked"), "{write:?}");
    let check = || verify(&[&region[..], &["--only", "check", "--show", "3"]].concat());
    assert_eq!(check().code, 0);

    let mut copy = vec![0; 512];
    plant(2000, |block| copy = block.to_vec(0..512));
    plant(1234, |block| block.write(100, &[block.to_vec(100..101)[0] ^ 0x40]));
    plant(3000, |block| block.write(0, &copy));
    plant(5999, |block| block.fill(0..512, 0));
    let done = check();
    assert_eq!(done.code, 1, "{done:?}");
    for text in [
        "NSID 1: 3 blocks are wrong",
        "LBA 1234 (0x4d2): 1 of 512 bytes are wrong, from byte 100 on\n",
        "LBA 3000 (0xbb8): ",
        "; it is what block 2000 is to hold\n",
        "LBA 5999 (0x176f): ",
        "; it is all zeros: lost, or deallocated\n",
    ] {
        assert!(done.out.contains(text), "{text:?} is missing in {}", done.out);
    }
    // The lines around the wrong byte, which differ in that one alone.
    let line = |what: &str| {
        let start = format!("  {what:8}  [0x0060]");
        let line =
            done.out.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{}", done.out));
        line[start.len()..].trim().chars().take(49).collect::<String>()
    };
    let bytes = |text: String| {
        text.split_whitespace().map(|hex| u8::from_str_radix(hex, 16).expect("hex")).collect::<Vec<_>>()
    };
    let (expected, found) = (bytes(line("expected")), bytes(line("found")));
    assert_eq!(expected.len(), 16);
    for (at, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(expected ^ found, if at == 4 { 0x40 } else { 0 });
    }

    // With another seed everything is wrong, and it is told why.
    let done = verify(&["--lba", "1000", "--blocks", "10", "--seed", "43", "--only", "check", "--show", "2"]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("NSID 1: 10 blocks are wrong") && done.out.contains("and 8 more"), "{done:?}");
    assert!(done.out.contains("it is what seed 42 wrote here"), "{done:?}");
}
