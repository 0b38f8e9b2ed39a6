//! [`embassy_net_driver`] for SMSC's LAN9118 and the compatible LAN9220, as on Arm's MPS2 and MPS2+ boards.
//!
//! Interrupt-driven: while nothing happens, nothing runs. A static [`Lan9118`] is shared by the interrupt handler, which
//! calls [`Lan9118::on_interrupt`], and by the one [`Device`] that [`Lan9118::start`] makes for the network stack.
//!
//! Registers and bits have the names of the LAN9118 datasheet (chapter 5). Not used: the chip's checksum engine, wake on
//! LAN, flow control, multicast reception.
#![no_std]

mod registers;

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::Context;

use embassy_net_driver as driver;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;

use registers::{
    BYTE_TEST, FIFO_INT, HW_CFG, INT_EN, INT_STS, IRQ_CFG, MacRegister, PhyRegister, RX_CFG, RX_DATA_FIFO,
    RX_FIFO_INF, RX_STATUS_FIFO, Registers, TX_CFG, TX_DATA_FIFO, TX_FIFO_INF, TX_STATUS_FIFO, interrupt,
};

/// Longest Ethernet frame without its checksum: header and 1,500 bytes.
pub const FRAME_MAX: usize = 1514;

/// Of the TX FIFO's data room: a frame of [`FRAME_MAX`] in words, and its two command words.
const TX_ROOM: usize = FRAME_MAX.next_multiple_of(4) + 8;

/// Memory for one frame in each direction; best a static, as it is large.
pub struct Buffers {
    rx: [u8; FRAME_MAX],
    tx: [u8; FRAME_MAX],
}

impl Buffers {
    /// Empty ones.
    pub const fn new() -> Buffers {
        Buffers { rx: [0; FRAME_MAX], tx: [0; FRAME_MAX] }
    }
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers::new()
    }
}

/// There is no LAN9118 at this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound;

/// The controller.
pub struct Lan9118 {
    registers: Registers,
    waker: AtomicWaker,
    phy_event: AtomicBool,
    received: AtomicU32,
    damaged: AtomicU32,
}

impl Lan9118 {
    /// The controller whose first register is at `base`.
    ///
    /// # Safety
    /// `base` must be where a LAN9118 is mapped, in words of 32 bits, and be used by nobody else.
    pub const unsafe fn new(base: usize) -> Lan9118 {
        // SAFETY: the caller's promise is the same.
        let registers = unsafe { Registers::new(base) };
        Lan9118 {
            registers,
            waker: AtomicWaker::new(),
            phy_event: AtomicBool::new(true),
            received: AtomicU32::new(0),
            damaged: AtomicU32::new(0),
        }
    }

    /// Resets the controller and switches it on; to be called once. Its interrupt may then be enabled.
    ///
    /// The MAC address is the one in the controller's EEPROM.
    ///
    /// # Errors
    /// [`NotFound`] if something else, or nothing, is at its address.
    pub fn start<'a>(&'a self, buffers: &'a mut Buffers) -> Result<Device<'a>, NotFound> {
        let chip = &self.registers;
        if chip.read(BYTE_TEST) != registers::BYTE_TEST_PATTERN {
            return Err(NotFound);
        }
        chip.write(HW_CFG, registers::HW_CFG_SRST);
        while chip.read(HW_CFG) & registers::HW_CFG_SRST != 0 {}
        chip.write(HW_CFG, registers::HW_CFG_TX_FIF_SZ_5K);

        let [a, b, c, d] = chip.read_mac(MacRegister::Addrl).to_le_bytes();
        let [e, f, ..] = chip.read_mac(MacRegister::Addrh).to_le_bytes();

        chip.write(
            IRQ_CFG,
            registers::IRQ_CFG_IRQ_EN | registers::IRQ_CFG_IRQ_POL | registers::IRQ_CFG_IRQ_TYPE,
        );
        chip.write(FIFO_INT, registers::fifo_int(TX_ROOM, 0));
        chip.write(RX_CFG, 0);
        chip.write(TX_CFG, registers::TX_CFG_TX_ON);
        chip.write_mac(
            MacRegister::Cr,
            registers::MAC_CR_FDPX | registers::MAC_CR_TXEN | registers::MAC_CR_RXEN,
        );
        chip.write_phy(
            PhyRegister::InterruptMask,
            registers::PHY_INT_LINK_DOWN | registers::PHY_INT_AUTONEG_COMPLETE,
        );
        let address = [a, b, c, d, e, f];
        Ok(Device { chip: self, buffers, address, link: LinkState::Down })
    }

    /// How many frames have come for this controller, and how many of those it called damaged or longer than
    /// [`FRAME_MAX`]. Those were dropped; the others went to the network stack.
    pub fn frames(&self) -> (u32, u32) {
        (self.received.load(Ordering::Relaxed), self.damaged.load(Ordering::Relaxed))
    }

