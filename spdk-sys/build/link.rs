//! What to link, and how.
//!
//! SPDK's transports and socket implementations, its PCI drivers and DPDK's mempool operations register
//! themselves in constructors that nothing refers to: a linker drops them unless it takes their archives
//! whole. `rustc-link-lib` reaches the final link of every dependent; `rustc-link-arg` would not.

use std::collections::HashSet;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::find::Spdk;

#[derive(Default)]
pub struct Libraries {
    pub search: Vec<PathBuf>,
    /// Archives taken whole.
    pub whole: Vec<String>,
    /// Archives from which only what is referred to is taken.
    pub archives: Vec<String>,
    pub shared: Vec<String>,
}

const SPDK_WHOLE: &[&str] = &["spdk_nvme", "spdk_sock_posix", "spdk_env_dpdk"];
const SPDK_REFERRED: &[&str] = &["spdk_sock", "spdk_json", "spdk_util", "spdk_log"];
const DPDK_WHOLE: &[&str] = &[
    "rte_eal",
    "rte_mempool",
    "rte_ring",
    "rte_mempool_ring",
    "rte_pci",
    "rte_bus_pci",
    "rte_kvargs",
    "rte_telemetry",
];
/// Where DPDK has its libraries inside an SPDK tree.
const DPDK_IN_TREE: &str = "dpdk/build/lib";
const SYSTEM: &[&str] = &["numa", "uuid", "dl", "rt", "pthread", "m"];

impl Libraries {
    /// The static libraries of a built tree. From v21.01 on it has files for pkg-config that say what to link;
    /// for those before, the names are here.
    pub fn of_tree(root: &Path) -> Result<Libraries, String> {
        let spdk = root.join("build/lib");
        let files = spdk.join("pkgconfig");
        if files.join("spdk_nvme.pc").exists() {
            let pkg_config = PkgConfig::of_environment().with_path(&files);
            let packages = packages(&pkg_config)?;
            return Libraries::of_pkg_config(&pkg_config, &packages);
        }
        let dpdk = root.join(DPDK_IN_TREE);
        for (folder, library) in [(&spdk, "spdk_nvme"), (&dpdk, "rte_eal")] {
            let file = folder.join(format!("lib{library}.a"));
            if !file.exists() {
                return Err(format!("{} is not there: the tree is not built", file.display()));
            }
        }
        // Which small libraries exist differs from version to version.
        let present = |folder: &Path, names: &[&str]| -> Vec<String> {
            let there = |name: &&&str| folder.join(format!("lib{name}.a")).exists();
            names.iter().filter(there).map(|name| (*name).to_owned()).collect()
        };
        let mut whole = present(&spdk, SPDK_WHOLE);
        whole.extend(present(&dpdk, DPDK_WHOLE));
        Ok(Libraries {
            whole,
            archives: present(&spdk, SPDK_REFERRED),
            shared: SYSTEM.iter().map(|name| (*name).to_owned()).collect(),
            search: vec![spdk, dpdk],
        })
    }

    /// What pkg-config names, sorted by what is there: an archive outside the system's folders is
    /// linked statically and, if it is SPDK's or DPDK's, whole.
    pub fn of_pkg_config(pkg_config: &PkgConfig, packages: &[String]) -> Result<Libraries, String> {
        let flags = pkg_config.ask(&["--libs", "--static"], packages)?;
        let mut libraries = Libraries::default();
        for flag in &flags {
            if let Some(dir) = flag.strip_prefix("-L") {
                libraries.search.push(PathBuf::from(dir));
            } else if let Some((dir, _)) = as_archive(flag) {
                libraries.search.push(dir);
            }
        }
        let mut seen = HashSet::new();
        for flag in &flags {
            let path = as_archive(flag);
            let (name, asks_archive) = if let Some((_, name)) = &path {
                (name.as_str(), true)
            } else if let Some(file) = flag.strip_prefix("-l:lib") {
                (file.trim_end_matches(".a"), true)
            } else if let Some(name) = flag.strip_prefix("-l") {
                (name, false)
            } else {
                continue;
            };
            if !seen.insert(name.to_owned()) {
                continue;
            }
            let file = |extension: &str| {
                libraries.search.iter().any(|dir| dir.join(format!("lib{name}.{extension}")).exists())
            };
            let ours = name.starts_with("spdk_") || name.starts_with("rte_");
            if file("a") && (asks_archive || !file("so") || ours) {
                if ours { &mut libraries.whole } else { &mut libraries.archives }.push(name.to_owned());
            } else {
                libraries.shared.push(name.to_owned());
            }
        }
        Ok(libraries)
    }
}

/// The folder and the name of an archive that is given by its path, as isa-l's is in SPDK's files.
fn as_archive(flag: &str) -> Option<(PathBuf, String)> {
    let path = Path::new(flag);
    let name = path.file_name()?.to_str()?.strip_prefix("lib")?.strip_suffix(".a")?;
    path.is_absolute().then(|| Some((path.parent()?.to_owned(), name.to_owned())))?
}

pub fn emit(spdk: &Spdk) {
    let libraries = &spdk.libraries;
    for dir in &libraries.search {
        println!("cargo::rustc-link-search=native={}", dir.display());
    }
    for name in &libraries.whole {
        println!("cargo::rustc-link-lib=static:+whole-archive,-bundle={name}");
    }
    for name in &libraries.archives {
        println!("cargo::rustc-link-lib=static:-bundle={name}");
    }
    for name in &libraries.shared {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
}

/// The packages to ask for. The posix sockets became a package of their own, and DPDK's is named
/// separately because SPDK's files do not require it.
pub fn packages(pkg_config: &PkgConfig) -> Result<Vec<String>, String> {
    let mut packages = vec!["spdk_nvme".to_owned(), "spdk_env_dpdk".to_owned()];
    pkg_config.ask(&["--exists", "--print-errors"], &packages)?;
    for optional in ["spdk_sock_posix", "libdpdk", "spdk_syslibs"] {
        if pkg_config.ask(&["--exists"], &[optional.to_owned()]).is_ok() {
            packages.push(optional.to_owned());
        }
    }
    Ok(packages)
}

/// The program, and the folder of files that it is to look into first.
pub struct PkgConfig {
    program: OsString,
    path: Option<OsString>,
}

impl PkgConfig {
    pub fn of_environment() -> Self {
        PkgConfig { program: env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into()), path: None }
    }

    pub fn with_path(self, folder: &Path) -> Self {
        let mut path = folder.as_os_str().to_owned();
        if let Some(before) = env::var_os("PKG_CONFIG_PATH") {
            path.push(":");
            path.push(before);
        }
        PkgConfig { path: Some(path), ..self }
    }

    /// Runs it and splits what it prints into flags, in their order.
    pub fn ask(&self, options: &[&str], packages: &[String]) -> Result<Vec<String>, String> {
        let mut command = Command::new(&self.program);
        command.args(options).args(packages);
        if let Some(path) = &self.path {
            command.env("PKG_CONFIG_PATH", path);
        }
        let output =
            command.output().map_err(|e| format!("{} cannot be run ({e})", self.program.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().next().unwrap_or("no such package").to_owned();
            return Err(first);
        }
        Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
    }
}
