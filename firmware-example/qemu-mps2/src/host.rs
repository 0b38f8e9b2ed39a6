//! What the host does for the board by semihosting, and the way its log leaves.

use core::str;

use cortex_m_semihosting::{nr, syscall, syscall1};
use defmt_semihosting as _;

const SYS_EXIT_EXTENDED: usize = 0x20;
const ADP_STOPPED_APPLICATION_EXIT: usize = 0x2_0026;

/// QEMU's `arg=..` values, separated by blanks; empty if they do not fit or are not UTF-8.
pub fn command_line(buffer: &mut [u8]) -> &str {
    let mut request = [buffer.as_mut_ptr() as usize, buffer.len()];
    // SAFETY: the host writes at most as many bytes as it is told, into this buffer, and their number into the request.
    let failed = unsafe { syscall1(nr::GET_CMDLINE, request.as_mut_ptr() as usize) } != 0;
    let length = if failed { 0 } else { request[1].min(buffer.len()) };
    str::from_utf8(&buffer[..length]).unwrap_or("")
}

/// 64 random bits of the host's.
///
/// # Panics
/// If the host has no `/dev/urandom`.
pub fn random() -> u64 {
    const PATH: &[u8] = b"/dev/urandom\0";
    let mut bits = [0; 8];
    let open = [PATH.as_ptr() as usize, nr::open::R_BINARY, PATH.len() - 1];
    // SAFETY: the path ends with NUL, which its length does not count; the host reads nothing else.
    let file = unsafe { syscall(nr::OPEN, &open) };
    let read = [file, bits.as_mut_ptr() as usize, bits.len()];
    // SAFETY: the host writes at most `bits.len()` bytes, there.
    let missing = unsafe { syscall(nr::READ, &read) };
    let close = [file];
    // SAFETY: the file is not used any more.
    unsafe { syscall(nr::CLOSE, &close) };
    assert!(missing == 0, "no random bits from the host's /dev/urandom");
    u64::from_le_bytes(bits)
}

/// Ends QEMU with this exit code.
pub fn exit(code: u8) -> ! {
    let reason = [ADP_STOPPED_APPLICATION_EXIT, code.into()];
    // SAFETY: the host reads these two words and does not come back.
    unsafe { syscall(SYS_EXIT_EXTENDED, &reason) };
    unreachable!("QEMU has ended");
}
