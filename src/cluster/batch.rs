//! Batches: trials that one array job carries out, one a task. Which they are stands in a file of the results folder, so that
//! whoever finds the tasks in the queue later knows what they do; the script and the tasks' words lie beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files;
use crate::journal::reader::JournalError;
use crate::journal::writer::writer_name;
use crate::plan::fingerprint;
use crate::plan::slurm::SlurmOptions;

/// Most tasks of an array; clusters take a thousand at least.
pub const MOST: usize = 500;

/// What the tasks of a batch ask of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// They make variants' files.
    Quantize,
    /// They evaluate.
    Evaluate,
    /// They time something, and each needs a node of its own.
    Timed,
}

/// What a batch is submitted with.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// What all jobs of the sweep are called.
    pub jobs: &'a str,
    /// The batch's name, by which its tasks are known.
    pub batch: &'a str,
    /// What its tasks need.
    pub class: Class,
    /// How many they are.
    pub tasks: usize,
    /// Tasks that must be over before, such as `12_3`.
    pub after: &'a [String],
    /// The node they are bound to.
    pub node: Option<&'a str>,
    /// Nodes that they are kept from.
    pub exclude: &'a [String],
    /// CPUs of each, where the options say nothing.
    pub threads: u32,
    /// The cluster's options.
    pub options: &'a SlurmOptions,
    /// The folder that the tasks begin in.
    pub home: &'a Path,
}

/// Where things of a folder's batches lie.
#[derive(Debug, Clone)]
pub struct Batches {
    folder: PathBuf,
}

impl Batches {
    /// Those of a results folder, which must be an absolute path: tasks begin elsewhere.
    pub fn of(results: &Path) -> Self {
        Self { folder: results.join("cluster") }
    }

    /// A new batch of these trials: its name. The file with their ids is on the disk before anything is submitted.
    pub fn begin(&self, ids: &[String]) -> Result<String, Error> {
        let earlier = match fs::read_dir(&self.folder) {
            Ok(entries) => {
                entries.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "trials")).count()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(source) => return Err(JournalError::Read { path: self.folder.clone(), source }.into()),
        };
        let own = fingerprint::of_texts([writer_name().as_str()]);
        let batch = format!("{earlier:04}-{}", own.get(..8).unwrap_or(&own));
        write(&self.trials(&batch), &(ids.join("\n") + "\n"))?;
        Ok(batch)
    }

    /// Takes a batch back that was not submitted.
    pub fn discard(&self, batch: &str) {
        // Best effort: a list that no job names is no harm.
        let _ = fs::remove_file(self.trials(batch));
        let _ = fs::remove_file(self.folder.join(format!("{batch}.sh")));
    }

    /// Notes the number of a batch's array, by which its tasks are known where a cluster writes comments of its own.
    pub fn note_job(&self, batch: &str, job: u64) -> Result<(), Error> {
        write(&self.folder.join(format!("{batch}.job")), &format!("{job}\n"))
    }

    /// Batches by the number of their array.
    pub fn jobs(&self) -> BTreeMap<u64, String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let noted = entries.filter_map(|entry| {
            let path = entry.path();
            let batch = path.file_name()?.to_str()?.strip_suffix(".job")?.to_owned();
            Some((fs::read_to_string(&path).ok()?.trim().parse().ok()?, batch))
        });
        noted.collect()
    }

    /// Writes the script of a batch. Returns its path.
    pub fn script(&self, batch: &str, script: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(format!("{batch}.sh"));
        write(&path, script)?;
        Ok(path)
    }

    /// The ids of a batch, in the order of its tasks; none if it is not known here.
    pub fn ids(&self, batch: &str) -> Vec<String> {
        // A comment of somebody else's job must not lead anywhere.
        let is_name = batch.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let text =
            if is_name { fs::read_to_string(self.trials(batch)).unwrap_or_default() } else { String::new() };
        text.lines().map(str::to_owned).collect()
    }

    /// The file with the ids of a batch.
    pub fn trials(&self, batch: &str) -> PathBuf {
        self.folder.join(format!("{batch}.trials"))
    }

    /// Where a task's words go.
    pub fn log(&self, batch: &str, index: usize) -> PathBuf {
        self.folder.join(format!("{batch}-{index}.log"))
    }

    /// The same for all tasks of a batch, as Slurm wants it.
    fn log_pattern(&self, batch: &str) -> String {
        let folder = self.folder.display().to_string().replace('%', "%%");
        format!("{folder}/{batch}-%a.log")
    }
}

