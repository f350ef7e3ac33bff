use std::fs;

use proptest::prelude::*;

use super::host::{Mount, unescape};
use super::*;
use crate::pci::fake::Tree;

fn uses(tree: &Tree) -> Vec<String> {
    tree.ssd().in_use().unwrap().iter().map(Usage::to_string).collect()
}

#[test]
fn nothing() {
    let tree = Tree::new();
    assert_eq!(uses(&tree), Vec::<String>::new());
    tree.disk("nvme0n1", "259:0");
    tree.partition("nvme0n1", "nvme0n1p1", "259:1");
    // Of another disk.
    tree.mount("259:7", "/dev/nvme1n1", "/");
    tree.swap("/dev/nvme1n1p2");
    assert_eq!(uses(&tree), Vec::<String>::new());
    tree.ssd().refuse_in_use().unwrap();
}

#[test]
fn mounts() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    tree.partition("nvme0n1", "nvme0n1p1", "259:1");
    tree.disk("nvme0n2", "259:5");
    // By number whatever the source is called, and by name whatever the number is, as with Btrfs.
    tree.mount("259:1", "/dev/root", "/");
    tree.mount("0:41", "/dev/nvme0n2", "/my\\040data");
    assert_eq!(uses(&tree), ["nvme0n1p1 is mounted at /", "nvme0n2 is mounted at /my data"]);
    let error = tree.ssd().refuse_in_use().unwrap_err().to_string();
    assert!(error.contains("0000:01:00.0 is in use: nvme0n1p1 is mounted at /, nvme0n2"), "{error}");
    assert!(error.contains("as root: umount / && umount '/my data'; or test another"), "{error}");
}

#[test]
fn swap_space() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    tree.partition("nvme0n1", "nvme0n1p3", "259:3");
    tree.swap("/dev/nvme0n1p3");
    assert_eq!(uses(&tree), ["nvme0n1p3 is swap space"]);
}

#[test]
fn what_is_built_on_it() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    tree.partition("nvme0n1", "nvme0n1p1", "259:1");
    tree.holder("nvme0n1/nvme0n1p1", "dm-0", "253:0");
    // A volume on a volume, mounted under its pretty name.
    tree.holder_of_block("dm-0", "dm-1", "253:1");
    tree.mount("253:9", "/dev/mapper/home", "/home");
    tree.file("sys/devices/virtual/block/dm-1/dm/name", "home\n");
    tree.dev_link("mapper/home", "../dm-1");
    assert_eq!(
        uses(&tree),
        ["dm-1 is mounted at /home", "dm-0 is part of dm-1 (home)", "nvme0n1p1 is part of dm-0"]
    );
    let error = tree.ssd().refuse_in_use().unwrap_err().to_string();
    assert!(error.contains("as root: umount /home && dmsetup remove home && lsblk /dev/dm-0;"), "{error}");
}

#[test]
fn the_outermost_is_taken_apart_first() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    tree.holder("nvme0n1", "dm-5", "253:5");
    tree.holder_of_block("dm-5", "dm-1", "253:1");
    tree.holder_of_block("dm-1", "dm-3", "253:3");
    assert_eq!(uses(&tree), ["dm-1 is part of dm-3", "dm-5 is part of dm-1", "nvme0n1 is part of dm-5"]);
}

#[test]
fn what_processes_have_open() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    tree.partition("nvme0n1", "nvme0n1p1", "259:1");
    tree.process(41, "dd", &["/dev/nvme0n1p1", "/dev/nvme0n1", "/dev/nvme0n1p1"]);
    tree.process(42, "nvme", &["/dev/ng0n1"]);
    tree.process(43, "smartd", &["/dev/nvme0"]);
    tree.process(44, "other", &["/dev/nvme1", "/dev/nvme0n10"]);
    assert_eq!(
        uses(&tree),
        [
            "process 41 (dd) has nvme0n1 open",
            "process 41 (dd) has nvme0n1p1 open",
            "process 42 (nvme) has ng0n1 open",
            "process 43 (smartd) has nvme0 open"
        ]
    );
    // Each is ended once.
    let error = tree.ssd().refuse_in_use().unwrap_err().to_string();
    assert!(error.contains("as root: kill 41 && kill 42 && kill 43;"), "{error}");
}

#[test]
fn passthrough_without_a_block_device() {
    let tree = Tree::new();
    fs::create_dir_all(tree.ssd().path("nvme/nvme0")).unwrap();
    tree.process(41, "nvme", &["/dev/nvme0"]);
    assert_eq!(uses(&tree), ["process 41 (nvme) has nvme0 open"]);
    let tree = Tree::new();
    tree.path_to_disk("nvme0c1n1", "nvme0n1", "259:0");
    tree.process(42, "nvme", &["/dev/ng0n1"]);
    assert_eq!(uses(&tree), ["process 42 (nvme) has ng0n1 open"]);
}

