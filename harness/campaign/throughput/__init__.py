"""Throughput of the devices of a target: interrupts and bytes of DMA per second."""
