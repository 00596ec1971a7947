#!/usr/bin/python3
"""Runs a real S3 server on loopback for as long as somebody holds this program's standard input open.

usage: s3.py seaweedfs|juicefs|rclone|garage DIR [--tls] [--bucket NAME] [--volume-mb N] [--remove]

Keeps everything under DIR (new or empty; --remove deletes it at the end), takes free ports of 127.0.0.1, makes the
bucket and, with --tls (seaweedfs and rclone have it), a CA and a certificate for 127.0.0.1, ::1, localhost,
s3.localhost and *.s3.localhost. When an object can be written and read it prints one line of JSON: kind, endpoint,
vhost_endpoint, bucket, region, access_key_id, secret_access_key, ca_file, dir, log, pid. The programs are named by
WALBROOK_TEST_SEAWEEDFS, _JUICEFS, _RCLONE and _GARAGE, as tests/run exports them.

Then each line on standard input is answered by a line of JSON, which holds "error" if it failed. A line is a word, or
a JSON object with the word as "do":
  kill, stop         SIGKILL the server, or end it in order (3 s at most)
  start              the server again, on the same ports, over the same data; answered when it works
  freeze, thaw       SIGSTOP and SIGCONT: a server that hangs
  list prefix        {"objects": [[key, size], ...]}, asked of the server directly, as the next ones are
  put key body, get key, head key, delete key      bodies in base64; headers are given back
  request method path query headers body           anything else: {"status", "headers", "body"}

At the end of standard input the server is killed. Should this program itself be killed, the kernel kills the server.
"""

import argparse
import base64
import glob
import json
import os
import secrets
import signal
import subprocess
import sys
import time

# Nothing is to be left in the tree.
sys.dont_write_bytecode = True
from s3client import Client  # noqa: E402
from serving import Ports, ServerError, die_with_us, run, serve  # noqa: E402

PATIENCE = 60
DOMAIN = "s3.localhost"
TLS = ("seaweedfs", "rclone")
NAMES = f"IP:127.0.0.1,IP:::1,DNS:localhost,DNS:{DOMAIN},DNS:*.{DOMAIN}"


