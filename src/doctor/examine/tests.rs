//! Machines that are well and such that are not.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use super::super::check::Mark;
use super::*;

#[test]
fn space_and_memory_have_their_bounds() {
    let root = Path::new("/cache");
    let marks = |free: [Option<u64>; 4]| free.map(|free| disk(root, free).mark);
    let bounds = [Some(LEAST_DISK - 1), Some(LEAST_DISK), Some(LITTLE_DISK), None];
    assert_eq!(marks(bounds), [Mark::Fail, Mark::Warn, Mark::Ok, Mark::Warn]);
    assert_eq!(disk(root, Some(20 * GIB)).found, "20.0 GiB free for /cache");
    let marks = |available: [Option<u64>; 4]| available.map(|a| memory(a, Some(8 * GIB)).mark);
    let bounds = [Some(LEAST_MEMORY - 1), Some(LEAST_MEMORY), Some(LITTLE_MEMORY), None];
    assert_eq!(marks(bounds), [Mark::Fail, Mark::Warn, Mark::Ok, Mark::Warn]);
}

#[test]
fn a_cache_is_tried_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(writable(folder.path()).mark, Mark::Ok);
    let later = writable(&folder.path().join("deep/er"));
    assert!(later.mark == Mark::Ok && later.found.ends_with("is yet to be made, and can be"), "{later:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    // A file where the folder should be.
    let file = folder.path().join("cache");
    fs::write(&file, "").unwrap();
    let taken = writable(&file);
    assert!(taken.mark == Mark::Fail && taken.advice.contains("BITFRONTIER_CACHE"), "{taken:?}");
}

#[test]
fn a_scheduler_is_whole_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = [PathBuf::from("/nowhere"), folder.path().to_owned()];
    assert!(scheduler(&path).found.starts_with("none"));
    fs::write(folder.path().join("sbatch"), "").unwrap();
    let lame = scheduler(&path);
    assert_eq!(
        (lame.mark, lame.found.as_str()),
        (Mark::Warn, "Slurm's sbatch on the PATH, without squeue and scancel")
    );
    fs::write(folder.path().join("scancel"), "").unwrap();
    // Whoever only looks takes it for Slurm; whoever asks hears that nobody is there.
    let squeue = folder.path().join("squeue");
    let says = |script: &str| {
        fs::write(&squeue, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&squeue, PermissionsExt::from_mode(0o755)).unwrap();
        // What was written a moment ago may still be open for writing in a child of another test's.
        let is_busy = |check: &Check| check.found.contains("Text file busy");
        (0..50).map(|_| scheduler(&path)).find(|check| !is_busy(check)).expect("a script that starts")
    };
    let alone = says("echo 'squeue: error: no controller' >&2; exit 1");
    let told = "squeue does not answer: squeue: error: no controller";
    assert_eq!((alone.mark, alone.found.as_str()), (Mark::Warn, told));
    assert_eq!(says("exit 0").mark, Mark::Ok);
}

#[test]
fn a_worker_that_dies_is_in_the_way_and_a_sandbox_that_is_not_there_is_not() {
    let dead = llama(Err("killed by SIGILL".to_owned()));
    assert!(dead.mark == Mark::Fail && dead.found.contains("SIGILL") && !dead.advice.is_empty());
    let native = NativeBuild { llama_cpp: "0.6".to_owned(), ..NativeBuild::default() };
    assert!(llama(Ok(native)).found.starts_with("0.6, CPU only"));
    let refused = sandbox(Err(SandboxError::Refused { reason: "no namespaces".to_owned() }));
    assert!(refused.mark == Mark::Warn && refused.advice.contains("user_namespaces"), "{refused:?}");
    assert_eq!(fonts().mark, Mark::Ok);
}

#[test]
fn python_is_asked_and_need_not_be_there() {
    let absent = python(Path::new("/nowhere/python3"));
    assert!(absent.mark == Mark::Warn && absent.found.starts_with("there is no python3"), "{absent:?}");
}

#[test]
fn a_hub_answers_or_does_not() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let check = hub(&Hub::new(&address, None));
    assert!(check.mark == Mark::Warn && check.found.contains(&address), "{check:?}");
}
