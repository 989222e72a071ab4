//! Programs that try to get out of the sandbox, or to take more than they may, and what the host sees of it.
//!
//! A machine that allows no namespaces has to refuse, and that is then what each of these tests looks for.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bitfrontier::sandbox::{End, Job, Limits, Ran, Sandbox, SandboxError};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bitfrontier");

/// The sandbox of this machine; `None` if it has none, having looked that it says so and runs nothing.
pub fn guarded() -> Option<Sandbox> {
    match Sandbox::find_by(PathBuf::from(PROGRAM), false) {
        Ok(sandbox) => {
            assert!(sandbox.is_guarded());
            Some(sandbox)
        }
        Err(error) => {
            assert!(!namespaces_work(), "refused where `unshare` is not: {error}");
            assert!(matches!(error, SandboxError::Refused { .. } | SandboxError::Unsupported), "{error}");
            assert!(error.hint().is_some());
            None
        }
    }
}

/// Whether another program gets what the sandbox needs.
fn namespaces_work() -> bool {
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        "--net",
        "--mount-proc",
        "true",
    ]);
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn job(code: &str) -> Job {
    Job {
        files: [("program.py".to_owned(), code.into())].into(),
        argv: ["python3", "program.py"].map(str::to_owned).to_vec(),
        stdin: Vec::new().into(),
        limits: Limits { wall: Duration::from_secs(20), ..Limits::default() },
        keep: false,
    }
}

fn text(ran: &Ran) -> String {
    String::from_utf8_lossy(&ran.stdout.0).into_owned() + &String::from_utf8_lossy(&ran.stderr.0)
}

/// Runs code that prints what it got hold of.
#[track_caller]
fn prints(sandbox: &Sandbox, code: &str, expected: &str) {
    let ran = sandbox.run(&job(code)).expect("run");
    assert_eq!((text(&ran).as_str(), ran.end), (expected, End::Exited(0)));
}

/// A file of the host with a secret in it.
fn secret() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    fs::write(&file, "the secret").expect("written");
    (folder, file)
}

/// Code that tries to read each of the files and to write beside it, and prints what worked.
fn prying(files: &[&Path]) -> String {
    format!(
        r"
import os
for path in {files:?}:
    try:
        print('read', path, open(path).read())
    except OSError:
        pass
    for inside in (path, os.path.dirname(path) + '/planted'):
        try:
            open(inside, 'w').write('gone')
            print('wrote', inside)
        except OSError:
            pass
print('done')
"
    )
}

#[test]
fn sandbox_runs_what_it_is_given_and_gives_back_what_came_of_it() {
    let Some(sandbox) = guarded() else { return };
    let mut job = job(
        "import sys, helper\nopen('out/new.txt', 'w').write(helper.twice(sys.stdin.read()))\nsys.exit(len(sys.argv))",
    );
    job.files.insert("helper.py".to_owned(), "def twice(x):\n    return x * 2\n".into());
    job.files.insert("out/old.txt".to_owned(), vec![0, 255].into());
    job.argv.extend(["a b".to_owned(), "c".to_owned()]);
    (job.stdin, job.keep) = ("né".into(), true);
    let ran = sandbox.run(&job).expect("run");
    assert_eq!((text(&ran).as_str(), ran.end, ran.files_left_out), ("", End::Exited(3), 0));
    let mut expected = job.files.clone();
    expected.insert("out/new.txt".to_owned(), "néné".into());
    assert_eq!(ran.files, expected);
    let absent = Job { argv: vec!["no-such-program".to_owned()], ..job };
    assert_eq!(sandbox.run(&absent).expect("run").end, End::Exited(127));
}

#[test]
fn sandbox_has_no_network() {
    let Some(sandbox) = guarded() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.set_nonblocking(true).expect("set");
    let port = listener.local_addr().expect("an address").port();
    let code = format!(
        r"
import socket
for address in (('127.0.0.1', {port}), ('1.1.1.1', 53), ('169.254.169.254', 80)):
    try:
        socket.create_connection(address, timeout=3)
        print('connected', address)
    except OSError:
        pass
try:
    socket.getaddrinfo('example.org', 80)
    print('resolved')
except OSError:
    pass
print(socket.if_nameindex())
"
    );
    prints(&sandbox, &code, "[(1, 'lo')]\n");
    assert_eq!(listener.accept().map(|_| ()).expect_err("nobody").kind(), ErrorKind::WouldBlock);
}

