//! Namespaces of one's own and a root folder with next to nothing in it. Linux only.
//!
//! First, root becomes somebody without rights, since neither limits on processes nor the owners of files hold root.
//! In a new user namespace anybody may then make the others and build a root: Python and its libraries read-only,
//! `/proc` of the new namespace, a few devices, and one folder in memory that can be written.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use rustix::fs::Mode;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{DumpableBehavior, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::stage::{SCRATCH, Setting};

/// Somebody whom no other program of this machine runs as; behind it comes the process's id.
const STRANGER: u32 = 2_000_000_000;
/// Where a user namespace has no such number, the one that `nobody` has.
const NOBODY: u32 = 65_534;
/// What is needed of the host to start a program. Links stay links.
pub(super) const SYSTEM: [&str; 9] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache", "/etc/alternatives"];
/// Folders of an interpreter that is installed elsewhere.
pub(super) const PREFIX_PARTS: [&str; 3] = ["bin", "lib", "lib64"];
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Where the host's root stands while the new one is built.
const OLD: &str = "/.old";

/// What failed, in words.
type Outcome<T = ()> = Result<T, String>;

/// Says at what it failed.
trait At<T> {
    fn at(self, what: &str) -> Outcome<T>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, what: &str) -> Outcome<T> {
        self.map_err(|error| format!("{what}: {}", error.into()))
    }
}

/// Closes what the stage was not meant to inherit: a worker's own streams, say.
pub(super) fn close_inherited() {
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // The folder that was just listed is among them, and closed already.
        let _ = nix::unistd::close(number);
    }
}

/// Root becomes a user without rights; anybody else stays who they are.
pub(super) fn drop_root() -> Outcome {
    if geteuid().is_root() {
        let become_one = |number: u32| -> rustix::io::Result<()> {
            let (user, group) = (rustix::fs::Uid::from_raw(number), rustix::fs::Gid::from_raw(number));
            set_thread_groups(&[])?;
            set_thread_res_gid(group, group, group)?;
            set_thread_res_uid(user, user, user)
        };
        become_one(STRANGER + std::process::id()).or_else(|_| become_one(NOBODY)).at("giving up root")?;
    }
    // Who gave up rights may not write their own maps of users otherwise.
    set_dumpable_behavior(DumpableBehavior::Dumpable).at("prctl")
}

/// Makes all namespaces. The next process that is started is process 1 of its own.
pub(super) fn unshare() -> Outcome {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    nix::sched::unshare(flags).at("new namespaces")?;
    fs::write("/proc/self/setgroups", "deny").at("the user namespace's groups")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).at("the user namespace's users")?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).at("the user namespace's groups")
}

/// Builds the root folder and moves into it. The working folder is the interpreter's own, if it has one: it may lie
/// where only root gets to.
pub(super) fn build_root(setting: &Setting) -> Outcome {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).at("private mounts")?;
    memory("/tmp", "size=1m,mode=755")?;
    fs::create_dir(format!("/tmp{OLD}")).at("a folder for the old root")?;
    rustix::process::pivot_root("/tmp", format!("/tmp{OLD}")).at("pivot_root")?;
    for path in SYSTEM {
        system(path)?;
    }
    if let Some(prefix) = &setting.prefix {
        for part in PREFIX_PARTS.iter().filter(|part| Path::new(part).is_dir()) {
            bind(Path::new(part), &prefix.join(part))?;
        }
    }
    devices()?;
    fs::create_dir("/proc").at("/proc")?;
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", plain, None).at("/proc")?;
    fs::create_dir(SCRATCH).at(SCRATCH)?;
    memory(SCRATCH, &format!("size={},nr_inodes=20k,mode=755", setting.disk))?;
    symlink(format!("{SCRATCH}/tmp"), "/tmp").at("/tmp")?;
    rustix::process::chdir("/").at("/")?;
    unmount(OLD, UnmountFlags::DETACH).at("leaving the old root")?;
    fs::remove_dir(OLD).at("leaving the old root")?;
    read_only()
}

/// A file system in memory.
fn memory(at: &str, options: &str) -> Outcome {
    let options = CString::new(options).map_err(|error| error.to_string())?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", at, "tmpfs", flags, options.as_c_str()).at(at)
}

/// Brings a file, a folder or a link of the host, if it has it.
fn system(path: &str) -> Outcome {
    let old = PathBuf::from(format!("{OLD}{path}"));
    let Ok(about) = fs::symlink_metadata(&old) else { return Ok(()) };
    if about.is_symlink() {
        return symlink(fs::read_link(&old).at(path)?, path).at(path);
    }
    bind(&old, Path::new(path))
}

fn bind(from: &Path, to: &Path) -> Outcome {
    let shown = to.display().to_string();
    let parent = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).at(&shown)?;
    if from.is_dir() {
        // Inside a part that is there already, such as an interpreter under /usr/local.
        fs::create_dir_all(to).at(&shown)?;
    } else {
        File::options().create(true).append(true).mode(0o644).open(to).at(&shown)?;
    }
    mount_bind_recursive(from, to).at(&shown)
}

fn devices() -> Outcome {
    for device in DEVICES {
        bind(Path::new(&format!("{OLD}/dev/{device}")), Path::new(&format!("/dev/{device}")))?;
    }
    let links = [("/proc/self/fd", "/dev/fd"), ("/scratch/tmp", "/dev/shm")];
    links.iter().try_for_each(|(to, link)| symlink(to, link).at(link))
}

/// Nothing can be written but the scratch folder; `/proc` has still one thing to be told.
fn read_only() -> Outcome {
    let mounts = fs::read_to_string("/proc/self/mountinfo").at("the mounts")?;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(at), Some(options)) = (fields.nth(4), fields.next()) else { continue };
        let at = unescaped(at);
        if at == SCRATCH || at == "/proc" || at.starts_with("/proc/") {
            continue;
        }
        let mut flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID;
        // What the host forbids cannot be allowed here, and leaving it out would be that.
        let known = [("nodev", MountFlags::NODEV), ("noexec", MountFlags::NOEXEC)];
        for (_, flag) in known.iter().filter(|(name, _)| options.split(',').any(|option| option == *name)) {
            flags |= *flag;
        }
        mount_remount(at.as_str(), flags, c"").at(&format!("{at} read-only"))?;
    }
    Ok(())
}

/// Blanks and the like are octal in `/proc/self/mountinfo`.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Gives up every right that the namespace gave, for good, and the making of further namespaces with it.
pub(super) fn drop_rights() -> Outcome {
    match fs::write("/proc/sys/user/max_user_namespaces", "0") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(format!("forbidding further namespaces: {error}"));
        }
        _ => {}
    }
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_remount("/proc", MountFlags::BIND | MountFlags::RDONLY | plain, c"").at("/proc read-only")?;
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // Numbers that this kernel does not have.
        let _ = remove_capability_from_bounding_set(one);
    }
    clear_ambient_capability_set().at("giving up rights")?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .at("giving up rights")?;
    harden()
}

/// No program gives rights that this process does not have, and none may look into it.
pub(super) fn harden() -> Outcome {
    set_no_new_privs(true).at("no new privileges")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    set_dumpable_behavior(DumpableBehavior::NotDumpable).at("prctl")
}