class Server:
    """One server: how it is started, whether it works."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.kind, self.dir, self.tls, self.bucket = options.kind, options.dir, options.tls, options.bucket
        self.volume_mb = options.volume_mb
        self.program = os.environ.get(f"WALBROOK_TEST_{self.kind.upper()}")
        if not self.program or not os.access(self.program, os.X_OK):
            raise SystemExit(f"s3.py: WALBROOK_TEST_{self.kind.upper()} names no program: run tests/run")
        self.ports = Ports(8)
        self.access_key, self.secret_key = "GK" + secrets.token_hex(12), secrets.token_hex(32)
        self.region = "garage" if self.kind == "garage" else "us-east-1"
        self.log = self.path("server.log")
        self.ca_file = self.path("ca.pem") if self.tls else ""
        self.process: subprocess.Popen | None = None

    def path(self, name: str) -> str:
        return os.path.join(self.dir, name)

    def write(self, name: str, text: str) -> str:
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def prepare(self) -> None:
        """Makes everything that is there before the first start."""
        os.makedirs(self.path("data"))
        if self.tls:
            make_certificate(self.dir)
        getattr(self, f"prepare_{self.kind}", lambda: None)()
        self.client = Client(self.ports[0], self.region, self.access_key, self.secret_key, self.ca_file)

    def prepare_seaweedfs(self) -> None:
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        self.write("s3.json", json.dumps({"identities": [{"name": "t", "credentials": [keys], "actions": actions}]}))

    def command_seaweedfs(self) -> list:
        names = [
            "s3.port", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
            "filer.port", "filer.port.grpc", "s3.port.grpc",
        ]  # fmt: skip
        command = [
            self.program, "-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-dir={self.path('data')}", "-filer", "-s3", f"-s3.config={self.path('s3.json')}",
            f"-s3.domainName={DOMAIN}", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
            # It would tell its makers that it runs.
            "-master.telemetry=false",
            # The defaults make a cluster of one wait for others.
            "-master.electionTimeout=1s", "-master.heartbeatInterval=200ms", "-volume.preStopSeconds=0",
            # On a small disk it is the disk that ends first, and not a reserve of it.
            f"-master.volumeSizeLimitMB={self.volume_mb}", "-volume.max=200", "-volume.minFreeSpace=0",
        ]  # fmt: skip
        command += [f"-{name}={self.ports[index]}" for index, name in enumerate(names)]
        if self.tls:
            command += [f"-s3.cert.file={self.path('server.pem')}", f"-s3.key.file={self.path('server.key')}"]
        return command

    def prepare_juicefs(self) -> None:
        storage = ["--storage", "file", "--bucket", self.path("data/")]
        run([self.program, "format", "-q", *storage, self.meta(), "tests"])

    def meta(self) -> str:
        return "sqlite3://" + self.path("meta.db")

    def command_juicefs(self) -> list:
        return [
            self.program, "gateway", "--no-usage-report", "--multi-buckets", "--keep-etag", "--object-meta",
            "--object-tag", "--cache-dir", self.path("cache"), self.meta(), f"127.0.0.1:{self.ports[0]}",
        ]  # fmt: skip

    def command_rclone(self) -> list:
        command = [
            self.program, "--config", self.path("rclone.conf"), "serve", "s3", "--addr", f"127.0.0.1:{self.ports[0]}",
            "--auth-key", f"{self.access_key},{self.secret_key}", "--vfs-cache-mode", "off",
        ]  # fmt: skip
        if self.tls:
            command += ["--cert", self.path("server.pem"), "--key", self.path("server.key")]
        return [*command, self.path("data")]

    def prepare_garage(self) -> None:
        rpc = f"127.0.0.1:{self.ports[1]}"
        lines = [
            f'metadata_dir = "{self.path("meta")}"', f'data_dir = "{self.path("data")}"', 'db_engine = "sqlite"',
            "replication_factor = 1", f'rpc_bind_addr = "{rpc}"', f'rpc_public_addr = "{rpc}"',
            f'rpc_secret = "{secrets.token_hex(32)}"', "[s3_api]", f'api_bind_addr = "127.0.0.1:{self.ports[0]}"',
            f's3_region = "{self.region}"', f'root_domain = ".{DOMAIN}"',
        ]  # fmt: skip
        self.write("garage.toml", "\n".join(lines))

    def command_garage(self) -> list:
        return [self.program, "-c", self.path("garage.toml"), "server", "--single-node", "--default-bucket"]

    def environment(self) -> dict:
        ours = {
            "GOMEMLIMIT": "256MiB", "MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_DOMAIN": DOMAIN, "GARAGE_DEFAULT_ACCESS_KEY": self.access_key,
            "GARAGE_DEFAULT_SECRET_KEY": self.secret_key, "GARAGE_DEFAULT_BUCKET": self.bucket,
        }  # fmt: skip
        others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SSL_CERT"))}
        return others | ours

    def start(self) -> dict:
        """Starts the server and waits until it works."""
        if self.process and self.process.poll() is None:
            raise ServerError("it is running")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                getattr(self, f"command_{self.kind}")(), env=self.environment(), cwd=self.dir, preexec_fn=die_with_us,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.wait_until_ready()
        return self.description()

    def wait_until_ready(self) -> None:
        deadline, key = time.monotonic() + PATIENCE, f"/{self.bucket}/.ready"
        while True:
            try:
                # 409: it is there already, from before.
                self.client.demand((200, 409), "PUT", f"/{self.bucket}")
                self.client.demand((200,), "PUT", key, body=b"ready")
                self.client.demand((200,), "GET", key)
                self.client.demand((200, 204), "DELETE", key)
                return
            except (OSError, ServerError) as error:
                if self.process.poll() is not None:
                    raise ServerError(f"{self.kind} has ended\n{self.last_words()}") from error
                if time.monotonic() > deadline:
                    raise ServerError(f"{self.kind} is not ready: {error}\n{self.last_words()}") from error
                time.sleep(0.05)

    def last_words(self) -> str:
        with open(self.log, errors="replace") as log:
            return log.read()[-3000:]

    def description(self) -> dict:
        scheme, port = "https" if self.tls else "http", self.ports[0]
        return {
            "kind": self.kind, "endpoint": f"{scheme}://127.0.0.1:{port}", "dir": self.dir, "log": self.log,
            "vhost_endpoint": f"{scheme}://{DOMAIN}:{port}", "bucket": self.bucket, "region": self.region,
            "access_key_id": self.access_key, "secret_access_key": self.secret_key, "ca_file": self.ca_file,
            "pid": self.process.pid,
        }  # fmt: skip

    def signal(self, number: int) -> None:
        """Sends a signal to the server and whatever it has started."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def kill(self) -> dict:
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()
        # SeaweedFS leaves a socket for each of its ports, in a place that it chooses.
        for port in self.ports:
            for name in glob.glob(f"/tmp/seaweedfs-*-{port}.sock"):
                os.unlink(name)
        return {}

    def stop(self) -> dict:
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            pass
        return self.kill()

    def freeze(self) -> dict:
        self.signal(signal.SIGSTOP)
        return {}

    def thaw(self) -> dict:
        self.signal(signal.SIGCONT)
        return {}

    def list(self, prefix: str) -> dict:
        return {"objects": self.client.list(self.bucket, prefix)}

    def put(self, key: str, body: str, headers: dict = {}) -> dict:
        self.client.demand((200,), "PUT", f"/{self.bucket}/{key}", headers=headers, body=base64.b64decode(body))
        return {}

    def get(self, key: str) -> dict:
        headers, body = self.client.demand((200,), "GET", f"/{self.bucket}/{key}")
        return {"headers": headers, "body": base64.b64encode(body).decode()}

    def head(self, key: str) -> dict:
        headers, _ = self.client.demand((200,), "HEAD", f"/{self.bucket}/{key}")
        return {"headers": headers}

    def delete(self, key: str) -> dict:
        self.client.demand((200, 204), "DELETE", f"/{self.bucket}/{key}")
        return {}

    def request(self, method: str, path: str, query: dict = {}, headers: dict = {}, body: str = "") -> dict:
        status, answered, content = self.client.request(method, path, query, headers, base64.b64decode(body))
        return {"status": status, "headers": answered, "body": base64.b64encode(content).decode()}


