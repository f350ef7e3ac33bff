//! Where the controllers of a tool are, and how it connects to them.

use std::time::Duration;

use nvme_spdk::{
    Address, ConnectOptions, Controller, Env, EnvOptions, Memory, Namespace, Target, TransportId,
};

use crate::end::Result;

/// The part of a command line that says which controllers.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Controllers")]
pub struct Where {
    /// A controller: 0000:01:00.0, 192.168.1.7:4420, or as SPDK's tools take it, 'trtype:TCP adrfam:IPv4
    /// traddr:192.168.1.7 trsvcid:4420 subnqn:nqn.2026-01.io.example:disk1 ns:1'. Can be given several times. Without
    /// one, an embedded NVMe/TCP target in memory is started
    #[arg(short = 'r', long = "transport-id", value_name = "ID", value_parser = transport_id)]
    ids: Vec<TransportId>,

    /// The name this host gives itself
    #[arg(long, value_name = "NQN")]
    hostnqn: Option<String>,

    /// CRC-32C over PDU headers (TCP)
    #[arg(short = 'H', long)]
    header_digest: bool,

    /// CRC-32C over PDU data (TCP)
    #[arg(short = 'I', long)]
    data_digest: bool,

    /// Keep-alive timeout; 0 switches keep-alive off
    #[arg(short, long, value_name = "MS", default_value_t = 0)]
    keep_alive: u64,

    /// The most that connecting may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,

    /// Use so much ordinary memory instead of hugepages (TCP)
    #[arg(long, value_name = "MB")]
    ordinary_memory: Option<u32>,
}

fn transport_id(text: &str) -> Result<TransportId, nvme_spdk::Error> {
    Ok(text.parse()?)
}

/// The controllers of a tool, and the embedded target if it runs.
pub struct Place {
    pub ids: Vec<TransportId>,
    pub options: ConnectOptions,
    _target: Option<Target>,
}

impl Where {
    /// Gets ready to connect: starts the environment, and the embedded target if there is nothing else.
    pub fn prepare(self) -> Result<Place> {
        if let Some(megabytes) = self.ordinary_memory {
            Env::start(EnvOptions::new().memory(Memory::Ordinary { megabytes }))?;
        }
        let mut options = ConnectOptions::new()
            .header_digest(self.header_digest)
            .data_digest(self.data_digest)
            .keep_alive(Duration::from_millis(self.keep_alive))
            .timeout(Duration::from_secs(self.timeout));
        if let Some(nqn) = self.hostnqn {
            options = options.hostnqn(nqn);
        }
        let (mut ids, mut target) = (self.ids, None);
        if ids.is_empty() {
            let started = Target::start()?;
            eprintln!("no controller given (-r): using an embedded target at {}", started.address());
            let mut id = TransportId::from(started.address().clone());
            id.subnqn = Some(started.subnqn().to_owned());
            ids.push(id);
            target = Some(started);
        }
        Ok(Place { ids, options, _target: target })
    }
}

impl Place {
    /// Connects to one of them.
    pub fn connect(&self, id: &TransportId) -> Result<Controller> {
        Ok(Controller::connect(&id.address, id.options(self.options.clone()))?)
    }
}

/// How a controller is called in a table, as SPDK's tools do it.
pub fn name(controller: &Controller) -> String {
    match controller.address() {
        Address::Pcie(function) => format!("PCIE ({function})"),
        Address::Tcp { host, .. } => format!("TCP  (addr:{host} subnqn:{})", controller.subnqn()),
        other => other.to_string(),
    }
}

#[allow(dead_code, reason = "identify also shows namespaces that cannot be used")]
/// The namespaces that are meant: the one of the transport identifier, or all that are active.
pub fn namespaces(controller: &Controller, id: &TransportId) -> Result<Vec<Namespace>> {
    if let Some(nsid) = id.nsid {
        return Ok(vec![controller.namespace(nsid)?]);
    }
    let found: Vec<_> = controller
        .active_namespaces()?
        .into_iter()
        .filter_map(|nsid| match controller.namespace(nsid) {
            Ok(namespace) => Some(namespace),
            Err(why) => {
                eprintln!("skipped: {why}");
                None
            }
        })
        .collect();
    match found.is_empty() {
        true => Err(format!("{} has no namespace to use", name(controller)).into()),
        false => Ok(found),
    }
}
