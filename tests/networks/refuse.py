"""Runs a program in a sandbox that refuses system calls, by a filter of seccomp.

    python3 refuse.py CALL... -- PROGRAM ARGUMENT...

A CALL is a name of `NUMBERS`, or of `ARGUMENTS`: only with this argument. They fail with EPERM.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import sys

NUMBERS = {
    "x86_64": {"ioctl": 16, "socket": 41, "sendto": 44, "sendmsg": 46, "recvmsg": 47, "epoll_wait": 232,
               "setsockopt": 54, "recvmmsg": 299, "sendmmsg": 307},
    "aarch64": {"ioctl": 29, "socket": 198, "sendto": 206, "sendmsg": 211, "recvmsg": 212, "epoll_wait": 22,
                "setsockopt": 208, "recvmmsg": 243, "sendmmsg": 269},
}  # fmt: skip
"""Numbers of system calls by kind of machine. On aarch64 `epoll_wait` is `epoll_pwait`."""
ARGUMENTS = {"netlink": ("socket", 0, socket.AF_NETLINK), "SIOCGIFCONF": ("ioctl", 1, 0x8912),
             "ip_mreqn": ("setsockopt", 4, 12)}  # fmt: skip
"""A call, and the index and value of one of its arguments. A structure is known by its size."""

LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
EPERM = 1
NUMBER_AT, FIRST_ARGUMENT_AT = 0, 16
"""Places in the structure that a filter sees, of a little-endian machine."""
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2


def instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def filter_for(call: str) -> bytes:
    numbers = NUMBERS[platform.machine()]
    end = instruction(RETURN, 0, 0, FAIL | EPERM) + instruction(RETURN, 0, 0, ALLOW)
    load = instruction(LOAD_WORD, 0, 0, NUMBER_AT)
    if call not in ARGUMENTS:
        return load + instruction(JUMP_IF_EQUAL, 0, 1, numbers[call]) + end
    call, index, value = ARGUMENTS[call]
    return (
        load
        + instruction(JUMP_IF_EQUAL, 0, 3, numbers[call])
        + instruction(LOAD_WORD, 0, 0, FIRST_ARGUMENT_AT + 8 * index)
        + instruction(JUMP_IF_EQUAL, 0, 1, value)
        + end
    )


def refuse(calls: list[str]) -> None:
    c = ctypes.CDLL(None, use_errno=True)

    def prctl(*arguments: object) -> None:
        if c.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for call in calls:
        steps = ctypes.create_string_buffer(filter_for(call))
        program = struct.pack("@HP", (len(steps) - 1) // 8, ctypes.addressof(steps))
        prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.create_string_buffer(program), 0, 0)


if __name__ == "__main__":
    end = sys.argv.index("--")
    refuse(sys.argv[1:end])
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
