"""From a request of a browser to a visit, and from what it comes to to HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from stackferry import __version__
from stackferry_runtime.logs import logger
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..callers import Callers
from ..calls import Call
from ..people import Person, Rate
from ..problems import Problem
from ..rendering import rendered
from ..serving import Noted, Serving, allow, names_of, told_as
from .sessions import Sessions, refuse_others
from .visit import File, Go, Line, Page, Seen, Visit

HERE = Path(__file__).parent
FORM = "application/x-www-form-urlencoded"
#: nothing but what this gateway serves, and nobody may show the page in a frame
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin",
}  # fmt: skip
STATIC = {path.name: path.read_bytes() for path in (HERE / "static").iterdir()}
MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FIELDS = 2000  # of a form
FORM_BYTES, SMALL_BYTES = 1 << 20, 16 << 10  # of a form; of one that anybody may send
REFUSALS = 5.0  # sign-ins a second that may fail, of all people together
log = logger(__name__)


class Site:
    """The page of one gateway."""

    def __init__(self, serving: Serving, sessions: Sessions, seen: Seen) -> None:
        self.serving, self.sessions, self.seen = serving, sessions, seen
        self.tokens = serving.door.callers.tokens
        self.door = serving.door.beside(self._signed_in)
        self.refusals = Rate(REFUSALS)

    async def _signed_in(self, request: Request, _: Callers) -> Person:
        return self.sessions.knock(request, self.tokens)

    def handler(self, line: Line) -> Any:
        """The ASGI endpoint of a line of the page's table."""

        async def answer(request: Request, person: Person) -> Response:
            form: Mapping[str, list[str]] = {}
            if line.method == "POST":
                form = await self._form(request, FORM_BYTES)
                self.sessions.check(request, next(iter(form.get("word", ())), ""))
            allow(person, line.role)
            return await self.serving.work(person, self._answer, line, request, person, form)

        return self.serving.within(self.door, answer, self.refused)

    def _answer(self, line: Line, request: Request, person: Person, form: Mapping[str, list[str]]) -> Response:
        said: dict[str, Any] = {name: form[name][0] for name in ("action", "do") if form.get(name)}
        if form.get("server"):
            said["servers"] = form["server"]
        call = Call(person, self.serving.desk, names_of(request), {}, {}, {})
        visit = Visit(call, form, dict(request.query_params), request.url.path, self.seen)
        with Noted(request, person, said) as noted:
            try:
                found = line.do(visit)
                noted.made = found.to if isinstance(found, Go) else None
                response = self._shown(found, request, person)
            except Exception as error:
                response = self.refused(error, request, person)
            noted.status = response.status_code
        return response

    def _shown(self, found: Page | Go | File, request: Request, person: Person | None) -> Response:
        if isinstance(found, Go):
            return RedirectResponse(found.to, 303, HEADERS)
        if isinstance(found, File):
            kept = {"Content-Disposition": f'attachment; filename="{found.name}"'}
            return Response(found.content, 200, {**HEADERS, **kept}, found.media)
        return self.show(found, request, person)

    def show(self, page: Page, request: Request, person: Person | None = None) -> Response:
        """A page as HTML."""
        about = {"page": page, "person": person, "path": request.url.path, "version": __version__,
                 "word": self.sessions.word(request) if person else ""}  # fmt: skip
        html = rendered(page.template, {**page.data, **about})
        return Response(html.encode("utf-8", "replace"), page.status, HEADERS, "text/html; charset=utf-8")

    def refused(self, error: Exception, request: Request, person: Person | None = None) -> Response:
        """What people see of an error; who isn't signed in is asked to."""
        problem = told_as(error, request)
        if problem.status == 401 and request.method in ("GET", "HEAD"):
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse("/sign-in" + (f"?next={quote(here)}" if here != "/" else ""), 303, HEADERS)
        return self.show(
            Page("problem.html", "That can't be done", {"problem": problem}, problem.status), request, person
        )

    async def _form(self, request: Request, most: int) -> dict[str, list[str]]:
        body = await self.serving.body(request, FORM, most)
        try:
            return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=FIELDS)
        except ValueError:
            raise Problem(400, "the form can't be read") from None

    # -- without a session ---------------------------------------------------------------------------------

    async def sign_in(self, request: Request) -> Response:
        """Ask for a token, and begin a session."""
        try:
            return await self._sign_in(request)
        except Exception as error:
            return self.refused(error, request)

    async def _sign_in(self, request: Request) -> Response:
        if request.method != "POST":
            data = {"next": request.query_params.get("next", "/"), "why": ""}
            return self.show(Page("sign_in.html", "Sign in", data), request)
        refuse_others(request)
        form = await self._form(request, SMALL_BYTES)
        token, to = (next(iter(form.get(name, ())), "").strip() for name in ("token", "next"))
        try:
            person = self.tokens.of(token.encode())
            self.serving.door.rate.take(person.name)
        except Problem as problem:
            log.warning("sign-in refused", audit=True, why=problem.detail)
            self.refusals.take("sign-in")
            data = {"next": to, "why": problem.detail}
            return self.show(Page("sign_in.html", "Sign in", data, problem.status), request)
        response = RedirectResponse(_own(to), 303, HEADERS)
        self.sessions.begin(person, response)
        with Noted(request, person, {}) as noted:
            noted.status = 303
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        try:
            self.sessions.knock(request, self.tokens)
            form = await self._form(request, SMALL_BYTES)
            self.sessions.check(request, next(iter(form.get("word", ())), ""))
        except Exception as error:
            return self.refused(error, request)
        response = RedirectResponse("/sign-in", 303, HEADERS)
        self.sessions.forget(request)
        self.sessions.end(response)
        return response

    async def static(self, request: Request) -> Response:
        """The style, the script and the picture."""
        name = request.path_params["name"]
        if name not in STATIC:
            return self.refused(Problem(404, "there's nothing at this path"), request)
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "public, max-age=31536000, immutable"}
        return Response(STATIC[name], 200, headers, MEDIA[Path(name).suffix])


def _own(to: str) -> str:
    """A path of this page; its beginning for anything else."""
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable() and to.isascii() else "/"
