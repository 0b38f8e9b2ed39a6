//! What a board hands to the application, so that one application runs on all of them.
#![no_std]
#![forbid(unsafe_code)]

mod settings;

use core::ops::Range;

use embassy_net::Stack;

#[cfg(feature = "seal")]
pub use settings::Secret;
pub use settings::{Invalid, Settings};

/// A board that is up: its network runs, everything else waits for the application.
pub struct Board<Flash, Led, Button> {
    /// The network; the board's own task runs it.
    pub stack: Stack<'static>,
    /// Random bits from the board's hardware, other ones at each start.
    pub seed: u64,
    /// Memory that outlives the power, an `embedded_storage_async::nor_flash::NorFlash`.
    pub flash: Flash,
    /// The part of [`flash`](Self::flash) that is the application's, in bytes: at least three erasable pages.
    pub flash_range: Range<u32>,
    /// `FnMut(bool)`: switches the LED on or off.
    pub led: Led,
    /// `AsyncFnMut() -> Press`: returns each time the button has been pressed, debounced.
    pub button: Button,
    /// Starts the board again, as after a power cut.
    pub restart: fn() -> !,
    /// What its owner has set.
    pub settings: Settings,
}

/// What was done to the button.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum Press {
    /// Pressed and released.
    Short,
    /// Held for a second.
    Long,
}
