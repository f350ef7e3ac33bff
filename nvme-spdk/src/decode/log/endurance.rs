//! Endurance Group Information, and statistics of flexible data placement.

use super::super::feature::CRITICAL_WARNINGS;
use super::super::layout::{Spec, bytes};

pub(super) const FIELDS: &[Spec] = &[
    bytes(0, 0, "EGCW", "Critical Warning").set_of(CRITICAL_WARNINGS),
    bytes(1, 1, "EGFEAT", "Endurance Group Features").hex().quiet(),
    bytes(3, 3, "AVSP", "Available Spare").unit("percent"),
    bytes(4, 4, "AVSPT", "Available Spare Threshold").unit("percent"),
    bytes(5, 5, "PUSED", "Percentage Used").unit("percent"),
    bytes(7, 6, "DID", "Domain Identifier").quiet(),
    bytes(47, 32, "EE", "Endurance Estimate").unit("GB"),
    bytes(63, 48, "DUR", "Data Units Read").unit("GB"),
    bytes(79, 64, "DUW", "Data Units Written").unit("GB"),
    bytes(95, 80, "MUW", "Media Units Written").unit("GB"),
    bytes(111, 96, "HRC", "Host Read Commands"),
    bytes(127, 112, "HWC", "Host Write Commands"),
    bytes(143, 128, "MDIE", "Media and Data Integrity Errors"),
    bytes(159, 144, "NEILE", "Number of Error Information Log Entries"),
    bytes(175, 160, "TEGCAP", "Total Endurance Group Capacity").unit("bytes"),
    bytes(191, 176, "UEGCAP", "Unallocated Endurance Group Capacity").unit("bytes"),
];

pub(super) const FDP_STATISTICS: &[Spec] = &[
    bytes(15, 0, "HBMW", "Host Bytes with Metadata Written").unit("bytes"),
    bytes(31, 16, "MBMW", "Media Bytes with Metadata Written").unit("bytes"),
    bytes(47, 32, "MBE", "Media Bytes Erased").unit("bytes"),
];
