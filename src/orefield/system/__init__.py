"""The machine: devices, threads, memory, the processor, files."""
