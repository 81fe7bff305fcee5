"""Resolves what can be resolved in an object file for x86-64: `resolve.py OBJECT` (it is replaced).

`ld -r` keeps every relocation, also that of a call from one function of .text to another, whose
distance is known once both are in one section. An assembler resolves those, and so does this: an
eighth of libcaster.a is nothing else. Left alone are global symbols, which a program may replace, and
sections that the linker may rearrange (.eh_frame, strings to be merged). Any other reference to a local
symbol then refers to its section, so that objcopy can leave out the symbol. An object for another
machine stays as it is.
"""

import struct
import sys

SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, info, alignment, entry size
SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
RELOCATION = struct.Struct("<QQq")  # offset, symbol and type, addend
RELA = 4
MERGE = 0x10
SECTION_SYMBOL = 3
ABSOLUTE64, PC32, PLT32 = 1, 2, 4
MACHINE_X86_64 = 62
ELF64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"


def table_of(section: tuple[int, ...]) -> tuple[int, int]:
    """From where to where it is in the file."""
    return section[4], section[4] + section[5]


def main() -> None:
    path = sys.argv[1]
    with open(path, "rb") as file:
        data = bytearray(file.read())
    relocatable, machine = struct.unpack_from("<HH", data, 16)
    if data[:6] != ELF64_LITTLE_ENDIAN or machine != MACHINE_X86_64:
        return
    if relocatable != 1:
        sys.exit(f"resolve.py: {path} is no object file")
    (headers,) = struct.unpack_from("<Q", data, 40)
    (count,) = struct.unpack_from("<H", data, 60)
    sections = [SECTION.unpack_from(data, headers + SECTION.size * i) for i in range(count)]
    names = sections[struct.unpack_from("<H", data, 62)[0]][4]
    eh_frame = b".eh_frame\0"
    for index, header in enumerate(sections):
        _, kind, _, _, start, size, table, target, _, _ = header
        if kind != RELA:
            continue
        name, _, flags, _, place, *_ = sections[target]
        rearranged = flags & MERGE or data.startswith(eh_frame, names + name)
        symbols = [SYMBOL.unpack_from(data, at) for at in range(*table_of(sections[table]), SYMBOL.size)]
        of_section = {where: at for at, (_, info, _, where, _, _) in enumerate(symbols) if info == SECTION_SYMBOL}
        kept = bytearray()
        for at in range(start, start + size, RELOCATION.size):
            offset, info, addend = RELOCATION.unpack_from(data, at)
            way = info & 0xFFFFFFFF
            _, binding, _, where, value, _ = symbols[info >> 32]
            movable = where in of_section and not sections[where][2] & MERGE
            if binding >> 4 != 0 or way not in (ABSOLUTE64, PC32, PLT32) or not movable:
                kept += data[at : at + RELOCATION.size]
            elif way != ABSOLUTE64 and where == target and not rearranged:
                struct.pack_into("<i", data, place + offset, value + addend - offset)
            else:
                kept += RELOCATION.pack(offset, of_section[where] << 32 | way, value + addend)
        data[start : start + len(kept)] = kept
        # The bytes behind them are no longer used; objcopy leaves it out.
        struct.pack_into("<Q", data, headers + SECTION.size * index + 32, len(kept))
    with open(path, "wb") as file:
        file.write(data)


main()
