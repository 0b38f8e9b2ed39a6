//! Memory-mapped registers of the board's simple peripherals.

/// A peripheral: registers of 32 bits from an address on.
pub struct Mmio(usize);

impl Mmio {
    /// # Safety
    /// The peripheral must be there, and this its only user.
    pub const unsafe fn new(base: usize) -> Mmio {
        Mmio(base)
    }

    /// Reads the register at this offset in bytes.
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: promised to `new`.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    /// Writes the register at this offset in bytes.
    pub fn write(&self, offset: usize, value: u32) {
        // SAFETY: promised to `new`.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }
}