/// The script of a batch: a task looks up its id and carries that trial out. How it began and ended stands in its words, since
/// without a database Slurm does not keep it.
pub fn script(program: &Path, results: &Path, trials: &Path, cache: &Path) -> String {
    let [program, results, trials, cache] = [program, results, trials, cache].map(quoted);
    format!(
        "#!/bin/bash\n\
         # Written by bitfrontier: task N carries out the trial in line N+1 of the list.\n\
         export BITFRONTIER_CACHE={cache}\n\
         id=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" {trials})\n\
         echo \"task begins: $id on ${{SLURMD_NODENAME:-?}}, start ${{SLURM_RESTART_COUNT:-0}}\"\n\
         # A signal that ends the program must not keep its end from being told.\n\
         trap : TERM INT\n\
         if [[ $id == {NODE} ]]; then\n\
         \x20   {program} look-at-node {results}\n\
         else\n\
         \x20   {program} run-trial {results} \"$id\"\n\
         fi\n\
         code=$?\n\
         echo \"task ends: $code\"\n\
         exit \"$code\"\n"
    )
}

/// Stands where a trial's id would, for the task that looks at the node on which variants are timed.
pub const NODE: &str = "node";

/// A word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

impl Batches {
    /// What `sbatch` is told, but for the script. Given as arguments, because lines of a script know no quotes.
    pub fn arguments(&self, order: &Order<'_>) -> Vec<String> {
        let options = order.options;
        let throttle = options.throttle.map_or(String::new(), |most| format!("%{most}"));
        let mut arguments = vec![
            "--parsable".to_owned(),
            format!("--job-name={}", order.jobs),
            format!("--comment={}", order.batch),
            format!("--array=0-{}{throttle}", order.tasks.saturating_sub(1)),
            format!("--output={}", self.log_pattern(order.batch)),
            "--open-mode=append".to_owned(),
            format!("--chdir={}", order.home.display()),
            "--export=ALL".to_owned(),
            "--requeue".to_owned(),
            "--nodes=1".to_owned(),
            "--ntasks=1".to_owned(),
            format!("--cpus-per-task={}", options.cpus.unwrap_or(order.threads)),
        ];
        arguments.extend(options.partition.as_ref().map(|name| format!("--partition={name}")));
        arguments.extend(time(order).map(|seconds| format!("--time={}", clock(seconds))));
        arguments.extend(options.memory_bytes.map(|bytes| format!("--mem={}M", bytes >> 20)));
        if order.class == Class::Timed {
            arguments.push("--exclusive".to_owned());
        }
        arguments.extend(order.node.map(|node| format!("--nodelist={node}")));
        if !order.exclude.is_empty() {
            arguments.push(format!("--exclude={}", order.exclude.join(",")));
        }
        if !order.after.is_empty() {
            // Over, however it ended: what a trial does without its file is the trial's to say.
            arguments.push(format!("--dependency=afterany:{}", order.after.join(":")));
        }
        arguments.extend(options.options.iter().cloned());
        arguments
    }
}

fn time(order: &Order<'_>) -> Option<u64> {
    let options = order.options;
    let own = match order.class {
        Class::Quantize => options.quantize_time_s,
        Class::Timed => options.speed_time_s,
        Class::Evaluate => None,
    };
    own.or(options.time_s)
}