#[test]
fn sandbox_ends_a_fork_bomb() {
    let Some(sandbox) = guarded() else { return };
    let mark = format!("bomb-{}", std::process::id());
    let code = format!(
        "import os, time\nos.environ['X'] = '{mark}'\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(.01)"
    );
    let mut job = job(&code);
    job.argv.push(mark.clone());
    let begun = Instant::now();
    let ran = sandbox.run(&job).expect("run");
    assert_eq!(ran.end, End::TooManyProcesses, "{}", text(&ran));
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(alive(&mark), 0);
}

/// Processes of the host with this argument.
fn alive(mark: &str) -> usize {
    let has = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
    };
    fs::read_dir("/proc").expect("listed").flatten().filter(has).count()
}

#[test]
fn sandbox_ends_a_memory_bomb() {
    let Some(sandbox) = guarded() else { return };
    let code = "import mmap\nparts = []\nwhile True:\n    parts.append(bytearray(1 << 20))";
    let mut job = job(code);
    job.limits.memory = 128 << 20;
    let ran = sandbox.run(&job).expect("run");
    let refused = ran.end == End::Exited(1) && text(&ran).contains("MemoryError");
    assert!(refused || ran.end == End::OutOfMemory, "{:?} {}", ran.end, text(&ran));
}

#[test]
fn sandbox_ends_many_processes_that_share_a_memory_bomb() {
    let Some(sandbox) = guarded() else { return };
    // Each of them stays below the limit.
    let code = r"
import os, time
for _ in range(12):
    if os.fork() == 0:
        block = bytearray(os.urandom(1 << 20) * 24)
        time.sleep(60)
time.sleep(60)
";
    let mut job = job(code);
    job.limits.memory = 200 << 20;
    assert_eq!(sandbox.run(&job).expect("run").end, End::OutOfMemory);
}

#[test]
fn sandbox_bounds_the_disk() {
    let Some(sandbox) = guarded() else { return };
    let code = r"
import os, errno
total, why = 0, None
for folder in ('.', os.environ['TMPDIR'], '/tmp', '/dev/shm', '/scratch'):
    for number in range(100):
        try:
            with open(f'{folder}/fill-{number}', 'wb') as file:
                for _ in range(64):
                    total += file.write(bytes(1 << 16))
        except OSError as error:
            why = errno.errorcode[error.errno]
            break
print(total <= 8 << 20, total > 4 << 20, why in ('ENOSPC', 'EACCES', 'EROFS'), flush=True)
# Names alone take room, too.
for number in range(100_000):
    try:
        os.mkdir(f'folder-{number}')
    except OSError as error:
        break
print(number < 30_000)
";
    let mut job = job(code);
    job.limits.disk = 8 << 20;
    let ran = sandbox.run(&job).expect("run");
    // There is no room for more names, or the program with so many is ended.
    let ends = [("True True True\nTrue\n", End::Exited(0)), ("True True True\n", End::OutOfMemory)];
    assert!(ends.contains(&(text(&ran).as_str(), ran.end)), "{:?} {}", ran.end, text(&ran));
}

#[test]
fn sandbox_hides_the_home_folder() {
    let Some(sandbox) = guarded() else { return };
    let home = PathBuf::from(std::env::var_os("HOME").expect("a home"));
    let folder = tempfile::Builder::new().prefix(".bitfrontier-test-").tempdir_in(&home).expect("a folder");
    let file = folder.path().join("secret");
    fs::write(&file, "the secret").expect("written");
    let readable = [file.as_path(), Path::new("/etc/passwd"), Path::new("/etc/hostname")];
    prints(&sandbox, &prying(&readable), "done\n");
    assert_eq!(fs::read_to_string(&file).expect("read"), "the secret");
    assert!(!folder.path().join("planted").exists());
}

#[test]
fn sandbox_hides_the_cache_and_the_working_folder() {
    let Some(sandbox) = guarded() else { return };
    // The cache of a run is wherever BITFRONTIER_CACHE says; here as in the tests of sweeps.
    let (cache, file) = secret();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let before = fs::read(&own).expect("read");
    prints(&sandbox, &prying(&[&file, &own, Path::new(PROGRAM)]), "done\n");
    assert_eq!(fs::read_to_string(&file).expect("read"), "the secret");
    assert_eq!(fs::read(&own).expect("read"), before);
    assert_eq!(fs::read_dir(cache.path()).expect("listed").count(), 1);
}

