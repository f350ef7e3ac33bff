//! IOMMU groups: functions that can only be given to a user together.

use super::{Bus, Function, sysfs};
use crate::error::Result;
use crate::transport::PciAddress;

/// Functions between which the IOMMU cannot tell (Linux kernel, "VFIO - Virtual Function I/O").
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IommuGroup {
    /// The kernel's number for it.
    pub number: u32,
    /// All that are in it, in order.
    pub functions: Vec<PciAddress>,
    /// Whether DMA addresses of the functions are translated while the kernel has them: then DMA to physical
    /// addresses fails.
    pub translates: bool,
}

impl Function {
    /// The group it is in; `None` without an IOMMU.
    ///
    /// # Errors
    /// [`Error::Pci`](crate::Error::Pci) if the function is gone.
    pub fn iommu_group(&self) -> Result<Option<IommuGroup>> {
        let group = self.path("iommu_group");
        let Some(name) = sysfs::link_name(&group) else {
            return if self.exists() { Ok(None) } else { Err(self.gone("looking for its IOMMU group")) };
        };
        let Ok(number) = name.parse() else { return Ok(None) };
        let members = sysfs::names(&group.join("devices")).unwrap_or_default();
        let mut functions: Vec<PciAddress> = members.iter().filter_map(|name| name.parse().ok()).collect();
        functions.sort();
        // Kernels before 5.11 do not say; they translate unless told otherwise at boot.
        let kind = sysfs::text(&group.join("type")).unwrap_or_default();
        Ok(Some(IommuGroup { number, functions, translates: kind.starts_with("DMA") }))
    }
}

impl Bus {
    /// Whether VFIO works without an IOMMU here: it was built for that and told to.
    pub(super) fn vfio_without_iommu(&self) -> bool {
        let switch = self.root.join("sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
        sysfs::text(&switch).is_ok_and(|text| matches!(text.as_str(), "Y" | "1"))
    }
}
