//! An imitation of a host for unit tests: a folder with `sys`, `proc` and `dev` in it, and a thread that does what the
//! kernel does when somebody writes to the files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::{Bus, Function};

pub(super) const PORT: &str = "0000:00:02.0";
const SSD: &str = "0000:01:00.0";
const NEIGHBOUR: &str = "0000:01:00.1";

/// Where the capabilities of the SSD begin.
pub(super) const MSIX: usize = 0x40;
pub(super) const POWER: usize = 0x60;
pub(super) const EXPRESS: usize = 0x80;

/// How long the imitated kernel may take before something counts as failed, and where that is meant to happen.
const PATIENCE: Duration = Duration::from_secs(10);
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
const DRIVERS: [&str; 4] = ["nvme", "uio_pci_generic", "vfio-pci", "pcieport"];

/// One SSD behind one root port, bound to the kernel's driver.
pub(super) struct Tree {
    folder: TempDir,
    kernel: Arc<Kernel>,
    thread: Option<JoinHandle<()>>,
}

struct Kernel {
    root: PathBuf,
    events: Mutex<Vec<String>>,
    /// Drivers that take no function.
    refusing: Mutex<BTreeSet<String>>,
    /// Whether a scan finds what was removed.
    powered: AtomicBool,
    stopped: AtomicBool,
}

