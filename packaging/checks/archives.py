#!/usr/bin/python3
"""checks/archives.py FILE...: whether packages and tarballs are what opkg, apk and tar expect, and safe to unpack.

Nobody has opkg or apk on Debian. What is looked at is what those insist on: which members there are and in which order,
the fields that they read, checksums; and what an installed file must be: root's, writable for nobody else, where the
package says it is, the program one for the architecture that the package is for. Prints a line for each.
"""
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import zlib

PROGRAM = "/usr/bin/walbrook"
# A service that starts before its configuration is made may do harm, so each has its script and settings.
CONFIGURATION = {"ipk": "/etc/config/walbrook", "openwrt": "/etc/config/walbrook", "alpine": "/etc/conf.d/walbrook"}
# The machine in an ELF file's header, by how architectures begin.
MACHINES = {"x86_64": 62, "amd64": 62, "aarch64": 183, "arm64": 183, "arm": 40, "i386": 3, "i686": 3, "x86": 3, "mips": 8,
            "riscv64": 243}


class Bad(Exception):
    """Why a package is not acceptable."""


def need(holds, what):
    if not holds:
        raise Bad(what)


def gzip_streams(data):
    """The streams that follow each other in a file, each as it lies there and unpacked."""
    streams = []
    while data:
        one = zlib.decompressobj(wbits=31)
        raw = one.decompress(data)
        need(one.eof, "a gzip stream is cut off")
        streams.append((data[: len(data) - len(one.unused_data)], raw))
        data = one.unused_data
    return streams


def entries(raw):
    """Name and content of what is in a tar, of which apk leaves out the end."""
    archive = tarfile.open(fileobj=io.BytesIO(raw + bytes(1024)))
    return [(entry, archive.extractfile(entry).read() if entry.isreg() else b"") for entry in archive]


def runs_on(program, architecture):
    machine = next(number for name, number in MACHINES.items() if architecture.startswith(name))
    # Little-endian is 1, big-endian 2, which is for the order of the machine's number too.
    order = 2 if architecture.startswith("mips_") or architecture == "mips" else 1
    found = int.from_bytes(program[18:20], "little" if order == 1 else "big")
    need(program[:4] == b"\x7fELF" and program[5] == order and found == machine, f"its program is not for {architecture}")


def installed(listed, architecture, script="/etc/init.d/walbrook", mode=0o755):
    """Looks at what is to be installed; returns the modes by path."""
    modes = {}
    for entry, content in listed:
        parts = entry.name.removeprefix("./").split("/")
        need(not entry.name.startswith("/") and ".." not in parts, f"{entry.name} leads out of the root")
        need((entry.uid, entry.gid) == (0, 0), f"{entry.name} is not root's")
        need(entry.isdir() or entry.isreg(), f"{entry.name} is neither a file nor a directory")
        need(not entry.mode & 0o6022, f"{entry.name} has mode {entry.mode:o}")
        if entry.isreg():
            modes["/" + "/".join(parts)] = entry.mode
        if "/" + "/".join(parts) == PROGRAM:
            runs_on(content, architecture)
    need(modes.get(PROGRAM) == 0o755, f"{PROGRAM} is missing or not executable")
    need(modes.get(script) == mode, f"{script} is missing or has a wrong mode")
    return modes


def fields(text, separator):
    pairs = (line.split(separator, 1) for line in text.splitlines() if separator in line and line[:1] not in "# ")
    return {key.strip(): value.strip() for key, value in pairs}


def check_ipk(data, _):
    members = entries(gzip.decompress(data))
    files = {entry.name.removeprefix("./"): content for entry, content in members if entry.isreg()}
    need(sorted(files) == ["control.tar.gz", "data.tar.gz", "debian-binary"], f"its members are {sorted(files)}")
    need(files["debian-binary"] == b"2.0\n", "debian-binary is not 2.0")
    control = {entry.name.removeprefix("./"): (entry, content)
               for entry, content in entries(gzip.decompress(files["control.tar.gz"])) if entry.isreg()}
    for script in ("postinst", "prerm"):
        need(script in control and control[script][0].mode & 0o111, f"{script} is missing or not executable")
    known = fields(control["control"][1].decode(), ":")
    for field in ("Package", "Version", "Architecture", "Maintainer", "Description", "Installed-Size"):
        need(known.get(field), f"control lacks {field}")
    modes = installed(entries(gzip.decompress(files["data.tar.gz"])), known["Architecture"])
    conffiles = control["conffiles"][1].decode().split()
    need(conffiles == [CONFIGURATION["ipk"]], f"its conffiles are {conffiles}")
    need(modes[conffiles[0]] == 0o600, "its configuration, which may hold keys, can be read by others")
    return known["Version"], known["Architecture"]


