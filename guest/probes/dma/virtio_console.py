"""virtio console: bytes out to the host's ring buffer."""

import base64

from harness import GUARD, Kernel, ProbeBody, Window, probe, wait_register
from harness.devices import ConsoleQueue, Part, SplitQueue, VirtioPci

VECTOR = 0x6F
TEXT = b"through the transmit queue, in two pieces\n"


def _console(k: Kernel) -> tuple[VirtioPci, SplitQueue, SplitQueue]:
    """The console, port 0, with an MSI-X message for each direction."""
    console = VirtioPci(k, "virtio-console")
    msix = console.function.msix()
    for entry in (0, 1):  # it has two
        msix.entry(entry, VECTOR + entry)
    msix.enable()
    console.negotiate()
    receive = SplitQueue(console, ConsoleQueue.RECEIVEQ_0, vector=0)
    transmit = SplitQueue(console, ConsoleQueue.TRANSMITQ_0, vector=1)
    return console, receive, transmit


@probe(spec="VIRTIO 1.2, Console Device, Device Operation", needs=["virtio-console"], covers=["virtio.console"])
def console_output_reaches_the_host(k: Kernel) -> ProbeBody:
    """What the transmit queue's buffers hold comes out at the host in order, and the queue's vector arrives."""
    first = Window.make(k, "first", 11, content=TEXT[:11])
    second = Window.make(k, "second", len(TEXT) - 11, offset=5, content=TEXT[11:])
    console, _, transmit = _console(k)
    console.start()
    head = transmit.chain([Part(window.address, window.size) for window in (first, second)])
    k.trigger(transmit.submit, head)
    transmit.wait_used(1)
    # A device may notify more often than it must: requests that wait are one, those that are taken are not.
    wait_register(k, k.lapic.IRR[(VECTOR + 1) // 32], bits=1 << (VECTOR + 1) % 32, ms=k.device_ms)

    run = yield

    answer = run.qmp("ringbuf-read", device="virtio-console-ring", size=4096, format="base64")
    assert base64.b64decode(answer) == TEXT
    assert run.vectors == []
    assert transmit.completions(run) == ((head, 0),)
    assert GUARD not in run.memory(first.address, first.size)
