"""Reading C as the checkers need it: without comments, and without what stands in quotes.

Every character that is taken away becomes a space, so lines and columns stay where they were.
"""

import re

TOKEN = re.compile(
    r"""
    (?P<block>/\*.*?(?:\*/|\Z))
  | (?P<line>//(?:[^\n\\]|\\.)*)
  | (?P<string>"(?:[^"\\\n]|\\.)*")
  | (?P<char>'(?:[^'\\\n]|\\.)*')
    """,
    re.DOTALL | re.VERBOSE,
)


def blank(text):
    """The same length of text with everything but its line ends replaced by spaces."""
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    """C with its comments blanked; strings stay (an #include needs them)."""
    return TOKEN.sub(lambda m: blank(m[0]) if m["block"] or m["line"] else m[0], text)


def code_only(text):
    """C with comments, strings and character constants blanked (the quotes stay)."""

    def cut(match):
        if match["block"] or match["line"]:
            return blank(match[0])
        return match[0][0] + blank(match[0][1:-1]) + match[0][-1]

    return TOKEN.sub(cut, text)


def line_comments(text):
    """The line numbers on which a // comment begins."""
    return [text.count("\n", 0, m.start()) + 1 for m in TOKEN.finditer(text) if m["line"]]
