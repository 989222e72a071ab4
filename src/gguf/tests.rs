//! Tests of the whole room, on files written by a small writer of our own that can also write wrong ones.

use super::error::GgufError;
use super::reader::GgufFile;
use super::{Described, Model, PerLayer, TensorType, Value, ValueType};
use super::{open_model, quantized_file_bytes, tensor_bytes_as};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A GGUF file to be written: nothing is checked, so that every mistake can be made.
#[derive(Debug, Clone)]
struct Sample {
    version: u32,
    alignment: u64,
    keys: Vec<(Vec<u8>, Vec<u8>)>,
    tensors: Vec<SampleTensor>,
}

#[derive(Debug, Clone)]
struct SampleTensor {
    name: String,
    dims: Vec<u64>,
    kind: u32,
    bytes: u64,
}

fn text(value: &str) -> Vec<u8> {
    let mut bytes = (value.len() as u64).to_le_bytes().to_vec();
    bytes.extend(value.as_bytes());
    bytes
}

/// A value with its type id before it.
fn value(id: u32, encoded: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes(), encoded].concat()
}

fn string(content: &str) -> Vec<u8> {
    value(8, &text(content))
}

fn number(content: u32) -> Vec<u8> {
    value(4, &content.to_le_bytes())
}

fn array(element: u32, count: u64, encoded: &[u8]) -> Vec<u8> {
    value(9, &[&element.to_le_bytes()[..], &count.to_le_bytes(), encoded].concat())
}

fn kind(name: &str) -> TensorType {
    TensorType::from_name(name).unwrap()
}

impl Sample {
    fn new() -> Self {
        Self { version: 3, alignment: 32, keys: Vec::new(), tensors: Vec::new() }
    }

    fn key(mut self, key: &str, value: Vec<u8>) -> Self {
        self.keys.push((key.into(), value));
        self
    }

    fn tensor(mut self, name: &str, dims: &[u64], kind: TensorType) -> Self {
        let rows: u64 = dims[1..].iter().product();
        let bytes = kind.row_bytes(dims[0]).unwrap() * rows;
        self.tensors.push(SampleTensor { name: name.into(), dims: dims.into(), kind: kind.id, bytes });
        self
    }

