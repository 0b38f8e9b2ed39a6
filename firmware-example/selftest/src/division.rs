/// Divides numbers of 64 bits, which a board may do by code of its own, and multiplies back.
///
/// # Errors
/// The name of this check.
pub fn division() -> Result<(), &'static str> {
    const NUMBERS: [u64; 11] = [
        0,
        1,
        7,
        1_000_000,
        u32::MAX as u64,
        1 << 32,
        (1 << 32) + 1,
        1_700_000_000_000_000,
        u64::MAX >> 1,
        1 << 63,
        u64::MAX,
    ];
    let right = |numerator: u64, denominator: u64| {
        let (numerator, denominator) = core::hint::black_box((numerator, denominator));
        let (quotient, remainder) = (numerator / denominator, numerator % denominator);
        let back = quotient.checked_mul(denominator).and_then(|product| product.checked_add(remainder));
        remainder < denominator && back == Some(numerator)
    };
    let all = NUMBERS
        .iter()
        .all(|numerator| NUMBERS[1..].iter().all(|denominator| right(*numerator, *denominator)));
    if all { Ok(()) } else { Err("division") }
}
