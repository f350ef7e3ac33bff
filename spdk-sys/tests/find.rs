//! Finding SPDK: made-up trees and pkg-config files of several versions.

#[allow(dead_code)]
#[path = "../build/find.rs"]
mod find;
#[allow(dead_code)]
#[path = "../build/link.rs"]
mod link;

use std::fs;
use std::path::{Path, PathBuf};

use find::{Found, Places, Spdk, Version};
use link::PkgConfig;
use tempfile::TempDir;

fn write(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// The headers that are looked at, as SPDK writes them.
fn headers(include: &Path, major: u32, minor: u32) {
    write(&include.join("spdk/nvme.h"), "");
    let text = format!(
        "#define SPDK_VERSION_H\n#define SPDK_VERSION_MAJOR\t{major}\n#define SPDK_VERSION_MINOR\t{minor}\n\
         #define SPDK_VERSION_MINOR_STRING\t\".0\" SPDK_VERSION_STRINGIFY(SPDK_VERSION_MINOR)\n"
    );
    write(&include.join("spdk/version.h"), &text);
}

fn archives(folder: &Path, names: &[&str]) {
    for name in names {
        write(&folder.join(format!("lib{name}.a")), "");
    }
}

/// A built tree without files for pkg-config, as v20.07 is.
fn tree(major: u32, minor: u32) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    headers(&root.path().join("include"), major, minor);
    archives(&root.path().join("build/lib"), &["spdk_nvme", "spdk_sock_posix", "spdk_env_dpdk", "spdk_log"]);
    archives(&root.path().join("dpdk/build/lib"), &["rte_eal", "rte_mempool"]);
    root
}

/// Files for pkg-config in a folder, naming an `include` and a `lib` beside each other.
fn pkg_config_files(folder: &Path, include: &Path, lib: &Path) {
    let package = |name: &str, libs: &str, requires: &str| {
        let text = format!(
            "Name: {name}\nDescription: {name}\nVersion: 1\nRequires: {requires}\n\
             Libs: -L{} {libs}\nCflags: -I{}\n",
            lib.display(),
            include.display()
        );
        write(&folder.join(format!("{name}.pc")), &text);
    };
    package("spdk_nvme", "-lspdk_nvme", "spdk_keyring");
    package("spdk_keyring", "-lspdk_keyring", "");
    package("spdk_sock_posix", "-lspdk_sock_posix", "");
    package("spdk_env_dpdk", "-lspdk_env_dpdk -lrte_eal", "");
    let isal = lib.join("isa-l/.libs/libisal.a");
    write(&isal, "");
    package("spdk_syslibs", &format!("-lssl -lcrypto {}", isal.display()), "");
    archives(lib, &["spdk_nvme", "spdk_keyring", "spdk_sock_posix", "spdk_env_dpdk", "rte_eal"]);
}

/// Looks at one place alone; pkg-config sees nothing but the folder given.
fn find(spdk_dir: Option<&Path>, pkg_config: Option<&Path>, vendored: &Path) -> Result<Spdk, String> {
    find::find(&Places {
        spdk_dir: spdk_dir.map(PathBuf::from),
        pkg_config: match pkg_config {
            Some(folder) => Ok(PkgConfig::of_environment().with_path(folder)),
            None => Err("not asked".to_owned()),
        },
        vendored: vendored.to_owned(),
    })
}

const NOWHERE: &str = "/nonexistent";

fn found(spdk_dir: &TempDir) -> Spdk {
    find(Some(spdk_dir.path()), None, Path::new(NOWHERE)).unwrap()
}

#[track_caller]
fn refused(result: Result<Spdk, String>, words: &[&str]) {
    let Err(why) = result else { panic!("it was found") };
    for word in words {
        assert!(why.contains(word), "{word:?} is not in: {why}");
    }
}

#[test]
fn a_tree_whose_inside_is_known() {
    let root = tree(20, 7);
    write(&root.path().join("lib/nvme/nvme_internal.h"), "");
    let spdk = found(&root);
    assert_eq!((spdk.version, spdk.found), (Version { major: 20, minor: 7 }, Found::SpdkDir));
    assert!(spdk.internals.is_some());
    let place = root.path().canonicalize().unwrap();
    assert_eq!(spdk.summary(), format!("SPDK v20.07 found by SPDK_DIR at {}", place.display()));
    assert_eq!(
        spdk.libraries.whole,
        ["spdk_nvme", "spdk_sock_posix", "spdk_env_dpdk", "rte_eal", "rte_mempool"]
    );
    assert_eq!(spdk.libraries.archives, ["spdk_log"]);
}

