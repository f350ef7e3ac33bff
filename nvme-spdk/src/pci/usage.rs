//! Who uses what is stored on a function, so that nobody loses a file system to a test.

mod host;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Function, Process, sysfs};
use crate::error::{Error, Result};
use host::{Block, Host, TARGET};

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

/// Disks that nobody uses. As long as it is held nobody mounts one, or builds something on it.
pub(super) struct Claims {
    _files: Vec<File>,
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

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
