"""Tags, digests and keys are compared in a time that does not depend on them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "caster-core/src"

CONSTANT_TIME = {
    "secure/suite.rs": [".decrypt_inout_detached(", ".verify_truncated_left("],
    "secure/key.rs": [".ct_eq("],
    "middleware/hash.rs": [".ct_eq("],
}
"""The calls that compare them: once in each module."""

OTHERS = {
    "secure/suite.rs": ["it.number() == number"],
    "secure/key.rs": [
        "*byte == bytes[0]",
        "*byte == b'\\n'",
        ".contains(byte)",
        'line.starts_with(b"#")',
        "metadata.uid() == 0",
        "bits == 0",
    ],
    "middleware/hash.rs": [
        ".starts_with(&DATA_MAGIC)",
        ".starts_with(&DATA_MAGIC)",
        "count == 0",
        "self.era == HashEra::Auto",
        "self.learned.load(Ordering::Relaxed) == 0",
        "self == Era::Binary",
        "a.is_ascii() == b.is_ascii()",
        'algorithm == "sha1"',
        "era == Era::Binary",
        "start + used == all",
        "at + 1 == self.blocks(payload.len())",
    ],
}
"""All other comparisons of these modules: of what is public, or, where a key is made, of one's own key."""


@pytest.mark.parametrize("file", CONSTANT_TIME)
def test_secrets_are_compared_in_constant_time(file: str) -> None:
    code = (SOURCE / file).read_text().split("#[cfg(test)]\nmod tests {")[0]
    for call in CONSTANT_TIME[file]:
        assert code.count(call) == 1, call
    for other in OTHERS[file]:
        assert other in code, other
        code = code.replace(other, "", 1)
    left = re.findall(r".*(?: == | != |starts_with|ends_with|\.cmp\(|\.eq\(|\.contains\().*", code)
    assert not left, left
