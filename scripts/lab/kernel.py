"""kernel.py UNPACKED OUT: what the lab needs of an unpacked kernel package and of busybox, ready to boot.

OUT/vmlinux is the kernel without its compression, which the guest would take many seconds to undo; OUT/files is
what the guest finds beside its first program: busybox, and the few modules needed of several thousand.
"""

import gzip
import lzma
import pathlib
import shutil
import subprocess
import sys

MODULES = [
    *("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"),
    *("nvme", "uio_pci_generic", "vfio_pci", "vfio_iommu_type1"),
    # Linux's own NVMe/TCP target.
    "nvmet_tcp",
    # For disks in use: a file system and a volume.
    *("ext4", "crc32c_generic", "dm_mod"),
]

# How compressed kernels begin, and who undoes it.
COMPRESSIONS = {
    b"\xfd7zXZ\x00": lambda data: lzma.LZMADecompressor().decompress(data),
    b"\x1f\x8b\x08": lambda data: gzip.decompress(data),
    b"\x28\xb5\x2f\xfd": lambda data: piped("zstd", data),
}


def piped(tool, data):
    """Standard output of `tool -dc`; what follows the compressed part makes it fail, after it wrote everything."""
    return subprocess.run(
        [tool, "-dcq"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout


def vmlinux(image):
    """The ELF kernel inside a bzImage."""
    for magic, undo in COMPRESSIONS.items():
        start = image.find(magic)
        while start >= 0:
            try:
                kernel = undo(image[start:])
            except (OSError, lzma.LZMAError, EOFError):
                kernel = b""
            if kernel.startswith(b"\x7fELF"):
                return kernel
            start = image.find(magic, start + 1)
    sys.exit("kernel.py: error: no compressed kernel was found in the boot image")


def plain(path):
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def module_name(path):
    return path.name.split(".")[0].replace("-", "_")


def dependencies(path):
    """The names in the module's own list of what it depends on."""
    for field in plain(path).split(b"\0"):
        if field.startswith(b"depends="):
            return [name.replace("-", "_") for name in field[8:].decode().split(",") if name]
    return []


def needed(modules):
    """The wanted modules and all they depend on; one that is built into the kernel is not a file."""
    found, waiting = set(), list(MODULES)
    while waiting:
        name = waiting.pop()
        if name in modules and name not in found:
            found.add(name)
            waiting += dependencies(modules[name])
    return sorted(found)


def main():
    unpacked, out = map(pathlib.Path, sys.argv[1:])
    shutil.rmtree(out, ignore_errors=True)
    (trees,) = unpacked.glob("**/lib/modules/*")
    (image,) = unpacked.glob("boot/vmlinuz-*")
    (busybox,) = unpacked.glob("**/bin/busybox")
    out.mkdir()
    (out / "vmlinux").write_bytes(vmlinux(image.read_bytes()))

    files = out / "files"
    target = files / "lib" / "modules" / trees.name
    target.mkdir(parents=True)
    (files / "bin").mkdir()
    shutil.copy(busybox, files / "bin")
    modules = {module_name(path): path for path in trees.glob("kernel/**/*.ko*")}
    for name in needed(modules):
        (target / f"{name}.ko").write_bytes(plain(modules[name]))
    for index in ("modules.order", "modules.builtin"):
        shutil.copy(trees / index, target)
    subprocess.run([files / "bin" / "busybox", "depmod", "-b", files, trees.name], check=True)


if __name__ == "__main__":
    main()
