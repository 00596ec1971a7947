"""A small S3 client, to look at a storage independently of the program under test: SigV4 by hand, path style, one
request a connection, errors raised with what the server said. Standard library only; used by s3.py."""

import datetime
import hashlib
import hmac
import http.client
import ssl
import urllib.parse
import xml.etree.ElementTree as xml

from serving import ServerError


class Client:
    """Requests to one server with one pair of keys."""

    def __init__(self, port: int, region: str, access_key: str, secret_key: str, ca_file: str = "") -> None:
        self.port, self.region = port, region
        self.access_key, self.secret_key = access_key, secret_key
        self.tls = ssl.create_default_context(cafile=ca_file) if ca_file else None

    def request(self, method: str, path: str, query: dict = {}, headers: dict = {}, body: bytes = b""):
        """Sends a signed request; gives status, headers with names in lower case, and body."""
        path = urllib.parse.quote(path, safe="/-_.~")
        query_text = "&".join(f"{quoted(name)}={quoted(query[name])}" for name in sorted(query))
        headers = self.signed(method, path, query_text, headers, body)
        if self.tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.tls)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(
                method, path + ("?" + query_text if query_text else ""), skip_host=True, skip_accept_encoding=True
            )
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def signed(self, method: str, path: str, query: str, headers: dict, body: bytes) -> dict:
        """The headers, with those that the signature needs and itself."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {name.lower(): value.strip() for name, value in headers.items()}
        headers |= {"host": f"127.0.0.1:{self.port}", "x-amz-date": now, "x-amz-content-sha256": digest}
        names = ";".join(sorted(headers))
        listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = "\n".join([method, path, query, listed, names, digest])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret_key).encode()
        for part in [*scope.split("/"), text]:
            key = hmac.digest(key, part.encode(), "sha256")
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
        )
        return headers

    def demand(self, wanted: tuple, method: str, path: str, query: dict = {}, headers: dict = {}, body: bytes = b""):
        """A request that has to be answered with one of the `wanted` statuses; gives headers and body."""
        status, answered, content = self.request(method, path, query, headers, body)
        if status not in wanted:
            raise ServerError(f"{method} {path} {query}: {status} {content[:500].decode(errors='replace')}")
        return answered, content

    def list(self, bucket: str, prefix: str) -> list:
        """All keys under a prefix with their sizes, in order. By version 1, which every server has."""
        found, query = [], {"prefix": prefix}
        while True:
            _, page = self.demand((200,), "GET", f"/{bucket}", query)
            root = xml.fromstring(page)
            for element in root.iter():
                element.tag = element.tag.rpartition("}")[2]
            objects = [(one.findtext("Key"), int(one.findtext("Size"))) for one in root.iter("Contents")]
            found += objects
            if root.findtext("IsTruncated") != "true":
                return sorted(found)
            query["marker"] = root.findtext("NextMarker") or objects[-1][0]


def quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")