    fn header(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            out.extend((key.len() as u64).to_le_bytes());
            out.extend(key);
            out.extend(value);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            out.extend(text(&tensor.name));
            out.extend((tensor.dims.len() as u32).to_le_bytes());
            tensor.dims.iter().for_each(|size| out.extend(size.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += tensor.bytes.next_multiple_of(self.alignment);
        }
        out
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = self.header();
        if !self.tensors.is_empty() {
            out.resize(out.len().next_multiple_of(self.alignment as usize), 0);
        }
        for tensor in &self.tensors {
            out.resize(out.len() + tensor.bytes.next_multiple_of(self.alignment) as usize, 7);
        }
        out
    }

    fn read(&self) -> Result<GgufFile, GgufError> {
        read(&self.bytes())
    }
}

fn read(bytes: &[u8]) -> Result<GgufFile, GgufError> {
    GgufFile::read(bytes, Path::new("model.gguf"), bytes.len() as u64)
}

fn small() -> Sample {
    let tokens: Vec<u8> = ["a", "b", "c"].iter().flat_map(|token| text(token)).collect();
    let per_layer: Vec<u8> = [4_u32, 2].iter().flat_map(|heads| heads.to_le_bytes()).collect();
    Sample::new()
        .key("general.architecture", string("llama"))
        .key("general.name", string("Small"))
        .key("general.description", string("A small model"))
        .key("general.file_type", number(1))
        .key("llama.context_length", number(2048))
        .key("llama.block_count", number(2))
        .key("llama.embedding_length", number(256))
        .key("llama.attention.head_count", number(4))
        .key("llama.attention.head_count_kv", array(4, 2, &per_layer))
        .key("llama.attention.layer_norm_rms_epsilon", value(6, &1e-5_f32.to_le_bytes()))
        .key("tokenizer.ggml.tokens", array(8, 3, &tokens))
        .key("tokenizer.ggml.add_bos_token", value(7, &[1]))
        .key("tokenizer.chat_template", string("{{ messages }}"))
        .tensor("token_embd.weight", &[256, 3], kind("F16"))
        .tensor("blk.0.attn_q.weight", &[256, 256], kind("F16"))
        .tensor("output_norm.weight", &[256], kind("F32"))
}

#[test]
fn a_small_model_is_described() {
    let file = small().read().unwrap();
    assert_eq!(file.architecture(), Some("llama"));
    assert_eq!(file.name(), Some("Small"));
    assert_eq!(file.description(), Some("A small model"));
    assert_eq!(file.file_type(), Some(1));
    assert_eq!(file.context_length(), Some(2048));
    assert_eq!(file.block_count(), Some(2));
    assert_eq!(file.embedding_length(), Some(256));
    assert_eq!(file.head_count(), Some(PerLayer::Same(4)));
    assert_eq!(file.head_count_kv(), Some(PerLayer::Each(vec![4, 2])));
    assert_eq!(file.head_count_kv().unwrap().sum(2), Some(6));
    assert_eq!(file.head_count_kv().unwrap().sum(3), None);
    assert_eq!((file.key_length(), file.value_length()), (Some(64), Some(64)));
    assert_eq!(file.vocab_size(), Some(3));
    assert_eq!(file.add_bos(), Some(true));
    assert_eq!(file.chat_template(), Some("{{ messages }}"));
    assert_eq!(file.metadata.f32("llama.attention.layer_norm_rms_epsilon"), Some(1e-5));
    let tokens = file.metadata.array("tokenizer.ggml.tokens").unwrap();
    assert_eq!(tokens.strings().unwrap(), ["a", "b", "c"]);
    assert_eq!(file.weights(), 3 * 256 + 256 * 256 + 256);
    assert_eq!(file.tensor_bytes(), 2 * (3 * 256 + 256 * 256) + 4 * 256);
    assert!((file.bpw().0 - file.tensor_bytes() as f64 * 8.0 / file.weights() as f64).abs() < 1e-12);
    assert!(file.quantized_share().abs() < f64::EPSILON);
    assert_eq!(file.header_bytes, small().header().len() as u64);
    assert_eq!(file.data_offset, file.header_bytes.next_multiple_of(32));
}

#[test]
fn a_key_missing_or_of_another_type_is_none() {
    let file = Sample::new().key("general.architecture", number(1)).read().unwrap();
    assert_eq!(file.architecture(), None);
    assert_eq!(file.vocab_size(), None);
    assert_eq!(file.head_count_kv(), None);
    assert_eq!(file.key_length(), None);
    let no_heads = Sample::new()
        .key("general.architecture", string("x"))
        .key("x.embedding_length", number(64))
        .key("x.attention.head_count", number(0));
    assert_eq!(no_heads.read().unwrap().key_length(), None);
}

#[test]
fn quantized_weights_are_noticed() {
    let file =
        Sample::new().tensor("a", &[256, 3], kind("Q4_K")).tensor("b", &[256], kind("F32")).read().unwrap();
    assert!((file.quantized_share() - 0.75).abs() < 1e-12);
}

#[test]
fn a_large_vocabulary_is_counted_but_not_kept() {
    let encoded = text("a token").repeat(250_000);
    let sample = Sample::new().key("tokenizer.ggml.tokens", array(8, 250_000, &encoded));
    let file = sample.read().unwrap();
    assert_eq!(file.vocab_size(), Some(250_000));
    let tokens = file.metadata.array("tokenizer.ggml.tokens").unwrap();
    assert_eq!((tokens.element, tokens.strings()), (ValueType::String, None));
    assert_eq!(file.metadata.encoded_bytes(), sample.header().len() as u64 - 24);
}

#[test]
fn the_last_padding_may_be_absent_but_no_byte_of_data() {
    let bytes = Sample::new().tensor("a", &[3], kind("F32")).bytes();
    let end = bytes.len() - (32 - 12);
    assert!(read(&bytes[..end]).is_ok());
    for missing in 1..=12 {
        let error = read(&bytes[..end - missing]).unwrap_err();
        assert!(
            matches!(error, GgufError::DataTruncated { missing: told, .. } if told == missing as u64),
            "{error}"
        );
    }
}

#[test]
fn every_shorter_file_is_refused() {
    let header = small().header();
    for length in 0..header.len() {
        read(&header[..length]).unwrap_err();
    }
}

/// Asserts that reading fails with a message that holds `expected` and names the file, and with a hint.
#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let error = read(bytes).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(expected), "{message}");
    assert!(message.contains("model.gguf"), "{message}");
    assert!(error.hint().is_some(), "{message}");
}

