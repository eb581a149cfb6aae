"""A plugin for mypy: the fields of a register are the keyword arguments of its writes.

`k.lapic.LVT_TIMER.write(VECTR=0x50)` is an error when the probe is built; with this plugin it is one for mypy too::

    [tool.mypy]
    plugins = ["harness.mypy_plugin"]

A register map declares `VECTOR = Field(7, 0)` and stays as the manual's table shows it. The plugin replaces `**fields`
by the fields that the class declares, and mypy checks the call as any other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mypy.nodes import ARG_NAMED_OPT, ARG_POS, ARG_STAR2, MemberExpr, SymbolTableNode, TypeInfo, Var
from mypy.plugin import FunctionSigContext, MethodSigContext, Plugin
from mypy.types import CallableType, FunctionLike, Instance, Type, get_proper_type

__all__ = ["plugin"]

_FIELD = "harness.hardware.register.Field"
_REGISTER = "harness.hardware.register.Register"
_BOUND = "harness.hardware.block.Bound"
_OF_BOUND = ("encode", "update", "write")
_WAIT = "harness.kernel.poll.wait_register"
_INDIRECT = ("harness.kernel.blocks.ProgramBlock.do", "harness.kernel.builder.Kernel.trigger")
_OF_REGISTER = ("command", "of", "to")
VERBS = {
    "harness.devices.edu.EduDevice.enable_msi": "harness.hardware.msi.MessageData",
    "harness.devices.floppy.FloppyDrive.channel": "harness.hardware.dma8237.DmaMode",
    "harness.devices.vtd.RemappingUnit.route": "harness.hardware.vtd_structures.Irte",
    "harness.kernel.controllers.IoApicControl.redirect": "harness.hardware.ioapic.RedirectionEntry",
    "harness.kernel.controllers.LocalApicControl.send": "harness.hardware.lapic.IcrLow",
    "harness.kernel.controllers.PicPair.initialize": "harness.hardware.pic8259.Icw4",
    "harness.kernel.msix.Msix.entry": "harness.hardware.msi.MessageData",
    "harness.kernel.pci.PciFunction.enable_msi": "harness.hardware.msi.MessageData",
}
"""Methods of the builder and of drivers whose `**` argument has the fields of a register."""


def _fields(info: TypeInfo) -> list[str] | None:
    """The names of the fields that a register declares; `None` where mypy has not analysed it yet."""
    names: dict[str, None] = {}
    for base in reversed(info.mro):
        for name, symbol in base.names.items():
            if not isinstance(symbol.node, Var):
                continue
            declared = get_proper_type(symbol.node.type)
            if declared is None and name.isupper() and name not in ("FIELDS", "WIDTH"):
                return None
            if isinstance(declared, Instance) and declared.type.fullname == _FIELD:
                names[name] = None
    return list(names)


def _narrowed(signature: CallableType, register: Type) -> CallableType:
    """The signature with the register's fields in place of `**fields`."""
    register = get_proper_type(register)
    if not isinstance(register, Instance) or ARG_STAR2 not in signature.arg_kinds:
        return signature
    if register.type.fullname == _REGISTER or not register.type.has_base(_REGISTER):
        return signature
    fields = _fields(register.type)
    if fields is None:
        return signature
    last = signature.arg_kinds.index(ARG_STAR2)
    taken = {name for name in signature.arg_names if name}
    fields = [name for name in fields if name not in taken]
    return signature.copy_modified(
        arg_types=[*signature.arg_types[:last], *(signature.arg_types[last] for _ in fields)],
        arg_kinds=[*signature.arg_kinds[:last], *(ARG_NAMED_OPT for _ in fields)],
        arg_names=[*signature.arg_names[:last], *fields],
    )


def _of_bound(context: MethodSigContext) -> FunctionLike:
    bound = get_proper_type(context.type)
    if not isinstance(bound, Instance) or not bound.args:
        return context.default_signature
    return _narrowed(context.default_signature, bound.args[0])


def _of_register(context: MethodSigContext) -> FunctionLike:
    owner = get_proper_type(context.type)
    register = owner.ret_type if isinstance(owner, CallableType) else owner
    return _narrowed(context.default_signature, register)


def _of_wait(context: FunctionSigContext) -> FunctionLike:
    if len(context.args) < 2 or not context.args[1]:
        return context.default_signature
    bound = get_proper_type(context.api.get_expression_type(context.args[1][0]))
    if not isinstance(bound, Instance) or not bound.args:
        return context.default_signature
    return _narrowed(context.default_signature, bound.args[0])


def _of_verb(register: SymbolTableNode | None, context: MethodSigContext) -> FunctionLike:
    if register is None or not isinstance(register.node, TypeInfo):
        return context.default_signature
    return _narrowed(context.default_signature, Instance(register.node, []))


class _RegisterFields(Plugin):
    def _register_of(self, action: MemberExpr, owner: Type) -> Type | None:
        """The register whose fields a method takes; `None` for any other method."""
        owner = get_proper_type(owner)
        if not isinstance(owner, Instance):
            return None
        if owner.type.fullname == _BOUND and action.name in _OF_BOUND and owner.args:
            return owner.args[0]
        for base in owner.type.mro:
            name = VERBS.get(f"{base.fullname}.{action.name}")
            symbol = self.lookup_fully_qualified(name) if name is not None else None
            if symbol is not None and isinstance(symbol.node, TypeInfo):
                return Instance(symbol.node, [])
        return None

    def _of_indirect(self, context: MethodSigContext) -> FunctionLike:
        """The signature of a method that takes another method and that one's arguments."""
        action = context.args[0][0] if context.args and context.args[0] else None
        if not isinstance(action, MemberExpr):
            return context.default_signature
        register = self._register_of(action, context.api.get_expression_type(action.expr))
        method = get_proper_type(context.api.get_expression_type(action))
        if register is None or not isinstance(method, CallableType):
            return context.default_signature
        method = _narrowed(method, register)
        return context.default_signature.copy_modified(
            arg_types=[method, *method.arg_types],
            arg_kinds=[ARG_POS, *method.arg_kinds],
            arg_names=[None, *method.arg_names],
            ret_type=method.ret_type,
            variables=[],
        )

    def get_method_signature_hook(self, fullname: str) -> Callable[[MethodSigContext], FunctionLike] | None:
        owner, _, name = fullname.rpartition(".")
        if owner == _BOUND and name in _OF_BOUND:
            return _of_bound
        if fullname in _INDIRECT:
            return self._of_indirect
        if fullname in VERBS:
            return partial(_of_verb, self.lookup_fully_qualified(VERBS[fullname]))
        if name in _OF_REGISTER and owner.startswith("harness.hardware."):
            return _of_register
        return None

    def get_function_signature_hook(self, fullname: str) -> Callable[[FunctionSigContext], FunctionLike] | None:
        return _of_wait if fullname == _WAIT else None


def plugin(version: str) -> type[Plugin]:
    """What mypy calls."""
    return _RegisterFields
