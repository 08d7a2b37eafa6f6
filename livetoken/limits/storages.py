"""The storages that LIMITS_STORAGE can name.

Except for memory, their modules are imported only if they are used.
"""

import os
import re
from urllib.parse import parse_qsl, urlsplit

from livetoken import fetch
from livetoken.limits.memory import Memory
from livetoken.limits.storage import Storage
from livetoken.mistakes import Mistake, Mistakes

IN_MEMORY = "async+memory://"
_PREFIX = "async+"
_FORMS = (
    f"{IN_MEMORY}, async+redis://HOST:PORT/0, async+rediss://USER:PASSWORD@HOST:PORT/0,"
    " async+firestore://PROJECT/DATABASE"
)
_FIRESTORE = re.compile(
    r"async\+firestore://([a-z][a-z0-9.:-]{3,61}[a-z0-9])"
    r"/(\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9])"
)


def mistake(uri: str) -> str | None:
    """Return what is wrong with a storage URI, or None. It may hold a password: do not quote it."""
    if uri.startswith(IN_MEMORY):
        return None if uri == IN_MEMORY else f"must be {IN_MEMORY}, without anything behind it"
    scheme, _, _ = uri.partition("://")
    if scheme == "async+firestore":
        form = "names of a project and a database, as in async+firestore://my-project/(default)"
        return None if _FIRESTORE.fullmatch(uri) else f"must have the {form}"
    if scheme not in ("async+redis", "async+rediss"):
        return f"is not a storage URI, such as {_FORMS}"
    return _redis_mistake(uri)


def kind(uri: str) -> str:
    """Return the kind of a storage: memory, redis or firestore."""
    return uri.removeprefix(_PREFIX).partition("://")[0].replace("rediss", "redis")


def database(uri: str) -> str:
    """Return `PROJECT/DATABASE` of a storage in Firestore; of another, nothing."""
    return "/".join(found.groups()) if (found := _FIRESTORE.fullmatch(uri)) else ""


def opened(uri: str, http: fetch.Http, firestore_url: str) -> Storage:
    """Return the storage of a URI without mistakes. This connects to nothing.

    Args:
        firestore_url: where Firestore is, without a final slash.

    Raises:
        Mistakes: the file of the certificate authority cannot be read.
    """
    if uri.startswith(IN_MEMORY):
        return Memory()
    if database(uri):
        from livetoken.limits.documents import SCOPE, Documents
        from livetoken.limits.firestore import InFirestore
        from livetoken.service_account import ServiceAccount

        account = ServiceAccount(SCOPE)
        return InFirestore(Documents(http, account, base_url=firestore_url, database=database(uri)))
    authority = dict(parse_qsl(urlsplit(uri).query)).get(CA_OPTION)
    if authority and not os.access(authority, os.R_OK):
        message = f"{CA_OPTION} names {authority}, which cannot be read"
        raise Mistakes([Mistake("LIMITS_STORAGE", message)])
    from livetoken.limits.redis import InRedis

    return InRedis(uri.removeprefix(_PREFIX))


def _redis_mistake(uri: str) -> str | None:
    try:
        url = urlsplit(uri)
        has_address = bool(url.hostname) and url.port != 0  # `port` raises if it is not a number
    except ValueError:
        has_address = False
    if not has_address:
        return "has no host, or no valid port: percent-encode : / ? # @ in a password"
    database = url.path.removeprefix("/")
    if url.fragment or (database and not (database.isascii() and database.isdigit())):
        return "must end in the number of a database, such as /0: percent-encode / and # before it"
    if not url.query:
        return None
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    file, *others = options.pop(CA_OPTION, ""), *options.items()
    is_known = file and others in ([], [ANY_NAME]) and url.scheme == "async+rediss"
    return None if is_known else _OPTIONS


CA_OPTION = "ssl_ca_certs"
"""The file of the certificate authority of the server, in PEM. Without it, the system's apply."""

ANY_NAME = ("ssl_check_hostname", "false")
"""The option for an authority that signs for one server only, as Memorystore's do: the certificate
must be signed by it, and need not name the host."""

_OPTIONS = (
    f"has other options than async+rediss accepts: {CA_OPTION}=FILE, and behind it"
    f" {'='.join(ANY_NAME)}"
)
