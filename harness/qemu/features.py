"""The features of a QEMU binary on this host, found by running it; cached for each binary."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.one_line import one_line
from harness.qemu.answer_cache import AnswerCache
from harness.qemu.command import SANDBOX, qemu_arguments
from harness.qemu.devices import DEVICES
from harness.qemu.engine import engine
from harness.qemu.errors import QemuError, QemuStartError, QmpCommandError, Unsupported, shortened
from harness.qemu.firmware import find_uefi
from harness.qemu.machine_config import MachineConfig
from harness.qemu.monitor import Monitor
from harness.qemu.resources import Resources
from harness.qemu.start import start
from harness.qemu.target import Accelerator, MachineType, Target

__all__ = [
    "Features",
    "Trial",
    "cpu_model",
    "cpu_vendor",
    "features",
    "hold_version",
    "require",
    "trial",
    "unsupported",
]

_ELF = b"\x7fELF"
_TRIAL_SECONDS = 20.0
_CPU_MODELS: dict[Accelerator, tuple[str, ...]] = {
    "tcg": ("max",),
    # Where the host hides IA32_ARCH_CAPABILITIES but announces it, QEMU aborts on the MSR.
    "kvm": ("max", "max,-arch-capabilities"),
}
_TYPES = sorted({name for device in DEVICES.values() for name in device.types} | {"pvpanic"})
# F000:FFF0: mov dx, 505h; mov al, 1; out dx, al; then an endless loop of hlt (the pvpanic port, docs/specs/pvpanic).
_SIGNAL = bytes([0xBA, 0x05, 0x05, 0xB0, 0x01, 0xEE, 0xF4, 0xEB, 0xFD])
_ROM = (b"\xf4" * 0xFFF0 + _SIGNAL).ljust(0x10000, b"\xf4")


@dataclass(frozen=True)
class Features:
    """The features that are built into the binary."""

    program: str
    version: str
    machines: frozenset[str]
    types: frozenset[str]  # the QOM types that it has, of those that our devices need
    sandbox: bool


@dataclass(frozen=True)
class Trial:
    """How a guest ran with an accelerator: `reason` is `None` where it did, and `cpu` is the model it ran with."""

    cpu: str
    reason: str | None


def features(program: str) -> Features:
    """The features of that QEMU. Raises QemuStartError where the program is not QEMU."""
    return _features(_identity(program))


def trial(program: str, accelerator: Accelerator, machine: MachineType = "q35") -> Trial:
    """Run a guest on that QEMU with that accelerator, to find out whether this host can."""
    if accelerator == "kvm" and (reason := _kvm_closed()) is not None:
        return Trial(_CPU_MODELS["kvm"][0], reason)
    return _trial(_identity(program), accelerator, machine)


def hold_version(program: str, version: str) -> None:
    """Raise QemuError where the program that was started has another version than its cached features. The cached
    features are dropped, so that the next run reads them again.
    """
    known = features(program).version
    if version != known:
        _features.cache_clear()
        _trial.cache_clear()
        raise QemuError(
            f"{program}: was QEMU {known} when it was first started, and is {version} now, so that this run would be "
            "judged with the features of another version. To fix: run again"
        )


def cpu_model(target: Target) -> str:
    """The `-cpu` argument: the target's own, or the first that runs a guest."""
    if target.cpu is not None:
        return target.cpu
    if target.accelerator == "tcg":
        return _CPU_MODELS["tcg"][0]
    return trial(str(target.find_binary()), target.accelerator, target.machine).cpu


def cpu_vendor(target: Target) -> str:
    """The vendor that the target's CPU model has in CPUID leaf 0: `AuthenticAMD`, `GenuineIntel`."""
    program = str(target.find_binary())
    return _vendor(_identity(program), target.accelerator, target.machine, cpu_model(target))


def unsupported(config: MachineConfig) -> str | None:
    """Why this machine cannot be run here, in one sentence; `None` where it can. Raises QemuNotFound."""
    target = config.target
    program = str(target.find_binary())
    has = features(program)
    if target.machine not in has.machines:
        return f"{program} ({has.version}) has no machine type {target.machine}"
    if (missing := config.missing()) is not None:
        return missing
    for device in config.devices:
        if lacking := [name for name in device.types if name not in has.types]:
            return f"{program} ({has.version}) was built without {', '.join(lacking)}, which {device.name} needs"
    if config.boot == "firmware" and find_uefi(target.machine) is None:
        return "no UEFI firmware was found on this host; install OVMF (Debian and Ubuntu: ovmf)"
    if target.accelerator == "kvm":
        return trial(program, target.accelerator, target.machine).reason
    return None


def require(config: MachineConfig) -> None:
    """Raise Unsupported with the reason where this machine cannot be run here."""
    if (reason := unsupported(config)) is not None:
        raise Unsupported(reason)


# ---- queries ----


def _identity(program: str) -> tuple[str, int, int]:
    path = Path(program).absolute()
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size


def _answers(topic: str, identity: tuple[str, int, int], *more: object) -> AnswerCache | None:
    """The cache entry of the program; empty for a script, which may start another QEMU each time."""
    with Path(identity[0]).open("rb") as file:
        binary = file.read(len(_ELF)) == _ELF
    return AnswerCache(topic, [*identity, *more]) if binary else None


