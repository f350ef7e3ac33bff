//! What the host says about its block devices: mounts, swap space, what is built on them and who exports them.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Usage, names_if_there};
use crate::pci::sysfs;

/// Where the subsystems of the kernel's target are.
pub(super) const TARGET: &str = "sys/kernel/config/nvmet/subsystems";

/// A block device: its name and its folder in sysfs.
pub(super) struct Block {
    pub name: String,
    pub folder: PathBuf,
}

/// What the host says about its block devices.
pub(super) struct Host {
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

pub(super) struct Mount {
    /// Major and minor number; not the block device's for file systems such as Btrfs, which have their own.
    number: String,
    /// The name of the block device, if the source is one.
    source: Option<String>,
    at: String,
}

impl Block {
    /// Its major and minor number.
    pub(super) fn number(&self) -> String {
        sysfs::text(&self.folder.join("dev")).unwrap_or_default()
    }

    /// Opens it for this process alone, which the kernel refuses when somebody has the disk, or a partition of it, for
    /// himself. A mount of another namespace is not in this process's list, but the kernel knows.
    pub(super) fn claim(&self, root: &Path) -> io::Result<File> {
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
    pub(super) fn look(root: &Path) -> io::Result<Self> {
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
    pub(super) fn uses(
        &self,
        block: &Block,
        seen: &mut BTreeSet<String>,
        found: &mut Vec<Usage>,
    ) -> io::Result<()> {
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
    pub(super) fn parse(root: &Path, line: &str) -> Option<Self> {
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

/// Spaces and the like stand as `\040` in the kernel's tables.
pub(super) fn unescape(text: &str) -> String {
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
