//! Who uses what is stored on a function, so that nobody loses a file system to a test.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
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
    /// Another block device is built on it: LVM, encryption, RAID.
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
            // What to stop is at least shown.
            Usage::Holder { holder, .. } => format!("lsblk /dev/{holder}"),
            Usage::Claimed { device } => format!("lsblk -f /dev/{device}"),
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
            Usage::Open { device, process } => write!(f, "{process} has {device} open"),
        }
    }
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
        let unknown = |e: io::Error| self.failed("finding out whether it is in use", e);
        let disks = self.disks().map_err(unknown)?;
        if disks.is_empty() {
            return Ok(Vec::new());
        }
        let host = Host::look(&self.bus.root).map_err(unknown)?;
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for disk in &disks {
            host.uses(disk, &mut seen, &mut found).map_err(unknown)?;
        }
        if found.is_empty() {
            found.extend(
                disks
                    .iter()
                    .filter(|disk| host.is_claimed(&disk.name))
                    .map(|disk| Usage::Claimed { device: disk.name.clone() }),
            );
        }
        let mut found: Vec<Usage> = found.into_iter().collect();
        let names = disks.iter().map(|disk| disk.name.clone()).chain(seen).collect();
        found.extend(self.opened(names));
        Ok(found)
    }

    /// The processes that have the controller open, or one of these block devices.
    fn opened(&self, mut names: BTreeSet<String>) -> Vec<Usage> {
        for controller in names_if_there(&self.path("nvme")).unwrap_or_default() {
            // `ng0n1` is a namespace without the block device around it.
            let beside = names_if_there(&self.path("nvme").join(&controller)).unwrap_or_default();
            names.extend(beside.into_iter().filter(|name| name.starts_with("ng")));
            names.insert(controller);
        }
        let open = |device: String| {
            let node = Path::new("/dev").join(&device);
            let processes = self.bus.processes_with(&[node]);
            processes.into_iter().map(move |process| Usage::Open { device: device.clone(), process })
        };
        names.into_iter().flat_map(open).collect()
    }

    /// Refuses what would take the function from its users.
    ///
    /// # Errors
    /// [`Error::InUse`] with all of them; those of [`in_use`](Self::in_use).
    pub fn refuse_in_use(&self) -> Result<()> {
        let by = self.in_use()?;
        if by.is_empty() {
            return Ok(());
        }
        let mut remedies: Vec<String> = by.iter().map(Usage::remedy).collect();
        remedies.dedup();
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
        })
    }

    /// Collects the uses of a block device, of its partitions, and of what is built on them.
    fn uses(
        &self,
        block: &Block,
        seen: &mut BTreeSet<String>,
        found: &mut BTreeSet<Usage>,
    ) -> io::Result<()> {
        if !seen.insert(block.name.clone()) {
            return Ok(());
        }
        let device = &block.name;
        let number = sysfs::text(&block.folder.join("dev")).unwrap_or_default();
        for mount in &self.mounts {
            if mount.number == number || mount.source.as_ref() == Some(device) {
                found.insert(Usage::Mounted { device: device.clone(), at: mount.at.clone() });
            }
        }
        if self.swaps.contains(device) {
            found.insert(Usage::Swap { device: device.clone() });
        }
        for holder in block.holders()? {
            let volume = sysfs::text(&holder.folder.join("dm/name")).ok();
            found.insert(Usage::Holder { device: device.clone(), holder: holder.name.clone(), volume });
            self.uses(&holder, seen, found)?;
        }
        for partition in block.partitions()? {
            self.uses(&partition, seen, found)?;
        }
        Ok(())
    }

    /// Whether somebody has the disk, or a partition of it, for himself. A mount of another namespace is not in this
    /// process's list, but the kernel knows.
    fn is_claimed(&self, disk: &str) -> bool {
        let node = self.root.join("dev").join(disk);
        if !fs::metadata(&node).is_ok_and(|found| found.file_type().is_block_device()) {
            return false;
        }
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_EXCL | libc::O_NONBLOCK);
        options.open(&node).is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY))
    }
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
    fn what_processes_have_open() {
        let tree = Tree::new();
        tree.disk("nvme0n1", "259:0");
        tree.partition("nvme0n1", "nvme0n1p1", "259:1");
        tree.process(41, "dd", &["/dev/nvme0n1p1", "/dev/nvme0n1p1"]);
        tree.process(42, "nvme", &["/dev/ng0n1"]);
        tree.process(43, "smartd", &["/dev/nvme0"]);
        tree.process(44, "other", &["/dev/nvme1", "/dev/nvme0n10"]);
        assert_eq!(
            uses(&tree),
            [
                "process 42 (nvme) has ng0n1 open",
                "process 43 (smartd) has nvme0 open",
                "process 41 (dd) has nvme0n1p1 open"
            ]
        );
        let error = tree.ssd().refuse_in_use().unwrap_err().to_string();
        assert!(error.contains("as root: kill 42 && kill 43 && kill 41"), "{error}");
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
