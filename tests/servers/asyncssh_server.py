"""An SFTP server on asyncssh, which shares no code with OpenSSH and Dropbear; started by sftp.py.

usage: asyncssh_server.py PORT USER UID PASSWORD_FILE AUTHORIZED_KEYS ROOT HOST_KEY...

Everyone is locked into ROOT, and everything is done as UID. A file ROOT/quota holds how many bytes all files may have.
"""

import asyncio
import errno
import logging
import os
import signal
import sys

import asyncssh

port, user, uid, password_file, authorized_keys, root, *host_keys = sys.argv[1:]
with open(password_file) as file:
    password = file.read()


class Logins(asyncssh.SSHServer):
    """By key, which asyncssh checks by itself, or by password."""

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, given: str) -> bool:
        return username == user and given == password


class Files(asyncssh.SFTPServer):
    """The directory."""

    def __init__(self, channel: asyncssh.SSHServerChannel) -> None:
        super().__init__(channel, chroot=root)

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """As on a file system with quotas, of which this machine may have none."""
        if used() + len(data) > allowed():
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return super().write(file_obj, offset, data)


def allowed() -> float:
    try:
        with open(os.path.join(root, "quota")) as file:
            return int(file.read())
    except FileNotFoundError:
        return float("inf")


def used() -> int:
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(root) for name in names)


async def main() -> None:
    logging.basicConfig(level="INFO")
    await asyncssh.create_server(
        Logins, "127.0.0.1", int(port), authorized_client_keys=authorized_keys,
        # Read now: files would be read again at each login, when the user may not.
        server_host_keys=[asyncssh.read_private_key(file) for file in host_keys],
        # One alone: offered several, it hangs up on the first packet of Dropbear's client, which guesses one.
        kex_algs=["curve25519-sha256"], sftp_factory=Files, allow_scp=False,
    )  # fmt: skip
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
    # The first process of a namespace does not die of a signal that it does not ask for.
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()


asyncio.run(main())
