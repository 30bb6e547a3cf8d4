"""Addresses of books on the web, as they may be shown and kept."""

import re

# Up to the last @ of a host. A password may have a slash in it; a port may not.
_LOGIN = re.compile(r"://(?:[^\s/?#]*@|[^\s:/@]+:(?!\d*[/?#])[^\s@]*@)")


def without_login(text: str) -> str:
    """A text with its addresses, but without who logs in there and how."""
    return _LOGIN.sub("://", text)
