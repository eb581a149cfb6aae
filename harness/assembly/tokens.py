"""The tokens of a statement, and a cursor over them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from harness.assembly.source import Refusal

__all__ = ["Token", "Tokens", "tokenize", "unescape"]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<char>'(?:[^'\\]|\\.)')
    | (?P<local>[0-9]+[bf](?![\w.]))
    | (?P<number>[0-9][\w.]*)
    | (?P<name>[A-Za-z_][\w.]*|\.L[\w.]*)
    | (?P<here>\.(?![\w.])|\$(?![\w.]))
    | (?P<op><<|>>|[-+*/&|^~()\[\]:,])
    )""",
    re.VERBOSE | re.ASCII,
)
_ESCAPES: Final = {"n": 10, "t": 9, "r": 13, "b": 8, "f": 12, "\\": 92, '"': 34, "'": 39}
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})(?![0-9a-fA-F])|(.))|([^\\]+)", re.DOTALL)


class Token(NamedTuple):
    """A token; `kind` is the name of its group, `column` counts from 1."""

    kind: str
    text: str
    column: int


def unescape(body: str) -> bytes:
    """The bytes of a quoted body (without the quotes); raises `Refusal` for an unknown escape."""
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


def tokenize(text: str, position: int = 0) -> list[Token]:
    """Cut a text into tokens from `position` on; raises `Refusal` at the first character that cannot start one."""
    tokens: list[Token] = []
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            rest = text[position:].lstrip()
            hint = None
            if rest[0] == "%":
                hint = "registers are written without %"
            elif rest[0] in "\"'":
                hint = "a quote is not closed, or holds more than one character"
            raise Refusal(f"{rest[0]!r} is not allowed here", hint, end - len(rest.rstrip()) + 1)
        kind = match.lastgroup
        tokens.append(Token(kind, match.group(kind), match.start(kind) + 1))
        position = match.end()
    return tokens


class Tokens:
    """A cursor over tokens."""

    __slots__ = ("items", "position")

    def __init__(self, items: list[Token]) -> None:
        self.items = items
        self.position = 0

    def peek(self) -> Token | None:
        """The next token, or None at the end."""
        return self.items[self.position] if self.position < len(self.items) else None

    def next_is(self, *texts: str) -> bool:
        """Whether the next token is one of these operators."""
        return self.position < len(self.items) and (
            self.items[self.position].text in texts and self.items[self.position].kind == "op"
        )

    def word(self) -> str:
        """The next token in lower case if it is a name, else an empty text."""
        token = self.peek()
        return token.text.lower() if token is not None and token.kind == "name" else ""

    def take(self) -> Token:
        """The next token; raises `Refusal` where the statement ends too early."""
        token = self.peek()
        if token is None:
            raise Refusal("the statement ends where an operand is expected")
        self.position += 1
        return token

    def finish(self) -> None:
        """Raise `Refusal` if anything is left."""
        token = self.peek()
        if token is not None:
            raise Refusal(f"{token.text!r} is not expected here", column=token.column)

    def expect(self, text: str) -> None:
        """Step over an operator; raises `Refusal` if another token is there."""
        token = self.peek()
        if token is None:
            raise Refusal(f"the statement ends where {text!r} is expected")
        if token.text != text or token.kind != "op":
            raise Refusal(f"{token.text!r} found, but {text!r} is expected", column=token.column)
        self.position += 1
