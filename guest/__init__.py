"""What runs inside the virtual machine: the runtime and the catalogue of probes."""
