"""All errors of `rankers`. Each takes one string, so that it survives pickling."""


class RankerError(Exception):
    """Base of all errors of this package."""


class DataError(RankerError, ValueError):
    """Data given by the user are missing or malformed: where, the value, and the remedy."""


class EngineError(RankerError, RuntimeError):
    """A first-stage engine cannot run on this machine; the message names the remedy."""


class BackendError(RankerError, RuntimeError):
    """A model backend failed to answer; says nothing about the quality of any answer."""
