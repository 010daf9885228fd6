"""The one way an error is answered: `{"error": {"code", "message", "field"?}}` and a status."""

import re

import msgspec


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    field: str | None = None


class ErrorEnvelope(msgspec.Struct):
    error: ErrorDetail


class ApiError(Exception):
    """An answer other than success. `retry_after_s`: when the same request may do better."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.detail = ErrorDetail(code, message, field)
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}


_AT = re.compile(r"(?P<what>.*) - at `(?:key in )?\$\.?(?P<path>[^`]*)`", re.DOTALL)
_NAMED = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<field>.*)`", re.DOTALL)


def validation_detail(error: Exception) -> ErrorDetail:
    """What a decoding error says, with the field at fault named in the message and beside it."""
    text = str(error)
    at = _AT.fullmatch(text)
    what, path = (at["what"], at["path"]) if at else (text, "")
    named = _NAMED.fullmatch(what)
    if named:
        field = f"{path}.{named['field']}" if path else named["field"]
        if named["what"] == "contains unknown":
            return ErrorDetail("unknown_field", f"{field} is not a known field", field)
        return ErrorDetail("invalid", f"{field} is required", field)
    if path:
        return ErrorDetail("invalid", f"{path}: {what}", path)
    return ErrorDetail("invalid", what)
