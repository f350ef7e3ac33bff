//! Who uses what is stored on a function, so that nobody loses a file system to a test.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Function, Process, sysfs};
use crate::error::{Error, Result};

/// A use of the kernel's controller, or of a block device of the function: of a namespace, of a partition of it, or of
/// what is built on them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Usage {
    /// A file system is mounted from it.
    Mounted {
        /// The block device, as `nvme0n1p2`.
        device: String,
        /// Where.
        at: String,
    },
    /// The host swaps to it.
    Swap {
        /// The block device.
        device: String,
    },
    /// Another block device is built on it: LVM, encryption, RAID, a loop device.
    Holder {
        /// The block device.
        device: String,
        /// What is built on it, as `dm-0`.
        holder: String,
        /// How the device mapper calls that, as `vg0-home`.
        volume: Option<String>,
    },
    /// Something else has claimed it for itself: a mount outside this container, or a file system such as ZFS
    /// that does not say.
    Claimed {
        /// The block device.
        device: String,
    },
    /// The kernel's own NVMe target exports it.
    Exported {
        /// The block device.
        device: String,
        /// The subsystem's NQN.
        subsystem: String,
        /// The namespace's identifier there.
        nsid: String,
    },
    /// It has no node in `/dev`, so that it cannot be told whether somebody outside this container has it.
    Hidden {
        /// The block device.
        device: String,
        /// Major and minor number, as `259:0`.
        number: String,
    },
    /// A process has it open: a copy, a benchmark, a virtual machine.
    Open {
        /// The device file in `/dev`, of the controller or of a block device.
        device: String,
        /// Which process.
        process: Process,
    },
}

impl Usage {
    /// What ends it, as root.
    pub fn remedy(&self) -> String {
        match self {
            Usage::Mounted { at, .. } => format!("umount {}", quoted(at)),
            Usage::Swap { device } => format!("swapoff /dev/{device}"),
            Usage::Holder { holder, .. } if holder.starts_with("md") => format!("mdadm --stop /dev/{holder}"),
            Usage::Holder { volume: Some(volume), .. } => format!("dmsetup remove {}", quoted(volume)),
            Usage::Holder { holder, .. } if holder.starts_with("loop") => {
                format!("losetup -d /dev/{holder}")
            }
            // What to stop is at least shown.
            Usage::Holder { holder, .. } => format!("lsblk /dev/{holder}"),
            Usage::Claimed { device } => format!("lsblk -f /dev/{device}"),
            Usage::Exported { subsystem, nsid, .. } => {
                format!("echo 0 > {}", quoted(&format!("/{TARGET}/{subsystem}/namespaces/{nsid}/enable")))
            }
            Usage::Hidden { device, number } => format!("mknod /dev/{device} b {}", number.replace(':', " ")),
            Usage::Open { process, .. } => format!("kill {}", process.pid),
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Usage::Mounted { device, at } => write!(f, "{device} is mounted at {at}"),
            Usage::Swap { device } => write!(f, "{device} is swap space"),
            Usage::Holder { device, holder, volume: None } => write!(f, "{device} is part of {holder}"),
            Usage::Holder { device, holder, volume: Some(volume) } => {
                write!(f, "{device} is part of {holder} ({volume})")
            }
            Usage::Claimed { device } => {
                write!(f, "{device} is claimed by a file system or a volume manager")
            }
            Usage::Exported { device, subsystem, nsid } => {
                write!(f, "{device} is exported by the kernel's target as namespace {nsid} of {subsystem}")
            }
            Usage::Hidden { device, .. } => {
                write!(f, "{device} may be in use outside this container, as it has no node in /dev")
            }
            Usage::Open { device, process } => write!(f, "{process} has {device} open"),
        }
    }
}

/// Where the subsystems of the kernel's target are.
const TARGET: &str = "sys/kernel/config/nvmet/subsystems";

/// Disks that nobody uses. As long as it is held nobody mounts one, or builds something on it.
pub(super) struct Claims {
    _files: Vec<File>,
}

/// A block device: its name and its folder in sysfs.
struct Block {
    name: String,
    folder: PathBuf,
}

