"""Find weights files in the local cache of the Hugging Face hub, or download them if the hub answers in time.

Without a network, the hub's client retries for most of a minute. A single request with a deadline is therefore sent
first. With HF_HUB_OFFLINE set, no socket is opened.
"""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from ..errors import brief
from ..system.offline import is_offline

T = TypeVar("T")
FILE_NAMES = ("model.safetensors", "pytorch_model.bin")  # in order of preference
DEADLINE = 1.5  # seconds for name resolution, connection, TLS and response together


@dataclass(frozen=True)
class HubFile:
    """A weights file on this machine, and its origin: "found in the cache" or "downloaded from ..."."""

    path: Path
    origin: str


@dataclass(frozen=True)
class Unavailable:
    """Why weights are not available, as the end of the sentence "the weights are not in the cache and ..."."""

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
    except Exception as error:  # the client's exceptions differ between its versions
        return Unavailable(f"the download from {constants.ENDPOINT} failed ({brief(error)})")
    return HubFile(Path(path), f"downloaded from {constants.ENDPOINT}")


def cached_weights(repo_id: str) -> Path | None:
    """Return the weights file of a repository if it is in the cache."""
    from huggingface_hub import try_to_load_from_cache

    for name in FILE_NAMES:
        found = try_to_load_from_cache(repo_id, name)
        if isinstance(found, str):  # it may also be a marker for "does not exist"
            return Path(found)
    return None


def _name_on_hub(repo_id: str) -> str | Unavailable:
    """Ask the hub which of the file names it has, all within one deadline."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    def ask() -> str | Unavailable:
        for name in FILE_NAMES:
            try:
                # Longer than the deadline below, which is therefore always the one that is reported.
                answer = get_hf_file_metadata(hf_hub_url(repo_id, name), timeout=2 * DEADLINE)
            except EntryNotFoundError:
                continue
            if answer.commit_hash and answer.etag:
                return name
            return Unavailable(f"{constants.ENDPOINT} is not a Hugging Face hub")
        return Unavailable(f"{constants.ENDPOINT} has neither {' nor '.join(FILE_NAMES)} in {repo_id}")

    try:
        return _within(DEADLINE, ask)
    except TimeoutError:
        return Unavailable(f"{constants.ENDPOINT} did not answer within {DEADLINE:g} seconds")
    except HfHubHTTPError as error:  # no such repository, a token is needed, or the server fails
        return Unavailable(f"{constants.ENDPOINT} refuses it (HTTP {error.response.status_code})")
    except Exception as error:  # see above
        return Unavailable(f"{constants.ENDPOINT} cannot be reached ({brief(error)})")


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return the result of `call`, or raise `TimeoutError`; a call that hangs stays in its daemon thread.

    The client's timeouts do not include name resolution, which can block for a long time.
    """
    outcome: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()

    def run() -> None:
        try:
            result = call()
        except Exception as error:
            outcome.put(functools.partial(_raise, error))
        else:
            outcome.put(lambda: result)

    threading.Thread(target=run, daemon=True, name="revcd-hub").start()
    try:
        finished = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    return finished()


def _raise(error: Exception) -> NoReturn:
    raise error
