//! Round trips, synthesized files of both formats, and what is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::gguf::GgufFile;

fn sums() -> Sums {
    let dense = TensorSums { squares: vec![2.0, 4.0, 0.5], counts: vec![2] };
    let experts = TensorSums { squares: vec![3.0, 6.0, 0.0, 0.0, 1.0, 7.0], counts: vec![3, 0, 7] };
    Sums {
        datasets: vec!["calibration.txt".to_owned()],
        chunk_count: 2,
        chunk_size: 512,
        resume: None,
        entries: [("blk.0.ffn_down.weight", dense), ("blk.0.ffn_up_exps.weight", experts)]
            .map(|(n, e)| (n.to_owned(), e))
            .into(),
    }
}

fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("imatrix");
    fs::write(&path, bytes).expect("written");
    (folder, path)
}

fn refused(bytes: &[u8]) -> String {
    let (_folder, path) = written(bytes);
    let error = read(&path).expect_err("refused");
    assert!(error.hint().is_some());
    error.to_string().replace(&path.display().to_string(), "FILE")
}

fn legacy(trailer: bool) -> Vec<u8> {
    let mut out = 1_i32.to_le_bytes().to_vec();
    let name = b"blk.0.attn_q.weight";
    out.extend((name.len() as i32).to_le_bytes());
    out.extend(name);
    out.extend(4_i32.to_le_bytes());
    out.extend(3_i32.to_le_bytes());
    out.extend([4.0_f32, 8.0, 1.0].iter().flat_map(|v| v.to_le_bytes()));
    if trailer {
        out.extend(9_i32.to_le_bytes());
        out.extend(4_i32.to_le_bytes());
        out.extend(b"a.tx");
    }
    out
}

#[test]
fn what_is_written_is_read_back() {
    for resume in [None, Some("of this and that".to_owned())] {
        let sums = Sums { resume, ..sums() };
        let (_folder, path) = written(&sums.encode());
        let file = GgufFile::open(&path).expect("a GGUF file");
        assert_eq!(Sums::read(&file).expect("sums"), sums);
        assert_eq!(file.metadata.str("general.type"), Some("imatrix"));
    }
}

#[test]
fn means_are_by_expert_and_an_expert_without_text_weighs_all_alike() {
    let (_folder, path) = written(&sums().encode());
    let matrix = read(&path).expect("a matrix");
    assert_eq!((matrix.chunk_count, matrix.chunk_size), (2, 512));
    assert_eq!(matrix.datasets, ["calibration.txt"]);
    assert_eq!(matrix.entries["blk.0.ffn_down.weight"].values, [1.0, 2.0, 0.25]);
    let experts = &matrix.entries["blk.0.ffn_up_exps.weight"];
    assert_eq!(experts.values, [1.0, 2.0, 1.0, 1.0, 1.0_f32 / 7.0, 1.0]);
    assert_eq!(experts.counts, [3.0, 0.0, 7.0]);
}

#[test]
fn the_older_format_with_and_without_its_trailer() {
    for (trailer, chunks, datasets) in [(true, 9, vec!["a.tx".to_owned()]), (false, 0, vec![])] {
        let (_folder, path) = written(&legacy(trailer));
        let matrix = read(&path).expect("a matrix");
        assert_eq!((matrix.chunk_count, matrix.chunk_size, matrix.datasets), (chunks, 0, datasets));
        let entry = &matrix.entries["blk.0.attn_q.weight"];
        assert_eq!((entry.values.as_slice(), entry.counts.as_slice()), (&[1.0, 2.0, 0.25][..], &[4.0][..]));
    }
}

#[test]
fn foreign_and_broken_files_are_refused_in_one_sentence() {
    assert!(refused(b"once upon a time there was a text").contains("neither GGUF nor"));
    assert!(refused(b"").contains("neither GGUF nor"));
    let two: Vec<u8> = [&2_i32.to_le_bytes()[..], &legacy(false)[4..]].concat();
    assert!(refused(&two).contains("breaks in entry 2 of 2"), "{}", refused(&two));
    let bytes = sums().encode();
    assert!(refused(&bytes[..bytes.len() - 40]).contains("truncated"));
    assert!(refused(&bytes[..60]).contains("more than the"), "{}", refused(&bytes[..60]));
    let renamed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("there");
        [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
    };
    assert!(refused(&renamed("imatrix.chunk_size", "imatrix.chunk_sizf")).contains("it lacks"));
    assert!(refused(&renamed("down.weight.counts", "down.weight.countz")).contains("sums and no counts"));
    assert!(refused(&renamed("down.weight.in_sum2", "down.weight.in_sumz")).contains("counts and no sums"));
    let mut infinite = sums();
    infinite.entries.values_mut().for_each(|e| e.squares[0] = f32::INFINITY);
    assert!(refused(&infinite.encode()).contains("no mean squares"));
}

#[test]
fn a_model_is_no_importance_matrix_and_a_matrix_fits_only_its_model() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f16.gguf");
    let error = read(&fixture).expect_err("a model");
    assert!(error.to_string().contains("it is a model of architecture"), "{error}");
    let model = GgufFile::open(&fixture).expect("the fixture");
    let path = Path::new("i.gguf");
    let of = |name: &str, values: usize| {
        let entry = Entry { values: vec![1.0; values], counts: vec![1.0] };
        let matrix = Imatrix { entries: [(name.to_owned(), entry)].into(), ..Imatrix::default() };
        matrix.check(path, &model, &fixture).map(|without| without.len()).map_err(|e| e.to_string())
    };
    let name = "blk.0.ffn_down.weight";
    let columns = model.tensors.iter().find(|t| t.name == name).expect("there").columns() as usize;
    let matrices = model.tensors.iter().filter(|t| t.dims.len() > 1).count();
    assert_eq!(of(name, columns), Ok(matrices - 1));
    assert!(of(name, columns + 1).expect_err("too wide").contains("is not of this model: its entry for"));
    assert!(of("blk.99.ffn_down.weight", columns).expect_err("unknown").contains("lacks"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_folder, path) = written(&bytes);
        let _ = read(&path);
    }

    #[test]
    fn a_changed_byte_is_read_or_refused(at in 0_usize..600, to in any::<u8>()) {
        for mut bytes in [sums().encode(), legacy(true)] {
            let length = bytes.len();
            bytes[at % length] = to;
            let (_folder, path) = written(&bytes);
            let _ = read(&path);
        }
    }
}
