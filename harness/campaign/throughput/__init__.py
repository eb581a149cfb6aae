"""How much the devices of a target get done: interrupts per second, bytes of DMA per second."""