#[test]
fn what_claims_nothing() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    tree.partition("nvme0n1", "nvme0n1p1", "259:1");
    tree.loop_device("loop3", "7:3", "/dev/nvme0n1p1");
    tree.loop_device("loop4", "7:4", "/var/image");
    tree.mount("7:3", "/dev/loop3", "/image");
    tree.export("nqn.2016-06.io.spdk:a", "2", "/dev/nvme0n1", true);
    tree.export("nqn.2016-06.io.spdk:b", "1", "/dev/nvme0n1", false);
    assert_eq!(
        uses(&tree),
        [
            "loop3 is mounted at /image",
            "nvme0n1p1 is part of loop3",
            "nvme0n1 is exported by the kernel's target as namespace 2 of nqn.2016-06.io.spdk:a"
        ]
    );
    let error = tree.ssd().refuse_in_use().unwrap_err().to_string();
    assert!(
        error.contains(
            "as root: umount /image && losetup -d /dev/loop3 && echo 0 > \
             '/sys/kernel/config/nvmet/subsystems/nqn.2016-06.io.spdk:a/namespaces/2/enable';"
        ),
        "{error}"
    );
}

#[test]
fn a_disk_without_a_node() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    tree.remove_file("dev/nvme0n1");
    assert_eq!(uses(&tree), ["nvme0n1 may be in use outside this container, as it has no node in /dev"]);
    let error = tree.ssd().refuse_in_use().unwrap_err().to_string();
    assert!(error.contains("as root: mknod /dev/nvme0n1 b 259 0;"), "{error}");
    // Nobody can have come since it was certain.
    drop(tree.ssd().claim_again().unwrap());
    tree.mount("259:0", "/dev/nvme0n1", "/srv");
    assert!(tree.ssd().claim_again().is_err());
}

#[test]
fn a_claim_keeps_the_disks_open() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    let node = tree.ssd().bus().root.join("dev/nvme0n1");
    let is_open = || {
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target == node)
    };
    let claims = tree.ssd().claim().unwrap();
    assert!(is_open());
    drop(claims);
    assert!(!is_open());
}

#[test]
fn what_ends_each_use() {
    let holder = |holder: &str| Usage::Holder {
        device: "nvme0n1".to_owned(),
        holder: holder.to_owned(),
        volume: None,
    };
    assert_eq!(holder("md127").remedy(), "mdadm --stop /dev/md127");
    assert_eq!(holder("bcache0").remedy(), "lsblk /dev/bcache0");
    let swap = Usage::Swap { device: "nvme0n1p3".to_owned() };
    assert_eq!(swap.remedy(), "swapoff /dev/nvme0n1p3");
    assert_eq!(quoted("/a'b c"), r"'/a'\''b c'");
}

#[test]
fn what_holds_itself_is_seen_once() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    tree.holder("nvme0n1", "dm-0", "253:0");
    tree.holder_of_block("dm-0", "dm-0", "253:0");
    assert_eq!(uses(&tree), ["dm-0 is part of dm-0", "nvme0n1 is part of dm-0"]);
}

#[test]
fn a_disk_that_several_paths_lead_to() {
    let tree = Tree::new();
    tree.path_to_disk("nvme0c1n1", "nvme0n1", "259:0");
    assert_eq!(uses(&tree), Vec::<String>::new());
    tree.mount("259:0", "/dev/nvme0n1", "/srv");
    assert_eq!(uses(&tree), ["nvme0n1 is mounted at /srv"]);
}

#[test]
fn what_cannot_be_told_is_an_error() {
    let tree = Tree::new();
    tree.disk("nvme0n1", "259:0");
    tree.remove_file("proc/self/mountinfo");
    let error = tree.ssd().refuse_in_use().unwrap_err().to_string();
    assert!(error.contains("finding out whether it is in use"), "{error}");
}

#[test]
fn names_of_disks() {
    for (name, disk) in [
        ("nvme0n1", Some("nvme0n1")),
        ("nvme12n3", Some("nvme12n3")),
        ("nvme0c1n2", Some("nvme0n2")),
        ("ng0n1", None),
        ("hwmon0", None),
        ("nvme0", None),
        ("nvme0cn1", None),
        ("nvme0n", None),
    ] {
        assert_eq!(disk_of(name).as_deref(), disk, "{name}");
    }
}

#[test]
fn escapes() {
    assert_eq!(unescape(r"/a\040b\134c\011"), "/a b\\c\t");
    assert_eq!(unescape(r"\04\999\777"), r"\04\999\777");
}

proptest! {
    #[test]
    fn no_line_panics(line in "\\PC{0,120}") {
        let _ = Mount::parse(Path::new("/nowhere"), &line);
        let _ = unescape(&line);
    }
}
