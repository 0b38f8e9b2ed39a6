//! The controller's registers, and the ways to its MAC's and its PHY's.

/// Offset of a register in bytes.
pub type Offset = usize;

pub const RX_DATA_FIFO: Offset = 0x00;
pub const TX_DATA_FIFO: Offset = 0x20;
pub const RX_STATUS_FIFO: Offset = 0x40;
pub const TX_STATUS_FIFO: Offset = 0x48;
pub const IRQ_CFG: Offset = 0x54;
pub const INT_STS: Offset = 0x58;
pub const INT_EN: Offset = 0x5c;
pub const BYTE_TEST: Offset = 0x64;
pub const FIFO_INT: Offset = 0x68;
pub const RX_CFG: Offset = 0x6c;
pub const TX_CFG: Offset = 0x70;
pub const HW_CFG: Offset = 0x74;
pub const RX_FIFO_INF: Offset = 0x7c;
pub const TX_FIFO_INF: Offset = 0x80;
const MAC_CSR_CMD: Offset = 0xa4;
const MAC_CSR_DATA: Offset = 0xa8;

pub const BYTE_TEST_PATTERN: u32 = 0x8765_4321;

pub const IRQ_CFG_IRQ_EN: u32 = 1 << 8;
/// Active high.
pub const IRQ_CFG_IRQ_POL: u32 = 1 << 4;
/// Push-pull.
pub const IRQ_CFG_IRQ_TYPE: u32 = 1 << 0;

/// Bits of INT_STS and INT_EN.
pub mod interrupt {
    /// RX status FIFO level: a frame has come.
    pub const RSFL: u32 = 1 << 3;
    /// TX data FIFO available: there is room for a frame.
    pub const TDFA: u32 = 1 << 9;
    /// The PHY's.
    pub const PHY: u32 = 1 << 18;
}

/// FIFO_INT: more than `tx_room` bytes free in the TX FIFO raise TDFA, more than `frames` in the RX FIFO raise RSFL.
pub const fn fifo_int(tx_room: usize, frames: u32) -> u32 {
    (tx_room.div_ceil(64) as u32) << 24 | frames
}

pub const TX_CFG_TX_ON: u32 = 1 << 1;
/// Soft reset, which clears itself.
pub const HW_CFG_SRST: u32 = 1 << 0;
/// Of the 16 KiB for both directions, 5 are for transmission.
pub const HW_CFG_TX_FIF_SZ_5K: u32 = 5 << 16;

/// A received frame's checksum, which the controller counts and hands over with it.
pub const CRC_LENGTH: usize = 4;
/// Error summary.
pub const RX_STATUS_ERROR: u32 = 1 << 15;
/// First segment of the frame.
pub const TX_CMD_A_FIRST: u32 = 1 << 13;
/// Last segment of the frame.
pub const TX_CMD_A_LAST: u32 = 1 << 12;

/// Registers of the MAC.
#[derive(Clone, Copy)]
pub enum MacRegister {
    Cr = 1,
    Addrh = 2,
    Addrl = 3,
    MiiAcc = 6,
    MiiData = 7,
}

const MAC_CSR_BUSY: u32 = 1 << 31;
const MAC_CSR_READ: u32 = 1 << 30;

/// Full duplex.
pub const MAC_CR_FDPX: u32 = 1 << 20;
pub const MAC_CR_TXEN: u32 = 1 << 3;
pub const MAC_CR_RXEN: u32 = 1 << 2;

/// Registers of the internal PHY.
#[derive(Clone, Copy)]
pub enum PhyRegister {
    BasicStatus = 1,
    InterruptSource = 29,
    InterruptMask = 30,
}

const MII_BUSY: u32 = 1 << 0;
const MII_WRITE: u32 = 1 << 1;
const MII_PHY_ADDRESS: u32 = 1 << 11;

pub const PHY_STATUS_LINK: u32 = 1 << 2;
pub const PHY_INT_LINK_DOWN: u32 = 1 << 4;
pub const PHY_INT_AUTONEG_COMPLETE: u32 = 1 << 6;

/// The mapped registers.
pub struct Registers {
    base: usize,
}

impl Registers {
    /// # Safety
    /// As for [`Lan9118::new`](crate::Lan9118::new).
    pub const unsafe fn new(base: usize) -> Registers {
        Registers { base }
    }

    pub fn read(&self, register: Offset) -> u32 {
        // SAFETY: it is the controller's, by the promise made to `new`.
        unsafe { ((self.base + register) as *const u32).read_volatile() }
    }

    pub fn write(&self, register: Offset, value: u32) {
        // SAFETY: as above.
        unsafe { ((self.base + register) as *mut u32).write_volatile(value) }
    }

    pub fn read_mac(&self, register: MacRegister) -> u32 {
        self.mac_command(MAC_CSR_READ | register as u32);
        self.read(MAC_CSR_DATA)
    }

    pub fn write_mac(&self, register: MacRegister, value: u32) {
        self.write(MAC_CSR_DATA, value);
        self.mac_command(register as u32);
    }

    fn mac_command(&self, command: u32) {
        self.write(MAC_CSR_CMD, MAC_CSR_BUSY | command);
        while self.read(MAC_CSR_CMD) & MAC_CSR_BUSY != 0 {}
    }

    pub fn read_phy(&self, register: PhyRegister) -> u32 {
        self.phy_command(register, 0);
        self.read_mac(MacRegister::MiiData)
    }

    pub fn write_phy(&self, register: PhyRegister, value: u32) {
        self.write_mac(MacRegister::MiiData, value);
        self.phy_command(register, MII_WRITE);
    }

    fn phy_command(&self, register: PhyRegister, direction: u32) {
        self.write_mac(MacRegister::MiiAcc, MII_PHY_ADDRESS | (register as u32) << 6 | direction | MII_BUSY);
        while self.read_mac(MacRegister::MiiAcc) & MII_BUSY != 0 {}
    }
}
