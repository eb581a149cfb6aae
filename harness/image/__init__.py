"""Programs become bootable files."""
