//! The target's configuration, as SPDK's JSON.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// The name of the one subsystem.
pub(super) const SUBNQN: &str = "nqn.2026-01.org.nvme-spdk:embedded";

#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub megabytes: u32,
    pub namespaces: u32,
    pub block_size: u32,
    pub io_queues: u16,
    pub listen: IpAddr,
    /// Where the namespaces have their files; in memory without.
    pub folder: Option<PathBuf>,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            megabytes: 256,
            namespaces: 1,
            block_size: 512,
            io_queues: 32,
            listen: Ipv4Addr::LOCALHOST.into(),
            folder: None,
        }
    }
}

/// The largest transfer of one command.
const MAX_IO_SIZE: u32 = 128 << 10;

/// Each takes it some milliseconds to make, and memory.
const MOST_NAMESPACES: u32 = 1024;

/// What a namespace has beyond whole MiB. SSDs do not end at round numbers either, and scripts take a namespace
/// size whose lowest byte is 0 for Identify data that has not arrived.
const BEYOND: u64 = 4096;

impl Shape {
    /// SPDK would start with what no host can use.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::InvalidArgument(why));
        if !self.block_size.is_power_of_two() || !(512..=65536).contains(&self.block_size) {
            return refuse(format!(
                "a block of the embedded target has 512 bytes, or another power of two up to 65536, not {}",
                self.block_size
            ));
        }
        if self.namespaces > MOST_NAMESPACES {
            return refuse(format!(
                "the embedded target has at most {MOST_NAMESPACES} namespaces, not {}",
                self.namespaces
            ));
        }
        if !(1..=65534).contains(&self.io_queues) {
            return refuse(format!(
                "the embedded target has 1 to 65534 I/O queues per controller, not {}",
                self.io_queues
            ));
        }
        Ok(())
    }

    /// Memory for its own pools and the namespaces, with room for a dozen controllers and their queues. It
    /// is taken when it is touched.
    pub(super) fn memory_megabytes(&self) -> u32 {
        self.megabytes.saturating_mul(self.namespaces).saturating_add(1280)
    }

    fn bytes(&self) -> u64 {
        u64::from(self.megabytes) * (1 << 20) + BEYOND
    }

    fn file(&self, nsid: u32) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("ns{nsid}")))
    }

    /// Makes the files that are not there yet.
    pub(super) fn make_files(&self) -> io::Result<()> {
        for file in (1..=self.namespaces).filter_map(|nsid| self.file(nsid)) {
            let file = File::options().create(true).truncate(false).write(true).open(file)?;
            if file.metadata()?.len() < self.bytes() {
                file.set_len(self.bytes())?;
            }
        }
        Ok(())
    }

    pub(super) fn to_json(&self, port: u16) -> Value {
        let call = |method: &str, params: Value| json!({"method": method, "params": params});
        let blocks = self.bytes() / u64::from(self.block_size.max(1));

        // The default pool is for dozens of devices and takes half a second to fill.
        let mut bdev =
            vec![call("bdev_set_options", json!({"bdev_io_pool_size": 16384, "bdev_io_cache_size": 256}))];
        let mut nvmf = vec![
            // Connections are accepted after 1 ms, not 10.
            call("nvmf_set_config", json!({"acceptor_poll_rate": 1000})),
            call(
                "nvmf_create_transport",
                json!({
                    "trtype": "TCP",
                    "max_queue_depth": 1024,
                    "max_io_qpairs_per_ctrlr": self.io_queues,
                    "max_io_size": MAX_IO_SIZE,
                    "io_unit_size": MAX_IO_SIZE,
                }),
            ),
            call(
                "nvmf_create_subsystem",
                json!({
                    "nqn": SUBNQN,
                    "allow_any_host": true,
                    "serial_number": "EMBEDDED0001",
                    "model_number": "nvme-spdk embedded target",
                    "max_namespaces": self.namespaces.max(1),
                }),
            ),
        ];
        for nsid in 1..=self.namespaces {
            let file = self.file(nsid);
            let name = format!("{}{nsid}", if file.is_some() { "file" } else { "ram" });
            bdev.push(match file {
                None => call(
                    "bdev_malloc_create",
                    json!({"name": name, "num_blocks": blocks, "block_size": self.block_size}),
                ),
                Some(file) => call(
                    "bdev_aio_create",
                    json!({"name": name, "filename": file, "block_size": self.block_size}),
                ),
            });
            nvmf.push(call(
                "nvmf_subsystem_add_ns",
                json!({"nqn": SUBNQN, "namespace": {"bdev_name": name, "nsid": nsid}}),
            ));
        }
        // Last: who can connect finds everything in place.
        nvmf.push(call(
            "nvmf_subsystem_add_listener",
            json!({
                "nqn": SUBNQN,
                "listen_address": {
                    "trtype": "TCP",
                    "adrfam": if self.listen.is_ipv4() { "IPv4" } else { "IPv6" },
                    "traddr": self.listen.to_string(),
                    "trsvcid": port.to_string(),
                },
            }),
        ));
        json!({"subsystems": [
            {"subsystem": "bdev", "config": bdev},
            {"subsystem": "nvmf", "config": nvmf},
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_comes_last() {
        let json = Shape { namespaces: 3, ..Default::default() }.to_json(4420);
        let nvmf = json["subsystems"][1]["config"].as_array().unwrap();
        assert_eq!(nvmf.last().unwrap()["method"], "nvmf_subsystem_add_listener");
        assert_eq!(nvmf.iter().filter(|call| call["method"] == "nvmf_subsystem_add_ns").count(), 3);
        assert_eq!(json["subsystems"][0]["config"][1]["params"]["num_blocks"], 524_296);
    }
}
