//! The tensor types of this llama.cpp: how many weights a block holds and how many bytes it takes. Everything about
//! sizes follows from this one table. Source: `type_traits` in `ggml/src/ggml.c` and the block structs of
//! `ggml/src/ggml-common.h`; ids of types that were removed are absent, so they are refused.

use std::fmt;

/// One tensor type. Two values are equal if they are the same type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The number that stands in GGUF files and in llama.cpp's `ggml_type`.
    pub id: u32,
    /// Upper-case name, as people write it: `Q4_K`.
    pub name: &'static str,
    /// ggml's own spelling, as llama.cpp logs it: `q4_K`.
    pub ggml_name: &'static str,
    /// Weights in a block; a row is a whole number of blocks.
    pub block_size: u64,
    /// Bytes in a block.
    pub block_bytes: u64,
    /// Whether weights share a scale, that is, whether the type is a lossy block code.
    pub is_quantized: bool,
}

const fn plain(id: u32, name: &'static str, ggml_name: &'static str, block_bytes: u64) -> TensorType {
    TensorType { id, name, ggml_name, block_size: 1, block_bytes, is_quantized: false }
}

const fn coded(
    id: u32,
    name: &'static str,
    ggml_name: &'static str,
    block_size: u64,
    block_bytes: u64,
) -> TensorType {
    TensorType { id, name, ggml_name, block_size, block_bytes, is_quantized: true }
}

const TYPES: [TensorType; 35] = [
    plain(0, "F32", "f32", 4),
    plain(1, "F16", "f16", 2),
    coded(2, "Q4_0", "q4_0", 32, 18),
    coded(3, "Q4_1", "q4_1", 32, 20),
    coded(6, "Q5_0", "q5_0", 32, 22),
    coded(7, "Q5_1", "q5_1", 32, 24),
    coded(8, "Q8_0", "q8_0", 32, 34),
    coded(9, "Q8_1", "q8_1", 32, 36),
    coded(10, "Q2_K", "q2_K", 256, 84),
    coded(11, "Q3_K", "q3_K", 256, 110),
    coded(12, "Q4_K", "q4_K", 256, 144),
    coded(13, "Q5_K", "q5_K", 256, 176),
    coded(14, "Q6_K", "q6_K", 256, 210),
    coded(15, "Q8_K", "q8_K", 256, 292),
    coded(16, "IQ2_XXS", "iq2_xxs", 256, 66),
    coded(17, "IQ2_XS", "iq2_xs", 256, 74),
    coded(18, "IQ3_XXS", "iq3_xxs", 256, 98),
    coded(19, "IQ1_S", "iq1_s", 256, 50),
    coded(20, "IQ4_NL", "iq4_nl", 32, 18),
    coded(21, "IQ3_S", "iq3_s", 256, 110),
    coded(22, "IQ2_S", "iq2_s", 256, 82),
    coded(23, "IQ4_XS", "iq4_xs", 256, 136),
    plain(24, "I8", "i8", 1),
    plain(25, "I16", "i16", 2),
    plain(26, "I32", "i32", 4),
    plain(27, "I64", "i64", 8),
    plain(28, "F64", "f64", 8),
    coded(29, "IQ1_M", "iq1_m", 256, 56),
    plain(30, "BF16", "bf16", 2),
    coded(34, "TQ1_0", "tq1_0", 256, 54),
    coded(35, "TQ2_0", "tq2_0", 256, 66),
    coded(39, "MXFP4", "mxfp4", 32, 17),
    coded(40, "NVFP4", "nvfp4", 64, 36),
    coded(41, "Q1_0", "q1_0", 128, 18),
    coded(42, "Q2_0", "q2_0", 64, 18),
];

impl TensorType {
    /// Every type, in the order of their ids.
    pub fn all() -> &'static [Self] {
        &TYPES
    }

    /// The type with this id; none for ids that llama.cpp removed or never had.
    pub fn from_id(id: u32) -> Option<Self> {
        TYPES.iter().find(|t| t.id == id).copied()
    }

    /// The type of this name, in any case: `Q4_K`, `q4_K` and `q4_k` are one.
    pub fn from_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|t| t.name.eq_ignore_ascii_case(name)).copied()
    }

    /// The name in lower case throughout: `q4_k`.
    pub fn lower_name(self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Bytes of one row of `columns` weights; none if that is not a whole number of blocks or overflows.
    pub fn row_bytes(self, columns: u64) -> Option<u64> {
        if !columns.is_multiple_of(self.block_size) {
            return None;
        }
        (columns / self.block_size).checked_mul(self.block_bytes)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::TensorType;

    #[test]
    fn every_type_is_found_by_its_id_and_names() {
        for &kind in TensorType::all() {
            assert_eq!(TensorType::from_id(kind.id), Some(kind));
            for name in [kind.name, kind.ggml_name, &kind.lower_name()] {
                assert_eq!(TensorType::from_name(name), Some(kind));
            }
        }
    }

    #[test]
    fn removed_and_unknown_types_are_absent() {
        for id in [4, 5, 31, 32, 33, 36, 37, 38, 43, u32::MAX] {
            assert_eq!(TensorType::from_id(id), None);
        }
        assert_eq!(TensorType::from_name("Q4_2"), None);
    }

    #[test]
    fn a_row_is_whole_blocks() {
        let q4_k = TensorType::from_name("q4_k").unwrap();
        assert_eq!(q4_k.row_bytes(512), Some(288));
        assert_eq!(q4_k.row_bytes(576), None);
        let f64 = TensorType::from_name("F64").unwrap();
        assert_eq!(f64.row_bytes(u64::MAX), None);
    }
}
