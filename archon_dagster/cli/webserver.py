"""Talk to the running webserver over GraphQL: launch a job, follow it, stop it.

Plain HTTP on purpose: the four requests needed are stable, and importing Dagster costs two seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from archon_dagster.errors import ArchonError, Cancelled
from archon_dagster.platform.settings import Settings

LOCATION, REPOSITORY = "archon", "__repository__"
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
POLL = 0.3  # seconds

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


def submit(url: str, job: str, config: dict[str, Any], *, on_line: Callable[[str], None], budget: float) -> Run:
    """Launch a job and follow it to its end; an interrupt stops the run, waits for it and is raised again.

    :param on_line: receives the run's log lines; :param budget: seconds after which following is given up.
    """
    variables = {"job": job, "config": config, "location": LOCATION, "repository": REPOSITORY}
    answer = _ask(url, LAUNCH, variables)["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        reason = answer.get("message") or "; ".join(error["message"] for error in answer.get("errors", []))
        raise ArchonError(f"the job {job} was not accepted: {reason or answer['__typename']}", where=url)
    run_id = answer["run"]["runId"]
    on_line(f"run {url}/runs/{run_id}")
    following = _Following(url, run_id, on_line, time.monotonic() + budget)
    try:
        return following.to_the_end()
    except KeyboardInterrupt as interrupt:
        _ask(url, STOP, {"run": run_id})
        run = following.to_the_end()
        raise Cancelled(f"the run was stopped on request and ended as {run.status}", where=run_id) from interrupt


@dataclass
class _Following:
    """A run being followed; an interrupted look goes on where it was."""

    url: str
    run_id: str
    on_line: Callable[[str], None]
    deadline: float
    cursor: str | None = None
    error: str = ""
    kind: str = ""

    def to_the_end(self) -> Run:
        while time.monotonic() < self.deadline:
            run = self._look()
            if run is not None:
                return run
            time.sleep(POLL)
        page = f"{self.url}/runs/{self.run_id}"
        raise ArchonError("the run has not ended in time", where=page, todo="follow it in the UI")

    def _look(self) -> Run | None:
        answer = _ask(self.url, FOLLOW, {"run": self.run_id, "after": self.cursor})
        log, run = answer["logsForRun"], answer["runOrError"]
        self.cursor = log["cursor"]
        for event in log["events"]:
            if event["__typename"] == "LogMessageEvent":
                self.on_line(event["message"])
            reason, kind = _failure(event)
            self.error, self.kind = self.error or reason, self.kind or kind
        if run["status"] not in ENDED or log["hasMore"]:
            return None
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        return Run(self.run_id, run["status"], tags, self.error, self.kind)


def _failure(event: dict[str, Any]) -> tuple[str, str]:
    """What an event says went wrong, and the kind of error; empty for any other event."""
    said = event.get("failureMetadata") or {}
    kind = next((entry["text"] for entry in said.get("metadataEntries") or [] if entry["label"] == "kind"), "")
    return said.get("description") or (event.get("error") or {}).get("message") or "", kind


def _ask(url: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = httpx.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        answer.raise_for_status()
        data = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise ArchonError(
            f"the webserver did not answer: {error}", where=url, todo="look at it, or use --direct"
        ) from error
    if data.get("errors"):
        raise ArchonError(f"the webserver refused the request: {data['errors'][0]['message']}", where=url)
    return dict(data["data"])
