//! Headers of telemetry and of the persistent event log; what follows them is the vendor's.

use super::super::layout::{Names, Spec, bytes};

pub(super) const HOST_INITIATED: &[Spec] = &[
    LID,
    IEEE,
    bytes(9, 8, "THDA1LB", "Telemetry Host-Initiated Data Area 1 Last Block"),
    bytes(11, 10, "THDA2LB", "Telemetry Host-Initiated Data Area 2 Last Block"),
    bytes(13, 12, "THDA3LB", "Telemetry Host-Initiated Data Area 3 Last Block"),
    bytes(19, 16, "THDA4LB", "Telemetry Host-Initiated Data Area 4 Last Block").quiet(),
    bytes(380, 380, "THIS", "Telemetry Host-Initiated Scope").one_of(SCOPES).quiet(),
    bytes(381, 381, "THDGN", "Telemetry Host-Initiated Data Generation Number"),
    TCDA,
    TCDGN,
    RID,
];

pub(super) const CONTROLLER_INITIATED: &[Spec] = &[
    LID,
    IEEE,
    bytes(9, 8, "TCDA1LB", "Telemetry Controller-Initiated Data Area 1 Last Block"),
    bytes(11, 10, "TCDA2LB", "Telemetry Controller-Initiated Data Area 2 Last Block"),
    bytes(13, 12, "TCDA3LB", "Telemetry Controller-Initiated Data Area 3 Last Block"),
    bytes(19, 16, "TCDA4LB", "Telemetry Controller-Initiated Data Area 4 Last Block").quiet(),
    bytes(381, 381, "TCIS", "Telemetry Controller-Initiated Scope").one_of(SCOPES).quiet(),
    TCDA,
    TCDGN,
    RID,
];

const LID: Spec = bytes(0, 0, "LID", "Log Identifier").hex();
const IEEE: Spec = bytes(7, 5, "IEEE", "IEEE OUI Identifier").hex();
const TCDA: Spec = bytes(382, 382, "TCDA", "Telemetry Controller-Initiated Data Available");
const TCDGN: Spec = bytes(383, 383, "TCDGN", "Telemetry Controller-Initiated Data Generation Number");
const RID: Spec = bytes(511, 384, "RID", "Reason Identifier").raw().hidden();
const SCOPES: Names = &[(0, "not told"), (1, "controller"), (2, "NVM subsystem")];

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

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn each_log_has_its_own_generation_and_scope() {
        let mut data = [0; 512];
        (data[380], data[381], data[382], data[383]) = (1, 2, 3, 4);
        let (host, controller) = (log_page(7, &data), log_page(8, &data));
        let said = |name| (host.number(name), controller.number(name));
        assert_eq!((said("THIS"), said("THDGN")), ((Some(1), None), (Some(2), None)));
        assert_eq!((said("TCIS"), said("TCDGN")), ((None, Some(2)), (Some(4), Some(4))));
    }
}