impl Tree {
    /// Files only: what is written changes nothing else.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let kernel = Arc::new(Kernel {
            root,
            events: Mutex::default(),
            refusing: Mutex::default(),
            powered: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
        });
        let tree = Tree { folder, kernel, thread: None };
        for driver in DRIVERS {
            tree.file(&format!("sys/bus/pci/drivers/{driver}/bind"), "");
            tree.file(&format!("sys/bus/pci/drivers/{driver}/unbind"), "");
        }
        tree.file("sys/bus/pci/rescan", "");
        tree.file("proc/self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\n");
        tree.file("proc/swaps", "Filename Type Size Used Priority\n");
        tree.add(PORT, "sys/devices/pci0000:00", "pcieport", 0x06_0400, &port_config());
        tree.add(SSD, &format!("sys/devices/pci0000:00/{PORT}"), "nvme", super::NVME_CLASS, &ssd_config());
        tree
    }

    /// With the kernel's thread.
    pub(super) fn with_kernel() -> Self {
        let mut tree = Tree::new();
        let kernel = Arc::clone(&tree.kernel);
        tree.thread = Some(thread::spawn(move || kernel.run()));
        tree
    }

    fn add(&self, name: &str, parent: &str, driver: &str, class: u32, config: &[u8]) {
        let folder = format!("{parent}/{name}");
        let id = |at: usize| format!("0x{:02x}{:02x}\n", config[at + 1], config[at]);
        self.file(&format!("{folder}/vendor"), &id(0));
        self.file(&format!("{folder}/device"), &id(2));
        self.file(&format!("{folder}/class"), &format!("0x{class:06x}\n"));
        self.file(&format!("{folder}/reset_method"), "pm flr bus\n");
        for empty in ["remove", "reset", "driver_override"] {
            self.file(&format!("{folder}/{empty}"), "");
        }
        fs::write(self.path(&format!("{folder}/config")), config).unwrap();
        fs::create_dir_all(self.path("sys/bus/pci/devices")).unwrap();
        let target = format!("../../../{}", folder.strip_prefix("sys/").unwrap());
        symlink(target, self.path("sys/bus/pci/devices").join(name)).unwrap();
        self.kernel.link_driver(name, driver);
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(super) fn bus(&self) -> Bus {
        Bus::at(self.folder.path()).patience(PATIENCE)
    }

    pub(super) fn ssd(&self) -> Function {
        self.bus().function(SSD.parse().unwrap()).unwrap()
    }

    /// The SSD, for what is meant to take too long.
    pub(super) fn impatient_ssd(&self) -> Function {
        self.bus().patience(SHORT_PATIENCE).function(SSD.parse().unwrap()).unwrap()
    }

    /// A second function of the same device.
    pub(super) fn neighbour(&self, driver: &str) -> Function {
        let parent = format!("sys/devices/pci0000:00/{PORT}");
        self.add(NEIGHBOUR, &parent, driver, super::NVME_CLASS, &ssd_config());
        if self.path("sys/kernel/iommu_groups/7").exists() {
            symlink(
                "../../../../kernel/iommu_groups/7",
                self.path(&format!("{parent}/{NEIGHBOUR}/iommu_group")),
            )
            .unwrap();
        }
        self.bus().function(NEIGHBOUR.parse().unwrap()).unwrap()
    }

    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn remove_file(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    pub(super) fn text_of(&self, path: &Path) -> String {
        fs::read_to_string(path).unwrap().trim().to_owned()
    }

    pub(super) fn set_config(&self, offset: usize, bytes: &[u8]) {
        let file = fs::OpenOptions::new().write(true).open(self.ssd().path("config")).unwrap();
        file.write_all_at(bytes, offset as u64).unwrap();
    }

    /// The function has an MSI capability at 50h and no other.
    pub(super) fn with_msi(control: u16) -> Self {
        let tree = Tree::new();
        tree.set_config(0x34, &[0x50]);
        tree.set_config(0x50, &[0x05, 0]);
        tree.set_config(0x52, &control.to_le_bytes());
        tree
    }

    /// Memory of zeros behind a Base Address Register.
    pub(super) fn set_bar(&self, number: u8, size: usize) {
        fs::write(self.ssd().path(&format!("resource{number}")), vec![0; size]).unwrap();
    }

    pub(super) fn bar(&self, number: u8) -> Vec<u8> {
        fs::read(self.ssd().path(&format!("resource{number}"))).unwrap()
    }

    /// Configuration space that ends early.
    pub(super) fn cut_config(&self, size: u64) {
        let file = fs::OpenOptions::new().write(true).open(self.ssd().path("config")).unwrap();
        file.set_len(size).unwrap();
    }

    /// The SSD is unplugged.
    pub(super) fn take_away(&self) {
        self.kernel.remove(SSD);
    }

    /// What is removed from now on does not come back.
    pub(super) fn take_away_for_good(&self) {
        self.kernel.powered.store(false, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, driver: &str) {
        self.kernel.refusing.lock().insert(driver.to_owned());
    }

    pub(super) fn group(&self, number: u32, kind: &str, functions: &[&str]) {
        self.file(&format!("sys/kernel/iommu_groups/{number}/type"), &format!("{kind}\n"));
        for function in functions {
            self.file(&format!("sys/kernel/iommu_groups/{number}/devices/{function}"), "");
        }
        let link = self.ssd().path("iommu_group");
        drop(fs::remove_file(&link));
        symlink(format!("../../../../kernel/iommu_groups/{number}"), link).unwrap();
    }

    pub(super) fn disk(&self, name: &str, number: &str) {
        self.block(&self.ssd().path("nvme/nvme0").join(name), number);
        fs::create_dir_all(self.ssd().path("nvme/nvme0/ng0n1")).unwrap();
    }

    pub(super) fn partition(&self, disk: &str, name: &str, number: &str) {
        let folder = self.ssd().path("nvme/nvme0").join(disk).join(name);
        self.block(&folder, number);
        fs::write(folder.join("partition"), "1\n").unwrap();
    }

    /// A path to a disk that belongs to the subsystem.
    pub(super) fn path_to_disk(&self, path: &str, disk: &str, number: &str) {
        fs::create_dir_all(self.ssd().path("nvme/nvme0").join(path)).unwrap();
        self.block(&self.path("sys/class/block").join(disk), number);
    }

    fn block(&self, folder: &Path, number: &str) {
        fs::create_dir_all(folder.join("holders")).unwrap();
        fs::write(folder.join("dev"), format!("{number}\n")).unwrap();
        self.file(&format!("dev/{}", folder.file_name().unwrap().to_str().unwrap()), "");
    }

    /// A device on top of a disk, or of a partition as `nvme0n1/nvme0n1p1`.
    pub(super) fn holder(&self, block: &str, name: &str, number: &str) {
        let target = self.path("sys/devices/virtual/block").join(name);
        self.block(&target, number);
        symlink(target, self.ssd().path("nvme/nvme0").join(block).join("holders").join(name)).unwrap();
    }

    /// A device on top of a device.
    pub(super) fn holder_of_block(&self, block: &str, name: &str, number: &str) {
        let target = self.path("sys/devices/virtual/block").join(name);
        self.block(&target, number);
        symlink(target, self.path("sys/devices/virtual/block").join(block).join("holders").join(name))
            .unwrap();
    }

    pub(super) fn mount(&self, number: &str, source: &str, at: &str) {
        self.append(
            "proc/self/mountinfo",
            &format!("40 1 {number} / {at} rw,relatime shared:1 - ext4 {source} rw\n"),
        );
    }

    pub(super) fn swap(&self, source: &str) {
        self.append("proc/swaps", &format!("{source} partition 1048572 0 -2\n"));
    }

    /// A loop device over a file.
    pub(super) fn loop_device(&self, name: &str, number: &str, file: &str) {
        self.block(&self.path("sys/block").join(name), number);
        self.file(&format!("sys/block/{name}/loop/backing_file"), &format!("{file}\n"));
    }

    /// A namespace of the kernel's target.
    pub(super) fn export(&self, subsystem: &str, nsid: &str, path: &str, enabled: bool) {
        let folder = format!("sys/kernel/config/nvmet/subsystems/{subsystem}/namespaces/{nsid}");
        self.file(&format!("{folder}/device_path"), &format!("{path}\n"));
        self.file(&format!("{folder}/enable"), if enabled { "1\n" } else { "0\n" });
    }

    /// A process with files open.
    pub(super) fn process(&self, pid: u32, name: &str, files: &[&str]) {
        self.file(&format!("proc/{pid}/comm"), &format!("{name}\n"));
        fs::create_dir_all(self.path(&format!("proc/{pid}/fd"))).unwrap();
        for (number, file) in files.iter().enumerate() {
            symlink(file, self.path(&format!("proc/{pid}/fd/{number}"))).unwrap();
        }
    }

    pub(super) fn end_process(&self, pid: u32) {
        fs::remove_dir_all(self.path(&format!("proc/{pid}"))).unwrap();
    }

    fn append(&self, path: &str, text: &str) {
        let before = fs::read_to_string(self.path(path)).unwrap();
        self.file(path, &(before + text));
    }

    pub(super) fn dev_link(&self, link: &str, target: &str) {
        let link = self.path("dev").join(link);
        let folder = link.parent().unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(target), "").unwrap();
        symlink(target, link).unwrap();
    }

    /// What the kernel has done.
    pub(super) fn events(&self) -> Vec<String> {
        self.kernel.events.lock().clone()
    }

    pub(super) fn forget_events(&self) {
        self.kernel.events.lock().clear();
    }

    /// For what the imitated kernel does a little later.
    pub(super) fn wait_for_events<const N: usize>(&self, expected: [&str; N]) {
        let start = Instant::now();
        while self.events() != expected && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.events(), expected);
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.kernel.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the imitated kernel panicked");
        }
    }
}

