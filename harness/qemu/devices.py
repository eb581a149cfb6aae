"""What a probe may name in `needs=[…]`, and the QEMU options that add it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.hardware.platform import PCI_SLOTS
from harness.qemu.errors import TargetError
from harness.qemu.target import MachineType

__all__ = ["DEVICES", "Device", "devices_named"]

_PCI: tuple[MachineType, ...] = ("pc", "q35")
_ALL: tuple[MachineType, ...] = ("microvm", "pc", "q35")
_MIB = 1 << 20

# A raw disk in an inherited memory file. locking=off: no other process can open a file without a name. The throttle
# group has no limits until the host sets them (`qom-set /objects/{id}-limits limits`): then the medium is slow, for
# tests of what happens during a request. A machine that stops completes what is outstanding.
_DISK = (
    "-object", "throttle-group,id={id}-limits",
    "-blockdev", "driver=file,node-name={id}-file,filename={backing},locking=off",
    "-blockdev", "driver=raw,node-name={id}-raw,file={id}-file",
    "-blockdev", "driver=throttle,node-name={id}-disk,throttle-group={id}-limits,file={id}-raw",
)  # fmt: skip
# Its two halves as disks of their own, of which only the first is throttled. Two files, since a node has one writer.
_HALVES = (
    "-object", "throttle-group,id={id}-limits",
    "-blockdev", "driver=file,node-name={id}-file-1,filename={backing},locking=off",
    "-blockdev", f"driver=raw,node-name={{id}}-raw-1,file={{id}}-file-1,offset=0,size={_MIB // 2}",
    "-blockdev", "driver=throttle,node-name={id}-disk-1,throttle-group={id}-limits,file={id}-raw-1",
    "-blockdev", "driver=file,node-name={id}-file-2,filename={backing},locking=off",
    "-blockdev", f"driver=raw,node-name={{id}}-disk-2,file={{id}}-file-2,offset={_MIB // 2},size={_MIB // 2}",
)  # fmt: skip
# One datagram is one Ethernet frame; the other end of the pair is the host's.
_NET = ("-netdev", "{network}")


@dataclass(frozen=True)
class Device:
    """One name of `needs`.

    `arguments` by machine type, with `{id}`, `{backing}` (path of the disk) and `{network}` filled in. `types`: QOM
    types that the binary must have. `backing`: bytes of disk that the host shares with the device (0: none).
    """

    name: str
    summary: str
    arguments: tuple[tuple[MachineType, tuple[str, ...]], ...]
    types: tuple[str, ...]
    backing: int = 0
    network: bool = False
    machine_options: tuple[str, ...] = ()
    kvm_machine_options: tuple[str, ...] = ()
    resets: bool = True  # False: QEMU gives it no reset method, so a machine that has it serves one run only
    first: bool = False  # must come before the devices that it serves
    in_virtual_time: bool = False  # not host-paced: no disk, no network, no thread

    @property
    def platforms(self) -> tuple[MachineType, ...]:
        """The machine types that can have it."""
        return tuple(platform for platform, _ in self.arguments)

    def template(self, platform: MachineType) -> tuple[str, ...] | None:
        """The options on that machine type, or `None` where that type cannot have it."""
        return dict(self.arguments).get(platform)


def _pci(name: str, model: str, options: str = "") -> tuple[str, str]:
    """A PCI device in its own slot, so that its address and its INTx pin are known before the program runs."""
    return "-device", f"{model},id={{id}},addr={PCI_SLOTS[name]:#x}{options}"


def _on(platforms: Iterable[MachineType], *arguments: str) -> tuple[tuple[MachineType, tuple[str, ...]], ...]:
    return tuple((platform, arguments) for platform in platforms)


def _virtio(
    name: str, model: str, summary: str, *, options: str = "", before: tuple[str, ...] = (), backing: int = 0,
    network: bool = False,
) -> Device:  # fmt: skip
    """A virtio device: PCI where there is a PCI bus, virtio-mmio on microvm (docs/system/i386/microvm)."""
    pci = _on(_PCI, *before, *_pci(name, f"virtio-{model}-pci", options))
    mmio = _on(("microvm",), *before, "-device", f"virtio-{model}-device,id={{id}}{options}")
    return Device(name, summary, mmio + pci, (f"virtio-{model}-device",), backing=backing, network=network)


_LIST = (
    Device("hpet", "high precision event timer", _on(_PCI), ("hpet",), machine_options=("hpet=on",),
           in_virtual_time=True),
    Device(
        "hpet-fsb",
        "high precision event timer whose comparators can send FSB messages",
        _on(_PCI, "-global", "hpet.msi=on"),
        ("hpet",),
        machine_options=("hpet=on",),
        in_virtual_time=True,
    ),
    # hw/misc/edu.c: a pending interrupt and a transfer under way outlive system_reset. Transfers take virtual time; a
    # factorial is a thread's: `k.keep_host_pace()`.
    Device(
        "edu",
        "QEMU's teaching device: PCI, DMA engine, INTx, MSI",
        _on(_PCI, *_pci("edu", "edu")),
        ("edu",),
        resets=False,
        in_virtual_time=True,
    ),
    Device(
        "pc-testdev",
        "ports that raise any ISA interrupt line",
        _on(_ALL, "-device", "pc-testdev"),
        ("pc-testdev",),
        in_virtual_time=True,
    ),
    Device(
        "com2",
        "second serial port, 2F8h and IRQ 3: its bytes go nowhere",
        _on(_PCI, "-chardev", "null,id={id}-nowhere",
            "-device", "isa-serial,id={id},iobase=0x2f8,irq=3,chardev={id}-nowhere"),
        ("isa-serial",),
        in_virtual_time=True,
    ),
    Device(
        "pci-testdev",
        "PCI device with I/O and memory test BARs",
        _on(_PCI, *_pci("pci-testdev", "pci-testdev")),
        ("pci-testdev",),
        in_virtual_time=True,
    ),
    Device(
        "isa-debug-exit",
        "port F4h ends QEMU with status value*2+1",
        _on(_ALL, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"),
        ("isa-debug-exit",),
        in_virtual_time=True,
    ),
    _virtio("virtio-rng", "rng", "entropy device; its bytes come from QEMU itself",
            before=("-object", "rng-builtin,id={id}-source"), options=",rng={id}-source"),
    _virtio("virtio-blk", "blk", "paravirtual disk", before=_DISK, options=",drive={id}-disk", backing=_MIB),
    _virtio("virtio-net", "net", "paravirtual network card", before=_NET,
            options=",netdev={id}-net,mac=52:54:00:12:34:56", network=True),
    _virtio("virtio-blk-packed", "blk", "paravirtual disk that offers packed virtqueues", before=_DISK,
            options=",drive={id}-disk,packed=on", backing=_MIB),
    _virtio("virtio-net-packed", "net", "paravirtual network card that offers packed virtqueues", before=_NET,
            options=",netdev={id}-net,mac=52:54:00:12:34:58,packed=on", network=True),
    _virtio("virtio-serial", "serial", "paravirtual serial bus"),
    Device(
        "virtio-console",
        "paravirtual console on a ring buffer",
        _on(("microvm",), "-chardev", "ringbuf,id={id}-ring,size=65536", "-device", "virtio-serial-device,id={id}-bus",
            "-device", "virtconsole,id={id},bus={id}-bus.0,chardev={id}-ring")
        + _on(_PCI, "-chardev", "ringbuf,id={id}-ring,size=65536",
              "-device", f"virtio-serial-pci,id={{id}}-bus,addr={PCI_SLOTS['virtio-console']:#x}",
              "-device", "virtconsole,id={id},bus={id}-bus.0,chardev={id}-ring"),
        ("virtio-serial-device", "virtconsole"),
        resets=False,  # the ring buffer keeps what the host did not read
    ),
    Device(
        "nvme",
        "NVMe controller with one namespace",
        _on(_PCI, *_DISK, *_pci("nvme", "nvme", ",serial=trapgate,drive={id}-disk")),
        ("nvme",),
        backing=_MIB,
    ),
    Device(
        "nvme-two",
        "NVMe controller with two namespaces; the host can slow down the first",
        _on(_PCI, *_HALVES, *_pci("nvme-two", "nvme", ",serial=trapgate"),
            "-device", "nvme-ns,bus={id},nsid=1,drive={id}-disk-1",
            "-device", "nvme-ns,bus={id},nsid=2,drive={id}-disk-2"),
        ("nvme", "nvme-ns"),
        backing=_MIB,
    ),
    Device(
        "ahci",
        "SATA disk on an AHCI controller (q35: the chipset's own, 00:1F.2)",
        _on(("pc",), *_DISK, *_pci("ahci", "ahci"), "-device", "ide-hd,bus={id}.0,drive={id}-disk")
        + _on(("q35",), *_DISK, "-device", "ide-hd,bus=ide.0,drive={id}-disk"),
        ("ich9-ahci", "ide-hd"),
        backing=_MIB,
    ),
    Device(
        "ide",
        "ATA disk on the PIIX3's IDE controller, primary master",
        _on(("pc",), *_DISK, "-device", "ide-hd,bus=ide.0,unit=0,drive={id}-disk"),
        ("piix3-ide", "ide-hd"),
        backing=_MIB,
    ),
    Device(
        "floppy",
        "82078 floppy controller with a 1.44 MB disk: ISA DMA channel 2, IRQ 6",
        _on(("pc",), *_DISK, "-device", "floppy,drive={id}-disk,drive-type=144")
        + _on(("q35",), *_DISK, "-device", "isa-fdc,id={id}", "-device", "floppy,drive={id}-disk,drive-type=144"),
        ("isa-fdc", "floppy"),
        backing=1440 * 1024,
    ),
    Device(
        "e1000e",
        "Intel 82574L network card: MSI-X, interrupt moderation",
        _on(_PCI, *_NET, *_pci("e1000e", "e1000e", ",netdev={id}-net,mac=52:54:00:12:34:57")),
        ("e1000e",),
        network=True,
        resets=False,  # QEMU 7.2: that a message was held by moderation is remembered over system_reset
    ),
    Device(
        "hda", "Intel HD Audio controller: MSI", _on(_PCI, *_pci("hda", "ich9-intel-hda", ",msi=on")),
        ("ich9-intel-hda",),
    ),
    Device("xhci", "USB 3 controller: MSI-X", _on(_PCI, *_pci("xhci", "qemu-xhci")), ("qemu-xhci",)),
    Device(
        "xhci-msi",
        "USB 3 controller with 16 interrupters: MSI with 16 messages",
        _on(_PCI, *_pci("xhci-msi", "nec-usb-xhci", ",msi=on,msix=off,intrs=16")),
        ("nec-usb-xhci",),
    ),
    Device(
        "root-port",
        "PCI Express root port with an empty slot: MSI with two messages and mask bits",
        _on(_PCI, *_pci("root-port", "ioh3420", ",chassis=1,slot=1")),
        ("ioh3420",),
        in_virtual_time=True,
    ),
    Device(
        "ivshmem",
        "shared memory in a BAR",
        _on(_PCI, "-object", "memory-backend-file,id={id}-memory,size=1M,mem-path={backing},share=on",
            *_pci("ivshmem", "ivshmem-plain", ",memdev={id}-memory")),
        ("ivshmem-plain",),
        backing=_MIB,
        in_virtual_time=True,
    ),
    Device(
        "intel-iommu",
        "VT-d: DMA and interrupt remapping",
        _on(("q35",), "-device", "intel-iommu,intremap=on"),
        ("intel-iommu",),
        # Interrupt remapping needs the IO APIC in QEMU: the one in KVM does not use it.
        kvm_machine_options=("kernel-irqchip=split",),
        first=True,
        in_virtual_time=True,
    ),
)  # fmt: skip

DEVICES: Mapping[str, Device] = MappingProxyType({device.name: device for device in _LIST})
"""Every device that a probe may need, by name."""


def devices_named(names: Iterable[str]) -> tuple[Device, ...]:
    """The devices of those names, each once, sorted: what a `MachineConfig` takes.

    Raises TargetError naming an unknown one and those that exist.
    """
    found = set()
    for name in names:
        if name not in DEVICES:
            raise TargetError(f"no device is named {name!r}; known: {', '.join(sorted(DEVICES))}")
        found.add(name)
    return tuple(DEVICES[name] for name in sorted(found, key=lambda name: (not DEVICES[name].first, name)))
