//! Run loops for platforms. The core knows none of them; each is behind a feature of its name.

#[cfg(feature = "embassy-net")]
pub mod embassy;