fn with_version(version: u32) -> Vec<u8> {
    Sample { version, ..small() }.bytes()
}

#[test]
fn files_of_other_kinds_are_named() {
    refused(b"", "nothing, being empty");
    refused(b"GG", "only 2 bytes");
    refused(b"<!DOCTYPE html>", "a web page");
    refused(b"version https://git-lfs", "a Git LFS pointer");
    refused(b"\x00\x01\x02\xff rest", "\\x00\\x01\\x02\\xff");
    refused(&with_version(1), "version 1");
    refused(&with_version(4), "version 4");
    refused(&with_version(0), "version 0");
    refused(&with_version(3_u32.swap_bytes()), "big-endian");
    assert!(read(&with_version(2)).is_ok());
}

#[test]
fn impossible_headers_are_refused() {
    let counts = |tensors: u64, keys: u64| {
        [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &keys.to_le_bytes(), &[0; 100]].concat()
    };
    refused(&counts(u64::MAX, 0), "tensors");
    refused(&counts(0, u64::MAX), "metadata keys");
    refused(&Sample::new().key("k", array(8, u64::MAX, &[])).bytes(), "array elements");
    refused(&Sample::new().key("k", array(10, 1 << 61, &[])).bytes(), "array elements");
    refused(&Sample::new().key("k", value(8, &u64::MAX.to_le_bytes())).bytes(), "string at byte");
    refused(&Sample::new().key("k", value(13, &[0; 8])).bytes(), "value type 13");
    refused(&Sample::new().key("", number(1)).bytes(), "empty");
    refused(&Sample::new().key("a\0b", number(1)).bytes(), "zero byte");
    refused(&Sample::new().key("k", number(1)).key("k", number(2)).bytes(), "twice");
    let bad_utf8 = Sample { keys: vec![(vec![0xff], number(1))], ..Sample::new() };
    refused(&bad_utf8.bytes(), "not UTF-8");
    let f32 = kind("F32");
    refused(&Sample::new().tensor("a", &[1], f32).tensor("a", &[1], f32).bytes(), "second time");
    refused(&Sample::new().tensor("a", &[1, 1, 1, 1, 1], f32).bytes(), "5 dimensions");
    refused(&Sample::new().tensor(&"a".repeat(64), &[1], f32).bytes(), "64 bytes long");
    assert!(Sample::new().tensor(&"a".repeat(63), &[1], f32).read().is_ok());
}

#[test]
fn impossible_tensors_are_refused() {
    let with = |dims: &[u64], kind: u32| {
        let tensor = SampleTensor { name: "a".into(), dims: dims.into(), kind, bytes: 0 };
        Sample { tensors: vec![tensor], ..Sample::new() }.bytes()
    };
    refused(&with(&[1 << 32, 1 << 32], 0), "impossible shape");
    refused(&with(&[u64::MAX], 24), "impossible shape");
    refused(&with(&[u64::MAX, 0], 24), "impossible shape");
    refused(&with(&[i64::MAX as u64], 28), "impossible shape");
    refused(&with(&[i64::MAX as u64], 24), "truncated");
    refused(&with(&[32], 4), "type 4");
    refused(&with(&[48], 2), "rows of 48");
    assert_eq!(read(&with(&[0, 5], 2)).unwrap().tensor_bytes(), 0);
}