def check_apk(data, name):
    streams = gzip_streams(data)
    need(len(streams) == 2, f"it has {len(streams)} gzip streams, not control and data")
    (_, control), (packed, payload) = streams
    control = entries(control)
    need(control[0][0].name == ".PKGINFO", ".PKGINFO is not first")
    known = fields(control[0][1].decode(), "=")
    for field in ("pkgname", "pkgver", "pkgdesc", "arch", "size", "license", "datahash"):
        need(known.get(field), f".PKGINFO lacks {field}")
    need(known["datahash"] == hashlib.sha256(packed).hexdigest(), "its datahash is that of something else")
    need("-r" in known["pkgver"], f"its version {known['pkgver']} has no release")
    scripts = {entry.name for entry, _ in control[1:]}
    kind = "alpine" if "-alpine-" in name else "openwrt"
    wanted = {"alpine": {".pre-install", ".pre-deinstall", ".post-upgrade"},
              "openwrt": {".post-install", ".pre-deinstall", ".post-upgrade"}}[kind]
    need(scripts == wanted, f"its scripts are {sorted(scripts)}")
    need(all(entry.mode & 0o100 for entry, _ in control[1:]), "a script is not executable")
    listed = entries(payload)
    for entry, content in listed:
        if entry.isreg():
            noted = entry.pax_headers.get("APK-TOOLS.checksum.SHA1")
            need(noted == hashlib.sha1(content).hexdigest(), f"the checksum of {entry.name} is wrong or missing")
    modes = installed(listed, known["arch"])
    need(CONFIGURATION[kind] in modes, f"{CONFIGURATION[kind]} is missing")
    if kind == "openwrt":
        texts = {"/" + entry.name: content.decode() for entry, content in listed if "/lib/apk/" in "/" + entry.name}
        said = texts["/lib/apk/packages/walbrook.list"].split()
        need(sorted(said) == sorted(set(modes) - set(texts)), f"walbrook.list says {said}")
        need(texts["/lib/apk/packages/walbrook.conffiles"].split() == [CONFIGURATION[kind]], "conffiles are wrong")
        need(modes[CONFIGURATION[kind]] == 0o600, "its configuration, which may hold keys, can be read by others")
    return known["pkgver"], known["arch"]


def check_deb(_, name):
    version, architecture = (
        subprocess.run(["dpkg-deb", "--field", name, field], check=True, capture_output=True, text=True).stdout.strip()
        for field in ("Version", "Architecture")
    )
    need(name.endswith(f"_{version}_{architecture}.deb"), f"it is {version} for {architecture}")
    files = subprocess.run(["dpkg-deb", "--fsys-tarfile", name], check=True, capture_output=True).stdout
    installed(entries(files), architecture, "/usr/lib/systemd/system/walbrook.service", 0o644)
    return version, architecture


def check_tarball(data, name):
    directory = name.rsplit("/", 1)[-1].removesuffix(".tar.gz")
    listed = entries(gzip.decompress(data))
    for entry, content in listed:
        need(entry.name.split("/")[0] == directory and ".." not in entry.name, f"{entry.name} is not in {directory}")
        need((entry.uid, entry.gid) == (0, 0) and not entry.mode & 0o6022, f"{entry.name} has a wrong owner or mode")
        if entry.name == f"{directory}/walbrook":
            runs_on(content, directory.rsplit("-", 1)[-1])
    names = {entry.name.removeprefix(directory + "/") for entry, _ in listed if entry.isreg()}
    wanted = {"walbrook", "LICENSE", "README.md", "third-party.txt", "bom.json", "Containerfile", "walbrook.1"}
    need(wanted <= names, f"it lacks {sorted(wanted - names)}")
    return directory, f"{len(names)} files"


def main():
    for name in sys.argv[1:]:
        with open(name, "rb") as file:
            data = file.read()
        check = {"deb": check_deb, "ipk": check_ipk, "apk": check_apk, "gz": check_tarball}[name.rsplit(".", 1)[-1]]
        try:
            print(f"{name.rsplit('/', 1)[-1]}:", *check(data, name))
        except (Bad, KeyError, OSError, tarfile.TarError, zlib.error) as error:
            raise SystemExit(f"{name}: {error}") from error


main()
