//! One screen of log shim: `defmt`, `log`, or nothing, chosen by feature; with both, `defmt`.
//!
//! `info` takes Serf's component first; its texts are Serf's. A device has no operator who waits for them: there it is `debug`.

#[cfg(feature = "defmt")]
macro_rules! warning { ($($arg:tt)*) => { ::defmt::warn!($($arg)*) } }
#[cfg(feature = "defmt")]
macro_rules! debug { ($($arg:tt)*) => { ::defmt::debug!($($arg)*) } }
#[cfg(feature = "defmt")]
macro_rules! info { ($component:literal, $($arg:tt)*) => { ::defmt::debug!($($arg)*) } }

#[cfg(all(feature = "log", not(feature = "defmt")))]
macro_rules! warning { ($($arg:tt)*) => { ::log::warn!(target: "serf", $($arg)*) } }
#[cfg(all(feature = "log", not(feature = "defmt")))]
macro_rules! debug { ($($arg:tt)*) => { ::log::debug!(target: "serf", $($arg)*) } }
#[cfg(all(feature = "log", not(feature = "defmt")))]
macro_rules! info { ($component:literal, $($arg:tt)*) => { ::log::info!(target: $component, $($arg)*) } }

#[cfg(not(any(feature = "log", feature = "defmt")))]
macro_rules! nowhere { ($text:literal $(, $arg:expr)* $(,)?) => {{ $( let _ = &$arg; )* }} }
#[cfg(not(any(feature = "log", feature = "defmt")))]
macro_rules! warning { ($($arg:tt)*) => { nowhere!($($arg)*) } }
#[cfg(not(any(feature = "log", feature = "defmt")))]
macro_rules! debug { ($($arg:tt)*) => { nowhere!($($arg)*) } }
#[cfg(not(any(feature = "log", feature = "defmt")))]
macro_rules! info { ($component:literal, $($arg:tt)*) => { nowhere!($($arg)*) } }
