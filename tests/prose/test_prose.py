"""The linter finds each kind of error in each kind of file, and nothing in code."""

import tomllib
from pathlib import Path

import extract
import links
import lint
import pytest

lint.prepare()


def found(name, text):
    return [(line, message) for line, _, message in lint.findings(Path(name), text)]


SENTENCE = "A peer that nobody hears is suspect."
PLACES = {
    "a.md": SENTENCE,
    "a.rs": f"/// {SENTENCE}\nfn f() {{}}",
    "b.rs": f'fn f() {{ log("{SENTENCE}") }}',
    "c.rs": f"fn f<'a>(c: char) {{ c == '\"'; }} // {SENTENCE}",
    "d.rs": f'const TEXT: &str = r#"{SENTENCE}"#;',
    "a.c": f"/* {SENTENCE} */",
    "a.h": f"/**\n * {SENTENCE}\n */",
    "a.cpp": f'throw Error("{SENTENCE}");',
    "a.py": f'"""{SENTENCE}"""',
    "b.py": f"x = 1  # {SENTENCE}",
    "c.py": f'raise ValueError("{SENTENCE}")',
    "d.py": f"x = f'{{a}}: {SENTENCE} {{b}}'",
    "a.js": f"// {SENTENCE}",
    "b.js": f"const pattern = /[\"']/; throw new Error('{SENTENCE}');",
    "a.d.ts": f"/** {SENTENCE} */",
    "a.sh": f"# {SENTENCE}",
    "Makefile": f"all: ## {SENTENCE}",
    "a.toml": f"x = 1 # {SENTENCE}",
    "a.yml": f"# {SENTENCE}",
}


@pytest.mark.parametrize("name", PLACES)
def test_prose_is_found_in_each_kind_of_file(name):
    text = PLACES[name]
    line = text[: text.index(SENTENCE)].count("\n") + 1
    assert [at for at, message in found(name, text) if "'nobody'" in message] == [line]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "The reason is `goodbye`.\n\n```\nnobody\n```\n\n    nobody, in code\n"),
        ("a.rs", 'fn everybody() { let who = "goodbye"; }'),
        ("a.py", 'nobody = "who"\n'),
        ("a.py", "x = f'{nobody} is here, and not somewhere else'\n"),
        ("a.js", "const nobody = `who`;"),
        ("a.rs", "/// `nobody` is a name,\n/// and `who\n/// is it` another."),
        ("a.c", "int nobody; /* `goodbye` */"),
        ("a.sh", "nobody=1"),
    ],
)
def test_code_is_not_prose(name, text):
    assert found(name, text) == []


def sample(pattern):
    """A text that matches a simple pattern of the vocabulary: the first choice everywhere."""
    text = pattern.split("(?!")[0]
    while "(" in text:
        start = text.rindex("(")
        end = text.index(")", start)
        text = text[:start] + text[start + 1 : end].split("|")[0] + text[end + 1 :].removeprefix("?")
    return text.split("|")[0].replace("?", "").replace("\\b", "")


VOCABULARY = tomllib.loads((lint.HERE / "vocabulary.toml").read_text())


@pytest.mark.parametrize("pattern", VOCABULARY["prose"])
def test_every_word_of_the_vocabulary_is_found(pattern):
    assert any("caster.words" in message for _, message in found("a.md", f"It {sample(pattern)} it."))


@pytest.mark.parametrize("pattern", VOCABULARY["sentences"])
def test_every_subject_of_the_vocabulary_is_found(pattern):
    text = f"It is here. {sample(pattern)} it is, is here."
    assert any("caster.sentences" in message for _, message in found("a.md", text))


@pytest.mark.parametrize("pattern", VOCABULARY["names"])
def test_every_name_of_the_vocabulary_is_found(pattern):
    part = sample(pattern)
    for name in (part, f"a_{part}_b", f"a{part.capitalize()}B", part.upper()):
        assert any("caster.names" in message for _, message in found("a.rs", f"let {name} = 1;")), name
    assert found("a.rs", f"let x{part}y = 1;") == []


def test_questions_may_begin_with_what():
    assert found("a.md", "What does it cost? Who pays?") == []


def test_proselint_itself_is_at_work():
    assert any("lexical_illusions" in message for _, message in found("a.md", "It is in the the queue."))
    assert found("a.md", "# The queue\nThe queue is bounded.") == []
    assert any("redundancy" in message for _, message in found("a.md", "It is an added bonus."))


def test_positions_are_those_of_the_file():
    text = "fn f() {}\n\n/* A peer\n * that nobody hears. */\n"
    assert [(line, column) for line, column, _ in lint.findings(Path("a.c"), text)] == [(4, 9)]


@pytest.mark.parametrize("name", PLACES)
def test_extracted_text_keeps_its_shape(name):
    text = PLACES[name]
    shown = extract.prose(Path(name), text)
    assert len(shown) == len(text)
    assert [at for at, c in enumerate(shown) if c == "\n"] == [at for at, c in enumerate(text) if c == "\n"]


def test_broken_links_are_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# One thing, and `code`\n## Twice\n## Twice\n")
    good = "[a](docs/a.md) [b](docs/a.md#one-thing-and-code) [c](docs/a.md#twice-1) [d](#here)\n# Here\n"
    (tmp_path / "README.md").write_text(good + "See docs/a.md, and https://example.org/docs/none.md.")
    assert list(links.findings(["README.md"], tmp_path)) == []
    for bad in ("[a](docs/none.md)", "[a](docs/a.md#none)", "[a](#none)", "[a](docs/a.md#twice-2)", "docs/none.md"):
        (tmp_path / "README.md").write_text(bad)
        assert len(list(links.findings(["README.md"], tmp_path))) >= 1, bad
    (tmp_path / "docs/b.md").write_text("[out](../../README.md)")
    (tmp_path.parent / "README.md").write_text("")
    assert len(list(links.findings(["docs/b.md"], tmp_path))) == 1
    (tmp_path / "x.rs").write_text("//! docs/a.md, docs/none.md")
    assert list(links.findings(["x.rs"], tmp_path)) == ["x.rs: names docs/none.md: there is no such page"]


def test_the_glossary_has_few_terms():
    text = (lint.ROOT / "ARCHITECTURE.md").read_text()
    rows = text.split("## Glossary\n\n")[1].split("\n\n")[0].splitlines()[2:]
    assert 10 < len(rows) <= 25