#[test]
fn data_out_of_place_is_refused() {
    let sample = Sample::new().tensor("a", &[8], kind("F32")).tensor("b", &[8], kind("F32"));
    assert!(sample.read().is_ok());
    let mut wrong = sample.clone();
    wrong.tensors[0].bytes = 64;
    refused(&wrong.bytes(), "not at 32");
}

#[test]
fn alignment_is_a_power_of_two() {
    for (value, shown) in [(number(0), "0"), (number(48), "48"), (string("32"), "no whole number")] {
        refused(&Sample::new().key("general.alignment", value).bytes(), shown);
    }
    let sample = Sample { alignment: 128, ..small() }.key("general.alignment", number(128));
    let file = sample.read().unwrap();
    assert_eq!((file.alignment, file.data_offset % 128), (128, 0));
}

#[test]
fn arrays_of_arrays_are_passed_over_to_a_depth() {
    let nested = |depth: usize| {
        let inner = [&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat().repeat(depth);
        let numbers = [&0_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &[1, 2]].concat();
        Sample::new().key("k", value(9, &[inner, numbers].concat())).key("after", number(5))
    };
    assert_eq!(nested(3).read().unwrap().metadata.u64("after"), Some(5));
    refused(&nested(4).bytes(), "nests arrays");
    refused(&nested(100_000).bytes(), "nests arrays");
}

#[test]
fn a_header_without_end_is_given_up() {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend([0; 8]);
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(text("k"));
    bytes.extend(value(8, &(1_u64 << 40).to_le_bytes()));
    let error = GgufFile::read(&bytes[..], Path::new("model.gguf"), 1 << 50).unwrap_err();
    assert!(matches!(error, GgufError::HeaderTooLong { .. }), "{error}");
    // A file that is shorter than the system said must not be waited for either.
    let error = GgufFile::read(&bytes[..bytes.len() - 1], Path::new("model.gguf"), 1 << 50).unwrap_err();
    assert!(matches!(error, GgufError::HeaderTruncated { .. }), "{error}");
}

#[test]
fn mutated_headers_never_panic_or_hang() {
    let valid = Sample { alignment: 64, ..small() }.key("general.alignment", number(64)).bytes();
    let header = 1 + Sample { alignment: 64, ..small() }.header().len();
    let mut random = Random(2026);
    let mut slowest = Duration::ZERO;
    for _ in 0..4000 {
        let mut bytes = valid.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(header);
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.below(256) as u8,
                2 => bytes[at..at + 8].copy_from_slice(&(u64::MAX >> random.below(64)).to_le_bytes()),
                _ => bytes.truncate(header + 8 + random.below(valid.len() - header)),
            }
        }
        if random.below(4) == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        let start = Instant::now();
        if let Ok(file) = read(&bytes) {
            let _ = (file.bpw(), file.key_length(), file.head_count_kv(), file.vocab_size());
            let _ = quantized_file_bytes(&file.into(), &HashMap::new());
        }
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

/// A small generator (`xorshift64`), so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn any_value() -> impl Strategy<Value = (Vec<u8>, Option<Value>)> {
    prop_oneof![
        any::<u8>().prop_map(|v| (value(0, &v.to_le_bytes()), Some(Value::U8(v)))),
        any::<i16>().prop_map(|v| (value(3, &v.to_le_bytes()), Some(Value::I16(v)))),
        any::<u32>().prop_map(|v| (number(v), Some(Value::U32(v)))),
        any::<i64>().prop_map(|v| (value(11, &v.to_le_bytes()), Some(Value::I64(v)))),
        (-1e30_f64..1e30).prop_map(|v| (value(12, &v.to_le_bytes()), Some(Value::F64(v)))),
        any::<bool>().prop_map(|v| (value(7, &[v.into()]), Some(Value::Bool(v)))),
        ".{0,40}".prop_map(|v| (string(&v), Some(Value::String(v)))),
        proptest::collection::vec(any::<u16>(), 0..20).prop_map(|v| {
            let encoded: Vec<u8> = v.iter().flat_map(|n| n.to_le_bytes()).collect();
            (array(2, v.len() as u64, &encoded), None)
        }),
    ]
}

