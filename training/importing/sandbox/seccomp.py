"""seccomp: system calls that a process gives up for good, by libseccomp.

It denies what Landlock does not: sockets of any kind, new processes, and what changes files that
are only readable. https://man7.org/linux/man-pages/man3/seccomp_rule_add.3.html; the package that
wraps the library has had no release since 2021.
"""

from __future__ import annotations

import ctypes
import errno
import os

LIBRARY = "libseccomp.so.2"
ALLOW = 0x7FFF0000
DENY = 0x00050000 | errno.EPERM
ABSENT = 0x00050000 | errno.ENOSYS
KILL = 0x80000000
BAD_ARCHITECTURE = 2  # SCMP_FLTATR_ACT_BADARCH
MASKED_EQUAL, NOT_EQUAL = 7, 1
CLONE_THREAD = 0x00010000

DENIED = (
    # The network, and sockets of this machine.
    *("socket", "socketcall", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    # Other programs and processes, namespaces included.
    *("execve", "execveat", "fork", "vfork", "unshare", "setns", "ptrace"),
    *("process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp"),
    *("kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"),
    # Owners, modes, times and attributes of files, which Landlock leaves alone.
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    *("utime", "utimes", "futimesat", "utimensat", "truncate"),
    # Memory that is shared with other programs, and secrets that the kernel keeps.
    *("shmget", "shmat", "msgget", "semget", "mq_open", "add_key", "request_key", "keyctl"),
    # What only an administrator needs.
    *("mount", "umount2", "move_mount", "open_tree", "fsopen", "pivot_root", "chroot"),
    *("bpf", "perf_event_open", "userfaultfd", "init_module", "finit_module", "reboot"),
)


class Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``: a rule's condition on one argument."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def find() -> ctypes.CDLL | None:
    """libseccomp, which Debian's and Fedora's own tools need; None where it is missing."""
    try:
        found = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError:
        return None
    found.seccomp_init.restype = ctypes.c_void_p
    return found


def restrict() -> None:
    """Deny this thread, and the threads that it starts, what ``DENIED`` names.

    Raises:
        OSError: the library or the kernel refuses.
    """
    seccomp = find()
    if seccomp is None:
        raise OSError(errno.ENOENT, f"{LIBRARY} is missing")
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(ALLOW)))
    _check(seccomp.seccomp_attr_set(context, BAD_ARCHITECTURE, ctypes.c_uint32(KILL)))

    def rule(action: int, name: str, *conditions: Comparison) -> None:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return  # not on this architecture, or younger than the library
        array = (Comparison * len(conditions))(*conditions)
        result = seccomp.seccomp_rule_add_array(
            context, ctypes.c_uint32(action), number, len(conditions), array
        )
        if result != -errno.EDOM:  # a call that this architecture has not
            _check(result)

    for name in DENIED:
        rule(DENY, name)
    # Threads may be started, processes may not. The arguments of clone3 cannot be looked at; the C
    # library takes clone where the kernel does not know it.
    rule(DENY, "clone", Comparison(0, MASKED_EQUAL, CLONE_THREAD, 0))
    rule(ABSENT, "clone3")
    # A thread may signal threads of its own process: this is how one aborts.
    rule(DENY, "tgkill", Comparison(0, NOT_EQUAL, os.getpid(), 0))
    rule(DENY, "prlimit64", Comparison(0, NOT_EQUAL, 0, 0))
    _check(seccomp.seccomp_load(context))
    seccomp.seccomp_release(context)


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, f"seccomp: {os.strerror(-result)}")