#[test]
fn the_inside_of_other_versions_is_left_alone() {
    for (major, minor) in [(21, 1), (24, 9), (26, 5)] {
        let root = tree(major, minor);
        write(&root.path().join("lib/nvme/nvme_internal.h"), "");
        let spdk = found(&root);
        assert_eq!(spdk.version, Version { major, minor });
        assert!(spdk.internals.is_none());
        let summary = spdk.summary();
        assert!(summary.starts_with(&format!("SPDK v{major}.{minor:02} found by SPDK_DIR at ")), "{summary}");
        assert!(summary.contains("without SPDK's internal header"), "{summary}");
        assert!(!summary.contains("newer than"), "{summary}");
    }
}

#[test]
fn a_version_from_the_future_is_taken_and_said() {
    let summary = found(&tree(27, 1)).summary();
    assert!(summary.contains("SPDK v27.01"), "{summary}");
    assert!(summary.contains("newer than v26.05"), "{summary}");
}

#[test]
fn a_version_that_is_too_old_is_refused() {
    let root = tree(19, 10);
    refused(
        find(Some(root.path()), None, Path::new(NOWHERE)),
        &["SPDK_DIR is set to", "SPDK v19.10", "older than v20.07", "./configure"],
    );
}

#[test]
fn a_tree_that_is_not_built() {
    let root = tempfile::tempdir().unwrap();
    let here = Some(root.path());
    refused(find(here, None, Path::new(NOWHERE)), &["no include/spdk/nvme.h"]);
    write(&root.path().join("include/spdk/nvme.h"), "");
    refused(find(here, None, Path::new(NOWHERE)), &["version.h cannot be read"]);
    write(&root.path().join("include/spdk/version.h"), "#define SPDK_VERSION_MAJOR 25\n");
    refused(find(here, None, Path::new(NOWHERE)), &["does not define SPDK_VERSION_MINOR"]);
    headers(&root.path().join("include"), 25, 9);
    refused(find(here, None, Path::new(NOWHERE)), &["libspdk_nvme.a is not there", "not built"]);
}

#[test]
fn a_newer_tree_says_itself_what_to_link() {
    let root = tree(25, 9);
    let lib = root.path().join("build/lib");
    pkg_config_files(&lib.join("pkgconfig"), &root.path().join("include"), &lib);
    let libraries = found(&root).libraries;
    // Those that register themselves among them: all of SPDK's and DPDK's are taken whole.
    assert_eq!(libraries.whole, ["spdk_nvme", "spdk_keyring", "spdk_env_dpdk", "rte_eal", "spdk_sock_posix"]);
    assert_eq!(libraries.archives, ["isal"]);
    assert!(libraries.shared.contains(&"ssl".to_owned()), "{:?}", libraries.shared);
    assert!(libraries.search.contains(&lib.join("isa-l/.libs")), "{:?}", libraries.search);
}

#[test]
fn an_installed_spdk() {
    let prefix = tempfile::tempdir().unwrap();
    let at = |name: &str| prefix.path().join(name);
    headers(&at("include"), 26, 5);
    pkg_config_files(&at("pc"), &at("include"), &at("lib"));
    let spdk = find(None, Some(&at("pc")), Path::new(NOWHERE)).unwrap();
    assert_eq!((spdk.version, spdk.found), (Version { major: 26, minor: 5 }, Found::PkgConfig));
    assert!(spdk.root.is_none());
    assert!(spdk.internals.is_none());
    assert!(spdk.summary().starts_with("SPDK v26.05 found by pkg-config; without"), "{}", spdk.summary());
}

#[test]
fn the_vendored_tree_comes_last() {
    let vendored = tree(20, 7);
    refused(find(None, None, vendored.path()), &["it is not built"]);
    write(&vendored.path().join(".built"), "");
    assert_eq!(find(None, None, vendored.path()).unwrap().found, Found::Vendored);
}

#[test]
fn nothing_at_all_says_where_it_looked() {
    let empty = tempfile::tempdir().unwrap();
    refused(
        find(None, Some(empty.path()), Path::new(NOWHERE)),
        &["1. SPDK_DIR", "2. pkg-config: ", "spdk_nvme", "3. the vendored tree", "make setup"],
    );
}
