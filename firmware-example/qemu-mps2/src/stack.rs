//! How much of the stack has been used. cortex-m-rt paints it before the start; what is overwritten was in use.

use core::ops::Range;
use core::ptr;

unsafe extern "C" {
    // Not variables: only where they are means something. memory.x says where.
    static _stack_end: u32;
    static _stack_start: u32;
}

fn region() -> Range<*const u32> {
    &raw const _stack_end..&raw const _stack_start
}

/// Size in bytes.
pub fn size() -> usize {
    let Range { start, end } = region();
    end as usize - start as usize
}

/// Most bytes that have been in use at a time since the start.
pub fn high_water() -> usize {
    let Range { start, end } = region();
    let mut word = start;
    // SAFETY: within the stack's memory; the volatile reads see whatever is there.
    while word < end && unsafe { ptr::read_volatile(word) } == cortex_m_rt::STACK_PAINT_VALUE {
        word = word.wrapping_add(1);
    }
    end as usize - word as usize
}
