//! Submission queue entries: the few commands a conversation over NVMe/TCP needs.

/// A submission queue entry under construction; every byte can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command([u8; 64]);

/// The data pointer of a command over fabrics: one SGL descriptor ("Scatter Gather List (SGL)").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sgl {
    /// The data is in the capsule, from this offset on (SGL Data Block, offset).
    InCapsule {
        /// From the beginning of the in-capsule data.
        offset: u64,
        /// In bytes.
        length: u32,
    },
    /// The transport moves it: by R2T to the controller, as C2HData to the host (Transport SGL Data Block).
    Transport {
        /// In bytes.
        length: u32,
    },
}

const FABRICS: u8 = 0x7F;
const PROPERTY_SET: u8 = 0x00;
const CONNECT: u8 = 0x01;
const PROPERTY_GET: u8 = 0x04;
const WRITE: u8 = 0x01;
const READ: u8 = 0x02;
const IDENTIFY: u8 = 0x06;
const KEEP_ALIVE: u8 = 0x18;

/// PSDT: SGLs are used, as every command over fabrics has to.
const SGLS: u8 = 0b01 << 6;

impl Command {
    /// An opcode and a command identifier; no data.
    pub fn new(opcode: u8, cid: u16) -> Self {
        let mut bytes = [0; 64];
        bytes[0] = opcode;
        bytes[1] = SGLS;
        bytes[2..4].copy_from_slice(&cid.to_le_bytes());
        Command(bytes).sgl(Sgl::Transport { length: 0 })
    }

    fn fabrics(fctype: u8, cid: u16) -> Self {
        let mut command = Command::new(FABRICS, cid);
        command.0[4] = fctype;
        command
    }

    /// Connect ("Connect Command and Response"), for 1024 bytes of [`ConnectData`] in its capsule. The size of the
    /// queue is a 0's based value.
    pub fn connect(cid: u16, qid: u16, sqsize: u16, kato_ms: u32) -> Self {
        let mut command = Command::fabrics(CONNECT, cid);
        command.0[42..44].copy_from_slice(&qid.to_le_bytes());
        command.0[44..46].copy_from_slice(&sqsize.to_le_bytes());
        command.0[48..52].copy_from_slice(&kato_ms.to_le_bytes());
        command.sgl(Sgl::InCapsule { offset: 0, length: ConnectData::SIZE })
    }

    /// Property Get of 4 or 8 bytes.
    pub fn property_get(cid: u16, offset: u32, eight_bytes: bool) -> Self {
        let mut command = Command::fabrics(PROPERTY_GET, cid);
        command.0[40] = u8::from(eight_bytes);
        command.0[44..48].copy_from_slice(&offset.to_le_bytes());
        command
    }

    /// Property Set of 4 bytes.
    pub fn property_set(cid: u16, offset: u32, value: u32) -> Self {
        let mut command = Command::fabrics(PROPERTY_SET, cid);
        command.0[44..48].copy_from_slice(&offset.to_le_bytes());
        command.0[48..52].copy_from_slice(&value.to_le_bytes());
        command
    }

    /// Identify of a namespace or, with CNS 1, the controller: 4096 bytes.
    pub fn identify(cid: u16, cns: u8, nsid: u32) -> Self {
        Command::new(IDENTIFY, cid).nsid(nsid).dword(10, cns.into()).sgl(Sgl::Transport { length: 4096 })
    }

    /// Keep Alive.
    pub fn keep_alive(cid: u16) -> Self {
        Command::new(KEEP_ALIVE, cid)
    }

    /// Read of `blocks` blocks.
    pub fn read(cid: u16, nsid: u32, lba: u64, blocks: u16, sgl: Sgl) -> Self {
        Command::media(READ, cid, nsid, lba, blocks).sgl(sgl)
    }

    /// Write of `blocks` blocks.
    pub fn write(cid: u16, nsid: u32, lba: u64, blocks: u16, sgl: Sgl) -> Self {
        Command::media(WRITE, cid, nsid, lba, blocks).sgl(sgl)
    }

    fn media(opcode: u8, cid: u16, nsid: u32, lba: u64, blocks: u16) -> Self {
        let [low, high] = [lba as u32, (lba >> 32) as u32];
        // NLB is a 0's based value.
        let nlb = u32::from(blocks.wrapping_sub(1));
        Command::new(opcode, cid).nsid(nsid).dword(10, low).dword(11, high).dword(12, nlb)
    }

    /// With another namespace.
    pub fn nsid(self, nsid: u32) -> Self {
        self.dword(1, nsid)
    }

    /// With one of its sixteen dwords changed; others are ignored.
    pub fn dword(mut self, index: usize, value: u32) -> Self {
        if let Some(dword) = self.0.chunks_exact_mut(4).nth(index) {
            dword.copy_from_slice(&value.to_le_bytes());
        }
        self
    }

    /// With another data pointer.
    pub fn sgl(mut self, sgl: Sgl) -> Self {
        let (address, length, kind) = match sgl {
            Sgl::InCapsule { offset, length } => (offset, length, 0x01),
            Sgl::Transport { length } => (0, length, 0x5A),
        };
        self.0[24..32].copy_from_slice(&address.to_le_bytes());
        self.0[32..36].copy_from_slice(&length.to_le_bytes());
        self.0[36..39].fill(0);
        self.0[39] = kind;
        self
    }

    /// Its command identifier.
    pub fn cid(&self) -> u16 {
        u16::from_le_bytes([self.0[2], self.0[3]])
    }

    /// The submission queue entry.
    pub fn bytes(&self) -> [u8; 64] {
        self.0
    }
}

/// Any 64 bytes are a command.
impl From<[u8; 64]> for Command {
    fn from(bytes: [u8; 64]) -> Self {
        Command(bytes)
    }
}

/// The data of a Connect command ("Connect Command Data").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectData {
    /// Host Identifier (HOSTID).
    pub hostid: [u8; 16],
    /// Controller ID (CNTLID); ffffh asks for any.
    pub cntlid: u16,
    /// NVM Subsystem NVMe Qualified Name (SUBNQN), cut after 255 bytes.
    pub subnqn: String,
    /// Host NVMe Qualified Name (HOSTNQN), cut after 255 bytes.
    pub hostnqn: String,
}

impl ConnectData {
    /// How many bytes it takes.
    pub const SIZE: u32 = 1024;

    /// As it goes into the capsule.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::SIZE as usize];
        bytes[..16].copy_from_slice(&self.hostid);
        bytes[16..18].copy_from_slice(&self.cntlid.to_le_bytes());
        for (at, name) in [(256, &self.subnqn), (512, &self.hostnqn)] {
            let name = &name.as_bytes()[..name.len().min(255)];
            bytes[at..at + name.len()].copy_from_slice(name);
        }
        bytes
    }
}
