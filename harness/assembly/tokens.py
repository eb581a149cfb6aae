"""The tokens of a statement, and a cursor over them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from harness.assembly.errors import Refusal

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
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})(?![0-9a-fA-F])|(.))", re.DOTALL)


class Token(NamedTuple):
    """A token; `kind` is the name of its group, `column` counts from 1."""

    kind: str
    text: str
    column: int


def unescape(body: str) -> bytes:
    """The bytes of a quoted body (without the quotes); raises `Refusal` for an unknown escape."""
    if "\\" not in body:
        return body.encode()
    result = bytearray()
    position = 0
    while position < len(body):
        if body[position] != "\\":
            end = body.find("\\", position)
            end = len(body) if end < 0 else end
            result += body[position:end].encode()
            position = end
            continue
        match = _ESCAPE.match(body, position)
        if match is None:
            raise Refusal("a backslash at the end of the text")
        octal, hexadecimal, letter = match.groups()
        if octal is not None:
            value = int(octal, 8)
            if value > 255:
                raise Refusal(f"the escape \\{octal} is more than a byte")
        elif hexadecimal is not None:
            value = int(hexadecimal, 16)
        elif letter in _ESCAPES:
            value = _ESCAPES[letter]
        else:
            raise Refusal(
                f"unknown escape {match.group()!r}", "known are \\n \\t \\r \\b \\f \\\\ \\\" \\' \\ooo \\xhh"
            )
        result.append(value)
        position = match.end()
    return bytes(result)


def tokenize(text: str) -> list[Token]:
    """Cut a text into tokens; raises `Refusal` at the first character that cannot start one."""
    tokens: list[Token] = []
    position, end = 0, len(text.rstrip())
    match_at = _TOKEN.match
    while position < end:
        match = match_at(text, position)
        if match is None or match.lastgroup is None:
            rest = text[position:].lstrip()
            hint = None
            if rest[0] == "%":
                hint = "registers are written without %"
            elif rest[0] in "\"'":
                hint = "a quote is not closed, or holds more than one character"
            raise Refusal(f"{rest[0]!r} is not understood here", hint, end - len(rest.rstrip()) + 1)
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

    def stands_alone(self) -> bool:
        """Whether the next token is a whole expression: a number or a name, and no operator after it."""
        following = self.position + 1
        if following > len(self.items) or self.items[self.position].kind not in ("number", "name"):
            return False
        return following == len(self.items) or self.items[following].text in (",", "]", ")")

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
            raise Refusal(f"{token.text!r} is too much here", column=token.column)

    def expect(self, text: str) -> None:
        """Step over an operator; raises `Refusal` if something else stands there."""
        token = self.peek()
        if token is None:
            raise Refusal(f"the statement ends where {text!r} is expected")
        if token.text != text or token.kind != "op":
            raise Refusal(f"{token.text!r} stands where {text!r} is expected", column=token.column)
        self.position += 1
