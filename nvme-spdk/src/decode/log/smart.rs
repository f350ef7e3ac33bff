//! SMART / Health Information (NVMe base specification, "SMART / Health Information Log Page").

use super::super::feature::{CRITICAL_WARNINGS, kelvin};
use super::super::layout::{Spec, bytes};

pub(super) const FIELDS: &[Spec] = &[
    bytes(0, 0, "CW", "Critical Warning").set_of(CRITICAL_WARNINGS),
    bytes(2, 1, "CTEMP", "Composite Temperature").told(kelvin),
    bytes(3, 3, "AVSP", "Available Spare").unit("percent"),
    bytes(4, 4, "AVSPT", "Available Spare Threshold").unit("percent"),
    bytes(5, 5, "PUSED", "Percentage Used").unit("percent"),
    bytes(6, 6, "EGCWS", "Endurance Group Critical Warning Summary").set_of(CRITICAL_WARNINGS).quiet(),
    bytes(47, 32, "DUR", "Data Units Read").told(data_units),
    bytes(63, 48, "DUW", "Data Units Written").told(data_units),
    bytes(79, 64, "HRC", "Host Read Commands"),
    bytes(95, 80, "HWC", "Host Write Commands"),
    bytes(111, 96, "CBT", "Controller Busy Time").unit("min"),
    bytes(127, 112, "PWRC", "Power Cycles"),
    bytes(143, 128, "POH", "Power On Hours"),
    bytes(159, 144, "UPL", "Unsafe Shutdowns"),
    bytes(175, 160, "MDIE", "Media and Data Integrity Errors"),
    bytes(191, 176, "NEILE", "Number of Error Information Log Entries"),
    bytes(195, 192, "WCTT", "Warning Composite Temperature Time").unit("min"),
    bytes(199, 196, "CCTT", "Critical Composite Temperature Time").unit("min"),
    bytes(201, 200, "TSEN1", "Temperature Sensor 1").told(kelvin).quiet(),
    bytes(203, 202, "TSEN2", "Temperature Sensor 2").told(kelvin).quiet(),
    bytes(205, 204, "TSEN3", "Temperature Sensor 3").told(kelvin).quiet(),
    bytes(207, 206, "TSEN4", "Temperature Sensor 4").told(kelvin).quiet(),
    bytes(209, 208, "TSEN5", "Temperature Sensor 5").told(kelvin).quiet(),
    bytes(211, 210, "TSEN6", "Temperature Sensor 6").told(kelvin).quiet(),
    bytes(213, 212, "TSEN7", "Temperature Sensor 7").told(kelvin).quiet(),
    bytes(215, 214, "TSEN8", "Temperature Sensor 8").told(kelvin).quiet(),
    bytes(219, 216, "TMT1TC", "Thermal Management Temperature 1 Transition Count").quiet(),
    bytes(223, 220, "TMT2TC", "Thermal Management Temperature 2 Transition Count").quiet(),
    bytes(227, 224, "TTTMT1", "Total Time For Thermal Management Temperature 1").unit("s").quiet(),
    bytes(231, 228, "TTTMT2", "Total Time For Thermal Management Temperature 2").unit("s").quiet(),
];

/// Thousands of 512 bytes.
fn data_units(units: u128) -> String {
    let bytes = units as f64 * 512_000.0;
    match bytes {
        0.0 => String::new(),
        1e12.. => format!("{:.2} TB", bytes / 1e12),
        1e9.. => format!("{:.2} GB", bytes / 1e9),
        _ => format!("{:.2} MB", bytes / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn health() {
        let mut data = [0; 512];
        data[0] = 0b10;
        data[1..3].copy_from_slice(&358_u16.to_le_bytes());
        data[3..6].copy_from_slice(&[100, 10, 3]);
        data[32..48].copy_from_slice(&2_000_000_u128.to_le_bytes());
        data[128] = 12;
        let smart = log_page(2, &data);
        let lines: Vec<_> = smart.fields.iter().take(7).map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "CW 0x2 (temperature beyond threshold)",
                "CTEMP 358 (85 °C)",
                "AVSP 100 (percent)",
                "AVSPT 10 (percent)",
                "PUSED 3 (percent)",
                "EGCWS 0x0",
                "DUR 2000000 (1.02 TB)",
            ]
        );
        assert_eq!(smart.number("POH"), Some(12));
        assert!(!smart.field("TSEN1").unwrap().is_told());
    }
}
