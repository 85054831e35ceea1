"""What a local server must refuse: other hosts' names, other sites' requests, and strangers on a network.

A page of any web site can make the reader's browser send requests to this machine. The name that the browser used
(Host) and where the request came from (Origin) tell such requests apart. If other machines can reach the server, it
also asks for a token.
"""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
TOKEN_COOKIE = "mechscope-token"
HEADER_BYTES = 16_384
"""The longest address with headers."""
READING = ("GET", "HEAD", "OPTIONS")
API = "/api"
OWN_SITE = ("same-origin", "none")
"""What browsers write in Sec-Fetch-Site for requests of this server's pages and for addresses that the reader typed."""
OTHER_SITE = "This request came from another site and was refused."
# Scripts only from this server. Plotly and MathML set style attributes, hence inline styles.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether an address or name can be reached from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware that refuses requests from elsewhere and adds the headers that limit what pages may load.

    Args:
        app: what answers accepted requests.
        names: host names and addresses that the browser may use for this server, without ports.
        token: what every request must know; empty if the server is reached from this machine only.
    """

    def __init__(self, app: ASGIApp, names: tuple[str, ...] = LOOPBACK_NAMES, token: str = "") -> None:
        self.app = app
        self.names = names
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        answer = self._refusal(Request(scope))
        await (answer or self.app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        size = len(request.scope["path"]) + len(request.scope["query_string"])
        if size + sum(len(name) + len(value) for name, value in headers.raw) > HEADER_BYTES:
            return PlainTextResponse(f"The address and headers have more than {HEADER_BYTES:,} bytes.", 431)
        if _host_name(headers) not in self.names:
            return PlainTextResponse(
                "This server answers only under the address that it printed when it started.", 421
            )
        if request.method not in READING and not _is_own_origin(headers):
            return PlainTextResponse(OTHER_SITE, 403)
        # Other sites may link to pages, but have no reason to ask the HTTP interface for anything: they could not read
        # its answers, but keep it busy.
        if request.url.path.startswith(API) and headers.get("sec-fetch-site", "none") not in OWN_SITE:
            return PlainTextResponse(OTHER_SITE, 403)
        return self._check_token(request) if self.token else None

    def _check_token(self, request: Request) -> Response | None:
        given = request.query_params.get("token")
        if given is not None and hmac.compare_digest(given.encode(), self.token.encode()):
            # Out of the address, so that it is not passed on with a link.
            answer = RedirectResponse(request.url.path, 303)
            answer.set_cookie(TOKEN_COOKIE, self.token, httponly=True, samesite="strict")
            return answer
        known = request.cookies.get(TOKEN_COOKIE, "")
        if hmac.compare_digest(known.encode(), self.token.encode()):
            return None
        return PlainTextResponse("Open the address with its token, as printed when the server started.", 401)


def _host_name(headers: Headers) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _is_own_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    # Browsers send Origin with every request that is not a plain read; other programs are not what this is about.
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")
