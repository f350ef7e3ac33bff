//! PCI functions of real kernels: those of this host are read; those of the lab (`make test-pcie`) are bound, reset and
//! removed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nvme_spdk::pci::{Bus, CONFIG_SIZE, Function, NVME_CLASS, Usage, capability_id, extended_capability_id};
use nvme_spdk::{Error, PciAddress};

fn sysfs(function: &Function, file: &str) -> String {
    let path = Path::new("/sys/bus/pci/devices").join(function.to_string()).join(file);
    fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn the_functions_of_this_host_are_as_sysfs_says() {
    let bus = Bus::system();
    let Ok(functions) = bus.functions() else {
        eprintln!("skipped: this host has no PCI");
        return;
    };
    for address in functions {
        let function = bus.function(address).unwrap();
        assert_eq!(format!("{:#06x}", function.vendor_id().unwrap()), sysfs(&function, "vendor"));
        assert_eq!(format!("{:#06x}", function.device_id().unwrap()), sysfs(&function, "device"));
        assert_eq!(format!("{:#08x}", function.class().unwrap()), sysfs(&function, "class"));
        let header = function.read(0, 64).unwrap();
        assert_eq!(header[..2], function.vendor_id().unwrap().to_le_bytes());
        assert_eq!(header[9..12], function.class().unwrap().to_le_bytes()[..3]);
        if function.config_size().is_ok_and(|size| function.read(0, size).is_err()) {
            eprintln!("{function}: no more without root");
            continue;
        }
        for found in function.capabilities().unwrap() {
            assert_eq!(function.read_byte(found.offset.into()).unwrap(), found.id);
            assert!(function.capability(found.id).unwrap().is_some());
        }
        if let Some(msix) = function.msix().unwrap() {
            assert!(msix.table().bar < 6 && msix.pending_bits().bar < 6);
        }
        if let Some(msi) = function.msi().unwrap() {
            assert!(msi.granted() <= msi.capable());
        }
        assert!(function.read_byte(function.config_size().unwrap()).is_err());
    }
}

#[test]
fn a_function_that_is_not_there_is_an_error_with_advice() {
    let error = Function::open("fff0:ff:1f.7".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("no such PCI function") && error.contains("lspci -D -d ::0108"), "{error}");
}

/// The driver that the lab has bound its controllers to.
fn lab_driver() -> &'static str {
    let settings = fs::read_to_string("/run/lab/settings").unwrap();
    if settings.contains("DRIVER=vfio-pci\n") { "vfio-pci" } else { "uio_pci_generic" }
}

