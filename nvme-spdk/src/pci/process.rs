//! Which processes have a function, through a userspace driver.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use super::{Bus, Function, sysfs};
use crate::error::{Error, Result};

/// A process that has a function open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
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
        let mut found = self.bus.processes_with(&self.nodes());
        found.retain(|process| process.pid != std::process::id());
        found
    }

    /// Refuses a function that other processes have, but for those of this one's family: a child may share what its
    /// parent has open, also with its brothers and sisters.
    ///
    /// # Errors
    /// [`Error::InUse`] with all of them.
    pub fn refuse_in_process(&self) -> Result<()> {
        self.refuse_processes(&self.bus.strangers(self.processes()))
    }

    /// As [`refuse_in_process`](Self::refuse_in_process), for a function that this process may have had open until now:
    /// its children have copies of the descriptors then, and do nothing with them.
    pub(crate) fn refuse_in_other_process(&self) -> Result<()> {
        let mut strangers = self.bus.strangers(self.processes());
        strangers.retain(|process| !self.bus.ancestors(process.pid).contains(&std::process::id()));
        self.refuse_processes(&strangers)
    }

    fn refuse_processes(&self, strangers: &[Process]) -> Result<()> {
        if strangers.is_empty() {
            return Ok(());
        }
        let by: Vec<String> = strangers.iter().map(|process| format!("{process} has it open")).collect();
        let pids: Vec<String> = strangers.iter().map(|process| process.pid.to_string()).collect();
        Err(Error::InUse {
            function: self.to_string(),
            by: by.join(", "),
            remedy: format!("wait for it or end it, as root: kill {}", pids.join(" ")),
        })
    }

    /// Whether this process has it open.
    pub(crate) fn is_open_here(&self) -> bool {
        let mine = |process: &Process| process.pid == std::process::id();
        self.bus.processes_with(&self.nodes()).iter().any(mine)
    }

    /// The device files that stand for it.
    fn nodes(&self) -> Vec<PathBuf> {
        let uio = sysfs::names(&self.path("uio")).unwrap_or_default();
        let group = sysfs::link_name(&self.path("iommu_group"));
        let uio = uio.into_iter().map(|name| format!("/dev/{name}"));
        uio.chain(group.map(|number| format!("/dev/vfio/{number}"))).map(PathBuf::from).collect()
    }
}

impl Bus {
    /// The processes that have one of these device files open, in order.
    fn processes_with(&self, nodes: &[PathBuf]) -> Vec<Process> {
        self.open_nodes(nodes).into_iter().map(|(process, _)| process).collect()
    }

    /// The processes that have one of these device files open, in order, each with those it has.
    pub(super) fn open_nodes(&self, nodes: &[PathBuf]) -> Vec<(Process, BTreeSet<PathBuf>)> {
        let proc = self.root.join("proc");
        let mut found = Vec::new();
        if nodes.is_empty() {
            return found;
        }
        for name in sysfs::names(&proc).unwrap_or_default() {
            let Ok(pid) = name.parse::<u32>() else { continue };
            let folder = proc.join(&name);
            // A process may end while it is looked at: then it has nothing open.
            let open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
            let targets = open.filter_map(|file| fs::read_link(file.path()).ok());
            let open: BTreeSet<PathBuf> = targets.filter(|target| nodes.contains(target)).collect();
            if !open.is_empty() {
                let name = sysfs::text(&folder.join("comm")).unwrap_or_default();
                found.push((Process { pid, name }, open));
            }
        }
        found.sort_by_key(|(process, _)| process.pid);
        found
    }

    /// Those that are not of this process's family: the outermost of its ancestors among them, with all descendants.
    fn strangers(&self, mut holders: Vec<Process>) -> Vec<Process> {
        let mut ancestors = self.ancestors(std::process::id()).into_iter().rev();
        if let Some(head) = ancestors.find(|pid| holders.iter().any(|one| one.pid == *pid)) {
            holders.retain(|one| one.pid != head && !self.ancestors(one.pid).contains(&head));
        }
        holders
    }

    /// The parent of a process, its parent, and so on.
    pub(crate) fn ancestors(&self, pid: u32) -> Vec<u32> {
        let mut found = Vec::new();
        let mut next = self.parent(pid);
        while let Some(pid) = next.filter(|pid| !found.contains(pid)) {
            found.push(pid);
            next = self.parent(pid);
        }
        found
    }

    fn parent(&self, pid: u32) -> Option<u32> {
        let status = fs::read_to_string(self.root.join(format!("proc/{pid}/status"))).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        parent.trim().parse().ok().filter(|&parent| parent != 0)
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

    #[test]
    fn strangers_are_refused_and_the_family_is_not() {
        let tree = Tree::new();
        let ssd = tree.ssd();
        std::fs::create_dir_all(ssd.path("uio/uio0")).unwrap();
        let me = std::process::id();
        let grandparent = me + 1;
        let parent = me + 2;
        for (pid, of) in
            [(me, parent), (parent, grandparent), (grandparent, 1), (me + 3, me), (me + 4, grandparent)]
        {
            tree.file(&format!("proc/{pid}/status"), &format!("Name:\tx\nPPid:\t{of}\nUid:\t0\n"));
        }
        tree.process(me, "this", &["/dev/uio0"]);
        assert!(ssd.is_open_here());
        ssd.refuse_in_process().unwrap();
        // A child and an uncle are of the family only as long as one has it of whom all descend.
        tree.process(me + 3, "child", &["/dev/uio0"]);
        tree.process(me + 4, "uncle", &["/dev/uio0"]);
        let error = ssd.refuse_in_process().unwrap_err().to_string();
        let (child, uncle) = (me + 3, me + 4);
        assert!(error.contains(&format!("process {child} (child) has it open, process {uncle}")), "{error}");
        assert!(error.ends_with(&format!("kill {child} {uncle}")), "{error}");
        // What a child has may have been this process's.
        let error = ssd.refuse_in_other_process().unwrap_err().to_string();
        assert!(error.ends_with(&format!("kill {uncle}")) && !error.contains("(child)"), "{error}");
        tree.process(grandparent, "pytest", &["/dev/uio0"]);
        ssd.refuse_in_process().unwrap();
        tree.process(41, "perf", &["/dev/uio0"]);
        let error = ssd.refuse_in_process().unwrap_err().to_string();
        assert!(error.contains("process 41 (perf)") && error.ends_with("kill 41"), "{error}");
        assert!(ssd.refuse_in_other_process().is_err());
    }

    #[test]
    fn ancestors_reach_to_the_first_process() {
        let tree = Tree::new();
        for (pid, of) in [(70, 60), (60, 1), (1, 0)] {
            tree.file(&format!("proc/{pid}/status"), &format!("Name:\tx\nPPid:\t{of}\n"));
        }
        assert_eq!(tree.bus().ancestors(70), [60, 1]);
    }
}
