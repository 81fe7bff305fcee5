"""Reduces what abidw says about libcaster.so to its ABI: `describe.py CASTER_H [BASELINE] <ABIXML >ABIXML`.

abidw reads the debug information that rustc writes, and follows each type to the end, into the
standard library: a megabyte that changes with every version of everything. The ABI is less:

* the exported functions with the types of their parameters and results;
* of the structs that caster.h lays out, all fields; any other is opaque there, and here a name;
* `Option<extern fn>` is a pointer to a function.

Of a struct that tells its size in a first field `size`, what is behind the end that it has in BASELINE
is left out: fields may be added there.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import quoteattr

NAMED = {"class-decl", "enum-decl", "union-decl"}


def named_types(root: ElementTree.Element) -> dict[str, tuple[str, ElementTree.Element]]:
    """All types by their ids, with their full names."""
    types = {}

    def visit(element: ElementTree.Element, path: str) -> None:
        for child in element:
            name = child.get("name", "")
            full = f"{path}::{name}" if path else name
            if "id" in child.attrib and child.get("is-declaration-only") != "yes":
                types[child.attrib["id"]] = (full, child)
            visit(child, full if child.tag in NAMED or child.tag == "namespace-decl" else path)

    for unit in root.iter("abi-instr"):
        visit(unit, "")
    return types


def sizes(baseline: str) -> dict[str, int]:
    """How many bits each struct has there."""
    root = ElementTree.parse(baseline).getroot()
    return {it.attrib["name"]: int(it.get("size-in-bits", "0")) for it in root.iter("class-decl")}


class Description:
    def __init__(self, root: ElementTree.Element, header: str, known: dict[str, int]) -> None:
        self.types = named_types(root)
        self.known = known
        self.laid_out = {f"caster_{name}_t" for name in re.findall(r"^\} caster_(\w+)_t;", header, re.M)}
        self.ids: dict[str, str] = {}
        self.lines: list[str] = []

    def line(self, indent: int, tag: str, end: str = "/", **attributes: str) -> str:
        text = "".join(f" {name.replace('_', '-')}={quoteattr(value)}" for name, value in attributes.items())
        return f"{' ' * indent}<{tag}{text}{end}>"

    def type(self, old: str) -> str:
        """The new id of a type, which is described when it is first met."""
        if old == "void" or old not in self.types:
            raise SystemExit(f"describe.py: abidw does not describe the type {old}")
        full, element = self.types[old]
        if element.get("name", "").startswith("Option<"):
            # The one field of its variant Some.
            fields = [it.attrib["type-id"] for it in element.iter("var-decl")]
            if len(fields) != 1 or element.get("size-in-bits") != "64":
                raise SystemExit(f"describe.py: {full} is no pointer to a function")
            return self.type(fields[0])
        if old in self.ids:
            return self.ids[old]
        new = self.ids[old] = f"type-{len(self.ids) + 1}"
        size = element.get("size-in-bits", "0")
        if element.tag == "type-decl":
            text = [self.line(4, "type-decl", name=full, size_in_bits=size, id=new)]
        elif element.tag == "pointer-type-def":
            target = self.type(element.attrib["type-id"])
            text = [self.line(4, "pointer-type-def", type_id=target, size_in_bits=size, id=new)]
        elif element.tag == "function-type":
            text = [self.line(4, "function-type", "", size_in_bits=size, id=new)]
            text += [*self.signature(element), "    </function-type>"]
        elif element.tag in NAMED:
            text = self.struct(full, element, new)
        else:
            raise SystemExit(f"describe.py: {full or old} is a {element.tag}, which C has not")
        self.lines += text
        return new

    def struct(self, full: str, element: ElementTree.Element, new: str) -> list[str]:
        kind = {"is_struct": "yes", "visibility": "default"}
        if f"caster_{element.attrib['name'].lower()}_t" not in self.laid_out:
            return [self.line(4, "class-decl", name=full, **kind, is_declaration_only="yes", id=new)]
        size = int(element.attrib["size-in-bits"])
        fields = element.findall("data-member")
        if fields[0].find("var-decl").get("name") == "size":
            size = min(size, self.known.get(full, size))
        text = [self.line(4, "class-decl", "", name=full, size_in_bits=str(size), **kind, id=new)]
        for field in fields:
            place = field.attrib["layout-offset-in-bits"]
            variable = field.find("var-decl")
            if int(place) < size:
                of = self.type(variable.attrib["type-id"])
                text += [
                    self.line(6, "data-member", "", access="public", layout_offset_in_bits=place),
                    self.line(8, "var-decl", name=variable.attrib["name"], type_id=of, visibility="default"),
                    "      </data-member>",
                ]
        return [*text, "    </class-decl>"]

    def signature(self, element: ElementTree.Element) -> list[str]:
        text = [self.line(6, "parameter", type_id=self.type(it.attrib["type-id"])) for it in element.iter("parameter")]
        result = element.find("return").attrib["type-id"]
        if self.types.get(result, ("void",))[0] in ("void", "()"):
            if "void" not in self.ids:
                self.ids["void"] = "type-void"
                self.lines.append(self.line(4, "type-decl", name="void", id="type-void"))
            return [*text, self.line(6, "return", type_id="type-void")]
        return [*text, self.line(6, "return", type_id=self.type(result))]


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        header = file.read()
    root = ElementTree.parse(sys.stdin).getroot()
    description = Description(root, header, sizes(sys.argv[2]) if len(sys.argv) > 2 else {})
    symbols = sorted(it.attrib["name"] for it in root.iter("elf-symbol"))
    functions = {it.get("elf-symbol-id"): it for it in root.iter("function-decl")}
    print(f"<abi-corpus version={quoteattr(root.attrib['version'])} soname={quoteattr(root.attrib['soname'])}>")
    print("  <elf-function-symbols>")
    shown = {"type": "func-type", "binding": "global-binding", "visibility": "default-visibility", "is_defined": "yes"}
    for name in symbols:
        print(description.line(4, "elf-symbol", name=name, **shown))
    print("  </elf-function-symbols>")
    print("  <abi-instr address-size='64' path='caster.h'>")
    for name in symbols:
        if name not in functions:
            raise SystemExit(f"describe.py: there is no debug information for {name}: was it built with debug=2?")
        signature = description.signature(functions[name])
        shown = {"mangled_name": name, "visibility": "default", "binding": "global", "size_in_bits": "64"}
        description.lines.append(description.line(4, "function-decl", "", name=name, **shown, elf_symbol_id=name))
        description.lines += [*signature, "    </function-decl>"]
    print("\n".join(description.lines))
    print("  </abi-instr>\n</abi-corpus>")


main()