fn any_tensor() -> impl Strategy<Value = (String, Vec<u64>, TensorType)> {
    let kinds = proptest::sample::select(TensorType::all());
    ("[a-z.]{1,20}", kinds, 1..4_u64, proptest::collection::vec(1..4_u64, 0..4))
        .prop_map(|(name, kind, blocks, rest)| (name, [vec![blocks * kind.block_size], rest].concat(), kind))
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        keys in proptest::collection::btree_map("[a-z.]{1,20}", any_value(), 0..12),
        tensors in proptest::collection::vec(any_tensor(), 0..12),
        shift in 0..8_u32,
    ) {
        let alignment = 1_u64 << shift;
        let mut sample = Sample { alignment, ..Sample::new() };
        sample = sample.key("general.alignment", number(alignment as u32));
        for (key, (encoded, _)) in &keys {
            sample = sample.key(key, encoded.clone());
        }
        let mut names = HashSet::new();
        let tensors: Vec<_> = tensors.into_iter().filter(|(name, ..)| names.insert(name.clone())).collect();
        for (name, dims, kind) in &tensors {
            sample = sample.tensor(name, dims, *kind);
        }
        let file = sample.read().unwrap();
        prop_assert_eq!(file.alignment, alignment);
        prop_assert_eq!(file.file_bytes, sample.bytes().len() as u64);
        prop_assert_eq!(file.metadata.len(), keys.len() + 1);
        for (key, (encoded, value)) in &keys {
            prop_assert!(value.is_none() || value.as_ref() == file.metadata.get(key));
            let entry = file.metadata.entries().find(|(name, _)| name == key).unwrap().1;
            prop_assert_eq!(entry.encoded_bytes, (8 + key.len() + encoded.len()) as u64);
        }
        prop_assert_eq!(file.metadata.encoded_bytes(), file.metadata.entries().map(|(_, e)| e.encoded_bytes).sum::<u64>());
        let read: Vec<_> = file.tensors.iter().map(|t| (t.name.clone(), t.dims.clone(), t.kind)).collect();
        prop_assert_eq!(read, tensors);
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&[b"GGUF\x03\0\0\0", &body[..]].concat());
        let _ = read(&[&b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..], &body].concat());
    }
}

#[test]
fn a_variant_is_sized_like_the_file_that_would_be_written() {
    let model: Model = small().key("split.count", value(2, &[1, 0])).read().unwrap().into();
    let types = HashMap::from([
        ("token_embd.weight".to_owned(), kind("Q6_K")),
        ("blk.0.attn_q.weight".to_owned(), kind("Q4_K")),
    ]);
    let mut written = small();
    written.tensors.clear();
    let written = written
        .key("general.quantization_version", number(2))
        .tensor("token_embd.weight", &[256, 3], kind("Q6_K"))
        .tensor("blk.0.attn_q.weight", &[256, 256], kind("Q4_K"))
        .tensor("output_norm.weight", &[256], kind("F32"));
    assert_eq!(quantized_file_bytes(&model, &types).unwrap(), written.bytes().len() as u64);
    assert_eq!(tensor_bytes_as(&model, &types).unwrap(), written.read().unwrap().tensor_bytes());
}

#[test]
fn sizing_follows_what_the_writer_changes() {
    let base = Sample::new()
        .key("cut", string("kept\0lost"))
        .key("list", array(8, 2, &[text("a\0bc"), text("d")].concat()))
        .key("general.file_type", value(0, &[1]))
        .tensor("a", &[64, 1, 1], kind("F32"))
        .tensor("b", &[32, 1, 2], kind("F32"));
    let written = Sample::new()
        .key("cut", string("kept"))
        .key("list", array(8, 2, &[text("a"), text("d")].concat()))
        .key("general.file_type", number(7))
        .key("general.quantization_version", number(2))
        .tensor("a", &[64], kind("Q8_0"))
        .tensor("b", &[32, 1, 2], kind("F32"));
    let types = HashMap::from([("a".to_owned(), kind("Q8_0"))]);
    let bytes = quantized_file_bytes(&base.read().unwrap().into(), &types).unwrap();
    assert_eq!(bytes, written.bytes().len() as u64);
}