/// A test of the lab: its first NVMe controller, bound to the lab's driver before and after.
fn in_lab(test: impl FnOnce(&Function)) {
    assert!(Path::new("/run/lab").exists(), "this test resets and removes controllers: only the lab's");
    let bus = Bus::system();
    let is_nvme = |address: &PciAddress| bus.function(*address).unwrap().class().unwrap() == NVME_CLASS;
    let address = bus.functions().unwrap().into_iter().find(is_nvme).unwrap();
    let function = bus.function(address).unwrap();
    function.bind(lab_driver()).unwrap();
    test(&function);
    assert_eq!(function.driver().as_deref(), Some(lab_driver()));
    assert_eq!(function.userspace_driver().unwrap(), lab_driver());
    // It answers, and its memory is there.
    assert_eq!(function.read(9, 3).unwrap(), [2, 8, 1]);
    assert_ne!(function.register(0x10, 4).unwrap() & !0xf, 0);
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn configuration_space() {
    in_lab(|ssd| {
        assert_eq!((ssd.vendor_id().unwrap(), ssd.config_size().unwrap()), (0x1b36, 4096));
        for id in [capability_id::POWER_MANAGEMENT, capability_id::PCI_EXPRESS, capability_id::MSI_X] {
            assert!(ssd.capability(id).unwrap().is_some(), "{id:#x}");
        }
        assert_eq!(ssd.capability(0x02).unwrap(), None);
        // The emulated controller has no extended ones, its port does.
        let port = ssd.upstream_port().unwrap();
        let aer = port.extended_capability(extended_capability_id::ADVANCED_ERROR_REPORTING).unwrap();
        assert_eq!(port.register(aer.unwrap().into(), 2).unwrap(), 1);
        let msix = ssd.msix().unwrap().unwrap();
        assert!(msix.entries() > 1 && msix.table().offset as usize >= CONFIG_SIZE && msix.table().bar == 0);
        ssd.set_msix(true, true).unwrap();
        let now = ssd.msix().unwrap().unwrap();
        assert!(now.is_enabled() && now.is_masked());
        ssd.set_msix(false, false).unwrap();
        assert_eq!(ssd.msix().unwrap().unwrap(), msix);
        assert_eq!(ssd.msi().unwrap(), None);
    });
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn power_of_link_and_function() {
    in_lab(|ssd| {
        for control in [1, 2, 3, 0] {
            // The emulated controller supports none of it, and keeps 0.
            ssd.set_aspm(control).unwrap();
            assert_eq!(ssd.aspm().unwrap(), 0);
        }
        for state in [3, 0, 3, 0] {
            ssd.set_power_state(state).unwrap();
            assert_eq!(ssd.power_state().unwrap(), state);
        }
    });
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn a_function_level_reset() {
    in_lab(|ssd| {
        // The kernel restores what the reset clears, but not this.
        let bars = ssd.read(0x10, 24).unwrap();
        ssd.flr().unwrap();
        assert_eq!(ssd.read(0x10, 24).unwrap(), bars);
        ssd.reenumerate().unwrap();
    });
}

/// Cache Line Size: a register without effect that nobody else writes.
const SCRATCH: usize = 0x0c;

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn hot_resets_in_a_row() {
    in_lab(|ssd| {
        for _ in 0..5 {
            ssd.write_byte(SCRATCH, 0x55).unwrap();
            // vfio-pci puts what it is bound to into D3hot, and a function may forget everything there.
            if lab_driver() != "vfio-pci" {
                ssd.reenumerate().unwrap();
                assert_eq!(ssd.read_byte(SCRATCH).unwrap(), 0x55);
            }
            let start = Instant::now();
            ssd.hot_reset().unwrap();
            // What was written is gone: that was a reset, and what was before was none.
            assert_ne!(ssd.read_byte(SCRATCH).unwrap(), 0x55);
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
    });
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn something_else_instead_of_the_port() {
    in_lab(|ssd| {
        let answer = ssd.hot_reset_with(|| (ssd.exists(), 42)).unwrap();
        assert_eq!(answer, (false, 42));
    });
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn power_off_and_on() {
    in_lab(|ssd| {
        let slot = ssd.slot().unwrap();
        slot.remove().unwrap();
        assert!(!ssd.exists() && matches!(ssd.read_byte(0), Err(Error::Pci { .. })));
        slot.restore().unwrap();
    });
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn drivers_and_their_users() {
    in_lab(|ssd| {
        let loaded = std::process::Command::new("modprobe").arg("nvme").status();
        if !loaded.is_ok_and(|status| status.success()) {
            eprintln!("skipped: the guest has no module nvme");
            return;
        }
        let before = ssd.bind("nvme").unwrap();
        assert_eq!(before.as_deref(), Some(lab_driver()));
        let error = ssd.userspace_driver().unwrap_err().to_string();
        assert!(error.contains("kernel's driver nvme"), "{error}");
        let disk = disk_of(ssd);
        assert_eq!(ssd.in_use().unwrap(), []);
        let claim =
            OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(format!("/dev/{disk}")).unwrap();
        let [Usage::Claimed { device }, Usage::Open { device: opened, process }] = &ssd.in_use().unwrap()[..]
        else {
            panic!("{:?}", ssd.in_use());
        };
        assert_eq!((device, opened, process.pid), (&disk, &disk, std::process::id()));
        for refused in [ssd.bind(lab_driver()).map(drop), ssd.flr(), ssd.hot_reset(), ssd.unbind().map(drop)]
        {
            let error = refused.unwrap_err();
            assert!(matches!(error, Error::InUse { .. }) && error.to_string().contains("claimed"), "{error}");
        }
        drop(claim);
        // The kernel's driver is given back as well.
        ssd.hot_reset().unwrap();
        assert_eq!(ssd.driver().as_deref(), Some("nvme"));
        disk_of(ssd);
        ssd.restore_driver(before.as_deref()).unwrap();
        let error = ssd.bind("igb_uio").unwrap_err().to_string();
        assert!(error.contains("modprobe igb_uio"), "{error}");
    });
}

/// The kernel's name for the first namespace, once there is one: `nvme0n1`, which may lead over the path `nvme0c0n1`.
fn disk_of(ssd: &Function) -> String {
    let start = Instant::now();
    let folder = Path::new("/sys/bus/pci/devices").join(ssd.to_string()).join("nvme");
    let mut seen = Vec::new();
    while start.elapsed() < Duration::from_secs(20) {
        seen.clear();
        for controller in fs::read_dir(&folder).into_iter().flatten().flatten() {
            for entry in fs::read_dir(controller.path()).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let (controller, namespace) = name.rsplit_once('n').unwrap_or((&name, ""));
                let disk = format!("{}n{namespace}", controller.split('c').next().unwrap_or_default());
                if disk.starts_with("nvme") && Path::new("/dev").join(&disk).exists() {
                    return disk;
                }
                seen.push(name);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the kernel makes no disk of {ssd}: {seen:?}");
}
