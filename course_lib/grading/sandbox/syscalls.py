"""The system calls that students' code may not make, as a seccomp filter.

All else is allowed, for Python and torch make many. What is not allowed is, besides what gives
power over the machine: memory that no process owns, since nobody could count it; and what tells of
files that others have read, or carries signals over files that all sandboxes see.

The filter is for the machine's own calls. Those of another architecture (32 bits, x32) end the
process. Calls that are newer than this list do not exist, but for those that are known to be fine.
"""

import contextlib
import errno
import socket

CLONE_NEW = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}

# Namespaces and mounts.
_PLACES = "unshare setns mount umount2 pivot_root chroot name_to_handle_at open_by_handle_at"
# Other processes' memory, and one's own behind the supervisor's back.
_OTHERS = """
    ptrace process_vm_readv process_vm_writev kcmp userfaultfd set_mempolicy mbind migrate_pages
    move_pages remap_file_pages personality modify_ldt
"""
# The machine: its clock, modules, disks, and whatever is rarely used and has often had holes.
_MACHINE = """
    bpf perf_event_open seccomp keyctl add_key request_key kexec_load kexec_file_load init_module
    finit_module delete_module acct swapon swapoff reboot quotactl settimeofday clock_settime
    clock_adjtime adjtimex syslog lookup_dcookie vhangup iopl ioperm setdomainname sethostname
    sync syncfs sync_file_range io_setup io_submit io_getevents io_pgetevents io_cancel io_destroy
"""
# Memory that no process owns: pages in pipes and sockets, shared pages, queues, watches, locks.
_MEMORY = """
    vmsplice splice tee sendfile sendfile64 memfd_create shmget shmat msgget semget mq_open
    inotify_init inotify_init1 inotify_add_watch fanotify_init flock
"""
# What of a file is in memory, because somebody has read it.
_CACHE = "fadvise64 fadvise64_64 arm_fadvise64_64 readahead mincore"
_FORBIDDEN = " ".join([_PLACES, _OTHERS, _MACHINE, _MEMORY, _CACHE]).split()

# Since Linux 5.1 new calls have the same number on all architectures, and libseccomp may not know
# their names. Those not listed here do not exist, clone3 among them: its flags are in memory, where
# no filter sees them, and without it libc uses clone.
_NEW = range(424, 512)
_NEW_AND_FINE = {
    424,  # pidfd_send_signal
    434,  # pidfd_open
    436,  # close_range
    439,  # faccessat2
    441,  # epoll_pwait2
    449,  # futex_waitv
    452,  # fchmodat2
    453,  # map_shadow_stack
    454,  # futex_wake
    455,  # futex_wait
    456,  # futex_requeue
    462,  # mseal
}

_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_LAST_PROTOCOL = 17  # UDP: above are those that the kernel would load a module for
_MAP_SHARED_ANONYMOUS, _MAP_HUGETLB = 0x21, 0x40000
_SO = {  # of SOL_SOCKET: larger buffers, and programs
    "SNDBUF": 7,
    "RCVBUF": 8,
    "ATTACH_FILTER": 26,
    "SNDBUFFORCE": 32,
    "RCVBUFFORCE": 33,
    "ATTACH_BPF": 50,
    "ATTACH_REUSEPORT_CBPF": 51,
    "ATTACH_REUSEPORT_EBPF": 52,
    "ZEROCOPY": 60,
}
_F = {  # of fcntl: locks, leases and notices on files that others see, larger pipes
    "GETLK": 5,
    "SETLK": 6,
    "SETLKW": 7,
    "OFD_GETLK": 36,
    "OFD_SETLK": 37,
    "OFD_SETLKW": 38,
    "SETLEASE": 1024,
    "GETLEASE": 1025,
    "NOTIFY": 1026,
    "SETPIPE_SZ": 1031,
}
_F_LATER = 1035  # and above: hints that stay with a file
_MADV = {"WILLNEED": 3, "MERGEABLE": 12, "COLD": 20, "PAGEOUT": 21}
_PR_SET = {"SECCOMP": 22, "MEMORY_MERGE": 67}
_TIOC = {"STI": 0x5412, "LINUX": 0x541C}
_INT = 2**32 - 1  # the kernel looks at no other bits of a number that is an int in C


def build_filter():
    """The filter; its ``load`` puts it in force for this process and all that it starts."""
    import pyseccomp
    from pyseccomp import ERRNO, GE, MASKED_EQ, NE, Arg

    deny = ERRNO(errno.EPERM)
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)

    def forbid(call: str, *arguments: Arg) -> None:
        with contextlib.suppress(OSError, ValueError):  # unknown to this architecture
            rules.add_rule(deny, call, *arguments)

    for name in _FORBIDDEN:
        forbid(name)
    for number in set(_NEW) - _NEW_AND_FINE:
        rules.add_rule(ERRNO(errno.ENOSYS), number)
    for flag in CLONE_NEW.values():
        forbid("clone", Arg(0, MASKED_EQ, flag, flag))
    # Namespaces do not hold back every family: AF_VSOCK leads to the host of a virtual machine.
    for call in ("socket", "socketpair"):
        for family in {*range(64)} - {_AF_UNIX, _AF_INET, _AF_INET6}:
            forbid(call, Arg(0, MASKED_EQ, _INT, family))
        forbid(call, Arg(0, GE, 64))
        forbid(call, Arg(2, GE, _LAST_PROTOCOL + 1))
    for option in _SO.values():
        at = Arg(1, MASKED_EQ, _INT, socket.SOL_SOCKET), Arg(2, MASKED_EQ, _INT, option)
        forbid("setsockopt", *at)
    for flags in (_MAP_SHARED_ANONYMOUS, _MAP_HUGETLB):
        forbid("mmap", Arg(3, MASKED_EQ, flags, flags))
    for command in _F.values():
        forbid("fcntl", Arg(1, MASKED_EQ, _INT, command))
    forbid("fcntl", Arg(1, GE, _F_LATER))
    for advice in _MADV.values():
        forbid("madvise", Arg(2, MASKED_EQ, _INT, advice))
    for call in ("preadv2", "pwritev2"):
        forbid(call, Arg(5, NE, 0))  # RWF_NOWAIT tells what is in memory
    for request in _TIOC.values():
        forbid("ioctl", Arg(1, MASKED_EQ, _INT, request))
    for option in _PR_SET.values():
        forbid("prctl", Arg(0, MASKED_EQ, _INT, option))
    return rules
