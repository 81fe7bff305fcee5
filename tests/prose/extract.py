"""The prose of a file: Markdown text, comments, docstrings and sentences in string literals.

`prose(path, text)` returns a text of the same length with the same line breaks, in which everything
else is blank. Positions in it are therefore positions in the file.
"""

import io
import re
import tokenize

# A string literal is prose if it has this many words: error, option and log texts, not keys.
WORDS_OF_A_SENTENCE = 4

_C_FAMILY = {".c", ".h", ".cpp", ".hpp", ".js", ".mjs", ".ts", ".mts", ".cts", ".rs"}
_HASH_FAMILY = {".sh", ".toml", ".yml", ".yaml", ".cmake", ".in", ".ld"}

_RUST = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | b?r(?P<fence>\#*)"(?P<raw>.*?)"(?P=fence)
      | b?c?"(?P<string>(?:\\.|[^"\\])*)"
      | b?'(?:\\[^\n]{1,10}?|[^'\\\n])'""",
    re.DOTALL | re.VERBOSE,
)
_C = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | "(?P<string>(?:\\.|[^"\\\n])*)"
      | '(?:\\.|[^'\\\n])*'""",
    re.DOTALL | re.VERBOSE,
)
_JAVASCRIPT = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | "(?P<string>(?:\\.|[^"\\\n])*)"
      | '(?P<single>(?:\\.|[^'\\\n])*)'
      | `(?P<template>(?:\\.|[^`\\])*)`
      | (?<=[=(,:!&|?{};\[\ ])/(?![/*\s])(?:\\.|\[(?:\\.|[^\]\n])*\]|[^/\n\[\\])+/[a-z]*""",
    re.DOTALL | re.VERBOSE,
)
_HASH = re.compile(r"(?:^|(?<=\s))(?P<comment>\#{1,2}(?!!)\s[^\n]*)", re.MULTILINE)
_HIDDEN_IN_MARKDOWN = re.compile(
    r"""^(?P<indent>\s*)(```+|~~~+)[^\n]*\n.*?^\s*\2[^\n]*$   # fenced code
      | <!--.*?-->
      | (``+)[^`].*?\3
      | `[^`\n]*(?:\n[^`\n]+)?`
      | (?<=\])\([^()\s]*\)                                    # the target of a link
      | https?://[^\s)>]+
      | </?[a-z]+[^<>\n]*>
      | ^\ {4,}(?![-*]|\d+\.)[^\n]*$(?<!\|)                    # indented code
      """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_MARKUP_OF_A_COMMENT = re.compile(r"^[ \t]*(?://[/!]?|/\*[*!]?|\*(?!\*)|\#+)|\*+/", re.MULTILINE)
_TAG = re.compile(r"@\w+|\{@\w+[^}]*\}|\\\w")
_WORD = re.compile(r"[A-Za-z][a-z']+(?=[\s.,;:!?)]|$)")


def blank(text):
    """`text` with a space for every character but line breaks."""
    return re.sub(r"[^\n]", " ", text)


def stopped(text):
    """`blank`, but code has a full stop as its first character: a sentence does not go across it."""
    first = len(text) - len(text.lstrip())
    return blank(text) if first == len(text) else blank(text[:first]) + "." + blank(text[first + 1 :])


def unknown(text):
    """A placeholder for a word that is not looked at: inline code, a link's target."""
    return re.sub(r"\S", "_", text)


def _hide(pattern, text, by=blank):
    return pattern.sub(lambda match: by(match.group()), text)


def _without_code(text):
    """Without inline code, code blocks and link targets."""
    return _hide(_HIDDEN_IN_MARKDOWN, text, unknown)


def _is_sentence(text):
    return len(_WORD.findall(text)) >= WORDS_OF_A_SENTENCE


class _Canvas:
    """A blank page on which parts of a text are shown at their places."""

    def __init__(self, text):
        self.parts = []
        self.end = 0
        self.text = text

    def show(self, start, end, shown):
        self.parts.append(stopped(self.text[self.end : start]))
        self.parts.append(shown)
        assert len(shown) == end - start
        self.end = end

    def result(self):
        return "".join(self.parts) + stopped(self.text[self.end :])


def _of_comment(text):
    """The words of a comment, without its marks."""
    return _hide(_TAG, _hide(_MARKUP_OF_A_COMMENT, text))


def _joined(text, spans):
    """The prose of comments and strings at `spans`; code that goes over several of them is hidden."""
    canvas = _Canvas(text)
    for start, end, is_comment in spans:
        part = text[start:end]
        canvas.show(start, end, _of_comment(part) if is_comment else _hide(_TAG, part))
    return _hide_code_of_comments(canvas.result())


_CODE_IN_COMMENT = re.compile(
    r"^[ \t]*```[^\n]*\n.*?^[ \t]*```[^\n]*$|(``+)[^`].*?\1|`[^`\n]*(?:\n[^`\n]+)?`|(?<=\])\([^()\s]*\)"
    r"|https?://[^\s)>]+",
    re.DOTALL | re.MULTILINE,
)


