//! Headers of telemetry and of the persistent event log; what follows them is the vendor's.

use super::super::layout::{Spec, bytes};

pub(super) const FIELDS: &[Spec] = &[
    bytes(0, 0, "LID", "Log Identifier").hex(),
    bytes(7, 5, "IEEE", "IEEE OUI Identifier").hex(),
    bytes(9, 8, "THDA1LB", "Data Area 1 Last Block"),
    bytes(11, 10, "THDA2LB", "Data Area 2 Last Block"),
    bytes(13, 12, "THDA3LB", "Data Area 3 Last Block"),
    bytes(19, 16, "THDA4LB", "Data Area 4 Last Block").quiet(),
    bytes(381, 381, "TDGN", "Telemetry Data Generation Number, host-initiated"),
    bytes(382, 382, "TCDA", "Telemetry Controller-Initiated Data Available"),
    bytes(383, 383, "TCDGN", "Telemetry Controller-Initiated Data Generation Number"),
    bytes(511, 384, "RID", "Reason Identifier").raw().hidden(),
];

pub(super) const PERSISTENT_EVENTS: &[Spec] = &[
    bytes(0, 0, "LID", "Log Identifier").hex(),
    bytes(7, 4, "TNEV", "Total Number of Events"),
    bytes(15, 8, "TLL", "Total Log Length").unit("bytes"),
    bytes(16, 16, "LREV", "Log Revision"),
    bytes(19, 18, "LHL", "Log Header Length"),
    bytes(27, 20, "TSTMP", "Timestamp").hex(),
    bytes(43, 28, "POH", "Power On Hours"),
    bytes(51, 44, "PCC", "Power Cycle Count"),
    bytes(53, 52, "VID", "PCI Vendor ID").hex(),
    bytes(55, 54, "SSVID", "PCI Subsystem Vendor ID").hex(),
    bytes(75, 56, "SN", "Serial Number").text(),
    bytes(115, 76, "MN", "Model Number").text(),
    bytes(371, 116, "SUBNQN", "NVM Subsystem NVMe Qualified Name").text(),
];
