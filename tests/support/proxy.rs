//! A wire between host and target that is not to be trusted.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use nvme_spdk::Address;

/// Bytes of the common header: type, flags, HLEN, PDO, PLEN (NVMe/TCP, "PDU Common Header").
const COMMON: usize = 8;

/// PDU types.
pub const CAPSULE_CMD: u8 = 0x04;
pub const CAPSULE_RESP: u8 = 0x05;
pub const H2C_DATA: u8 = 0x06;
pub const C2H_DATA: u8 = 0x07;

/// What is spoiled of the next PDU of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// A byte of its data, at this place modulo its length.
    Data(u8, usize),
    /// A byte of its header behind the common part.
    Header(u8, usize),
}

/// Passes PDUs on, both ways, and spoils one when told to.
#[derive(Debug)]
pub struct Proxy {
    address: Address,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    next: Mutex<Option<Spoil>>,
    spoiled: AtomicU64,
}

impl Proxy {
    /// In front of a target; it runs until the program ends.
    pub fn new(target: &Address) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = super::address_of(listener.local_addr().expect("its address"));
        let shared = Arc::new(Shared::default());
        let (target, for_thread) = (target.to_string(), Arc::clone(&shared));
        thread::spawn(move || {
            for host in listener.incoming().flatten() {
                let Ok(target) = TcpStream::connect(&target) else { continue };
                for (from, to) in [(&host, &target), (&target, &host)] {
                    let [from, to] = [from, to].map(|stream| stream.try_clone().expect("a descriptor"));
                    let shared = Arc::clone(&for_thread);
                    thread::spawn(move || drop(pass_on(from, to, &shared)));
                }
            }
        });
        Proxy { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Spoils the next PDU that fits.
    pub fn spoil(&self, spoil: Spoil) {
        *self.shared.next.lock().expect("no panic") = Some(spoil);
    }

    /// How many PDUs were spoiled so far.
    pub fn spoiled(&self) -> u64 {
        self.shared.spoiled.load(Ordering::SeqCst)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, shared: &Shared) -> io::Result<()> {
    let ended = (|| loop {
        let mut pdu = vec![0; COMMON];
        from.read_exact(&mut pdu)?;
        let len = u32::from_le_bytes([pdu[4], pdu[5], pdu[6], pdu[7]]) as usize;
        pdu.resize(len.max(COMMON), 0);
        from.read_exact(&mut pdu[COMMON..])?;
        shared.look_at(&mut pdu);
        to.write_all(&pdu)?;
    })();
    // Whoever hangs up, hangs up for both.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
    ended
}

impl Shared {
    fn look_at(&self, pdu: &mut [u8]) {
        let mut next = self.next.lock().expect("no panic");
        let Some(spoil) = *next else { return };
        let (kind, header, data) = (pdu[0], usize::from(pdu[2]), usize::from(pdu[3]));
        let place = match spoil {
            Spoil::Data(wanted, at) if wanted == kind && data > 0 && pdu.len() > data + 4 => {
                // The last four bytes are the digest.
                data + at % (pdu.len() - 4 - data)
            }
            Spoil::Header(wanted, at) if wanted == kind => COMMON + at % (header - COMMON),
            _ => return,
        };
        pdu[place] ^= 1 << (place % 8);
        *next = None;
        self.spoiled.fetch_add(1, Ordering::SeqCst);
    }
}