#[test]
fn sandbox_writes_nowhere_but_in_its_scratch_folder() {
    let Some(sandbox) = guarded() else { return };
    let code = r"
import os, sys
places = ['/', '/usr', '/usr/bin', '/bin', '/lib', '/etc', '/dev', '/proc', '/root', '/home', '/var', '/scratch',
          os.path.dirname(sys.executable), os.path.dirname(os.__file__)]
for place in places:
    for attempt in (lambda: open(f'{place}/planted', 'w'), lambda: os.mkdir(f'{place}/planted.d')):
        try:
            attempt()
            print('wrote in', place)
        except OSError:
            pass
for file in (sys.executable, os.__file__, '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/1/oom_score_adj'):
    try:
        open(os.path.realpath(file), 'r+')
        print('opened', file)
    except OSError:
        pass
";
    let ran = sandbox.run(&job(code)).expect("run");
    // `/scratch` itself holds nothing but the program's two folders and goes with them.
    let lines = text(&ran);
    let planted: Vec<&str> = lines.lines().filter(|line| *line != "wrote in /scratch").collect();
    assert_eq!((planted, ran.end), (Vec::<&str>::new(), End::Exited(0)));
    assert!(!Path::new("/planted").exists() && !Path::new("/usr/planted").exists());
}

#[test]
fn sandbox_cannot_signal_anything_outside() {
    let Some(sandbox) = guarded() else { return };
    let code = format!(
        r"
import os, signal
for target in ({}, os.getppid(), 1, -1):
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
        if target == -1:
            # Itself is spared by the kernel.
            continue
        try:
            os.kill(target, number)
        except OSError:
            pass
print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()) == sorted([1, os.getpid()]))
",
        std::process::id()
    );
    prints(&sandbox, &code, "True\n");
}