impl Kernel {
    fn run(&self) {
        let mut resetting = false;
        while !self.stopped.load(Ordering::Relaxed) {
            for driver in DRIVERS {
                if let Some(function) = self.order(&format!("drivers/{driver}/unbind")) {
                    self.unbind(driver, &function);
                }
                if let Some(function) = self.order(&format!("drivers/{driver}/bind")) {
                    self.bind(driver, &function);
                }
            }
            if self.order(&format!("devices/{SSD}/remove")).is_some() {
                self.remove(SSD);
                self.log("remove");
            }
            if self.order(&format!("devices/{SSD}/reset")).is_some() {
                self.log("reset");
            }
            let control = fs::read(self.pci(&format!("devices/{PORT}/config"))).unwrap()[0x3e];
            if (control & 0x40 != 0) != resetting {
                resetting = !resetting;
                self.log(if resetting { "bus reset begins" } else { "bus reset ends" });
            }
            if self.order("rescan").is_some() {
                self.log("rescan");
                self.rescan();
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn pci(&self, path: &str) -> PathBuf {
        self.root.join("sys/bus/pci").join(path)
    }

    fn log(&self, event: &str) {
        self.events.lock().push(event.to_owned());
    }

    /// What was written to a file.
    fn order(&self, path: &str) -> Option<String> {
        let path = self.pci(path);
        let text = fs::read_to_string(&path).ok().filter(|text| !text.is_empty())?;
        fs::write(&path, "").unwrap();
        Some(text.trim().to_owned())
    }

    fn driver_of(&self, function: &str) -> Option<String> {
        super::sysfs::link_name(&self.pci("devices").join(function).join("driver"))
    }

    fn link_driver(&self, function: &str, driver: &str) {
        symlink(format!("../bus/pci/drivers/{driver}"), self.pci("devices").join(function).join("driver"))
            .unwrap();
    }

    fn bind(&self, driver: &str, function: &str) {
        let wanted =
            fs::read_to_string(self.pci(&format!("devices/{function}/driver_override"))).unwrap_or_default();
        // The drivers for userspace have no list of their own of what they take.
        let takes = if wanted.trim().is_empty() { driver == "nvme" } else { wanted.trim() == driver };
        if takes && self.driver_of(function).is_none() && !self.refusing.lock().contains(driver) {
            self.log(&format!("bind {driver}"));
            self.link_driver(function, driver);
        }
    }

    fn unbind(&self, driver: &str, function: &str) {
        if self.driver_of(function).as_deref() == Some(driver) {
            self.log(&format!("unbind {driver}"));
            fs::remove_file(self.pci(&format!("devices/{function}/driver"))).unwrap();
        }
    }

    /// The folder goes aside, until a scan finds the function again.
    fn remove(&self, function: &str) {
        let link = self.pci("devices").join(function);
        let folder = link.canonicalize().unwrap();
        drop(fs::remove_file(folder.join("driver")));
        fs::remove_file(link).unwrap();
        fs::rename(folder, self.root.join("removed")).unwrap();
    }

    fn rescan(&self) {
        let removed = self.root.join("removed");
        if !removed.exists() || !self.powered.load(Ordering::Relaxed) {
            return;
        }
        for file in ["driver_override", "remove"] {
            fs::write(removed.join(file), "").unwrap();
        }
        // The driver made for it takes it before anybody else sees it.
        symlink("../bus/pci/drivers/nvme", removed.join("driver")).unwrap();
        fs::rename(removed, self.root.join("sys/devices/pci0000:00").join(PORT).join(SSD)).unwrap();
        let target = format!("../../../devices/pci0000:00/{PORT}/{SSD}");
        symlink(target, self.pci("devices").join(SSD)).unwrap();
    }
}

fn port_config() -> Vec<u8> {
    let mut config = vec![0; 4096];
    config[..4].copy_from_slice(&[0x36, 0x1b, 0x0c, 0x00]);
    config[9..12].copy_from_slice(&[0, 4, 6]);
    config[0x0e] = 1;
    // Parity Error Response and SERR# Enable.
    config[0x3e] = 0x03;
    config
}

/// As QEMU's controller: capabilities MSI-X, PCI Express, Power Management; AER and ARI.
fn ssd_config() -> Vec<u8> {
    let mut config = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x00, &[0x36, 0x1b, 0x10, 0x00]);
    put(0x06, &[0x10, 0x00]);
    put(0x09, &[0x02, 0x08, 0x01]);
    put(0x34, &[MSIX as u8]);
    put(MSIX, &[0x11, EXPRESS as u8, 0x40, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x30, 0x00, 0x00]);
    put(EXPRESS, &[0x10, POWER as u8, 0x02, 0x00, 0x00, 0x80, 0x00, 0x10]);
    put(POWER, &[0x01, 0x00, 0x03, 0x00]);
    put(0x100, &0x1802_0001_u32.to_le_bytes());
    put(0x180, &0x0001_000e_u32.to_le_bytes());
    config
}
