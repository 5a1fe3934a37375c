"""Talk to the running webserver over GraphQL: launch a job, look at its run, stop it.

Plain HTTP on purpose: the four requests needed are stable, and importing Dagster costs two seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from archon_dagster.errors import ArchonError
from archon_dagster.platform.settings import Settings

LOCATION, REPOSITORY = "archon", "__repository__"
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
ANSWER_LIMIT = 30.0  # seconds the webserver may take to answer one request

LAUNCH = """
mutation($job: String!, $config: RunConfigData!, $location: String!, $repository: String!) {
  launchRun(executionParams: {
    selector: {jobName: $job, repositoryLocationName: $location, repositoryName: $repository}
    runConfigData: $config
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PipelineNotFoundError { message }
  }
}"""
FOLLOW = """
query($run: ID!, $after: String) {
  runOrError(runId: $run) { ... on Run { status tags { key value } } }
  logsForRun(runId: $run, afterCursor: $after) {
    ... on EventConnection { cursor hasMore events { __typename ... on MessageEvent { message level }
      ... on ExecutionStepFailureEvent { error { message } failureMetadata {
        description metadataEntries { label ... on TextMetadataEntry { text } } } }
      ... on RunFailureEvent { error { message } } } }
  }
}"""
STOP = """
mutation($run: String!) { terminateRun(runId: $run) { __typename } }"""


class WebserverGone(ArchonError):
    """The webserver does not answer; runs go on without it, each in its own process."""


@dataclass(frozen=True)
class Run:
    """A run that has ended: its id, status, tags and, where it failed, why and with which kind of error."""

    id: str
    status: str
    tags: dict[str, str]
    error: str = ""
    kind: str = ""


def running_webserver(settings: Settings) -> str | None:
    """The address of a webserver that answers and has our code location, else ``None``."""
    for url in (settings.webserver_url, _noted(settings)):
        if url and _answers(url):
            return url
    return None


def note_webserver(settings: Settings, url: str) -> None:
    """Remember where this control plane's webserver listens."""
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "webserver.json").write_text(json.dumps({"url": url}))


def forget_webserver(settings: Settings) -> None:
    """The webserver has stopped."""
    (settings.home / "webserver.json").unlink(missing_ok=True)


def _noted(settings: Settings) -> str | None:
    try:
        return str(json.loads((settings.home / "webserver.json").read_text())["url"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/server_info", timeout=3).status_code == 200
    except httpx.HTTPError:
        return False


def launch(url: str, job: str, config: dict[str, Any]) -> str:
    """Launch a job; returns the run's id."""
    variables = {"job": job, "config": config, "location": LOCATION, "repository": REPOSITORY}
    answer = _ask(url, LAUNCH, variables)["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        reason = answer.get("message") or "; ".join(error["message"] for error in answer.get("errors", []))
        raise ArchonError(f"the job {job} was not accepted: {reason or answer['__typename']}", where=url)
    return str(answer["run"]["runId"])


def page(url: str, run_id: str) -> str:
    """Where a run is seen in the UI."""
    return f"{url}/runs/{run_id}"


class WebserverView:
    """A run as the webserver shows it; ``cursor`` says how much of its log has been told."""

    def __init__(self, url: str, run_id: str, on_line: Callable[[str], None]):
        self.url, self.run_id, self.on_line = url, run_id, on_line
        self.cursor: str | None = None
        self._error = self._kind = ""

    def look(self) -> Run | None:
        """Tell what is new; the run when it has ended.

        :raises WebserverGone: nobody listens there any more, or it does not answer.
        """
        answer = _ask(self.url, FOLLOW, {"run": self.run_id, "after": self.cursor})
        log, run = answer["logsForRun"], answer["runOrError"]
        self.cursor = log["cursor"]
        for event in log["events"]:
            if event["__typename"] == "LogMessageEvent":
                self.on_line(event["message"])
            reason, kind = _failure(event)
            self._error, self._kind = self._error or reason, self._kind or kind
        if run["status"] not in ENDED or log["hasMore"]:
            return None
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        return Run(self.run_id, run["status"], tags, self._error, self._kind)

    def stop(self) -> None:
        """Ask for the run to be stopped; it cleans up before it ends.

        A launcher of containers answers when that is done, which may take an hour: the run is looked at meanwhile.
        """
        try:
            _ask(self.url, STOP, {"run": self.run_id})
        except WebserverGone as gone:
            if not isinstance(gone.__cause__, httpx.ReadTimeout):
                raise


def _failure(event: dict[str, Any]) -> tuple[str, str]:
    """What an event says went wrong, and the kind of error; empty for any other event."""
    said = event.get("failureMetadata") or {}
    kind = next((entry["text"] for entry in said.get("metadataEntries") or [] if entry["label"] == "kind"), "")
    return said.get("description") or (event.get("error") or {}).get("message") or "", kind


def _ask(url: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = httpx.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=ANSWER_LIMIT)
        answer.raise_for_status()
        data = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise WebserverGone(
            f"the webserver did not answer: {type(error).__name__}: {error}",
            where=url,
            todo="see whether it runs (archon status); --direct works without it",
        ) from error
    if data.get("errors"):
        raise ArchonError(f"the webserver refused the request: {data['errors'][0]['message']}", where=url)
    return dict(data["data"])
