"""The pages say what is there: every name that they have of this package is one, and code is Python."""

import ast
import re
from pathlib import Path

import pytest

import mc2

DOCS = Path(__file__).parents[2] / "docs"
#: What a name on a page stands for.
KNOWN = {
    "mc2": [mc2],
    "enclave": [mc2.Enclave, mc2.AsyncEnclave],
    "model": [mc2.Model, mc2.XGBClassifier],
    "policy": [mc2.Policy],
    "result": [mc2.Table],
    "run": [mc2.Run],
}
#: What is set when one is made.
MADE = {"receipt", "evals_result", "outputs", "stdout", "stderr", "receipt_"}


def spans(page):
    """Code of a page: between backquotes, and in fences."""
    text = (DOCS / page).read_text()
    fenced = re.findall(r"```python\n(.*?)```", text, re.S)
    return [*fenced, *re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))]


def names(code):
    for name, attribute in re.findall(r"\b(\w+)\.([a-zA-Z_]\w*)", code):
        # Names of files are none.
        if name in KNOWN and attribute not in {"ubj", "arrow", "md"}:
            yield name, attribute


def missing(codes):
    return {
        f"{name}.{attribute}"
        for code in codes
        for name, attribute in names(code)
        if attribute not in MADE and not any(hasattr(one, attribute) for one in KNOWN[name])
    }


def test_the_guide_names_what_is_there():
    assert missing(spans("python.md")) == set()


def test_the_page_for_those_who_come_from_elsewhere_names_what_is_there():
    text = (DOCS / "from-mc2.md").read_text()
    rows = re.findall(r"^\| (.+) \| (.+) \|$", text[text.index("## In Python") :], re.M)
    assert len(rows) > 40
    assert missing(code for _, here in rows for code in re.findall(r"`([^`]+)`", here)) == set()


@pytest.mark.parametrize("page", ["python.md"])
def test_fenced_code_is_python(page):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S)
    assert len(blocks) > 8
    for block in blocks:
        compile(block.replace("…", "..."), page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_class_of_error_is_in_the_guide():
    page = (DOCS / "python.md").read_text()
    table = page[page.index("## Errors") : page.index("## Threads")]
    for name, value in vars(mc2.errors).items():
        if isinstance(value, type) and issubclass(value, mc2.Error) and value is not mc2.Error:
            assert f"`{name}`" in table, name


def test_no_option_of_the_command_line_is_asked_for_in_python():
    made = mc2.errors._made
    for words, told in [
        ("--in sales: no such file", "input sales: no such file"),
        ("--out stdout=…: stdout is a stream", "output stdout: stdout is a stream"),
        ("name the identity with --as", "name the identity with identity="),
        ("write --instances 2, or leave it out", "write instances= 2, or leave it out"),
        ("give the policy with --policy FILE", "give the policy with policy= FILE"),
    ]:
        assert str(made("InputError", words)) == told
