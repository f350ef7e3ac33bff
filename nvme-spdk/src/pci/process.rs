//! Which processes have a function, through a userspace driver.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use super::{Function, sysfs};

/// A process that has a function open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its identifier.
    pub pid: u32,
    /// Its command, shortened by the kernel to 15 characters.
    pub name: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

impl Function {
    /// The processes that have it open through `uio` or VFIO, this one excepted, in order. Without root only the
    /// user's own are seen, and never those outside a container. Through VFIO it is any function of the IOMMU
    /// group that they may have.
    pub fn processes(&self) -> Vec<Process> {
        let nodes = self.nodes();
        let proc = self.bus.root.join("proc");
        let mut found = Vec::new();
        for name in sysfs::names(&proc).unwrap_or_default() {
            let Ok(pid) = name.parse::<u32>() else { continue };
            let folder = proc.join(&name);
            // A process may end while it is looked at: then it has nothing open.
            let open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
            let mut targets = open.filter_map(|file| fs::read_link(file.path()).ok());
            if pid != std::process::id() && targets.any(|target| nodes.contains(&target)) {
                let name = sysfs::text(&folder.join("comm")).unwrap_or_default();
                found.push(Process { pid, name });
            }
        }
        found.sort_by_key(|process| process.pid);
        found
    }

    /// The device files that stand for it.
    fn nodes(&self) -> Vec<PathBuf> {
        let uio = sysfs::names(&self.path("uio")).unwrap_or_default();
        let group = sysfs::link_name(&self.path("iommu_group"));
        let uio = uio.into_iter().map(|name| format!("/dev/{name}"));
        uio.chain(group.map(|number| format!("/dev/vfio/{number}"))).map(PathBuf::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Tree;

    #[test]
    fn those_that_have_it_open() {
        let tree = Tree::new();
        let ssd = tree.ssd();
        tree.process(41, "other", &["/dev/uio1", "/dev/null"]);
        tree.process(42, "fio", &["/dev/null", "/dev/uio0"]);
        tree.process(7, "qemu", &["/dev/vfio/3"]);
        tree.process(std::process::id(), "this", &["/dev/uio0"]);
        assert_eq!(ssd.processes(), []);
        std::fs::create_dir_all(ssd.path("uio/uio0")).unwrap();
        let found: Vec<String> = ssd.processes().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["process 42 (fio)"]);
        tree.group(3, "DMA", &["0000:01:00.0"]);
        let found: Vec<u32> = ssd.processes().iter().map(|process| process.pid).collect();
        assert_eq!(found, [7, 42]);
    }
}
