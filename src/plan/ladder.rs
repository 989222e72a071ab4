//! The stock types: llama.cpp's file types with their numbers, nominal sizes and needs.

/// A file type llama.cpp can write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StockType {
    /// Its name, as llama.cpp's tools take it.
    pub name: &'static str,
    /// llama.cpp's number of the file type.
    pub ftype: u32,
    /// Bits per weight of its main block format; what a file really has is measured.
    pub nominal_bpw: f64,
    /// Columns a tensor must divide by for the main format.
    pub block: u32,
    /// Whether llama.cpp refuses it without an importance matrix.
    pub needs_imatrix: bool,
}

const fn stock(
    name: &'static str,
    ftype: u32,
    nominal_bpw: f64,
    block: u32,
    needs_imatrix: bool,
) -> StockType {
    StockType { name, ftype, nominal_bpw, block, needs_imatrix }
}

/// Every stock type, from many bits to few. Numbers and block sizes from llama.cpp's `llama.h` and
/// `ggml-common.h`: bpw = 8 * bytes of a block / weights of a block.
pub const STOCK: [StockType; 32] = [
    stock("F32", 0, 32.0, 1, false),
    stock("F16", 1, 16.0, 1, false),
    stock("BF16", 32, 16.0, 1, false),
    stock("Q8_0", 7, 8.5, 32, false),
    stock("Q6_K", 18, 6.5625, 256, false),
    stock("Q5_1", 9, 6.0, 32, false),
    stock("Q5_K_M", 17, 5.5, 256, false),
    stock("Q5_K_S", 16, 5.5, 256, false),
    stock("Q5_0", 8, 5.5, 32, false),
    stock("Q4_1", 3, 5.0, 32, false),
    stock("Q4_K_M", 15, 4.5, 256, false),
    stock("Q4_K_S", 14, 4.5, 256, false),
    stock("Q4_0", 2, 4.5, 32, false),
    stock("IQ4_NL", 25, 4.5, 32, false),
    stock("IQ4_XS", 30, 4.25, 256, false),
    stock("Q3_K_L", 13, 3.4375, 256, false),
    stock("Q3_K_M", 12, 3.4375, 256, false),
    stock("Q3_K_S", 11, 3.4375, 256, false),
    stock("IQ3_M", 27, 3.4375, 256, false),
    stock("IQ3_S", 26, 3.4375, 256, false),
    stock("IQ3_XS", 22, 3.4375, 256, true),
    stock("IQ3_XXS", 23, 3.0625, 256, true),
    stock("Q2_K", 10, 2.625, 256, false),
    stock("Q2_K_S", 21, 2.625, 256, true),
    stock("IQ2_M", 29, 2.5625, 256, true),
    stock("IQ2_S", 28, 2.3125, 256, true),
    stock("IQ2_XS", 20, 2.3125, 256, true),
    stock("IQ2_XXS", 19, 2.0625, 256, true),
    stock("TQ2_0", 37, 2.0625, 256, false),
    stock("IQ1_M", 31, 1.75, 256, true),
    stock("TQ1_0", 36, 1.6875, 256, false),
    stock("IQ1_S", 24, 1.5625, 256, true),
];

/// What a sweep makes when it is not told: from 8 bits to 1.7, nothing that needs an importance matrix.
pub const DEFAULT_LADDER: [&str; 12] = [
    "Q8_0", "Q6_K", "Q5_K_M", "Q5_0", "Q4_K_M", "Q4_0", "IQ4_XS", "Q3_K_M", "Q3_K_S", "Q2_K", "TQ2_0",
    "TQ1_0",
];

/// KV cache types that llama.cpp's attention takes, as ggml names them.
pub const KV_TYPES: [&str; 9] = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"];

/// A stock type by its name, in any case.
pub fn find(name: &str) -> Option<&'static StockType> {
    STOCK.iter().find(|t| t.name.eq_ignore_ascii_case(name))
}

/// The name of llama.cpp's file type number.
pub fn name_of(ftype: u32) -> Option<&'static str> {
    STOCK.iter().find(|t| t.ftype == ftype).map(|t| t.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique() {
        for (i, a) in STOCK.iter().enumerate() {
            for b in STOCK.iter().skip(i + 1) {
                assert_ne!(a.name, b.name);
                assert_ne!(a.ftype, b.ftype);
            }
        }
    }

    #[test]
    fn the_default_ladder_needs_no_imatrix() {
        for name in DEFAULT_LADDER {
            assert!(!find(name).expect(name).needs_imatrix, "{name}");
        }
    }
}
