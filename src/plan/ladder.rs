//! The ladder: every file type this llama.cpp can write, with its number, nominal size and needs, and the two that are
//! made of per-tensor overrides because llama.cpp has no file type for them.

use serde::Serialize;

/// What an importance matrix is to a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Imatrix {
    /// Its quantizer does not look at one.
    Unused,
    /// It is better with one.
    Helps,
    /// llama.cpp refuses it without one.
    Needs,
}

impl Imatrix {
    /// The word of the list: whether the type needs one.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unused => "no",
            Self::Helps => "helps",
            Self::Needs => "yes",
        }
    }
}

/// A file type llama.cpp can write.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StockType {
    /// Its name, as llama.cpp's tools take it.
    pub name: &'static str,
    /// llama.cpp's number of the file type.
    pub ftype: u32,
    /// Bits per weight of its main block format; what a file really has is measured.
    pub nominal_bpw: f64,
    /// Columns a tensor must divide by for the main format.
    pub block: u32,
    /// What an importance matrix is to it.
    pub imatrix: Imatrix,
    /// The tensor type that every matrix of a block is set to, where the file type does not say it.
    pub blocks: Option<&'static str>,
    /// One line for people.
    pub notes: &'static str,
}

const fn stock(
    name: &'static str,
    ftype: u32,
    nominal_bpw: f64,
    block: u32,
    imatrix: Imatrix,
    notes: &'static str,
) -> StockType {
    StockType { name, ftype, nominal_bpw, block, imatrix, blocks: None, notes }
}

/// A dense 4-bit float type: file type Q8_0 with every matrix of a block overridden. llama.cpp's own MXFP4 file type
/// sets experts only and leaves a dense model at Q8_0; for NVFP4 it has none that it can write.
const fn dense(name: &'static str, nominal_bpw: f64, block: u32, notes: &'static str) -> StockType {
    StockType { blocks: Some(name), ..stock(name, 7, nominal_bpw, block, Imatrix::Unused, notes) }
}

/// Every stock type, from many bits to few. Numbers and block sizes from llama.cpp's `llama.h` and
/// `ggml-common.h`: bpw = 8 * bytes of a block / weights of a block. Which quantizers look at an importance matrix is
/// read from `ggml-quants.c`, which types are refused without one from `tensor_requires_imatrix` in `llama-quant.cpp`.
pub const STOCK: [StockType; 37] = {
    use Imatrix::{Helps, Needs, Unused};
    [
        stock("F32", 0, 32.0, 1, Unused, "32-bit float"),
        stock("F16", 1, 16.0, 1, Unused, "16-bit float"),
        stock("BF16", 32, 16.0, 1, Unused, "16-bit float with the range of F32"),
        stock("Q8_0", 7, 8.5, 32, Unused, "the whole model at 8 bits"),
        stock("Q6_K", 18, 6.5625, 256, Helps, "the whole model at 6 bits"),
        stock("Q5_1", 9, 6.0, 32, Helps, "legacy; scale and offset a block"),
        stock("Q5_K_M", 17, 5.5, 256, Helps, "a mix: some attention and down matrices at Q6_K"),
        stock("Q5_K_S", 16, 5.5, 256, Helps, "5 bits throughout"),
        stock("Q5_0", 8, 5.5, 32, Helps, "legacy; one scale a block"),
        stock("Q4_1", 3, 5.0, 32, Helps, "legacy; scale and offset a block"),
        stock("Q4_K_M", 15, 4.5, 256, Helps, "a mix: some attention and down matrices at Q6_K"),
        stock("Q4_K_S", 14, 4.5, 256, Helps, "4 bits; first blocks' value and down matrices at Q5_K"),
        stock("Q4_0", 2, 4.5, 32, Helps, "legacy; one scale a block, repacked for speed when loaded"),
        stock("IQ4_NL", 25, 4.5, 32, Helps, "4 bits on an uneven grid"),
        dense("NVFP4", 4.5, 64, "4-bit floats, scale an FP8 for 16 weights; embedding and output at Q8_0"),
        dense("MXFP4", 4.25, 32, "4-bit floats, scale a power of two for 32; embedding and output at Q8_0"),
        stock(
            "MXFP4_MOE",
            38,
            4.25,
            32,
            Unused,
            "experts at MXFP4, all else at Q8_0: a dense model stays Q8_0",
        ),
        stock("IQ4_XS", 30, 4.25, 256, Helps, "4 bits on an uneven grid, blocks of 256"),
        stock("Q3_K_L", 13, 3.4375, 256, Helps, "a mix: attention's value and output, down matrices at Q5_K"),
        stock("Q3_K_M", 12, 3.4375, 256, Helps, "a mix: attention's value and output, down matrices at Q4_K"),
        stock("Q3_K_S", 11, 3.4375, 256, Helps, "3 bits throughout"),
        stock("IQ3_M", 27, 3.4375, 256, Helps, "IQ3_S with some matrices at Q4_K"),
        stock("IQ3_S", 26, 3.4375, 256, Helps, "3 bits on a lattice"),
        stock("IQ3_XS", 22, 3.4375, 256, Needs, "IQ3_S and IQ3_XXS mixed"),
        stock("IQ3_XXS", 23, 3.0625, 256, Needs, "3 bits on a lattice; query and key at IQ2_S"),
        stock("Q2_K", 10, 2.625, 256, Helps, "a mix: attention's value and output, down matrices at Q3_K"),
        stock("Q2_K_S", 21, 2.625, 256, Needs, "2 bits; first blocks' down matrices at Q4_K"),
        stock("IQ2_M", 29, 2.5625, 256, Needs, "IQ2_S with some matrices at IQ3_S"),
        stock("IQ2_S", 28, 2.3125, 256, Needs, "IQ2_XS with some matrices at IQ3_S"),
        stock("IQ2_XS", 20, 2.3125, 256, Needs, "2 bits on a lattice"),
        stock("Q2_0", 41, 2.25, 64, Helps, "2 bits, one scale for 64 weights"),
        stock("IQ2_XXS", 19, 2.0625, 256, Needs, "2 bits on a lattice"),
        stock("TQ2_0", 37, 2.0625, 256, Unused, "ternary, for models trained so; embedding at Q4_K"),
        stock("IQ1_M", 31, 1.75, 256, Needs, "below 2 bits; attention's output at IQ2_XXS"),
        stock("TQ1_0", 36, 1.6875, 256, Unused, "ternary, packed tighter and slower than TQ2_0"),
        stock("IQ1_S", 24, 1.5625, 256, Needs, "the smallest that still says something"),
        stock("Q1_0", 40, 1.125, 128, Helps, "one bit, for models trained so; no fallback for other widths"),
    ]
};

