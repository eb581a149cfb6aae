"""The tokens of a line, and a cursor over them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from harness.assembly.source import Refusal

__all__ = ["Token", "Tokens", "tokenize", "unescape"]

_TOKEN = re.compile(  # the most frequent kinds first
    r"""[ \t]*(?:
      (?P<name>(?![sS][tT][ \t]*\([^()]*\))[A-Za-z_][\w.]*|\.L[\w.]*)
    | (?P<op>[-+*&|^~()\[\]:,=]|/(?![/*])|<<|>>)
    | (?P<end>\Z|(?:[\#;]|//).*\Z)
    | (?P<local>[0-9]+[bf](?![\w.]))
    | (?P<number>[0-9][\w.]*)
    | (?P<directive>\.[\w.]+)
    | (?P<here>\.|\$(?![\w.]))
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<char>'(?:[^'\\]|\\.)')
    | (?P<stack>[sS][tT][ \t]*\([^()]*\))
    | (?P<wrong>.|\n)
    )""",
    re.VERBOSE | re.ASCII,
)
_HINTS: Final = {
    "%": "registers are written without %",
    "/": "/* */ comments are not supported: use # to the end of the line",
    **dict.fromkeys("'\"", "a quote is not closed, or holds more than one character"),
}
_ESCAPES: Final = {"n": 10, "t": 9, "r": 13, "b": 8, "f": 12, "\\": 92, '"': 34, "'": 39}
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})(?![0-9a-fA-F])|(.))|([^\\]+)")


class Token(NamedTuple):
    """A token; `kind` is the name of its group, `column` counts from 1.

    The last one of a line is its `end`. The text of that is the comment, from its `#`, `;` or `//` on.
    """

    kind: str
    text: str
    column: int


def unescape(body: str) -> bytes:
    """The bytes of a quoted body (without the quotes); raises `Refusal` for an unknown escape."""
    if not body.replace("\t", " ").isprintable():
        raise Refusal("the text holds a control character", "write it as an escape")
    return b"".join([_unescaped(match) for match in _ESCAPE.finditer(body)])


def _unescaped(match: re.Match[str]) -> bytes:
    octal, hexadecimal, letter, plain = match.groups()
    if plain is not None:
        return str(plain).encode()
    if letter is not None and letter not in _ESCAPES:
        known = "\\n \\t \\r \\b \\f \\\\ \\\" \\' \\ooo \\xhh"
        raise Refusal(f"unknown escape {match.group()!r}", f"known are {known}")
    value = _ESCAPES[letter] if letter is not None else int(octal or hexadecimal, 8 if octal else 16)
    if value > 255:
        raise Refusal(f"the escape \\{octal} is more than a byte")
    return bytes([value])


def tokenize(text: str) -> list[Token]:
    """Cut a line into tokens; raises `Refusal` at the first character that cannot start one."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "wrong"
        token = Token(kind, match[kind], match.start(kind) + 1)
        if kind == "wrong":
            raise Refusal(f"{token.text!r} is not allowed here", _HINTS.get(token.text), token.column)
        tokens.append(token)
        if kind == "end":
            break
    return tokens


class Tokens:
    """A cursor over the tokens of a line. The text of an operator is that of no other token."""

    __slots__ = ("items", "position")

    def __init__(self, items: list[Token]) -> None:
        self.items = items
        self.position = 0

    def peek(self, ahead: int = 0) -> Token:
        """The next token, or one after it."""
        return self.items[self.position + ahead]

    def at_end(self) -> bool:
        """Whether the statement ends here."""
        return self.items[self.position].kind == "end"

    def accept(self, text: str) -> bool:
        """Step over an operator if it is the next token; whether it is."""
        found = self.items[self.position].text == text
        self.position += found
        return found

    def word(self) -> str:
        """The next token in lower case if it is a name, else an empty text."""
        token = self.items[self.position]
        return token.text.lower() if token.kind == "name" else ""

    def take(self) -> Token:
        """The next token; raises `Refusal` where the statement ends too early."""
        token = self.items[self.position]
        if token.kind == "end":
            raise Refusal("the statement ends where an operand is expected")
        self.position += 1
        return token

    def finish(self) -> None:
        """Raise `Refusal` if anything is left."""
        if not self.at_end():
            raise Refusal(f"{self.peek().text!r} is not expected here", column=self.peek().column)

    def expect(self, text: str) -> None:
        """Step over an operator; raises `Refusal` if another token is there."""
        if self.at_end():
            raise Refusal(f"the statement ends where {text!r} is expected")
        if not self.accept(text):
            raise Refusal(f"{self.peek().text!r} found, but {text!r} is expected", column=self.peek().column)
