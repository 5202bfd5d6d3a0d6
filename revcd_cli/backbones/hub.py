"""Weights files on the Hugging Face hub: found in the local cache, or fetched when the hub answers at once.

The hub's own client tries an absent network for most of a minute. Here a single request with a hard deadline decides
whether to let it try at all, and with HF_HUB_OFFLINE set no socket is opened.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..system.offline import is_offline

T = TypeVar("T")
FILE_NAMES = ("model.safetensors", "pytorch_model.bin")  # in the order of preference
DEADLINE = 1.5  # seconds for name resolution, connection, encryption and answer together


@dataclass(frozen=True)
class HubFile:
    """A weights file on this machine, and how it came here: "found in the cache" or "downloaded from ..."."""

    path: Path
    origin: str


@dataclass(frozen=True)
class Unavailable:
    """Why the hub's weights cannot be had; completes the sentence "the weights are not in the cache and ..."."""

    reason: str


def cache_folder() -> Path:
    """Return the folder that holds the hub's files on this machine (it may not exist)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def find_weights(repo_id: str) -> HubFile | Unavailable:
    """Return the weights file of a repository such as "timm/resnet101.tv_in1k", from the cache or downloaded now."""
    from huggingface_hub import constants, hf_hub_download

    if cached := cached_weights(repo_id):
        return HubFile(cached, "found in the cache")
    if is_offline():
        return Unavailable("HF_HUB_OFFLINE is set")
    name = _name_on_hub(repo_id)
    if isinstance(name, Unavailable):
        return name
    try:
        path = hf_hub_download(repo_id, name)
    except Exception as error:  # the client's transport has changed thrice, and its exceptions with it
        return Unavailable(f"the download from {constants.ENDPOINT} failed ({_first_line(error)})")
    return HubFile(Path(path), f"downloaded from {constants.ENDPOINT}")


def cached_weights(repo_id: str) -> Path | None:
    """Return the weights file of a repository if it is in the cache."""
    from huggingface_hub import try_to_load_from_cache

    for name in FILE_NAMES:
        found = try_to_load_from_cache(repo_id, name)
        if isinstance(found, str):  # it may also be a mark that says "known not to exist"
            return Path(found)
    return None


def _name_on_hub(repo_id: str) -> str | Unavailable:
    """Ask the hub which of the file names it has, all within one deadline."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    def ask() -> str | Unavailable:
        for name in FILE_NAMES:
            try:
                # The client's own limit is the longer one, so that it is always the deadline below that speaks.
                answer = get_hf_file_metadata(hf_hub_url(repo_id, name), timeout=2 * DEADLINE)
            except EntryNotFoundError:
                continue
            if answer.commit_hash and answer.etag:
                return name
            return Unavailable(f"{constants.ENDPOINT} does not answer as a hub does")
        return Unavailable(f"{constants.ENDPOINT} has neither {' nor '.join(FILE_NAMES)} in {repo_id}")

    try:
        return _within(DEADLINE, ask)
    except TimeoutError:
        return Unavailable(f"{constants.ENDPOINT} did not answer within {DEADLINE:g} seconds")
    except HfHubHTTPError as error:  # no such repository, a token needed, or the server is ill
        return Unavailable(f"{constants.ENDPOINT} refuses it (HTTP {error.response.status_code})")
    except Exception as error:  # as above
        return Unavailable(f"{constants.ENDPOINT} cannot be reached ({_first_line(error)})")


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return or raise what `call` does, or raise `TimeoutError`; a call that hangs is left to a daemon thread.

    The client's own timeouts begin after name resolution, which can block for as long as it likes.
    """
    outcome: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except Exception as error:
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True, name="revcd-hub").start()
    try:
        value, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return value


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