#[test]
fn a_variant_that_cannot_be_is_refused() {
    let model: Model = Sample::new().tensor("a", &[64, 2], kind("F32")).read().unwrap().into();
    let error = |name: &str, kind| {
        quantized_file_bytes(&model, &HashMap::from([(name.to_owned(), kind)])).unwrap_err().to_string()
    };
    assert!(error("a", kind("Q4_K")).contains("rows of 64"));
    assert!(error("b", kind("Q8_0")).contains("no tensor \"b\""));
}

fn part(number: u16, count: u16, total: i32, tensor: &str) -> Sample {
    Sample::new()
        .key("general.architecture", string("llama"))
        .key("split.no", value(2, &number.to_le_bytes()))
        .key("split.count", value(2, &count.to_le_bytes()))
        .key("split.tensors.count", value(5, &total.to_le_bytes()))
        .tensor(tensor, &[256, 2], kind("F16"))
}

fn put(folder: &Path, name: &str, sample: &Sample) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, sample.bytes()).unwrap();
    path
}

#[test]
fn parts_make_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let first = put(folder.path(), "m-00001-of-00002.gguf", &part(0, 2, 2, "a"));
    let second = put(folder.path(), "m-00002-of-00002.gguf", &part(1, 2, 2, "b"));
    let model = open_model(&first).unwrap();
    assert_eq!(model.paths().collect::<Vec<_>>(), [first.as_path(), second.as_path()]);
    assert_eq!(model.tensors().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((model.weights(), model.architecture()), (1024, Some("llama")));
    let joined = Sample::new()
        .key("general.architecture", string("llama"))
        .key("general.quantization_version", number(2))
        .key("general.file_type", number(1))
        .tensor("a", &[256, 2], kind("F16"))
        .tensor("b", &[256, 2], kind("F16"));
    assert_eq!(quantized_file_bytes(&model, &HashMap::new()).unwrap(), joined.bytes().len() as u64);

    let error = open_model(&second).unwrap_err();
    assert!(error.to_string().contains("part 2 of 2"), "{error}");
    assert!(error.hint().unwrap().contains("m-00001-of-00002.gguf"));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let fails = |path: &Path, expected: &str| {
        let error = open_model(path).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().is_some());
    };
    let first = put(folder, "m-00001-of-00002.gguf", &part(0, 2, 2, "a"));
    fails(&first, "m-00002-of-00002.gguf is missing");
    put(folder, "m-00002-of-00002.gguf", &part(0, 2, 2, "b"));
    fails(&first, "split.no");
    put(folder, "m-00002-of-00002.gguf", &part(1, 3, 2, "b"));
    fails(&first, "split.count");
    put(folder, "m-00002-of-00002.gguf", &part(1, 2, 2, "a"));
    fails(&first, "second time");
    put(folder, "m-00002-of-00002.gguf", &part(1, 2, 2, "b"));
    put(folder, "m-00001-of-00002.gguf", &part(0, 2, 5, "a"));
    fails(&first, "split.tensors.count");
    fails(&put(folder, "m-00001-of-00003.gguf", &part(0, 2, 2, "a")), "split.count");
    fails(&put(folder, "renamed.gguf", &part(0, 2, 2, "a")), "-00001-of-00002.gguf");
    fails(&folder.join("absent.gguf"), "absent.gguf does not exist");
    fails(folder, "not a regular file");
}

#[test]
fn a_plain_file_is_a_model_of_one_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "small.gguf", &small());
    let model = open_model(&path).unwrap();
    assert_eq!(model.parts().count(), 1);
    assert_eq!(model.file_bytes(), small().bytes().len() as u64);
    assert_eq!(model.first(), &GgufFile::open(&path).unwrap());
}
