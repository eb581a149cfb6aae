"""QEMU: targets, machine processes, QMP, serial, state dumps."""