/// What the host says about its block devices.
struct Host {
    root: PathBuf,
    mounts: Vec<Mount>,
    swaps: Vec<String>,
    loops: Vec<Loop>,
    exports: Vec<Export>,
}

/// A loop device over a block device, which it does not claim.
struct Loop {
    device: String,
    name: String,
}

/// A namespace of the kernel's target, which does not claim its block device either.
struct Export {
    device: String,
    subsystem: String,
    nsid: String,
}

struct Mount {
    /// Major and minor number; not the block device's for file systems such as Btrfs, which have their own.
    number: String,
    /// The name of the block device, if the source is one.
    source: Option<String>,
    at: String,
}

impl Function {
    /// What uses the namespaces of the function, by way of the kernel's driver; empty if nothing does.
    ///
    /// # Errors
    /// [`Error::Pci`] if it cannot be told.
    pub fn in_use(&self) -> Result<Vec<Usage>> {
        self.look().map(|(found, _)| found)
    }

    /// What uses it; if no other block device or file system does, with its disks claimed.
    fn look(&self) -> Result<(Vec<Usage>, Claims)> {
        let unknown = |e: io::Error| self.failed("finding out whether it is in use", e);
        let disks = self.disks().map_err(unknown)?;
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        if !disks.is_empty() {
            let host = Host::look(&self.bus.root).map_err(unknown)?;
            for disk in &disks {
                host.uses(disk, &mut seen, &mut found).map_err(unknown)?;
            }
        }
        // Before they are open here.
        let opened = self.opened(&disks, seen);
        let mut claims = Vec::new();
        if found.is_empty() {
            for disk in &disks {
                match disk.claim(&self.bus.root) {
                    Ok(file) => claims.push(file),
                    Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                        found.push(Usage::Claimed { device: disk.name.clone() });
                    }
                    Err(e) if e.kind() == ErrorKind::NotFound => {
                        found.push(Usage::Hidden { device: disk.name.clone(), number: disk.number() });
                    }
                    Err(e) if e.kind() == ErrorKind::PermissionDenied => return Err(unknown(e)),
                    // A disk that does not work is of use to nobody.
                    Err(_) => {}
                }
            }
        }
        found.extend(opened);
        Ok((found, Claims { _files: claims }))
    }

    /// The processes that have the controller open, or one of these block devices.
    fn opened(&self, disks: &[Block], mut names: BTreeSet<String>) -> Vec<Usage> {
        // `ng0n1` is a namespace without the block device around it. Of a disk that several paths lead to, it is not
        // below the controller either.
        names.extend(disks.iter().filter_map(|disk| Some(format!("ng{}", disk.name.strip_prefix("nvme")?))));
        for controller in names_if_there(&self.path("nvme")).unwrap_or_default() {
            let beside = names_if_there(&self.path("nvme").join(&controller)).unwrap_or_default();
            names.extend(beside.into_iter().filter(|name| name.starts_with("ng")));
            names.insert(controller);
        }
        let nodes: Vec<PathBuf> = names.iter().map(|name| Path::new("/dev").join(name)).collect();
        let mut found = Vec::new();
        for (process, open) in self.bus.open_nodes(&nodes) {
            found.extend(open.iter().filter_map(|node| {
                let device = node.file_name()?.to_string_lossy().into_owned();
                Some(Usage::Open { device, process: process.clone() })
            }));
        }
        found
    }

    /// Refuses what would take the function from its users.
    ///
    /// # Errors
    /// [`Error::InUse`] with all of them; those of [`in_use`](Self::in_use).
    pub fn refuse_in_use(&self) -> Result<()> {
        self.claim().map(drop)
    }

    /// As [`refuse_in_use`](Self::refuse_in_use), and keeps others from its disks.
    pub(super) fn claim(&self) -> Result<Claims> {
        let (by, claims) = self.look()?;
        self.refuse(&by)?;
        Ok(claims)
    }

    /// As [`claim`](Self::claim), for a function of which it was certain a moment ago that nobody uses it: so what
    /// cannot be told is no objection.
    pub(super) fn claim_again(&self) -> Result<Claims> {
        let (mut by, claims) = self.look()?;
        by.retain(|usage| !matches!(usage, Usage::Hidden { .. }));
        self.refuse(&by)?;
        Ok(claims)
    }

    fn refuse(&self, by: &[Usage]) -> Result<()> {
        if by.is_empty() {
            return Ok(());
        }
        let mut said = BTreeSet::new();
        let mut remedies: Vec<String> = by.iter().map(Usage::remedy).collect();
        remedies.retain(|remedy| said.insert(remedy.clone()));
        let by: Vec<String> = by.iter().map(Usage::to_string).collect();
        Err(Error::InUse {
            function: self.to_string(),
            by: by.join(", "),
            remedy: format!("stop that first, as root: {}; or test another device", remedies.join(" && ")),
        })
    }

    /// The disks that the kernel's driver made of its namespaces.
    fn disks(&self) -> io::Result<Vec<Block>> {
        let mut disks = Vec::new();
        for controller in names_if_there(&self.path("nvme"))? {
            let folder = self.path("nvme").join(&controller);
            for name in names_if_there(&folder)? {
                let Some(disk) = disk_of(&name) else { continue };
                // What several paths lead to has a disk of its own, elsewhere.
                let folder = if disk == name { folder.join(&name) } else { self.class_block(&disk) };
                if folder.exists() {
                    disks.push(Block { name: disk, folder });
                }
            }
        }
        Ok(disks)
    }

    fn class_block(&self, name: &str) -> PathBuf {
        self.bus.root.join("sys/class/block").join(name)
    }
}

