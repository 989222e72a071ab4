//! `plan.json`: a sweep's checked configuration, kept beside the manifest so that a single trial can be carried out from the
//! folder alone, by whatever hands trials out.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::journal::reader::JournalError;
use crate::journal::record::FORMAT;
use crate::journal::sealed::{self, Unreadable};
use crate::plan::config::SweepConfig;

/// A plan as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanFile {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// What the sweep's jobs are called on a cluster: the folder's own, made when it was planned first.
    pub jobs: String,
    /// What was asked for, with searched recipes found.
    pub config: SweepConfig,
    /// Variants whose file cannot be made, each with the reason.
    pub refused: BTreeMap<String, String>,
}

/// Where it lies.
fn path(folder: &Path) -> PathBuf {
    folder.join("plan.json")
}

/// Reads the plan of a folder; `None` if it has none.
pub fn read(folder: &Path) -> Result<Option<PlanFile>, JournalError> {
    let path = path(folder);
    let bytes = match files::read_record(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(JournalError::Read { path, source }),
    };
    sealed::open(&bytes, FORMAT).map(Some).map_err(|why| match why {
        Unreadable::Newer(found) => JournalError::Newer { path, found },
        Unreadable::Damaged(reason) => JournalError::Plan { path, reason },
    })
}

/// Writes the plan of a folder.
pub fn write(folder: &Path, plan: &PlanFile) -> Result<(), JournalError> {
    let path = path(folder);
    sealed::seal(plan)
        .and_then(|bytes| files::replace(&path, &bytes))
        .map_err(|source| JournalError::Write { path, source })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use std::fs;

    use super::*;
    use crate::plan::config::{self, SweepFlags};

    #[test]
    fn a_plan_comes_back_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sweep = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
        let text = "base = \"b.gguf\"\nout = \"r\"\nrecipes = [\"Q8_0\", \"auto@4.5bpw\", \"MXFP4\", \"Q4_0/kv=q8_0,q4_0\"]\n\
                    suites = [\"piqa\", \"perplexity\"]\nlimit = 7\nexecutor = \"slurm\"\nhang_seconds = 77.5\n\
                    [weights]\npiqa = 0.3\n[imatrix]\nchunks = 3\n[speed]\ndepths = [0, 7]\n[offload]\ntensor_split = [0.1, 3]\n\
                    [slurm]\ntime = \"2h\"\n[[speculate]]\ntarget = \"base\"\ndraft = { gguf = \"d.gguf\" }\n";
        sweep.write_all(text.as_bytes()).expect("written");
        let config = config::read(Some(sweep.path()), &SweepFlags::default(), 4).expect("valid");
        let refused = BTreeMap::from([("Q8_0".to_owned(), "no".to_owned())]);
        let plan = PlanFile { format: FORMAT, jobs: "j".to_owned(), config, refused };
        write(folder.path(), &plan).expect("written");
        assert_eq!(read(folder.path()).expect("read"), Some(plan));
        let mut bytes = fs::read(path(folder.path())).expect("written");
        let place = bytes.len() / 2;
        bytes[place] ^= 1;
        fs::write(path(folder.path()), bytes).expect("written");
        let error = read(folder.path()).expect_err("a bit is flipped").to_string();
        assert!(error.contains("checksum"), "{error}");
    }

    #[test]
    fn what_is_no_plan_is_told_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path()).expect("nothing there"), None);
        for (text, told) in [("{", "plan.json is not a plan"), ("{\"format\": 9}", "plan.json has format 9")]
        {
            fs::write(path(folder.path()), text).expect("written");
            let error = read(folder.path()).expect_err(text).to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
