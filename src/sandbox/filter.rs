//! Calls of the kernel that no program of a sandbox needs, and by which one could take or reach what its namespaces and limits
//! do not know of: memory that belongs to no process, the keyrings of the user, ways around a filter, and parts of the kernel
//! that are large and seldom used. They fail as what is not permitted does.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

const REFUSED: &[libc::c_long] = &[
    // Memory that is on no process's account.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    // The session's keyring is the user's, whatever the namespace.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Does what its filter would not allow.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // For the system's own programs, and for finding one's way out of it.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
];

/// Forbids them to this process and all that it starts, for good. Calls of another architecture end the process.
pub(super) fn apply() -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("forbidding calls of the kernel: {error}");
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| failed(&error))?;
    // The same calls have other numbers in the 32-bit form of x86-64.
    let also = if arch == TargetArch::x86_64 { Some(0x4000_0000) } else { None };
    let numbers = REFUSED.iter().flat_map(|number| [Some(*number), also.map(|bit| number | bit)]).flatten();
    let rules: BTreeMap<i64, Vec<_>> = numbers.map(|number| (number, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(|error| failed(&error))?;
    let program = BpfProgram::try_from(filter).map_err(|error| failed(&error))?;
    apply_filter(&program).map_err(|error| failed(&error))
}
