//! Strings in the Huffman code of RFC 7541, appendix B. The code is canonical: lengths tell all of it.

use super::Malformed;

/// Bits of each symbol's code; the last one is the end of a string, which is never sent.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const SYMBOLS: usize = 257;
const LONGEST: usize = 30;
/// Codes of up to so many bits are looked up at once.
const FAST: usize = 9;

struct Code {
    /// By length: one beyond its last code, and what is added to a code to have its place in `symbols`.
    limits: [u32; LONGEST + 1],
    offsets: [i32; LONGEST + 1],
    /// In the order of their codes.
    symbols: [u16; SYMBOLS],
    /// By the first bits: symbol and length; length 0: longer.
    fast: [(u16, u8); 1 << FAST],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut code = Code {
        limits: [0; LONGEST + 1],
        offsets: [0; LONGEST + 1],
        symbols: [0; SYMBOLS],
        fast: [(0, 0); 1 << FAST],
    };
    let (mut next, mut place, mut length) = (0u32, 0usize, 1usize);
    while length <= LONGEST {
        next <<= 1;
        code.offsets[length] = place as i32 - next as i32;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                code.symbols[place] = symbol as u16;
                if length <= FAST {
                    let first = (next as usize) << (FAST - length);
                    let mut i = 0;
                    while i < 1 << (FAST - length) {
                        code.fast[first + i] = (symbol as u16, length as u8);
                        i += 1;
                    }
                }
                place += 1;
                next += 1;
            }
            symbol += 1;
        }
        code.limits[length] = next;
        length += 1;
    }
    code
}

/// Appends what `coded` stands for.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    const MASK: u32 = (1 << LONGEST) - 1;
    let mut rest = coded.iter();
    let (mut bits, mut count) = (0u64, 0usize);
    loop {
        while count < 56
            && let Some(byte) = rest.next()
        {
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        if count == 0 {
            return Ok(());
        }
        // What is missing at the end is ones, like the padding.
        let window = match count >= LONGEST {
            true => (bits >> (count - LONGEST)) as u32 & MASK,
            false => ((bits << (LONGEST - count)) as u32 | MASK >> count) & MASK,
        };
        let (symbol, length) = match CODE.fast[(window >> (LONGEST - FAST)) as usize] {
            (_, 0) => long(window),
            (symbol, length) => (symbol, usize::from(length)),
        };
        if length > count {
            let is_padding = count < 8 && bits & ((1 << count) - 1) == (1 << count) - 1;
            return if is_padding { Ok(()) } else { Err(Malformed) };
        }
        let Ok(byte) = u8::try_from(symbol) else {
            return Err(Malformed);
        };
        out.push(byte);
        count -= length;
    }
}

fn long(window: u32) -> (u16, usize) {
    for length in FAST + 1..LONGEST {
        let code = window >> (LONGEST - length);
        if code < CODE.limits[length] {
            let place = code as i32 + CODE.offsets[length];
            return (CODE.symbols[place as usize], length);
        }
    }
    let place = window as i32 + CODE.offsets[LONGEST];
    (CODE.symbols[place as usize], LONGEST)
}