#[test]
fn sandbox_ends_a_daemon_that_outlives_the_program() {
    let Some(sandbox) = guarded() else { return };
    let mark = format!("daemon-{}", std::process::id());
    let code = format!(
        r"
import subprocess, sys
subprocess.Popen(['setsid', sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(300)', '{mark}'])
if __import__('os').fork() == 0:
    __import__('os').setsid()
    if __import__('os').fork() == 0:
        __import__('time').sleep(300)
print('left behind')
"
    );
    let mut job = job(&code);
    job.argv.push(mark.clone());
    let begun = Instant::now();
    let ran = sandbox.run(&job).expect("run");
    assert_eq!(ran.end, End::Exited(0), "{}", text(&ran));
    assert!(text(&ran).contains("left behind"));
    assert!(begun.elapsed() < Duration::from_secs(15), "it was not waited for");
    assert_eq!(alive(&mark), 0);
}

#[test]
fn sandbox_ends_an_endless_loop_and_an_endless_sleep() {
    let Some(sandbox) = guarded() else { return };
    let mut busy = job("while True: pass");
    busy.limits.cpu = Duration::from_secs(1);
    let ran = sandbox.run(&busy).expect("run");
    assert_eq!(ran.end, End::TimedOut);
    assert!(ran.cpu_s > 0.9 && ran.cpu_s < 3.0, "{}", ran.cpu_s);
    // Two processes have one allowance.
    let mut both = job("import os\nos.fork()\nwhile True: pass");
    both.limits.cpu = Duration::from_secs(2);
    let ran = sandbox.run(&both).expect("run");
    assert_eq!(ran.end, End::TimedOut);
    assert!(ran.cpu_s < 3.5, "{}", ran.cpu_s);
    let mut idle = job("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(300)");
    idle.limits.wall = Duration::from_secs(1);
    let ran = sandbox.run(&idle).expect("run");
    assert_eq!((ran.end, ran.cpu_s < 1.0), (End::TimedOut, true));
}

#[test]
fn sandbox_keeps_only_the_beginning_of_a_flood() {
    let Some(sandbox) = guarded() else { return };
    let code =
        "import sys\nfor _ in range(2000):\n    print('x' * 9999)\n    print('y' * 9999, file=sys.stderr)";
    let ran = sandbox.run(&job(code)).expect("run");
    assert_eq!(ran.end, End::Exited(0));
    assert_eq!((ran.stdout.0.len(), ran.stderr.0.len()), (64 << 10, 64 << 10));
    assert!(ran.stdout_cut && ran.stderr_cut);
}

#[test]
fn sandbox_shows_no_variables_of_its_parents() {
    let Some(_) = guarded() else { return };
    // A run with a secret in its environment: this test itself, started once more.
    if std::env::var_os("BITFRONTIER_TEST_SECRET").is_none() {
        let name = "escape::sandbox_shows_no_variables_of_its_parents";
        let again = Command::new(std::env::current_exe().expect("a path"))
            .args([name, "--exact"])
            .env("BITFRONTIER_TEST_SECRET", "the secret")
            .output()
            .expect("run");
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
        return;
    }
    let code = r"
import os
for name in os.listdir('/proc'):
    if not name.isdigit():
        continue
    for file in ('environ', 'cmdline', 'maps', 'mem', 'fd/0', 'fd/1', 'cwd', 'root'):
        if 'fd' in file and name != '1':
            # Its own pipes, which would wait for themselves.
            continue
        path = f'/proc/{name}/{file}'
        try:
            if b'secret' in open(path, 'rb').read(1 << 20) or name == '1' and file != 'cmdline':
                print('read', path)
        except OSError:
            pass
        try:
            os.readlink(path)
            if name == '1':
                print('followed', path)
        except OSError:
            pass
print(sorted(os.environ))
";
    let ran = Sandbox::find_by(PathBuf::from(PROGRAM), false).expect("found").run(&job(code)).expect("run");
    let expected = "['HOME', 'LANG', 'PATH', 'PYTHONDONTWRITEBYTECODE', 'PYTHONHASHSEED', 'TMPDIR']\n";
    assert_eq!(ran.end, End::Exited(0), "{}", text(&ran));
    let shown = text(&ran).replace("'LC_CTYPE', ", "");
    assert_eq!(shown, expected);
}

#[test]
fn sandbox_follows_no_links_out() {
    let Some(sandbox) = guarded() else { return };
    let (_folder, file) = secret();
    let code = format!(
        r"
import os
os.symlink({file:?}, 'link')
os.symlink('/', 'root')
os.symlink('/proc/1/environ', 'environ')
os.mkfifo('pipe')
os.makedirs('a/' * 60)
open('plain', 'w').write('x')
os.remove('program.py')
os.symlink('/etc/passwd', 'program.py')
"
    );
    let mut job = job(&code);
    job.keep = true;
    let ran = sandbox.run(&job).expect("run");
    assert_eq!(ran.end, End::Exited(0), "{}", text(&ran));
    assert_eq!(ran.files.keys().collect::<Vec<_>>(), ["plain"]);
    // Four links, the pipe, and the folder below the deepest that is looked into.
    assert_eq!(ran.files_left_out, 6);
    for path in ["../x", "/x", "a/../../x"] {
        let mut job = job.clone();
        job.files.insert(path.to_owned(), "x".into());
        assert!(matches!(sandbox.run(&job), Err(SandboxError::Path { .. })), "{path}");
    }
}

#[test]
fn sandbox_allows_no_mounts_no_tracing_and_no_further_namespaces() {
    let Some(sandbox) = guarded() else { return };
    let code = r"
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
tries = {
    'remount': lambda: libc.mount(None, b'/', None, 32 | 4096, None),
    'remount usr': lambda: libc.mount(None, b'/usr', None, 32 | 4096, None),
    'tmpfs': lambda: libc.mount(b'tmpfs', b'/scratch/tmp', b'tmpfs', 0, None),
    'unmount': lambda: libc.umount2(b'/usr', 2),
    'chroot': lambda: libc.chroot(b'/scratch'),
    'trace 1': lambda: libc.ptrace(16, 1, None, None),
    'user namespace': lambda: libc.unshare(0x10000000),
    'network namespace': lambda: libc.unshare(0x40000000),
    'name': lambda: libc.sethostname(b'x', 1),
    'other user': lambda: libc.setuid(1000),
    'node': lambda: libc.mknod(b'/scratch/work/disk', 0o60600, os.makedev(8, 0)),
    'module': lambda: libc.syscall(175, None, 0, None),
}
for name, attempt in tries.items():
    if attempt() == 0:
        print(name, 'was allowed')
status = dict(line.split(':\t', 1) for line in open('/proc/self/status') if ':\t' in line)
print([int(status[name], 16) for name in ('CapPrm', 'CapEff', 'CapBnd', 'CapAmb')], status['NoNewPrivs'].strip())
for file in ('/proc/1/mem', '/proc/1/fd/1'):
    try:
        open(file, 'rb+')
        print(file, 'was opened')
    except OSError:
        pass
";
    prints(&sandbox, code, "[0, 0, 0, 0] 1\n");
}

/// Memory that no process holds would be on nobody's account, keys of the session are the user's in every namespace, and what is
/// asked of `io_uring` passes no filter.
#[test]
fn sandbox_refuses_memory_of_nobody_and_the_keys_of_the_user() {
    let Some(sandbox) = guarded() else { return };
    let code = r"
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
wide = platform.machine() == 'x86_64'
tries = {
    'memfd': lambda: os.memfd_create('x'),
    'shm': lambda: libc.shmget(0, 1 << 20, 0o1600),
    'messages': lambda: libc.msgget(0, 0o1600),
    'semaphores': lambda: libc.semget(0, 1, 0o1600),
    'add_key': lambda: libc.syscall(248 if wide else 217, b'user', b'x', b'y', 1, -3),
    'search of keys': lambda: libc.syscall(250 if wide else 219, 10, -3, b'user', b'x', 0),
    'list of keys': lambda: libc.syscall(250 if wide else 219, 11, -3, ctypes.create_string_buffer(64), 64),
    'request_key': lambda: libc.syscall(249 if wide else 218, b'user', b'x', None, 0),
    'io_uring': lambda: libc.syscall(425, 1, ctypes.create_string_buffer(120)),
    'perf': lambda: libc.syscall(298 if wide else 241, ctypes.create_string_buffer(120), 0, -1, -1, 0),
    'bpf': lambda: libc.syscall(321 if wide else 280, 0, ctypes.create_string_buffer(120), 120),
    'userfaultfd': lambda: libc.syscall(323 if wide else 282, 1),
}
if wide:
    tries['memfd by its other number'] = lambda: libc.syscall(0x40000000 + 319, b'x', 0)
for name, attempt in tries.items():
    try:
        found = attempt()
    except OSError as error:
        found, told = -1, error.errno
    else:
        told = ctypes.get_errno()
    if found != -1 or told not in (errno.EPERM, errno.ENOSYS):
        print(name, found, errno.errorcode.get(told))
print('tried', len(tries) - wide)
";
    prints(&sandbox, code, "tried 12\n");
}

#[test]
fn sandbox_dies_with_whoever_asked_for_it() {
    let Some(_) = guarded() else { return };
    let mark = format!("orphan-{}", std::process::id());
    if let Some(mark) = std::env::var_os("BITFRONTIER_TEST_ORPHAN") {
        let mut job = job("import time; time.sleep(300)");
        job.argv.push(mark.to_string_lossy().into_owned());
        job.limits.wall = Duration::from_mins(5);
        let _ = Sandbox::find_by(PathBuf::from(PROGRAM), false).expect("found").run(&job);
        return;
    }
    let mut asking = Command::new(std::env::current_exe().expect("a path"))
        .args(["escape::sandbox_dies_with_whoever_asked_for_it", "--exact"])
        .env("BITFRONTIER_TEST_ORPHAN", &mark)
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let wait_for = |wanted: bool| {
        let begun = Instant::now();
        while (alive(&mark) > 0) != wanted {
            assert!(begun.elapsed() < Duration::from_mins(1), "waited for {wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for(true);
    asking.kill().expect("killed");
    asking.wait().expect("waited");
    wait_for(false);
}

#[test]
fn sandbox_without_a_guard_says_so_and_still_limits() {
    let sandbox = Sandbox::find_by(PathBuf::from(PROGRAM), true).expect("found");
    assert_eq!((sandbox.is_guarded(), sandbox.kind()), (false, "none"));
    let mark = format!("unguarded-{}", std::process::id());
    let mut job = job(&format!("import os\nprint('{mark}', flush=True)\nos.fork()\nwhile True: pass"));
    job.limits.cpu = Duration::from_secs(1);
    job.argv.push(mark.clone());
    let ran = sandbox.run(&job).expect("run");
    assert_eq!((ran.end, text(&ran)), (End::TimedOut, format!("{mark}\n")));
    assert_eq!(alive(&mark), 0);
}
