"""Failures of requests to object storage, in words of ours."""

import re
from typing import Final, Literal

_ELSEWHERE: Final = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
_CREDENTIALS: Final = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
"""Hosts that give credentials where the environment has none."""
AUTHORITY_HINT: Final = "SSL_CERT_FILE names a file with the certificates of the authorities to trust"

Kind = Literal["absent", "no bucket", "denied", "region", "exists", "changed", "range", "busy", "broken", "refused"]
PASSING: Final[tuple[Kind, ...]] = ("busy", "broken")
"""Failures that another attempt can mend."""


class Refused(Exception):
    """A request failed.

    Attributes:
        kind: how.
        what: that in words, to stand behind a colon: it never holds text of a server.
    """

    def __init__(self, kind: Kind, what: str) -> None:
        super().__init__(what)
        self.kind: Kind = kind
        self.what = what


def refused(err: Exception) -> Refused:
    """Return what an error of obstore means. Its text is only searched: servers repeat keys and signatures in it."""
    text = str(err)
    status = int(match[1]) if (match := re.search(r"status code: (\d{3})", text)) else 0
    code = match[1] if (match := re.search(r"<Code>([A-Za-z]{1,60})</Code>", text)) else ""
    said = f"HTTP {status}{f', {code}' if code else ''}" if status else type(err).__name__
    if any(host in text.partition("Debug source")[0] for host in _CREDENTIALS):
        return Refused("denied", "the environment has no credentials for it")
    if code == "NoSuchBucket" or "ContainerNotFound" in text:
        return Refused("no bucket", f"there is no such bucket ({said})")
    name = type(err).__name__
    if name == "AlreadyExistsError":
        return Refused("exists", "it exists already")
    if name == "PreconditionError":
        return Refused("changed", "it was changed meanwhile")
    if isinstance(err, FileNotFoundError) or status in (404, 410):
        return Refused("absent", "it is absent")
    if status == 301 or code in _ELSEWHERE:
        return Refused("region", f"it is in another region or at another endpoint than the environment says ({said})")
    if name in ("PermissionDeniedError", "UnauthenticatedError") or status in (401, 403):
        return Refused("denied", f"it is denied to these credentials ({said or 'no access'})")
    if status == 416:
        return Refused("range", "it is shorter than expected (HTTP 416)")
    if status == 409:
        return Refused("busy", f"another request changes it ({said})")
    if status in (408, 429) or status >= 500:
        return Refused("busy", f"the server does not serve it ({said})")
    if name == "NotSupportedError":
        return Refused("refused", "its server does not answer requests for ranges, which reading needs")
    if status:
        return Refused("refused", f"the server refuses it ({said})")
    if match := re.search(r"InvalidCertificate\(\s*(\w+)", text):
        # Names of rustls, such as Expired and NotValidForNameContext.
        reason = match[1].removesuffix("Context")
        hint = f"; {AUTHORITY_HINT}" if reason == "UnknownIssuer" else ""
        return Refused("refused", f"the certificate of its server is not valid here ({reason}){hint}")
    if "No CA certificates were loaded" in text:
        return Refused("refused", f"this machine has no certificates of authorities; {AUTHORITY_HINT}")
    if "UnexpectedRange {" in text:
        return Refused("busy", "its server answers with another range than was requested")
    if found := re.search(r"source: (NoContentRange|ParseContentRange|MissingContentLength)\b", text):
        what = "length" if found[1] == "MissingContentLength" else "range"
        return Refused("busy", f"its server does not say which {what} its answer has, which reading needs")
    late = "timed out" in text.lower() or "TimedOut" in text
    return Refused("broken", "the server does not answer in time" if late else "the connection fails")