def _hide_code_of_comments(text):
    return _hide(_CODE_IN_COMMENT, text, unknown)


def _c_family(pattern, text):
    spans = []
    for match in pattern.finditer(text):
        kind = match.lastgroup
        if kind == "fence":
            kind = "raw"
        if kind == "comment":
            spans.append((*match.span(kind), True))
        elif kind and _is_sentence(match.group(kind)):
            spans.append((*match.span(kind), False))
    return _joined(text, spans)


def _hash_family(text):
    return _joined(text, [(*match.span("comment"), True) for match in _HASH.finditer(text)])


def _literal_pieces(text, start, end):
    """The parts of an f-string between its expressions, if together they are a sentence."""
    expressions = list(re.compile(r"\{[^{}]*\}").finditer(text, start, end))
    starts = [start, *(expression.end() for expression in expressions)]
    ends = [*(expression.start() for expression in expressions), end]
    pieces = list(zip(starts, ends))
    return pieces if _is_sentence(" ".join(text[a:b] for a, b in pieces)) else []


def _python(text):
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def at(position):
        return starts[position[0] - 1] + position[1]

    spans = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        span = at(token.start), at(token.end)
        if token.type == tokenize.COMMENT and not token.string.startswith(("#!", "# type:", "# noqa")):
            spans.append((*span, True))
        elif token.type == tokenize.STRING:
            quotes = re.match(r"[a-zA-Z]*('''|\"\"\"|'|\")", token.string)
            inner = span[0] + quotes.end(), span[1] - len(quotes.group(1))
            if "f" in token.string[: quotes.start(1)].lower():
                spans += [(*piece, False) for piece in _literal_pieces(text, *inner)]
            elif _is_sentence(text[inner[0] : inner[1]]):
                spans.append((*inner, False))
        elif token.type == getattr(tokenize, "FSTRING_MIDDLE", -1) and _is_sentence(token.string):
            spans.append((span[0], span[0] + len(token.string), False))
    return _joined(text, spans)


def prose(path, text):
    """The prose of the file, everything else blank; None if files of this kind have none."""
    if path.suffix == ".md":
        return _without_code(text)
    if path.suffix == ".rs":
        return _c_family(_RUST, text)
    if path.suffix in {".js", ".mjs", ".ts", ".mts", ".cts"}:
        return _c_family(_JAVASCRIPT, text)
    if path.suffix in _C_FAMILY:
        return _c_family(_C, text)
    if path.suffix in {".py", ".pyi"}:
        return _python(text)
    if path.suffix in _HASH_FAMILY or path.name in {"Makefile", ".gitignore", ".editorconfig", "CMakeLists.txt"}:
        return _hash_family(text)
    if text.startswith("#!") and re.match(r"#!.*\b(ba)?sh\b", text):
        return _hash_family(text)
    return None
