"""The QEMU command line of a machine configuration, with the reason of each option that is not obvious."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.qemu.errors import Unsupported
from harness.qemu.machine_config import MachineConfig

__all__ = ["SANDBOX", "Endpoints", "qemu_arguments"]

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""The seccomp rules under which every machine runs (QEMU's manual, `-sandbox`)."""


@dataclass(frozen=True)
class Endpoints:
    """Where the machine's memory, images and connections come from: inherited descriptors, or files for a person.

    Every string is part of an option.
    """

    ram: str  # the -object that is "ram"
    qmp: tuple[str, ...]
    com1: tuple[str, ...]  # with the -chardev that is "com1"
    image: str  # path of ROM, kernel or disk
    initrd: str | None = None
    kernel_arguments: str | None = None
    firmware_code: str | None = None
    firmware_variables: str | None = None
    backings: Mapping[str, str] = field(default_factory=dict)  # device name -> path
    networks: Mapping[str, str] = field(default_factory=dict)  # device name -> -netdev argument
    loaders: tuple[str, ...] = ()  # -device loader arguments
    interrupt_log: str | None = None  # path that QEMU writes the log to, where the configuration has one
    paused: bool = True


def qemu_arguments(config: MachineConfig, cpu: str, ends: Endpoints, *, sandbox: bool) -> list[str]:
    """The arguments after the program's name. Raises Unsupported where the machine type lacks a device."""
    missing = config.missing()
    if missing is not None:
        raise Unsupported(missing)
    arguments = [
        # Nothing but what is named here: no default serial ports, cards or displays, no configuration of the user's.
        "-nodefaults",
        "-no-user-config",
        "-display", "none",
        "-machine", _machine(config),
        "-accel", _accelerator(config),
        "-cpu", cpu,
        "-smp", str(config.cpus),
        "-m", f"{config.target.memory_mib}M",
        # Guest RAM is a file that the host maps too: images go in and records come out without a copy over QMP.
        "-object", ends.ram,
    ]  # fmt: skip
    arguments += _clock(config)
    arguments += [
        # One write to port 505h stops the machine at that instruction and sends a QMP event (docs/specs/pvpanic).
        # A guest that resets itself or powers off is held too, with its registers as they were, and the SHUTDOWN
        # event has the cause; without this the guest would boot again after a triple fault, without a report.
        "-device", "pvpanic",
        "-action", f"panic=pause,reboot=shutdown,shutdown={_on_shutdown(config, ends)}",
        *ends.qmp,
        *ends.com1,
        "-serial", "chardev:com1",
    ]  # fmt: skip
    if ends.interrupt_log is not None:
        arguments += ["-d", "int", "-D", ends.interrupt_log]
    if ends.paused:
        # QMP events before the negotiation are lost, so the machine starts paused.
        arguments.append("-S")
    if sandbox:
        # The guest is not trusted: no new processes, no privileges (seccomp).
        arguments += ["-sandbox", SANDBOX]
    arguments += _boot(config, ends)
    for device in config.devices:
        template = device.template(config.target.machine)
        assert template is not None  # checked by missing()
        values = {
            "id": device.name,
            "backing": ends.backings.get(device.name, ""),
            "network": ends.networks.get(device.name, ""),
        }
        arguments += [argument.format_map(values) for argument in template]
    for loader in ends.loaders:
        arguments += ["-device", loader]
    return [*arguments, *config.target.extra, *config.extra_args]


def _machine(config: MachineConfig) -> str:
    options = [config.target.machine, "memory-backend=ram"]
    if config.target.machine == "microvm":
        # The PC timers and the 8259s are optional here, and a probe may name them.
        options += ["pit=on", "pic=on", "rtc=on", "isa-serial=on"]
    for device in config.devices:
        options += device.machine_options
        if config.target.accelerator == "kvm":
            options += device.kvm_machine_options
    return ",".join(options)


def _on_shutdown(config: MachineConfig, ends: Endpoints) -> str:
    # isa-debug-exit ends QEMU with the guest's status: in 7.2 at once, in 10.0 through a shutdown, which must
    # then not be held. A person who pasted the line wants the program to end as well.
    wants_exit = any(device.name == "isa-debug-exit" for device in config.devices)
    return "poweroff" if wants_exit or not ends.paused else "pause"


def _accelerator(config: MachineConfig) -> str:
    if config.target.accelerator == "tcg":
        # MiB of translated code before QEMU discards it. The default is a GiB, which a warm machine fills run by run.
        # Threads of several processors would mix the lines of their log.
        return "tcg,tb-size=64" + (",thread=single" if config.interrupt_log else "")
    return config.target.accelerator


def _clock(config: MachineConfig) -> list[str]:
    if config.target.clock == "realtime":
        return []
    return [
        # Virtual time counts instructions; a CPU that halts skips to the next timer instead of sleeping.
        "-icount", f"shift={config.target.icount_shift},sleep=off",
        # Else the RTC follows the host's clock, and no two runs are equal.
        "-rtc", "clock=vm,base=2000-01-01T00:00:00",
    ]  # fmt: skip


def _boot(config: MachineConfig, ends: Endpoints) -> list[str]:
    match config.boot:
        case "rom":
            return ["-bios", ends.image]
        case "kernel":
            arguments = ["-kernel", ends.image]
            if ends.initrd is not None:
                arguments += ["-initrd", ends.initrd]
            if ends.kernel_arguments is not None:
                arguments += ["-append", ends.kernel_arguments]
            return arguments
        case "disk":
            return _boot_disk(config, ends)
        case "firmware":
            assert ends.firmware_code is not None
            code = f"if=pflash,unit=0,format=raw,readonly=on,file={ends.firmware_code}"
            arguments = ["-drive", code]
            if ends.firmware_variables is not None:
                arguments += ["-drive", f"if=pflash,unit=1,format=raw,file={ends.firmware_variables}"]
            return arguments + _boot_disk(config, ends)


def _boot_disk(config: MachineConfig, ends: Endpoints) -> list[str]:
    return [
        "-blockdev", f"driver=file,node-name=boot-file,filename={ends.image},locking=off",
        "-blockdev", "driver=raw,node-name=boot-disk,file=boot-file",
        # The chipset's own controller; unit 0 stays free for the disk that a probe needs.
        "-device", f"ide-hd,bus={'ide.1' if config.target.machine == 'q35' else 'ide.1,unit=0'},drive=boot-disk",
    ]  # fmt: skip
