"""Whose figures a request is about: those of a person's own token, or of whom a trusted server names."""

from authorizer.access import LINK, OIDC, SERVER
from impact.http import Event, HttpError, caller, header
from impact.naming import USER, id_problem
from request_events.limits import is_somebody, is_unfilled

USER_HEADER = "x-librechat-user-id"
"""Where a trusted server names the user: LibreChat fills in `{{LIBRECHAT_USER_ID}}` here."""


def user_of(event: Event) -> str:
    """Return the user that the authorizer found, or let a trusted server name.

    Raises HttpError (422) for a server that names nobody. Raises KeyError or ValueError where no authorizer
    has checked the token: then nobody is answered.
    """
    who = caller(event)
    kind = who["kind"]
    if kind in (LINK, OIDC):
        return str(who["userId"])
    if kind == SERVER:
        return _named_user(header(event, USER_HEADER).strip(" \t"))
    raise ValueError("The authorizer let in a kind of token that has no user.")


def _named_user(user_id: str) -> str:
    problem = _problem(user_id)
    if problem:
        message = f"{USER_HEADER} {problem}."
        raise HttpError(422, "invalid", message, [{"field": USER_HEADER, "message": problem}])
    return user_id


def _problem(user_id: str) -> str | None:
    """Say why a header names no user; None if it names one."""
    if not user_id:
        return "must name the user: it is missing or empty"
    if user_id.strip() != user_id:  # otherwise it would be another id that looks the same
        return "must name the user: it begins or ends with white space other than spaces and tabs"
    if is_unfilled(user_id):
        return "must name the user: it is a template that was not filled in"
    if "," in user_id:  # API Gateway joins repeated headers by a comma
        return "must name one user, once: it has a comma"
    if not is_somebody(user_id):
        return "must name the user: the requests of nobody in particular are shown to nobody"
    return id_problem(USER, user_id)