/// The disk of a namespace, from the name of what is below its controller: `nvme0n1`, or `nvme0c1n1` for one path
/// to it. Anything else there is no disk.
fn disk_of(name: &str) -> Option<String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let (instance, namespace) = name.strip_prefix("nvme")?.split_once('n')?;
    let (subsystem, path) = instance.split_once('c').unwrap_or((instance, "0"));
    (digits(subsystem) && digits(path) && digits(namespace)).then(|| format!("nvme{subsystem}n{namespace}"))
}

fn names_if_there(folder: &Path) -> io::Result<Vec<String>> {
    match sysfs::names(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

impl Block {
    /// Its major and minor number.
    fn number(&self) -> String {
        sysfs::text(&self.folder.join("dev")).unwrap_or_default()
    }

    /// Opens it for this process alone, which the kernel refuses when somebody has the disk, or a partition of it, for
    /// himself. A mount of another namespace is not in this process's list, but the kernel knows.
    fn claim(&self, root: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_EXCL | libc::O_NONBLOCK);
        options.open(root.join("dev").join(&self.name))
    }

    /// Its partitions.
    fn partitions(&self) -> io::Result<Vec<Block>> {
        let names = sysfs::names(&self.folder)?;
        let blocks = names.into_iter().map(|name| Block { folder: self.folder.join(&name), name });
        Ok(blocks.filter(|block| block.folder.join("partition").exists()).collect())
    }

    /// The block devices that are built on it.
    fn holders(&self) -> io::Result<Vec<Block>> {
        let holders = self.folder.join("holders");
        let names = names_if_there(&holders)?;
        Ok(names.into_iter().map(|name| Block { folder: holders.join(&name), name }).collect())
    }
}

impl Host {
    fn look(root: &Path) -> io::Result<Self> {
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo"))?;
        let swaps = match fs::read_to_string(root.join("proc/swaps")) {
            // A kernel that does not swap has no such file.
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            other => other?,
        };
        Ok(Host {
            root: root.to_owned(),
            mounts: mounts.lines().filter_map(|line| Mount::parse(root, line)).collect(),
            swaps: swaps
                .lines()
                .skip(1)
                .filter_map(|line| device_name(root, line.split(' ').next()?))
                .collect(),
            loops: loops(root)?,
            exports: exports(root)?,
        })
    }

    /// Collects the uses of a block device, of its partitions, and of what is built on them, in the order in which
    /// they can be ended: the outermost first.
    fn uses(&self, block: &Block, seen: &mut BTreeSet<String>, found: &mut Vec<Usage>) -> io::Result<()> {
        if !seen.insert(block.name.clone()) {
            return Ok(());
        }
        let device = &block.name;
        for partition in block.partitions()? {
            self.uses(&partition, seen, found)?;
        }
        for holder in block.holders()?.into_iter().chain(self.loops_over(device)) {
            self.uses(&holder, seen, found)?;
            let volume = sysfs::text(&holder.folder.join("dm/name")).ok();
            found.push(Usage::Holder { device: device.clone(), holder: holder.name, volume });
        }
        for export in self.exports.iter().filter(|export| export.device == *device) {
            let (subsystem, nsid) = (export.subsystem.clone(), export.nsid.clone());
            found.push(Usage::Exported { device: device.clone(), subsystem, nsid });
        }
        let number = block.number();
        for mount in &self.mounts {
            if mount.number == number || mount.source.as_ref() == Some(device) {
                found.push(Usage::Mounted { device: device.clone(), at: mount.at.clone() });
            }
        }
        if self.swaps.contains(device) {
            found.push(Usage::Swap { device: device.clone() });
        }
        Ok(())
    }

    fn loops_over(&self, device: &str) -> impl Iterator<Item = Block> {
        let over = self.loops.iter().filter(move |one| one.device == device);
        over.map(|one| Block { name: one.name.clone(), folder: self.root.join("sys/block").join(&one.name) })
    }
}

/// The loop devices over block devices.
fn loops(root: &Path) -> io::Result<Vec<Loop>> {
    let folder = root.join("sys/block");
    let names = names_if_there(&folder)?;
    let all = names.into_iter().filter(|name| name.starts_with("loop")).filter_map(|name| {
        let file = sysfs::text(&folder.join(&name).join("loop/backing_file")).ok()?;
        Some(Loop { device: device_name(root, &file)?, name })
    });
    Ok(all.collect())
}

/// The block devices that the kernel's target exports.
fn exports(root: &Path) -> io::Result<Vec<Export>> {
    let mut found = Vec::new();
    for subsystem in names_if_there(&root.join(TARGET))? {
        let namespaces = root.join(TARGET).join(&subsystem).join("namespaces");
        for nsid in names_if_there(&namespaces)? {
            let text = |file: &str| sysfs::text(&namespaces.join(&nsid).join(file)).unwrap_or_default();
            let enabled = text("enable") != "0";
            if let Some(device) = device_name(root, &text("device_path")).filter(|_| enabled) {
                found.push(Export { device, subsystem: subsystem.clone(), nsid: nsid.clone() });
            }
        }
    }
    Ok(found)
}

impl Mount {
    /// A line of mountinfo: proc(5), "/proc/pid/mountinfo".
    fn parse(root: &Path, line: &str) -> Option<Self> {
        let (ours, theirs) = line.split_once(" - ")?;
        let mut ours = ours.split(' ').skip(2);
        let number = ours.next()?.to_owned();
        let at = unescape(ours.nth(1)?);
        let source = theirs.split(' ').nth(1).and_then(|source| device_name(root, source));
        Some(Mount { number, source, at })
    }
}

/// The name of a block device from a path to it, which may be a link such as `/dev/mapper/home`.
fn device_name(root: &Path, path: &str) -> Option<String> {
    let path = unescape(path);
    let node = root.join(Path::new(&path).strip_prefix("/dev").ok().map(|rest| Path::new("dev").join(rest))?);
    let node = fs::canonicalize(&node).unwrap_or(node);
    Some(node.file_name()?.to_string_lossy().into_owned())
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// Spaces and the like stand as `\040` in the kernel's tables.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = match (first, after) {
            (b'\\', [a, b, c, ..]) if [a, b, c].iter().all(|digit| (b'0'..b'8').contains(digit)) => {
                u8::try_from([a, b, c].iter().fold(0_u32, |code, &&digit| code * 8 + u32::from(digit - b'0')))
                    .ok()
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fake::Tree;
    use super::*;

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
        assert!(
            error.contains("as root: umount /home && dmsetup remove home && lsblk /dev/dm-0;"),
            "{error}"
        );
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
}