/// Types a tensor can be given by itself, as GGUF names them: those that llama.cpp has a quantizer for.
pub const TENSOR_TYPES: [&str; 28] = [
    "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS",
    "NVFP4", "MXFP4", "Q3_K", "IQ3_S", "IQ3_XXS", "Q2_K", "IQ2_S", "IQ2_XS", "IQ2_XXS", "Q2_0", "TQ2_0",
    "TQ1_0", "IQ1_M", "IQ1_S", "Q1_0",
];

/// Of these ggml aborts without importances, and an importance matrix has none for the embedding (and for the output
/// only if it was asked for).
pub const NEVER_OUTSIDE_BLOCKS: [&str; 3] = ["IQ2_XXS", "IQ2_XS", "IQ1_S"];

/// Tensor types that llama.cpp refuses without importances for that tensor. Q2_K is one of them in a Q2_K_S file.
pub const NEED_IMPORTANCES: [&str; 6] = ["IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_M", "IQ1_S"];

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

/// A tensor type as it is written here, from any case.
pub fn tensor_type(name: &str) -> Option<&'static str> {
    TENSOR_TYPES.iter().find(|t| t.eq_ignore_ascii_case(name)).copied()
}

/// The name of llama.cpp's file type number.
pub fn name_of(ftype: u32) -> Option<&'static str> {
    STOCK.iter().find(|t| t.ftype == ftype && t.blocks.is_none()).map(|t| t.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique() {
        for (i, a) in STOCK.iter().enumerate() {
            for b in STOCK.iter().skip(i + 1) {
                assert_ne!(a.name, b.name);
                // Two types that are made of overrides share a number with what they are made from.
                assert!(a.ftype != b.ftype || a.blocks.is_some() || b.blocks.is_some());
            }
        }
    }

    #[test]
    fn numbers_lead_back_to_the_file_type() {
        assert_eq!(name_of(7), Some("Q8_0"));
        assert_eq!(name_of(39), None, "NVFP4 is a number that this llama.cpp cannot write");
    }

    #[test]
    fn sizes_are_those_of_the_block_formats() {
        for t in STOCK {
            let own = t.name.trim_end_matches("_MOE");
            if let Some(kind) = crate::gguf::TensorType::from_name(own) {
                let bpw = kind.block_bytes as f64 * 8.0 / kind.block_size as f64;
                // IQ2_S is a file type of IQ2_XS tensors.
                if own != "IQ2_S" {
                    assert!((bpw - t.nominal_bpw).abs() < 1e-9, "{own}: {bpw}");
                }
                assert_eq!(kind.block_size, u64::from(t.block), "{own}");
            }
        }
        for name in TENSOR_TYPES {
            assert_eq!(crate::gguf::TensorType::from_name(name).expect(name).name, name);
        }
    }

    #[test]
    fn the_default_ladder_needs_no_imatrix() {
        for name in DEFAULT_LADDER {
            assert_ne!(find(name).expect(name).imatrix, Imatrix::Needs, "{name}");
        }
    }
}
