#!/bin/sh
# Assemble and link a report's guest: build.sh NAME.s OUTPUT. Needs GNU binutils.
set -eu
source=$1
output=$2
folder=$(dirname "$source")
object=$output.o
as --64 -I "$folder" -o "$object" "$source"
ld -m elf_x86_64 -nostdlib -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments -Ttext 0x101000 \
    --section-start=.multiboot=0x100000 -e _start -o "$output.64" "$object"
objcopy -O elf32-i386 "$output.64" "$output"
rm "$object" "$output.64"
