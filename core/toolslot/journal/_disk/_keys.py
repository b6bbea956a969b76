"""The text keys of the journal's rows.

Run and batch ids are the caller's and may hold anything. In a key they are percent-encoded, so that "/" only ever
separates; one that would grow too long is replaced by its SHA-256 (the true id stands in the sealed value, and is
compared on reading). "#" sorts before digits and digits before "~": one range holds all small rows of a batch in
order, and the chunks of large values come after them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache
from urllib.parse import quote, unquote

from toolslot._domain._slot import BatchKey

JOURNAL_ID = "meta/id"
SCHEMA = "meta/schema"
ENCRYPTION = "meta/encryption"


def migration(to: int) -> str:
    """What was done to reach format `to`."""
    return f"meta/migration/{to:06}"


TOMBSTONES = "t/"
BATCH_INDEX = "i/"
BATCHES = "b/"
LINEAGES = "l/"
#: batches that were recorded in format 1
OUTDATED = "o/"
#: effects by their digests, and by the runs of their holders
EFFECTS = "e/"
HELD = "h/"
#: purged batches whose rows are being deleted
DELETIONS = "d/"
#: the tombstone of everything that a run ever had or will have: what a purge of format 1 left
_EVERYTHING = "*"

_LONGEST = 120
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]{1,120}").fullmatch


def component(text: str) -> str:
    """`text` as one part of a key: distinct texts give distinct parts."""
    if _PLAIN(text):
        return text
    encoded = quote(text, safe="", errors="surrogatepass").replace("~", "%7E")
    if len(encoded) <= _LONGEST:
        return encoded
    # "%%" cannot occur in percent-encoding, so a hash never equals an id that looks like one.
    return "%%" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=4096)
def batch_prefix(key: BatchKey) -> str:
    """What all rows of one batch begin with."""
    return f"{BATCHES}{component(key.run_id)}/{component(key.batch_id)}/"


def small_rows(prefix: str) -> tuple[str, str]:
    """Where the batch's manifest, fence, alias, tenures and segments are: from the first, before the second."""
    return prefix + "#", prefix + "~"


def fence(prefix: str) -> str:
    return prefix + "#f"


def manifest(prefix: str) -> str:
    return prefix + "#m"


def alias(prefix: str) -> str:
    return prefix + "#a"


def lost(prefix: str) -> str:
    """The mark of a batch that a salvage could not bring over."""
    return prefix + "#l"


def tenure(prefix: str, epoch: int) -> str:
    return f"{prefix}#o{epoch:08}"


def segment(prefix: str, number: int) -> str:
    """The rows that commit `number` (from 1) added to the batch."""
    return f"{prefix}{number:08}"


def chunk(key: str, digest: str, number: int) -> str:
    """Part `number` (from 0) of a large value that belongs to the row `key`."""
    return f"{key.rpartition('/')[0]}/~{digest}.{number:05}"


def index(key: BatchKey) -> str:
    return f"{BATCH_INDEX}{component(key.run_id)}/{component(key.batch_id)}"


def ids(name: str) -> tuple[str, ...] | None:
    """The ids in a key, its kind left out; None when one of them is only there as a hash, or the key is not one of a journal."""
    parts = name.split("/")[1:]
    if any(part.startswith("%%") for part in parts):
        return None
    try:
        return tuple(unquote(part, errors="surrogatepass") for part in parts)
    except UnicodeDecodeError:
        return None


def index_of_run(run_id: str) -> str:
    return f"{BATCH_INDEX}{component(run_id)}/"


def run_of_index(name: str) -> str:
    """What the keys of all batches of a run begin with in the list, from one of them."""
    return name[: name.rindex("/") + 1]


def lineage(run_id: str, name: str) -> str:
    return f"{lineages(run_id)}{component(name)}"


def lineages(run_id: str) -> str:
    return f"{LINEAGES}{component(run_id)}/"


def batches(run_id: str) -> str:
    return f"{BATCHES}{component(run_id)}/"


def run_payload(run_id: str) -> str:
    return f"{payload_of_run(run_id)}#p"


def payload_of_run(run_id: str) -> str:
    return f"p/{component(run_id)}/"


def tombstones(run_id: str) -> str:
    return f"{TOMBSTONES}{component(run_id)}/"


def purge(run_id: str, number: int) -> str:
    """What is said about the purge `number` (from 1) of a run."""
    return f"{tombstones(run_id)}#{number:06}"


def under_purges(run_id: str) -> tuple[str, str]:
    """The range of what is said about the purges of a run."""
    return tombstones(run_id) + "#", tombstones(run_id) + "$"


def tombstone(name: str, secret: bytes | None) -> str:
    """Of the batch whose rows begin with `name`, or of the lineage whose row is `name`. Ids may tell something, so it has a digest only."""
    kind, run, rest = name.split("/", 2)
    text = f"{kind}/{rest.rstrip('/')}".encode()
    digest = hashlib.sha256(text) if secret is None else hmac.new(secret, text, hashlib.sha256)
    return f"{TOMBSTONES}{run}/{digest.hexdigest()[:32]}"


def tombstone_of_everything(run_id: str) -> str:
    return tombstones(run_id) + _EVERYTHING


def effect(digest: str) -> str:
    return EFFECTS + digest


def held(run_id: str, digest: str) -> str:
    return held_by(run_id) + digest


def held_by(run_id: str) -> str:
    return f"{HELD}{component(run_id)}/"


def outdated(run_id: str) -> str:
    return f"{OUTDATED}{component(run_id)}/"


def deletion(prefix: str) -> str:
    """The mark of a purged batch whose rows begin with `prefix`."""
    return DELETIONS + prefix[len(BATCHES) : -1]


def deletions(run_id: str) -> str:
    return f"{DELETIONS}{component(run_id)}/"


def of_deletion(mark: str) -> str:
    """What the rows of a purged batch begin with, from its mark."""
    return f"{BATCHES}{mark[len(DELETIONS) :]}/"


def under(prefix: str) -> tuple[str, str]:
    """The range of all keys that begin with `prefix`, which ends in "/"."""
    return prefix, prefix[:-1] + "0"  # "0" is the character after "/"
