"""Texts with a meaning in a shell, YAML, HTML, a template, a terminal, a spreadsheet, SQL, a path, Markdown or Git.

A program that interprets such a text creates the file `touched` in the current folder, or its output changes visibly.
"""

SHELL = [
    '"; touch touched; "',
    "'; touch touched; '",
    "$(touch touched)",
    "`touch touched`",
    "${HOME}",
    "$HOME",
    "| touch touched",
    "&& touch touched",
    "; touch touched #",
    "a\ntouch touched",
    "> touched",
    "--help",
    "-rf",
    "*",
    "~root",
    "!!",
    "a\\",
    "%PATH%",
]
YAML = [
    "a: b",
    "- a",
    "{a: b}",
    "[a, b]",
    "&a *a",
    "!!python/object/apply:os.system ['touch touched']",
    "# comment",
    "null",
    "yes",
    "1e5",
    "2026-11-23",
    "|",
    "'",
    '"',
    "%TAG",
    "${ingest.source}",
    "<<",
]
HTML = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "<!--",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "</td></table><iframe src=//x>",
    "<svg/onload=alert(1)>",
]
TEMPLATES = ["{{7*7}}", "{% raw %}", "{{ ''.__class__ }}", "${7*7}", "#{7*7}", "%(asctime)s", "{0.__class__}", "%s%n"]
TERMINALS = ["\x1b[2J\x1b[1;1Hgone", "\x1b]0;title\x07", "a\x08\x08b", "\u202egnp.exe", "a\u2028b"]
TABLES = ["=cmd|' /C calc'!A0", "@SUM(1+1)", 'a,"b",c', "'); DROP TABLE runs; --"]
PATHS = ["../../touched", "/etc/passwd", "..", "C:\\touched", "a/../../touched", "refs/heads/main", "a..b", "a.lock", "@{1}"]
MARKDOWN = ["```\n# heading", "[x](javascript:alert(1))", "![x](http://127.0.0.1/x)", "| a | b |"]
OTHERS = ["$\\input{/etc/passwd}$", "$x^2$", "日本語 ẞ 🦊", "a" * 300]

TEXTS = [*SHELL, *YAML, *HTML, *TEMPLATES, *TERMINALS, *TABLES, *PATHS, *MARKDOWN, *OTHERS]