/// Hours, minutes and seconds, as Slurm reads a time.
fn clock(seconds: u64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let path = path.to_owned();
    Ok(files::replace(&path, text.as_bytes()).map_err(|source| JournalError::Write { path, source })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_of_a_batch() {
        let script = script(
            Path::new("/opt/bin/bitfrontier"),
            Path::new("/shared/it's here"),
            Path::new("/shared/it's here/cluster/0001-aa.trials"),
            Path::new("/shared/cache"),
        );
        let expected = r#"#!/bin/bash
# Written by bitfrontier: task N carries out the trial in line N+1 of the list.
export BITFRONTIER_CACHE='/shared/cache'
id=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" '/shared/it'\''s here/cluster/0001-aa.trials')
echo "task begins: $id on ${SLURMD_NODENAME:-?}, start ${SLURM_RESTART_COUNT:-0}"
# A signal that ends the program must not keep its end from being told.
trap : TERM INT
if [[ $id == node ]]; then
    '/opt/bin/bitfrontier' look-at-node '/shared/it'\''s here'
else
    '/opt/bin/bitfrontier' run-trial '/shared/it'\''s here' "$id"
fi
code=$?
echo "task ends: $code"
exit "$code"
"#;
        assert_eq!(script, expected);
    }

    fn arguments(class: Class, options: &SlurmOptions, after: &[&str], node: Option<&str>) -> String {
        let after: Vec<String> = after.iter().map(|task| (*task).to_owned()).collect();
        let bad = ["n3".to_owned(), "n4".to_owned()];
        let order = Order {
            jobs: "bitfrontier-x",
            batch: "0001-aa",
            class,
            tasks: 3,
            after: &after,
            node,
            exclude: if node.is_none() && !after.is_empty() { &bad } else { &[] },
            threads: 2,
            options,
            home: Path::new("/home/me"),
        };
        Batches::of(Path::new("/shared/100%")).arguments(&order).join(" ")
    }

    const ALWAYS: &str = "--parsable --job-name=bitfrontier-x --comment=0001-aa --array=0-2 \
                          --output=/shared/100%%/cluster/0001-aa-%a.log --open-mode=append --chdir=/home/me \
                          --export=ALL --requeue --nodes=1 --ntasks=1 --cpus-per-task=2";

    #[test]
    fn what_sbatch_is_told() {
        let none = SlurmOptions::default();
        assert_eq!(arguments(Class::Evaluate, &none, &[], None), ALWAYS);
        assert_eq!(
            arguments(Class::Timed, &none, &["4_0", "4_7"], Some("n2")),
            format!("{ALWAYS} --exclusive --nodelist=n2 --dependency=afterany:4_0:4_7")
        );
        assert_eq!(
            arguments(Class::Evaluate, &none, &["4_0"], None),
            format!("{ALWAYS} --exclude=n3,n4 --dependency=afterany:4_0")
        );
        let all = SlurmOptions {
            partition: Some("cpu".to_owned()),
            time_s: Some(90_061),
            quantize_time_s: Some(600),
            cpus: Some(8),
            memory_bytes: Some(16 << 30),
            throttle: Some(20),
            options: vec!["--account=mine".to_owned()],
            ..SlurmOptions::default()
        };
        let always = ALWAYS.replace("0-2", "0-2%20").replace("task=2", "task=8") + " --partition=cpu";
        let end = "--mem=16384M --account=mine";
        assert_eq!(arguments(Class::Quantize, &all, &[], None), format!("{always} --time=0:10:00 {end}"));
        assert_eq!(arguments(Class::Evaluate, &all, &[], None), format!("{always} --time=25:01:01 {end}"));
    }

    #[test]
    fn a_batch_is_known_by_its_name_and_others_lead_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let batches = Batches::of(folder.path());
        let ids = ["a".to_owned(), "b".to_owned()];
        let first = batches.begin(&ids).expect("written");
        let second = batches.begin(&ids[1..]).expect("written");
        assert!(first.starts_with("0000-") && second.starts_with("0001-"), "{first} {second}");
        assert_eq!((batches.ids(&first).as_slice(), batches.ids(&second).as_slice()), (&ids[..], &ids[1..]));
        batches.note_job(&second, 12).expect("written");
        assert_eq!(batches.jobs(), BTreeMap::from([(12, second.clone())]));
        batches.discard(&second);
        assert_eq!(batches.ids(&second), Vec::<String>::new());
        assert_eq!(batches.ids("../../etc/passwd"), Vec::<String>::new());
        assert_eq!(batches.ids("0007-none"), Vec::<String>::new());
    }
}