COMMANDS = ("kill", "stop", "start", "freeze", "thaw", "list", "put", "get", "head", "delete", "request")


def make_certificate(directory: str) -> None:
    """ca.pem, server.pem and server.key, with keys that are quickly made."""
    path = lambda name: os.path.join(directory, name)
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    with open(path("server.ext"), "w") as extensions:
        extensions.write("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n")
        extensions.write(f"subjectAltName={NAMES}\n")
    run(
        ["openssl", "req", "-x509", *new_key, "-days", "3650", "-subj", "/CN=Walbrook tests", "-keyout", path("ca.key")]
        + ["-out", path("ca.pem"), "-addext", "basicConstraints=critical,CA:TRUE"]
        + ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    )
    run(["openssl", "req", *new_key, "-subj", f"/CN={DOMAIN}", "-keyout", path("server.key"), "-out", path("csr.pem")])
    run(
        ["openssl", "x509", "-req", "-in", path("csr.pem"), "-CA", path("ca.pem"), "-CAkey", path("ca.key")]
        + ["-CAcreateserial", "-days", "3650", "-extfile", path("server.ext"), "-out", path("server.pem")]
    )


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("kind", choices=("seaweedfs", "juicefs", "rclone", "garage"))
    parser.add_argument("dir", type=os.path.abspath)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--bucket", default="walbrook")
    parser.add_argument("--volume-mb", type=int, default=64)
    parser.add_argument("--remove", action="store_true")
    chosen = parser.parse_args()
    if chosen.tls and chosen.kind not in TLS:
        raise SystemExit(f"s3.py: {chosen.kind} has no TLS here")
    return chosen


if __name__ == "__main__":
    chosen = options()
    serve(Server(chosen), COMMANDS, chosen)
