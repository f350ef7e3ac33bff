//! PCIe controllers that are not to be had, with the command that the error names. In the lab: `make test-pcie`;
//! tests/pcie/test_refusals.py runs these commands.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nvme_spdk::pci::Function;
use nvme_spdk::{Address, ConnectOptions, Controller, Error};

/// The lab's plain controller.
const ADDRESS: &str = "0000:01:00.0";

fn function() -> Function {
    Function::open(ADDRESS.parse().expect("a PCI address")).expect("the lab's plain controller")
}

/// The error of attaching, which connecting ends in as well.
fn refused(address: &str) -> Error {
    let address: Address = address.parse().expect("a PCI address");
    let attached = Controller::attach(&address, ConnectOptions::new()).unwrap_err();
    let connected = Controller::connect(&address, ConnectOptions::new()).unwrap_err();
    assert_eq!(attached.to_string(), connected.to_string());
    attached
}

fn works() {
    let address = ADDRESS.parse().expect("a PCI address");
    let controller = Controller::connect(&address, ConnectOptions::new()).expect("a controller");
    assert_eq!(controller.identify().serial_number(), "LAB-PLAIN");
}

fn run(command: &str) {
    let status = Command::new("sh").arg("-c").arg(command).status().expect("a shell");
    assert!(status.success(), "{command}");
}

/// The path of its disk, once the kernel's driver has made one.
fn disk() -> String {
    let start = Instant::now();
    loop {
        for name in ["nvme0n1", "nvme1n1"] {
            let path = format!("/dev/{name}");
            if Path::new(&path).exists() {
                return path;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(10), "the kernel has made no disk");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn what_is_no_controller() {
    for address in ["0000:00:00.0", "0000:7f:00.0"] {
        let error = refused(address);
        assert!(matches!(error, Error::Open { .. }), "{error}");
        assert!(error.to_string().contains("lspci -D -d ::0108"), "{error}");
    }
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn the_kernel_or_nobody_has_it() {
    run("modprobe nvme");
    let ssd = function();
    let before = ssd.bind("nvme").expect("the kernel's driver");
    let setup = format!("as root: scripts/setup bind {ADDRESS}");
    let error = refused(ADDRESS);
    assert!(matches!(error, Error::Pci { .. }), "{error}");
    assert!(error.to_string().contains("kernel's driver nvme"), "{error}");
    assert!(error.to_string().ends_with(&setup), "{error}");

    let disk = disk();
    run(&format!("mkswap {disk} && swapon {disk}"));
    let error = refused(ADDRESS);
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("as root: swapoff {disk}")), "{error}");
    run(&format!("swapoff {disk}"));

    let held = File::open(&disk).expect("its disk");
    let kill = format!("as root: kill {}", std::process::id());
    assert!(refused(ADDRESS).to_string().contains(&kill));
    drop(held);

    assert_eq!(ssd.driver().as_deref(), Some("nvme"), "it was not taken");
    ssd.unbind().expect("no driver");
    let error = refused(ADDRESS).to_string();
    assert!(error.contains("bound to no driver") && error.ends_with(&setup), "{error}");
    ssd.restore_driver(before.as_deref()).expect("its old driver");
    works();
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn another_process_has_it() {
    works();
    let folder = Path::new("/sys/bus/pci/devices").join(ADDRESS).join("uio");
    let uio = folder.read_dir().expect("its uio").next().expect("one").expect("its name").file_name();
    let mut other = Command::new("sleep")
        .arg("60")
        .stdin(File::open(Path::new("/dev").join(uio)).expect("its device file"))
        .spawn()
        .expect("a process");
    let error = refused(ADDRESS);
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    let kill = format!("as root: kill {}", other.id());
    assert!(
        error.to_string().contains("(sleep) has it open") && error.to_string().ends_with(&kill),
        "{error}"
    );
    run(&format!("kill {}", other.id()));
    other.wait().expect("its end");
    works();
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn this_process_has_it() {
    let address = ADDRESS.parse().expect("a PCI address");
    let controller = Controller::attach(&address, ConnectOptions::new()).expect("a controller");
    let error = refused(ADDRESS).to_string();
    assert!(error.contains("this process has it open already; close it there first"), "{error}");
    controller.close();
    works();
}
