"""Files to a repository of the Hugging Face Hub, as a pull request that its owners decide about.

Short: the Hub's own client does the work.
"""

from __future__ import annotations

from collections.abc import Mapping

from ugc_tasks.common.display import UserError, shown


class PushError(UserError, RuntimeError):
    """The Hub did not take the files; the message says why and what to do."""


def push(repository: str, files: Mapping[str, str], *, message: str) -> str:
    """Open a pull request with ``files`` (texts by their paths) and return its address.

    The token is that of ``huggingface_hub``: ``HF_TOKEN``, or the one of ``hf auth login``.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
    )

    token = get_token()
    if token is None:
        raise PushError("the Hub takes nothing without a token: set HF_TOKEN")
    operations = [
        CommitOperationAdd(path_in_repo=path, path_or_fileobj=text.encode())
        for path, text in files.items()
    ]
    try:
        done = HfApi(token=token).create_commit(
            repository, operations, commit_message=message, create_pr=True
        )
    except HFValidationError:
        raise PushError(
            f"{shown(repository, 80)} is no name of a repository: give it as OWNER/NAME"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        why = {
            401: "the token is not accepted: set HF_TOKEN to one that may write",
            403: "the token may not write there: set HF_TOKEN to one that may",
            404: "there is no such repository, or the token may not see it",
        }.get(status, f"the Hub answered {status}: try again later")
        raise PushError(f"{shown(repository, 80)}: {why}") from None
    except (HTTPError, OSError) as error:  # the former is that of the Hub's own HTTP client
        said = shown(error, 200).replace(token, "…")
        raise PushError(f"the Hub was not reached ({said}): try again, nothing was sent") from None
    return str(done.pr_url or done.commit_url)
