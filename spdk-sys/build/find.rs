//! The three ways to find SPDK, in order: `SPDK_DIR`, pkg-config, the vendored tree.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::link::{self, Libraries, PkgConfig};

/// An SPDK to build against.
pub struct Spdk {
    pub found: Found,
    pub version: Version,
    /// The built source tree; a system SPDK has none.
    pub root: Option<PathBuf>,
    pub include: Vec<PathBuf>,
    /// The folders of `nvme_internal.h` and of DPDK's headers, when this is a version the shims know inside.
    pub internals: Option<[PathBuf; 2]>,
    pub libraries: Libraries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    SpdkDir,
    PkgConfig,
    Vendored,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Found::SpdkDir => "SPDK_DIR",
            Found::PkgConfig => "pkg-config",
            Found::Vendored => "vendored",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.major, self.minor)
    }
}

/// The version whose internals the shims were written for and run against.
const KNOWN_INSIDE: Version = Version { major: 20, minor: 7 };
const OLDEST: Version = KNOWN_INSIDE;
/// The newest version whose public headers shim/versions.c was written from.
const NEWEST_READ: Version = Version { major: 26, minor: 5 };

/// Where to look, as the environment says.
pub struct Places {
    pub spdk_dir: Option<PathBuf>,
    pub pkg_config: Result<PkgConfig, String>,
    pub vendored: PathBuf,
}

impl Places {
    /// Those of this build.
    pub fn of_environment() -> Places {
        for variable in ["SPDK_DIR", "SPDK_NO_PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG"] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
        let crate_dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        Places {
            spdk_dir: env::var_os("SPDK_DIR").map(PathBuf::from),
            pkg_config: match env::var_os("SPDK_NO_PKG_CONFIG") {
                Some(_) => Err("SPDK_NO_PKG_CONFIG forbids it".to_owned()),
                None => Ok(PkgConfig::of_environment()),
            },
            vendored: Path::new(&crate_dir).join("../vendor/spdk"),
        }
    }
}

impl Spdk {
    /// One line for the person who builds.
    pub fn summary(&self) -> String {
        let place = match &self.root {
            Some(root) => format!(" at {}", root.display()),
            None => String::new(),
        };
        let internals = match self.internals {
            Some(_) => "",
            None => {
                "; without SPDK's internal header: no command identifiers before completion, waits inside SPDK unbounded"
            }
        };
        let unread = match self.version > NEWEST_READ {
            true => format!("; newer than v{NEWEST_READ}, the newest that spdk-sys was written for"),
            false => String::new(),
        };
        format!("SPDK v{} found by {}{place}{internals}{unread}", self.version, self.found)
    }
}

pub fn find(places: &Places) -> Result<Spdk, String> {
    if let Some(root) = &places.spdk_dir {
        return from_tree(Found::SpdkDir, root).map_err(|why| {
            format!(
                "SPDK_DIR is set to {}, but {why}.\n\
                 Set it to the root of an SPDK tree in which ./configure and make have run, or unset it to use\n\
                 pkg-config or the vendored tree.",
                root.display()
            )
        });
    }

    let pkg_config = places.pkg_config.as_ref().map_err(Clone::clone).and_then(from_pkg_config);
    if let Ok(spdk) = pkg_config {
        return Ok(spdk);
    }

    let vendored = &places.vendored;
    // Built while this script was not looking: run it again.
    println!("cargo::rerun-if-changed={}", vendored.join(".built").display());
    let why_not_vendored = if vendored.join(".built").exists() {
        let root = vendored.canonicalize().map_err(|e| e.to_string())?;
        match from_tree(Found::Vendored, &root) {
            Ok(spdk) => return Ok(spdk),
            Err(why) => why,
        }
    } else {
        "it is not built".to_owned()
    };
    Err(format!(
        "spdk-sys found no SPDK to build against. It looked for:\n\
         \x20 1. SPDK_DIR, the root of a built SPDK tree: not set\n\
         \x20 2. pkg-config: {}\n\
         \x20 3. the vendored tree beside this crate: {why_not_vendored}\n\
         In a checkout of the project run `make setup`, which fetches and builds the vendored tree; elsewhere\n\
         install SPDK with its pkg-config files, or set SPDK_DIR.",
        pkg_config.err().unwrap_or_default()
    ))
}

fn from_tree(found: Found, root: &Path) -> Result<Spdk, String> {
    let root = root.canonicalize().map_err(|e| format!("that folder cannot be opened ({e})"))?;
    let include = root.join("include");
    if !include.join("spdk/nvme.h").exists() {
        return Err("there is no include/spdk/nvme.h in it".to_owned());
    }
    let version = read_version(&include)?;
    let libraries = Libraries::of_tree(&root)?;
    println!("cargo::rerun-if-changed={}", root.join("build/lib/libspdk_nvme.a").display());
    let header = root.join("lib/nvme/nvme_internal.h");
    Ok(Spdk {
        found,
        version,
        include: vec![include],
        internals: (version == KNOWN_INSIDE && header.exists())
            .then(|| ["lib/nvme", "dpdk/build/include"].map(|folder| root.join(folder))),
        libraries,
        root: Some(root),
    })
}

fn from_pkg_config(pkg_config: &PkgConfig) -> Result<Spdk, String> {
    let packages = link::packages(pkg_config)?;
    let mut include: Vec<PathBuf> = pkg_config
        .ask(&["--cflags-only-I"], &packages)?
        .iter()
        .filter_map(|flag| flag.strip_prefix("-I"))
        .map(PathBuf::from)
        .collect();
    // pkg-config leaves the compiler's own folders out.
    include.push(PathBuf::from("/usr/include"));
    let with_spdk = include
        .iter()
        .find(|dir| dir.join("spdk/version.h").exists())
        .ok_or("spdk_nvme.pc names no folder that has spdk/version.h")?;
    let version = read_version(with_spdk)?;
    include.pop();
    Ok(Spdk {
        found: Found::PkgConfig,
        version,
        root: None,
        include,
        internals: None,
        libraries: Libraries::of_pkg_config(pkg_config, &packages)?,
    })
}

/// The version as the headers have it, which is what the shims are compiled against.
fn read_version(include: &Path) -> Result<Version, String> {
    let header = include.join("spdk/version.h");
    // A tree of a later release has it only once it is built.
    let text =
        fs::read_to_string(&header).map_err(|e| format!("{} cannot be read ({e})", header.display()))?;
    let number = |name: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix("#define"))
            .filter_map(|rest| rest.trim_start().strip_prefix(name))
            .find_map(|value| value.trim().parse::<u32>().ok())
            .ok_or_else(|| format!("{} does not define {name}", header.display()))
    };
    let version = Version { major: number("SPDK_VERSION_MAJOR")?, minor: number("SPDK_VERSION_MINOR")? };
    if version < OLDEST {
        return Err(format!(
            "it is SPDK v{version}, older than v{OLDEST}, the oldest that spdk-sys works with"
        ));
    }
    Ok(version)
}
