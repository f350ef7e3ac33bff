"""The archive the guest starts from: a "newc" cpio archive, written without a tool."""

import stat


def entry(number, name, mode, data=b"", device=(0, 0)):
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return b"".join(part + bytes(-len(part) % 4) for part in (header, data))


def write(archive, files, programs):
    """Writes every file below the folder `files`, and `programs`, executable, by their path in the guest."""
    contents = {
        str(path.relative_to(files)): path.read_bytes() for path in files.glob("**/*") if path.is_file()
    }
    contents.update(programs)
    folders = {"dev"} | {str(parent) for path in contents for parent in _parents(path)}

    entries = [(folder, stat.S_IFDIR | 0o755, b"", (0, 0)) for folder in sorted(folders)]
    # Where the kernel has the first program say what is wrong.
    entries.append(("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)))
    entries += [(path, stat.S_IFREG | 0o755, data, (0, 0)) for path, data in contents.items()]
    entries.append(("TRAILER!!!", 0, b"", (0, 0)))
    for number, one in enumerate(entries, start=1):
        archive.write(entry(number, *one))


def _parents(path):
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