@cache
def _features(identity: tuple[str, int, int]) -> Features:
    memory = _answers("features", identity, *_TYPES)
    found = memory.read() if memory else {}
    try:
        return Features(
            found["program"],
            found["version"],
            frozenset(found["machines"]),
            frozenset(found["types"]),
            found["sandbox"],
        )
    except (KeyError, TypeError):
        pass
    try:
        has = engine().run(_ask(identity[0], sandbox=True))
    except QemuStartError:
        has = engine().run(_ask(identity[0], sandbox=False))
    if memory:
        memory.write(
            {
                "program": has.program,
                "version": has.version,
                "machines": sorted(has.machines),
                "types": sorted(has.types),
                "sandbox": has.sandbox,
            }
        )
    return has


async def _ask(program: str, *, sandbox: bool) -> Features:
    resources = Resources(MachineConfig(Target("none", memory_mib=1)), _ROM)
    try:
        arguments = ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "none", "-S"]
        arguments += ["-sandbox", SANDBOX] if sandbox else []
        arguments += resources.endpoints().qmp
        line = " ".join([program, *arguments])
        monitor = await start(program, arguments, resources, 60, lambda: line)
        try:
            version: Any = await monitor.execute("query-version")
            machines: Any = await monitor.execute("query-machines")
            types = set()
            for name in _TYPES:
                # One by one: `qom-list-types` loads every module, and ends where one is of another build.
                try:
                    await monitor.execute("device-list-properties", {"typename": name})
                    types.add(name)
                except QmpCommandError:
                    pass
        finally:
            await monitor.process.end()
            await monitor.close()
    finally:
        resources.close()
    number = version["qemu"]
    names = {machine["name"] for machine in machines} | {machine["alias"] for machine in machines if "alias" in machine}
    return Features(
        program=program,
        version=f"{number['major']}.{number['minor']}.{number['micro']}",
        machines=frozenset(names),
        types=frozenset(types),
        sandbox=sandbox,
    )


@cache
def _vendor(identity: tuple[str, int, int], accelerator: Accelerator, machine: MachineType, cpu: str) -> str:
    host = (platform.release(), _processor()) if accelerator == "kvm" else ()
    memory = _answers("vendor", identity, accelerator, machine, cpu, *host)
    known = (memory.read() if memory else {}).get("vendor")
    if isinstance(known, str):
        return known
    config = MachineConfig(Target("vendor", machine, accelerator, "realtime", identity[0], cpu))
    vendor = engine().run(_ask_vendor(config, features(identity[0]).sandbox))
    if memory:
        memory.write({"vendor": vendor})
    return vendor


async def _ask_vendor(config: MachineConfig, sandbox: bool) -> str:
    async with _held(config, sandbox) as monitor:
        processors: Any = await monitor.execute("query-cpus-fast")
        place = {"path": processors[0]["qom-path"], "property": "vendor"}
        return str(await monitor.execute("qom-get", place))


_KVM_GET_API_VERSION = 0xAE00  # Linux, Documentation/virt/kvm/api.rst, 4.1


def _kvm_closed() -> str | None:
    if not Path("/dev/kvm").exists():
        return (
            "/dev/kvm does not exist: the kernel's kvm module is not loaded, or this host has no hardware "
            "virtualization (a virtual machine needs nested virtualization)"
        )
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened by this user: join the group that owns it (usually kvm)"
    try:
        descriptor = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
        try:
            version = fcntl.ioctl(descriptor, _KVM_GET_API_VERSION)
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"/dev/kvm exists but is not KVM: {error.strerror}"
    return None if version == 12 else f"/dev/kvm has version {version} of the KVM API. Expected: 12, the stable one"


@cache
def _trial(identity: tuple[str, int, int], accelerator: Accelerator, machine: MachineType) -> Trial:
    # The result for KVM also depends on the kernel and on the processor.
    memory = _answers("trial", identity, accelerator, machine, platform.release(), _processor())
    found = memory.read() if memory else {}
    try:
        # the cause of a failure may have been removed (a module loaded, a permission given): try again
        if found["reason"] is None:
            return Trial(str(found["cpu"]), None)
    except (KeyError, TypeError):
        pass
    reason = ""
    for cpu in _CPU_MODELS[accelerator]:
        target = Target("trial", machine, accelerator, "realtime", identity[0], cpu)
        try:
            failure = engine().run(_run_trial(MachineConfig(target), features(identity[0]).sandbox))
        except QemuError as error:
            failure = _in_short(error)
        if failure is None:
            if memory:
                memory.write({"cpu": cpu, "reason": None})
            return Trial(cpu, None)
        reason = reason or failure
    return Trial(_CPU_MODELS[accelerator][0], f"no guest runs under {accelerator}: {reason}")


async def _run_trial(config: MachineConfig, sandbox: bool) -> str | None:
    async with _held(config, sandbox) as monitor:
        await monitor.resume()
        stop = await monitor.wait_stop(_TRIAL_SECONDS)
        return None if stop.signalled else str(stop)


@asynccontextmanager
async def _held(config: MachineConfig, sandbox: bool) -> AsyncIterator[Monitor]:
    """A QEMU of that config, stopped before its guest's first instruction."""
    resources = Resources(config, _ROM)
    try:
        assert config.target.binary is not None and config.target.cpu is not None
        arguments = qemu_arguments(config, config.target.cpu, resources.endpoints(), sandbox=sandbox)
        monitor = await start(config.target.binary, arguments, resources, 60, lambda: "")
        try:
            yield monitor
        finally:
            await monitor.process.end()
            await monitor.close()
    finally:
        resources.close()


def _in_short(error: QemuError) -> str:
    text = error.stderr.strip() if isinstance(error, QemuStartError) else str(error)
    return shortened(text) if text else one_line(str(error))


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