    /// To be called by the controller's interrupt: mutes it and wakes the network's task, which reads what there is.
    pub fn on_interrupt(&self) {
        if self.registers.read(INT_STS) & interrupt::PHY != 0 {
            self.phy_event.store(true, Ordering::Relaxed);
        }
        self.registers.write(INT_EN, 0);
        self.waker.wake();
    }

    /// Unmutes these interrupts; those that are due already come at once, so no wake-up is lost between two looks.
    fn listen(&self, context: &mut Context<'_>, sources: u32) {
        self.waker.register(context.waker());
        self.registers.write(INT_STS, sources & !interrupt::PHY);
        self.registers.write(INT_EN, sources | interrupt::PHY);
    }

    fn frames_waiting(&self) -> bool {
        self.registers.read(RX_FIFO_INF) >> 16 & 0xff != 0
    }

    fn has_tx_room(&self) -> bool {
        // Nobody asks how a transmission ended, but a full status FIFO would stop the next.
        while self.registers.read(TX_FIFO_INF) >> 16 & 0xff != 0 {
            self.registers.read(TX_STATUS_FIFO);
        }
        self.registers.read(TX_FIFO_INF) & 0xffff >= TX_ROOM as u32
    }

    /// Takes the next frame out of the FIFO; its length, or `None` if it was damaged or does not fit.
    fn read_frame(&self, buffer: &mut [u8; FRAME_MAX]) -> Option<usize> {
        let status = self.registers.read(RX_STATUS_FIFO);
        let received = (status >> 16 & 0x3fff) as usize;
        let length = received.checked_sub(registers::CRC_LENGTH).filter(|length| *length <= FRAME_MAX);
        let frame = length.filter(|_| status & registers::RX_STATUS_ERROR == 0);
        self.received.fetch_add(1, Ordering::Relaxed);
        self.damaged.fetch_add(frame.is_none().into(), Ordering::Relaxed);
        let mut chunks = buffer[..frame.unwrap_or(0)].chunks_mut(4);
        for _ in 0..received.div_ceil(4) {
            let word = self.registers.read(RX_DATA_FIFO).to_le_bytes();
            if let Some(chunk) = chunks.next() {
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
        }
        frame
    }

    fn write_frame(&self, frame: &[u8]) {
        let length = frame.len() as u32;
        self.registers.write(TX_DATA_FIFO, registers::TX_CMD_A_FIRST | registers::TX_CMD_A_LAST | length);
        self.registers.write(TX_DATA_FIFO, length << 16 | length);
        for chunk in frame.chunks(4) {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            self.registers.write(TX_DATA_FIFO, u32::from_le_bytes(word));
        }
    }
}

/// The running controller, as the network stack sees it.
pub struct Device<'a> {
    chip: &'a Lan9118,
    buffers: &'a mut Buffers,
    address: [u8; 6],
    link: LinkState,
}

impl Driver for Device<'_> {
    type RxToken<'a>
        = RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        // A received frame may have to be answered on the spot, so it waits until there is room for that.
        if !self.chip.has_tx_room() {
            self.chip.listen(context, interrupt::TDFA);
            return None;
        }
        loop {
            if !self.chip.frames_waiting() {
                self.chip.listen(context, interrupt::RSFL);
                if !self.chip.frames_waiting() {
                    return None;
                }
            }
            if let Some(length) = self.chip.read_frame(&mut self.buffers.rx) {
                let frame = &mut self.buffers.rx[..length];
                return Some((RxToken { frame }, TxToken { chip: self.chip, buffer: &mut self.buffers.tx }));
            }
        }
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<TxToken<'_>> {
        if self.chip.has_tx_room() {
            return Some(TxToken { chip: self.chip, buffer: &mut self.buffers.tx });
        }
        self.chip.listen(context, interrupt::TDFA | interrupt::RSFL);
        None
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        self.chip.waker.register(context.waker());
        if self.chip.phy_event.swap(false, Ordering::Relaxed) {
            let chip = &self.chip.registers;
            chip.read_phy(PhyRegister::InterruptSource); // which acknowledges it
            chip.write(INT_STS, interrupt::PHY);
            chip.read_phy(PhyRegister::BasicStatus); // a lost link stays visible for one look
            let up = chip.read_phy(PhyRegister::BasicStatus) & registers::PHY_STATUS_LINK != 0;
            self.link = if up { LinkState::Up } else { LinkState::Down };
        }
        self.link
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_MAX;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A received frame.
pub struct RxToken<'a> {
    frame: &'a mut [u8],
}

impl driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.frame)
    }
}

/// Room for one frame to be sent.
pub struct TxToken<'a> {
    chip: &'a Lan9118,
    buffer: &'a mut [u8; FRAME_MAX],
}

impl driver::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let frame = &mut self.buffer[..length];
        let result = f(frame);
        self.chip.write_frame(frame);
        result
    }
}
