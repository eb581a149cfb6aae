"""Trapgate: boots tiny x86_64 guests on real QEMU and checks what interrupts they get."""
